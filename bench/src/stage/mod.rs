//! A mode that is up: its own nodes and pods, its own agents, its own server. All modes are up at the same time, and idle
//! but for the one whose slice it is.

mod enforcers;
mod external;
mod rules;
mod setup;
mod stopped;
mod tool;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use sluice_lab::{Counters, Family, Lab, Outcome};

use self::enforcers::Externals;
pub use self::external::CommandLine;
use self::tool::Tool;
use crate::load::{self, Flooder, Pages, Ports, Route, Sent, Server, Span, Workload};
use crate::mode::Mode;
use crate::noise::{CpuTimes, spin};
pub use crate::processes::Memory;
use crate::proof::Seen;
use crate::world::{self, Nodes, PORTS, TOUCHED};

/// How long a policy may take to be in force, on a machine that does other things besides.
const ENFORCED: Duration = Duration::from_secs(30);
/// From one look at what is awaited to the next.
const LOOK: Duration = Duration::from_millis(1);
/// Connections at the beginning of a slice of the cold mode that are not counted.
const COLD_WARM_UP: u64 = 200;
/// The ports that a client may have: most of them, so that connections of many slices differ.
const CLIENT_PORTS: &str = "1024 65535";

/// What stages are made with.
#[derive(Clone, Debug)]
pub struct StageOptions {
    /// The `sluice` binary.
    pub agent: PathBuf,
    /// Policies of the server, or rules of the chain.
    pub policies: usize,
    /// Whether the server listens on all its ports, or serves pages alone.
    pub every_port: bool,
    /// Where the pods are.
    pub nodes: Nodes,
    /// What enforces in mode external.
    pub external: Option<CommandLine>,
}

/// The gravest of what can be found: the policies are not in force.
#[derive(Clone, Debug, thiserror::Error)]
#[error("mode {}: the client, who may: {client:?}; the stranger, who may not where policies are enforced: {stranger:?}", mode.name())]
pub struct NotInForce {
    /// In which mode.
    pub mode: Mode,
    /// What came of the one who may.
    pub client: Outcome,
    /// What came of the one who may not.
    pub stranger: Outcome,
}

/// A mode that is up.
pub struct Stage {
    mode: Mode,
    nodes: Nodes,
    // Before the lab, whose namespaces they are in.
    _servers: (Pages, Option<Server>),
    externals: Externals,
    iperf3: Option<Tool>,
    lab: Lab,
    flooder: Option<Flooder>,
    ports: Ports,
    touches: u64,
    /// Whether the server is isolated.
    isolated: bool,
}

/// What came of a slice, and what it cost.
#[derive(Clone, Debug)]
pub struct Slice {
    /// What the client has to tell.
    pub sent: Sent,
    /// What kernel and agent counted.
    pub seen: Seen,
    /// What the machine did meanwhile.
    pub machine: CpuTimes,
    /// What [`spin`] took before and after.
    pub spins: [Duration; 2],
    /// The time of agents on a processor, or of the external command.
    pub agent: Duration,
}

impl Stage {
    /// Makes the pods, starts who enforces, and makes sure that the policies are in force.
    pub fn up(mode: Mode, options: &StageOptions) -> Result<Self> {
        let mut lab = setup::lab(mode, options)?;
        setup::write_rules(mode, options, &lab)?;
        let client = lab.pod_netns(&world::pod("client"))?;
        client.set_sysctl("ipv4/ip_local_port_range", CLIENT_PORTS)?;
        let server = lab.pod_netns(&world::pod("server"))?;
        let every_port = options.every_port.then(|| Server::start(server));
        let servers = (Pages::start(server)?, every_port.transpose()?);
        if let Some(flags) = mode.agent() {
            lab.start_agents(&setup::agent_options(flags, options))?;
        }
        let mut stage = Self {
            mode,
            nodes: options.nodes,
            _servers: servers,
            externals: Externals::default(),
            iperf3: None,
            lab,
            flooder: None,
            ports: Ports::default(),
            touches: 0,
            isolated: mode.enforces() && options.policies > 0,
        };
        if mode == Mode::External {
            stage.start_external(options)?;
        }
        stage.check()?;
        Ok(stage)
    }

    /// Starts the command, and waits until it says that it is ready, or evidently is.
    fn start_external(&mut self, options: &StageOptions) -> Result<()> {
        let line = options.external.as_ref().context("no command")?;
        self.externals = Externals::start(&self.lab, self.nodes.names(), line)?;
        let last = Instant::now() + ENFORCED;
        while !self.externals.are_ready() && !self.is_in_force()? && Instant::now() < last {
            self.externals.check()?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Which one it is.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// What its agents, or the external command, hold in memory; of all nodes together.
    pub fn memory(&self) -> Result<Memory> {
        enforcers::memory(self.lab.agents(), &self.externals)
    }

    /// Whether the one who may gets through, and the one who may not does not where somebody enforces policies.
    pub fn check(&mut self) -> Result<()> {
        self.externals.check()?;
        let expected = self.expected();
        let last = Instant::now() + ENFORCED;
        let mut found = self.canaries()?;
        // On a busy machine an answer may come too late. Who gets through is believed at once.
        let is_leak =
            |found: &[Outcome; 2]| found[1] == Outcome::Allowed && found[1] != expected[1];
        while found != expected && !is_leak(&found) && Instant::now() < last {
            found = self.canaries()?;
        }
        if found == expected {
            return Ok(());
        }
        let (mode, [client, stranger]) = (self.mode, found);
        Err(NotInForce {
            mode,
            client,
            stranger,
        }
        .into())
    }

    fn is_in_force(&self) -> Result<bool> {
        Ok(self.canaries()? == self.expected())
    }

    /// What is to come of the client, and of the stranger.
    fn expected(&self) -> [Outcome; 2] {
        let stranger = if self.isolated {
            Outcome::Denied
        } else {
            Outcome::Allowed
        };
        [Outcome::Allowed, stranger]
    }

    /// What comes of them.
    fn canaries(&self) -> Result<[Outcome; 2]> {
        let cells = [world::canary("client"), world::canary("stranger")];
        let found = self.lab.probe(&cells)?;
        let found: Result<[Outcome; 2], _> = found.try_into();
        found.ok().context("an outcome for each canary")
    }

    /// Sends over every port that the workload uses once, so that every lease is there that there can be.
    pub fn warm(&mut self, workload: Workload) -> Result<()> {
        use Workload::{Http, TcpCrr, TcpCrrIpv6, TcpCrrService, TcpStream, UdpNew, UdpRr};
        if workload.is_iperf3() {
            return self.warm_iperf3();
        }
        let every = Some(u64::from(PORTS));
        let (workload, limit, counted) = match workload {
            TcpCrrService | Http => (workload, Some(1), ENFORCED),
            TcpStream => (workload, None, LOOK),
            UdpRr | UdpNew => (UdpNew, every, ENFORCED),
            TcpCrrIpv6 => (TcpCrrIpv6, every, ENFORCED),
            _ => (TcpCrr, every, ENFORCED),
        };
        let span = Span {
            warm_up: Duration::ZERO,
            warm_connections: 0,
            counted,
            limit,
            rate: 0.0,
        };
        let last = Instant::now() + ENFORCED;
        // The next try is over every port as well: they follow on. What got lost on a busy machine is sent then.
        while let Some(failed) = self.send(workload, &span)?.failed {
            ensure!(Instant::now() < last, "mode {}: {failed}", self.mode.name());
        }
        Ok(())
    }

    /// Starts its server, and sends a little.
    fn warm_iperf3(&mut self) -> Result<()> {
        if self.iperf3.is_none() {
            let server = self
                .lab
                .spawn(&world::pod("server"), load::iperf3_server())?;
            self.iperf3 = Some(Tool::listening(server, world::IPERF3)?);
        }
        let to = self.address("server", Family::Ipv4)?;
        let client = self.lab.pod_netns(&world::pod("client"))?;
        let last = Instant::now() + ENFORCED;
        while let Some(failed) = client.enter(|| load::touch_iperf3(to))?.failed {
            ensure!(Instant::now() < last, "mode {}: {failed}", self.mode.name());
        }
        Ok(())
    }

    /// One slice of a workload.
    pub fn slice(&mut self, workload: Workload, span: &Span) -> Result<Slice> {
        let mut span = *span;
        if self.mode == Mode::HybridCold {
            self.end_leases()?;
            span.limit = Some(u64::from(PORTS));
            span.warm_up = Duration::ZERO;
            span.warm_connections = COLD_WARM_UP;
        }
        let before = self.counters()?;
        let stands_still = self.mode == Mode::HybridStopped;
        let stopped = stands_still.then(|| enforcers::stop(self.lab.agents()));
        let stopped = stopped.transpose()?;
        let slice = self.watched(|stage| stage.send(workload, &span));
        drop(stopped);
        self.counted(slice?, before)
    }

    /// A slice of pages of `size` bytes.
    pub fn pages(&mut self, size: usize, span: &Span) -> Result<Slice> {
        let before = self.counters()?;
        let slice = self.watched(|stage| {
            let to = stage.route(Workload::Http)?.to;
            let client = stage.lab.pod_netns(&world::pod("client"))?;
            Ok(client.enter(|| load::fetch(to, size, span))?)
        });
        self.counted(slice?, before)
    }

    /// Sends, and looks at what the machine and the agent do meanwhile.
    fn watched(&mut self, work: impl FnOnce(&mut Self) -> Result<Sent>) -> Result<Slice> {
        let before = spin();
        let (agent, machine) = (self.agent_time()?, CpuTimes::now()?);
        let sent = work(self)?;
        Ok(Slice {
            machine: CpuTimes::now()?.since(machine),
            agent: self.agent_time()?.saturating_sub(agent),
            spins: [before, spin()],
            seen: Seen::default(),
            sent,
        })
    }

    /// The slice with what kernel and agents counted, from `before` on.
    fn counted(&mut self, slice: Slice, before: Counters) -> Result<Slice> {
        // Else whoever enforced would be missed by nobody until the end of the run.
        self.externals.check()?;
        let seen = Seen {
            connections: slice.sent.connections,
            exchanges: slice.sent.exchanges,
            counters: self.counters()?.since(before),
            tracked: self.tracked()?,
            nodes: self.nodes.names().len() as u64,
            agent: slice.agent,
            flooded: slice.sent.flooded,
        };
        Ok(Slice { seen, ..slice })
    }

    fn send(&mut self, workload: Workload, span: &Span) -> Result<Sent> {
        let route = self.route(workload)?;
        let flooder = match workload {
            Workload::Flood => Some(self.flooder()?),
            _ => None,
        };
        let client = self.lab.pod_netns(&world::pod("client"))?;
        let ports = &mut self.ports;
        let mut run = || client.enter(|| workload.run(&route, span, ports));
        let Some(mut flooder) = flooder else {
            return Ok(run()?);
        };
        let (sent, flood) = flooder.beside(span.rate, run)?;
        self.flooder = Some(flooder);
        Ok(Sent {
            flooded: Some(flood),
            ..sent?
        })
    }

    /// The stranger's; it goes on where it was.
    fn flooder(&mut self) -> Result<Flooder> {
        if let Some(flooder) = self.flooder.take() {
            return Ok(flooder);
        }
        let stranger = self.lab.pod_netns(&world::pod("stranger"))?;
        let [from, to] = ["stranger", "server"].map(|pod| self.address(pod, Family::Ipv4));
        Flooder::open(stranger, from?, to?)
    }

    fn address(&self, pod: &str, family: Family) -> Result<IpAddr> {
        setup::address(&self.lab, pod, family)
    }

    fn route(&self, workload: Workload) -> Result<Route> {
        let family = if workload.is_ipv6() {
            Family::Ipv6
        } else {
            Family::Ipv4
        };
        let service = self.lab.plan().service(&world::service());
        let service = service.and_then(|service| service.address(family));
        Ok(Route {
            to: self.address("server", family)?,
            service: service.map(|address| SocketAddr::new(address, world::SERVICE)),
        })
    }

    /// Edits a policy of the server: whatever leases there were, each connection is judged.
    fn end_leases(&mut self) -> Result<()> {
        self.touches += 1;
        let before = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let text = world::touched(self.touches);
        self.lab.manifests().write(TOUCHED, &text)?;
        enforcers::await_enforced(self.lab.agents(), before)
    }

    fn counters(&self) -> Result<Counters> {
        enforcers::counters(self.lab.agents())
    }

    fn agent_time(&self) -> Result<Duration> {
        enforcers::time(self.lab.agents(), &self.externals)
    }

    /// Of all nodes together: a connection between two is tracked on both.
    fn tracked(&self) -> Result<u64> {
        let count = |node: &&str| -> Result<u64> {
            let node = self.lab.node_netns(node)?;
            let count = node.sysctl("netfilter/nf_conntrack_count")?;
            count.parse().context("nf_conntrack_count")
        };
        self.nodes.names().iter().map(count).sum()
    }
}
