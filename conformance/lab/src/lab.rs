//! A lab: a plan that is up, its servers, its agents, and the probes that are sent through it. What ought to come out is
//! not known here.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use sluice_kubernetes::{Problem, World};
use sluice_netlink::Netns;
use sluice_policy::PodName;
use sluice_prober::{Client, Conversation, Listener, Patience, Sctp, SourcePorts};
use tokio::runtime::Runtime;

use crate::agent::{Agent, AgentOptions, Paths, StartError};
use crate::complete::complete;
use crate::confine::Confinement;
use crate::counters::{self, Counters};
use crate::deliveries::{Deliveries, Sender};
use crate::descriptors::{raise_descriptors, room};
use crate::guests::Guests;
use crate::plan::Plan;
use crate::run_dir::{self, RunDir};
use crate::stage::{Manifests, StageError, Staged};
use crate::topology::{Topology, node_end};
use crate::warden::Warden;
use crate::{Cell, Family, Outcome, Port, Reply, Target};

/// For so long is tried to open a connection.
const CONNECTS: Duration = Duration::from_secs(10);
/// Why a lab is not up.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Manifests that cannot be read.
    #[error("{}", lines(.0))]
    Paths(Vec<StageError>),
    /// Manifests that say something wrong.
    #[error("{}", lines(.0))]
    Manifests(Vec<Problem>),
    /// Manifests that are right, and leave nothing to build.
    #[error("no pod has an address of the families asked for: nothing to probe")]
    Empty,
    /// The machine refused.
    #[error("{0:#}")]
    Machine(#[from] anyhow::Error),
}

fn lines(items: &[impl ToString]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Which parts of a world are built, and where.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The address families that pods get; none: IPv4, or IPv6 where no pod has another address.
    pub families: Vec<Family>,
    /// Ports that every pod serves besides those that the world names.
    pub ports: Vec<Port>,
    /// Ports that no server listens on, whoever names them: the caller's own servers do.
    pub unserved: Vec<u16>,
    /// Where the run's directory is made [default: `/run/sluice-lab`].
    pub runs: Option<PathBuf>,
    /// Agents get no more rights than the chart gives them, and end where they ask for more.
    pub confined: bool,
    /// What arrives in pods is watched, so that probes tell [`Outcome::ReplyLost`] from [`Outcome::Denied`]; not in
    /// pods in the network of their node, where netfilter comes later.
    pub deliveries: bool,
}

/// A world that is up. Everything ends with this value, and with this process: no namespace, link or mount has a name,
/// and agents die with their parent.
///
/// It has a runtime of its own, so it is not for use within one.
pub struct Lab {
    // Dropped in this order: agents before their namespaces, the directory last.
    agents: Vec<Agent>,
    runtime: Runtime,
    warden: Arc<Warden>,
    topology: Topology,
    plan: Plan,
    world: World,
    patience: Arc<Patience>,
    source_ports: SourcePorts,
    guests: Arc<Guests>,
    ignored: BTreeMap<String, usize>,
    staged: Staged,
    run: RunDir,
    confined: bool,
    deliveries: Deliveries,
}

/// What redirecting needs of connection tracking; the time is that of an established connection, in seconds.
const REDIRECTABLE: [(&str, &str); 3] = [
    ("be_liberal", "1"),
    ("ignore_invalid_rst", "1"),
    ("timeout_unacknowledged", "432000"),
];

impl Lab {
    /// Builds the world of `manifests`, without agents: everybody reaches everybody.
    pub fn up(manifests: &Manifests, options: &Options) -> Result<Self, UpError> {
        raise_descriptors()?;
        let run = RunDir::create(options.runs.as_deref().unwrap_or(Path::new(run_dir::ROOT)))?;
        let staged =
            Staged::new(manifests, &run.subdirectory("manifests")?).map_err(UpError::Paths)?;
        let loaded = staged.load()?;
        if !loaded.problems.is_empty() {
            return Err(UpError::Manifests(loaded.problems));
        }
        let world = complete(loaded.world);
        let plan = Plan::new(&world, &families(options, &world), &options.ports);
        if plan.pods.is_empty() {
            return Err(UpError::Empty);
        }
        let topology = Topology::build(&plan)?;
        let mount_points =
            (0..plan.nodes.len()).map(|node| run.subdirectory(&format!("{node}/bpf")));
        let warden = Arc::new(Warden::start(mount_points.collect::<Result<_>>()?)?);
        let runtime = runtime()?;
        let mut lab = Self {
            agents: Vec::new(),
            runtime,
            warden,
            topology,
            plan,
            world,
            patience: Arc::default(),
            source_ports: SourcePorts::default(),
            guests: Arc::default(),
            ignored: loaded.ignored,
            staged,
            run,
            confined: options.confined,
            deliveries: Deliveries::default(),
        };
        lab.serve(&options.unserved)?;
        if options.deliveries {
            lab.watch()?;
        }
        Ok(lab)
    }

    /// What was built.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the manifests said when they were last read; nodes that declare no address have those that they were given.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Kinds of objects that were passed over, and how often.
    pub fn ignored(&self) -> &BTreeMap<String, usize> {
        &self.ignored
    }

    /// The manifests that agents read; edits reach them while they run.
    pub fn manifests(&self) -> &Staged {
        &self.staged
    }

    /// Reads the manifests again, so that [`Lab::world`] is what the agents see. Pods and nodes that are new are not
    /// built.
    pub fn reload(&mut self) -> Result<(), UpError> {
        let loaded = self.staged.load()?;
        if !loaded.problems.is_empty() {
            return Err(UpError::Manifests(loaded.problems));
        }
        self.world = complete(loaded.world);
        Ok(())
    }

    /// Who takes connections over from the servers.
    pub(crate) fn guests(&self) -> &Guests {
        &self.guests
    }

    /// Where clients get their ports.
    pub(crate) fn source_ports(&self) -> &SourcePorts {
        &self.source_ports
    }

    /// The directory of this run.
    pub(crate) fn run(&self) -> &RunDir {
        &self.run
    }

    /// The network namespace of a node.
    pub fn node_netns(&self, name: &str) -> Result<&Netns> {
        let index = self.plan.nodes.iter().position(|node| *node.name == *name);
        Ok(self
            .topology
            .node(index.with_context(|| format!("no node {name}"))?))
    }

    /// The network namespace that a pod lives in.
    pub fn pod_netns(&self, name: &PodName) -> Result<&Netns> {
        let index = self
            .plan
            .pod(name)
            .with_context(|| format!("no pod {name}"))?;
        Ok(self.topology.pod(&self.plan, index))
    }

    /// Starts a program in a pod's network. The kernel kills it when this lab is gone.
    pub fn spawn(&self, pod: &PodName, command: Command) -> Result<Child> {
        self.warden.spawn(command, self.pod_netns(pod)?, None)
    }

    /// Starts a program in a node's network. The kernel kills it when this lab is gone.
    pub fn spawn_on_node(&self, node: &str, command: Command) -> Result<Child> {
        self.warden.spawn(command, self.node_netns(node)?, None)
    }

    /// The name that a pod's link has on its node; not for pods in their node's network.
    pub fn interface(&self, name: &PodName) -> Result<String> {
        let index = self.plan.pod(name);
        Ok(node_end(index.with_context(|| format!("no pod {name}"))?))
    }

    /// Gives a pod another link with the same addresses, as when it is made anew: to its node a new interface appears.
    /// Returns the interface's name on the node.
    pub fn replug(&self, name: &PodName) -> Result<String> {
        let index = self.plan.pod(name);
        let index = index.with_context(|| format!("no pod {name}"))?;
        self.topology.replug(&self.plan, index)?;
        Ok(node_end(index))
    }

    /// Has every node's connection tracking know connections of whose packets it sees few, as redirecting needs it.
    pub fn let_agents_redirect(&self) -> Result<()> {
        for node in &self.plan.nodes {
            let netns = self.node_netns(&node.name)?;
            for (name, value) in REDIRECTABLE {
                netns.set_sysctl(&format!("netfilter/nf_conntrack_tcp_{name}"), value)?;
            }
        }
        Ok(())
    }

    /// Starts an agent on every node, and waits until all are ready.
    pub fn start_agents(&mut self, options: &AgentOptions) -> Result<(), StartError> {
        for (index, node) in self.plan.nodes.iter().enumerate() {
            let directory = self.run.path().join(index.to_string());
            let paths = Paths {
                manifests: self.staged.paths(),
                bpffs: directory.join("bpf/sluice"),
                socket: directory.join("agent.sock"),
                log: directory.join("agent.log"),
            };
            let netns = self
                .topology
                .node(index)
                .try_clone()
                .context("clone a namespace")?;
            let (node, warden) = (Arc::clone(&node.name), Arc::clone(&self.warden));
            let confinement = self.confined.then(|| Confinement::of(options.mode));
            let confinement = confinement.transpose()?;
            let options = options.clone();
            let agent = Agent::start(node, netns, warden, options, paths, confinement)?;
            self.agents.push(agent);
        }
        self.agents.iter_mut().try_for_each(Agent::wait_ready)
    }

    /// The agents, in order of their nodes.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The agent of a node.
    pub fn agent(&mut self, node: &str) -> Result<&mut Agent> {
        self.agents
            .iter_mut()
            .find(|agent| **agent.node() == *node)
            .with_context(|| format!("no agent on {node}"))
    }

    /// What all agents have counted together, once nothing waits for a verdict: what a round of probes has given up is
    /// counted with that round.
    pub fn counters(&self) -> Result<Counters> {
        counters::of_all(&self.agents)
    }

    /// Sends all probes, many at once, and says what came of each, in the same order.
    pub fn probe(&self, cells: &[Cell]) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(cells.len());
        for batch in cells.chunks(room()) {
            let clients = self.clients(batch)?;
            let senders: io::Result<Vec<Sender>> = clients.iter().map(Client::sender).collect();
            let _earlier = self.deliveries.take()?;
            let replies = self.ask_batch(clients, batch)?;
            let arrived = self.deliveries.take()?;
            let answered = batch.iter().zip(replies).zip(senders?);
            outcomes.extend(
                answered.map(|((cell, reply), sender)| {
                    arrived.judge(self.outcome(cell, reply), &sender)
                }),
            );
        }
        Ok(outcomes)
    }

    /// Judges a reply: a pod has to answer itself, for a Service any of its backends may.
    pub fn outcome(&self, cell: &Cell, reply: Reply) -> Outcome {
        Outcome::of(reply, |name| match &cell.to {
            Target::Pod(pod) => pod.to_string() == name,
            Target::Service(service) => self.plan.service(service).is_some_and(|service| {
                let backends = service.backends(cell.port).iter();
                backends
                    .map(|(pod, _)| &self.plan.pods[*pod].name)
                    .any(|pod| pod.to_string() == name)
            }),
        })
    }

    /// Sends all probes, many at once, and says what came back to each, in the same order.
    pub fn ask(&self, cells: &[Cell]) -> Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(cells.len());
        for batch in cells.chunks(room()) {
            replies.extend(self.ask_batch(self.clients(batch)?, batch)?);
        }
        Ok(replies)
    }

    /// Opens a TCP connection, or the like over UDP, that stays open.
    pub fn connect(&self, cell: &Cell) -> Result<Connection> {
        let to = self.destination(cell)?;
        let last = Instant::now() + CONNECTS;
        loop {
            let clients = self.clients(std::slice::from_ref(cell))?;
            let client = clients.into_iter().next().context("a client")?;
            let opened = self
                .runtime
                .block_on(self.patience.wait(client.connect(to)));
            // On a busy machine a packet gets lost, and a datagram is not sent again by itself.
            if let Some(opened) = opened {
                let (server, conversation) = opened.context("connect")?;
                return Ok(Connection {
                    server,
                    conversation,
                });
            }
            ensure!(Instant::now() < last, "{cell}: no answer");
        }
    }

    /// Whether the server still answers on an open connection, within the time that answers take. TCP sends again what
    /// was lost, so a connection that was cut only for a moment recovers.
    pub fn is_alive(&self, connection: &mut Connection) -> bool {
        let answer = self
            .runtime
            .block_on(self.patience.wait(connection.conversation.go_on()));
        matches!(answer, Some(Ok(())))
    }

    /// The time that an answer has at present.
    pub fn patience(&self) -> Duration {
        self.patience.limit()
    }

    /// Where a cell's probe is sent.
    pub(crate) fn destination(&self, cell: &Cell) -> Result<SocketAddr> {
        let address = match &cell.to {
            Target::Pod(name) => self
                .plan
                .pod(name)
                .and_then(|pod| self.plan.pods[pod].address(cell.family)),
            Target::Service(name) => self
                .plan
                .service(name)
                .and_then(|service| service.address(cell.family)),
        };
        Ok(SocketAddr::new(
            address.with_context(|| format!("{cell}: no such destination"))?,
            cell.port.number,
        ))
    }

    /// A client socket per cell, opened in its source's namespace: one visit per pod.
    fn clients(&self, cells: &[Cell]) -> Result<Vec<Client>> {
        let mut by_pod: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, cell) in cells.iter().enumerate() {
            let pod = self
                .plan
                .pod(&cell.from)
                .with_context(|| format!("{cell}: no such source"))?;
            by_pod.entry(pod).or_default().push(number);
        }
        let mut clients: BTreeMap<usize, Client> = BTreeMap::new();
        for (pod, numbers) in by_pod {
            let open = |number: usize| -> Result<(usize, Client)> {
                let cell = &cells[number];
                let source = self.plan.pods[pod].address(cell.family);
                let source = source.with_context(|| format!("{cell}: no such source"))?;
                let client =
                    Client::open(source, cell.port.protocol, Sctp::Raw, &self.source_ports);
                Ok((number, client.with_context(|| cell.to_string())?))
            };
            let open_all = || numbers.into_iter().map(open).collect::<Result<Vec<_>>>();
            clients.extend(self.topology.pod(&self.plan, pod).enter(open_all)??);
        }
        Ok(clients.into_values().collect())
    }

    fn ask_batch(&self, clients: Vec<Client>, cells: &[Cell]) -> Result<Vec<Reply>> {
        let destinations = cells.iter().map(|cell| self.destination(cell));
        let destinations: Vec<SocketAddr> = destinations.collect::<Result<_>>()?;
        let asks = clients.into_iter().zip(destinations);
        let asks = asks.map(|(client, to)| client.ask(to));
        let replies = self.runtime.block_on(self.patience.wait_all(asks));
        let reply = |it: Option<Reply>| it.unwrap_or(Reply::Silence);
        Ok(replies.into_iter().map(reply).collect())
    }

    /// Hears what arrives in every pod with a network of its own.
    fn watch(&mut self) -> Result<()> {
        for (index, pod) in self.plan.pods.iter().enumerate() {
            if pod.host_network {
                continue;
            }
            let own = self
                .topology
                .pod(&self.plan, index)
                .enter(Deliveries::open)?;
            self.deliveries
                .add(own.with_context(|| format!("watch pod {}", pod.name))?);
        }
        Ok(())
    }

    /// Opens every listener in its pod's namespace and lets the runtime serve it.
    fn serve(&self, unserved: &[u16]) -> Result<()> {
        let _context = self.runtime.enter();
        for (index, pod) in self.plan.pods.iter().enumerate() {
            let open = || -> Result<Vec<Listener>> {
                let mut listeners = Vec::new();
                for address in &pod.addresses {
                    let served = pod
                        .listens
                        .iter()
                        .filter(|it| !unserved.contains(&it.number));
                    let ports = served.map(|it| (it.protocol, it.number));
                    let opened = Listener::open(*address, ports, Sctp::Raw);
                    listeners.extend(
                        opened
                            .with_context(|| format!("listen on {address} in pod {}", pod.name))?,
                    );
                }
                Ok(listeners)
            };
            let name: Arc<str> = pod.name.to_string().into();
            for listener in self.topology.pod(&self.plan, index).enter(open)?? {
                let guests = Arc::clone(&self.guests);
                self.runtime
                    .spawn(listener.serve(Arc::clone(&name), guests));
            }
        }
        Ok(())
    }
}

/// A connection that stays open.
pub struct Connection {
    /// The name that the server gave.
    pub server: String,
    conversation: Conversation,
}

fn families(options: &Options, world: &World) -> Vec<Family> {
    if !options.families.is_empty() {
        return options.families.clone();
    }
    let mut routed = world
        .pods
        .iter()
        .map(|facts| &facts.pod)
        .filter(|pod| !pod.host_network)
        .peekable();
    let is_ipv4 =
        routed.peek().is_none() || routed.flat_map(|pod| &pod.addresses).any(IpAddr::is_ipv4);
    vec![if is_ipv4 { Family::Ipv4 } else { Family::Ipv6 }]
}

fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(|error| anyhow!(error).context("start a runtime"))
}
