//! A mode that is up: its own nodes and pods, its own agent, its own server. All modes are up at the same time, and idle
//! but for the one whose slice it is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, io::Write as _};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sluice_lab::{AgentOptions, Counters, Family, Lab, Options, Outcome};
use sluice_netlink::Netns;

use crate::load::{self, Pages, Ports, Route, Sent, Server, Span, Workload};
use crate::mode::Mode;
use crate::noise::{CpuTimes, spin};
use crate::proof::Seen;
use crate::world::{self, PORTS, TOUCHED};

/// How long a policy may take to be in force, on a machine that does other things besides.
const ENFORCED: Duration = Duration::from_secs(30);
/// From one look at what is awaited to the next.
const LOOK: Duration = Duration::from_millis(1);
/// Connections at the beginning of a slice of the cold mode that are not counted.
const COLD_WARM_UP: u64 = 200;
/// The ports that a client may have: most of them, so that connections of many slices differ.
const CLIENT_PORTS: &str = "1024 65535";
/// What kube-proxy has in the way of forwarded packets, beside the translation of the addresses of Services.
const TRACKING: &str = "\
table inet tracking {
  chain forward { type filter hook forward priority filter; policy accept; ct state invalid drop; }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; \
    meta mark & 0x4000 == 0x4000 masquerade; }
}";

/// What stages are made with.
#[derive(Clone, Debug)]
pub struct StageOptions {
    /// The `sluice` binary.
    pub agent: PathBuf,
    /// Policies of the server, or rules of the chain.
    pub policies: usize,
    /// Whether the server listens on all its ports, or serves pages alone.
    pub every_port: bool,
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
    // Before the lab, whose namespaces it is in.
    _servers: (Pages, Option<Server>),
    lab: Lab,
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
    /// The agent's time on a processor.
    pub agent: Duration,
}

impl Stage {
    /// Makes the pods, starts the agent, and makes sure that the policies are in force.
    pub fn up(mode: Mode, options: &StageOptions) -> Result<Self> {
        let families = vec![Family::Ipv4, Family::Ipv6];
        let manifests = world::manifests(options.policies, mode.tracks());
        let mut lab = Lab::up(
            &manifests,
            &Options {
                families,
                unserved: world::ports().collect(),
                ..Options::default()
            },
        )?;
        let node = lab.node_netns("node-1")?;
        if mode.tracks() {
            nft(node, TRACKING)?;
        }
        if mode == Mode::Linear && options.policies > 0 {
            nft(node, &chain(&lab, options.policies)?)?;
        }
        let client = lab.pod_netns(&world::pod("client"))?;
        client.set_sysctl("ipv4/ip_local_port_range", CLIENT_PORTS)?;
        let server = lab.pod_netns(&world::pod("server"))?;
        let every_port = options.every_port.then(|| Server::start(server));
        let servers = (Pages::start(server)?, every_port.transpose()?);
        if let Some(agent) = mode.agent() {
            let queues = agent.queues.map(|queues| format!("--queues={queues}"));
            lab.start_agents(&AgentOptions {
                binary: options.agent.clone(),
                mode: agent.mode,
                arguments: queues.into_iter().collect(),
                environment: Vec::new(),
            })?;
        }
        let stage = Self {
            mode,
            _servers: servers,
            lab,
            ports: Ports::default(),
            touches: 0,
            isolated: mode.enforces() && options.policies > 0,
        };
        stage.check()?;
        Ok(stage)
    }

    /// Which one it is.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the one who may gets through, and the one who may not does not where somebody enforces policies.
    pub fn check(&self) -> Result<()> {
        let denied = if self.isolated {
            Outcome::Denied
        } else {
            Outcome::Allowed
        };
        let cells = [world::canary("client"), world::canary("stranger")];
        let last = Instant::now() + ENFORCED;
        let mut found = self.lab.probe(&cells)?;
        // On a busy machine an answer may come too late. Who gets through is believed at once.
        let is_leak = |found: &[Outcome]| found[1] == Outcome::Allowed && denied != found[1];
        while found != [Outcome::Allowed, denied.clone()]
            && !is_leak(&found)
            && Instant::now() < last
        {
            found = self.lab.probe(&cells)?;
        }
        if found == [Outcome::Allowed, denied] {
            return Ok(());
        }
        let (mode, [client, stranger]) = (self.mode, [&found[0], &found[1]]);
        Err(NotInForce {
            mode,
            client: client.clone(),
            stranger: stranger.clone(),
        }
        .into())
    }

    /// Sends over every port that the workload uses once, so that every lease is there that there can be.
    pub fn warm(&mut self, workload: Workload) -> Result<()> {
        use Workload::{Http, TcpCrr, TcpCrrIpv6, TcpCrrService, TcpStream, UdpNew, UdpRr};
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
        let stopped = match (self.mode, self.lab.agents().first()) {
            (Mode::HybridStopped, Some(agent)) => Some(Stopped::stop(agent.pid())?),
            _ => None,
        };
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

    /// The slice with what kernel and agent counted, from `before` on.
    fn counted(&self, slice: Slice, before: Counters) -> Result<Slice> {
        let seen = Seen {
            connections: slice.sent.connections,
            exchanges: slice.sent.exchanges,
            counters: self.counters()?.since(before),
            tracked: self.tracked()?,
            agent: slice.agent,
        };
        Ok(Slice { seen, ..slice })
    }

    fn send(&mut self, workload: Workload, span: &Span) -> Result<Sent> {
        let route = self.route(workload)?;
        let client = self.lab.pod_netns(&world::pod("client"))?;
        let ports = &mut self.ports;
        Ok(client.enter(|| workload.run(&route, span, ports))?)
    }

    fn route(&self, workload: Workload) -> Result<Route> {
        let family = if workload.is_ipv6() {
            Family::Ipv6
        } else {
            Family::Ipv4
        };
        let plan = self.lab.plan();
        let server = plan.pod(&world::pod("server")).context("no server")?;
        let address = plan.pods[server].address(family);
        let service = plan
            .service(&world::service())
            .and_then(|service| service.address(family));
        Ok(Route {
            to: address.context("a server without an address")?,
            service: service.map(|address| SocketAddr::new(address, world::SERVICE)),
        })
    }

    /// Edits a policy of the server: whatever leases there were, each connection is judged.
    fn end_leases(&mut self) -> Result<()> {
        self.touches += 1;
        let before = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let text = world::touched(self.touches);
        self.lab.manifests().write(TOUCHED, &text)?;
        let limit = Instant::now() + ENFORCED;
        let agent = &self.lab.agents()[0];
        let enforced_as_of = || -> Result<Option<f64>> {
            let said = agent.said()?.unwrap_or_default();
            Ok(said["agent"]["enforced_as_of"].as_f64())
        };
        while enforced_as_of()? < Some(before) {
            ensure!(Instant::now() < limit, "an edited policy is not enforced");
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// By the agent's socket: a process for each question would leave cold caches in the modes with an agent alone.
    fn counters(&self) -> Result<Counters> {
        let Some(agent) = self.lab.agents().first() else {
            return Ok(Counters::default());
        };
        let said = agent.said()?.context("the agent does not listen")?;
        sluice_lab::counters(&said)
    }

    /// What its threads have run, by the scheduler's own account.
    fn agent_time(&self) -> Result<Duration> {
        let Some(agent) = self.lab.agents().first() else {
            return Ok(Duration::ZERO);
        };
        let tasks = format!("/proc/{}/task", agent.pid());
        let mut sum = 0;
        for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
            let path = task?.path().join("schedstat");
            // A thread may have ended since.
            let text = fs::read_to_string(path).unwrap_or_default();
            let time = text.split(' ').next().and_then(|word| word.parse().ok());
            sum += time.unwrap_or(0_u64);
        }
        Ok(Duration::from_nanos(sum))
    }

    fn tracked(&self) -> Result<u64> {
        let node = self.lab.node_netns("node-1")?;
        let count = node.sysctl("netfilter/nf_conntrack_count")?;
        count.parse().context("nf_conntrack_count")
    }
}

/// A process that stands still for as long as this value lives.
struct Stopped(Pid);

impl Stopped {
    fn stop(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.context("the agent's process id")?;
        kill_process(pid, Signal::STOP).context("stopping the agent")?;
        let stopped = Self(pid);
        // Each thread stops by itself, and runs for some microseconds until it has.
        let limit = Instant::now() + ENFORCED;
        while !all_stand_still(pid)? {
            ensure!(Instant::now() < limit, "the agent does not stop");
            thread::sleep(LOOK);
        }
        Ok(stopped)
    }
}

/// Whether every thread of a process is stopped (`T` in its `stat`, proc(5)).
fn all_stand_still(pid: Pid) -> Result<bool> {
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
        // A thread may have ended since: others are looked at once more.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else {
            return Ok(false);
        };
        // The name before it may have brackets and spaces in it.
        if !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" T"))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Where it is gone, whoever asks it next will say so.
        let _gone = kill_process(self.0, Signal::CONT);
    }
}

/// A chain as long as there would be policies.
fn chain(lab: &Lab, rules: usize) -> Result<String> {
    let address = |name| {
        let plan = lab.plan();
        let pod = plan.pod(&world::pod(name)).context("no such pod")?;
        let address = plan.pods[pod].address(Family::Ipv4);
        address.context("a pod without an address")
    };
    let rules = world::linear(rules, address("client")?, address("server")?);
    Ok(format!(
        "table inet linear {{\nchain forward {{ type filter hook forward priority filter; policy drop;\n\
         ct state established,related accept\n{rules}}}\n}}"
    ))
}

/// Has `nft` read `rules` in a network namespace.
fn nft(netns: &Netns, rules: &str) -> Result<()> {
    let run = || -> Result<()> {
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("nft (Debian's package nftables)")?;
        let mut input = nft.stdin.take().context("nft without an input")?;
        // Where nft gives up reading, its exit status tells more.
        let written = input.write_all(rules.as_bytes());
        drop(input);
        let status = nft.wait()?;
        ensure!(status.success(), "nft: {status}");
        written.context("nft")
    };
    netns.enter(run)?
}
