//! Life and death of the agent: while it is killed, restarted, stopped and cleaned up after, nothing is cut and nothing
//! leaks.

mod answer;
mod cleanup;
mod interface;
mod kill;
mod restart;
mod stopped;
mod twice;

use std::time::{Duration, Instant};

use sluice_lab::stream::{Direction, Hammer, Lost, Pace, Stream};
use sluice_lab::{Agent, AgentOptions, Cell, Family, Lab, Mode, Options};
use sluice_policy::Protocol;

use crate::common::{agent_binary, cell, eventually, example, skipped};

pub(crate) const EITHER: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// How an agent is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) mode: Mode,
    pub(crate) fail_open: bool,
}

impl How {
    /// A lab with an agent on its only node.
    pub(crate) fn up(self) -> Option<Lab> {
        if skipped() {
            return None;
        }
        let agent = AgentOptions {
            binary: agent_binary()?,
            mode: self.mode,
            arguments: vec![format!("--fail-open={}", self.fail_open)],
            environment: Vec::new(),
        };
        let options = Options {
            families: vec![Family::Ipv4, Family::Ipv6],
            ..Options::default()
        };
        let mut lab = Lab::up(&example("life"), &options).unwrap();
        lab.start_agents(&agent).unwrap();
        Some(lab)
    }
}

/// The node's agent.
pub(crate) fn agent(lab: &mut Lab) -> &mut Agent {
    lab.agent("node-1").unwrap()
}

/// From pod to pod of the one namespace, on the one port.
pub(crate) fn pair(from: &str, to: &str, protocol: Protocol, family: Family) -> Cell {
    let name = |pod: &str| format!("x/{pod}");
    cell(&name(from), &name(to), 80, protocol, family)
}

/// Traffic of all kinds: connections that were accepted, that were opened on a lease and that concern no policy, over
/// TCP and UDP; and new connections that are denied.
pub(crate) struct Load {
    pub(crate) streams: Vec<(Cell, Stream)>,
    pub(crate) denied: Vec<(Cell, Hammer)>,
}

/// What a load came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tolls {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) denied: u64,
    pub(crate) leaked: u64,
}

pub(crate) const PACE: Pace = Pace {
    interval: Duration::from_millis(4),
    answered: true,
};
pub(crate) const DENIED_EVERY: Duration = Duration::from_millis(4);

impl Load {
    /// Every stream is open when it returns: an agent that is killed before it has judged the first packet leaves it to
    /// the fail mode.
    pub(crate) fn start(lab: &Lab) -> Self {
        let mut load = Self {
            streams: Vec::new(),
            denied: Vec::new(),
        };
        let mut stream = |cell: Cell| {
            let stream = lab.stream(&cell, PACE).unwrap();
            let is_open = || stream.delivered(Direction::Backward) > 0;
            eventually(&format!("{cell} is open"), is_open);
            load.streams.push((cell, stream));
        };
        for protocol in EITHER {
            // the first of a pair is judged, the second finds its lease
            for family in [Family::Ipv4, Family::Ipv4, Family::Ipv6] {
                stream(pair("client", "server", protocol, family));
            }
            stream(pair("near", "far", protocol, Family::Ipv4));
        }
        for protocol in EITHER {
            let cell = pair("other", "server", protocol, Family::Ipv4);
            let hammer = lab.hammer(&cell, DENIED_EVERY).unwrap();
            load.denied.push((cell, hammer));
        }
        load
    }

    /// Ends it. `is_leak` says of a denied connection whether it had to be stopped, by when it was tried and when it
    /// arrived.
    pub(crate) fn end(&mut self, is_leak: impl Fn(Instant, Instant) -> bool) -> Tolls {
        let mut tolls = Tolls::default();
        for (cell, stream) in &mut self.streams {
            let settled = stream.stop();
            let Lost { forward, backward } = stream.lost();
            tolls.sent += 2 * stream.sent();
            tolls.lost += forward + backward;
            let state = (settled, stream.lost(), stream.broken());
            if state != (true, Lost::default(), None) {
                println!("cut: {cell}: {state:?} of {}", stream.sent());
            }
        }
        for (_, hammer) in &mut self.denied {
            hammer.stop();
            tolls.denied += hammer.sent();
            let leaks = hammer.deliveries();
            let leaks = leaks.iter().filter(|it| is_leak(it.sent, it.arrived));
            tolls.leaked += leaks.count() as u64;
        }
        tolls
    }

    /// How many denied connections arrived, whoever let them.
    pub(crate) fn passed(&self) -> u64 {
        self.denied.iter().map(|(_, it)| it.delivered()).sum()
    }
}
