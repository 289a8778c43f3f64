//! The kernel half as the writer sees it: one thing that a change is enforced in, with or without eBPF.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use sluice_bpf::{Attach, Fastpath};
use sluice_netlink::{Gate, GateConfig, Isolated, Matcher, QueueVerb, RouteEvent};
use sluice_policy::{Changes, Isolation, Snapshot};
use tracing::{debug, info, warn};

use super::epochs::Epochs;
use super::guards::Guards;
use super::leases::LeaseWriter;
use super::pinned::tc_state;
use super::pods::Pods;
use super::redirect;
use crate::cli::Mode;
use crate::config::Config;
use crate::exit::Failure;
use crate::status::{KernelState, TcState};

/// More addresses than this are not put under review one by one: some 5 µs each.
const REVIEWED_ONE_BY_ONE: usize = 256;

/// The maps and programs, if there are any, and the gate.
pub(crate) struct Kernel {
    fastpath: Option<Fastpath>,
    gate: Gate,
    gate_config: GateConfig,
    attached: BTreeMap<u32, (String, Attach)>,
    guards: Guards,
    leases: Option<LeaseWriter>,
    pods: Pods,
}

/// The eBPF half before there is a gate: what the first snapshot's epochs start from.
pub(crate) struct Foundation {
    fastpath: Option<Fastpath>,
    leases: Option<LeaseWriter>,
}

impl Foundation {
    /// Loads the programs, adopting what is pinned; nothing in pure NFQUEUE mode.
    pub(crate) fn open(config: &Config) -> Result<Self, Failure> {
        let fastpath = match config.mode {
            Mode::Nfqueue => {
                if config.redirect_established {
                    warn!("--redirect-established: nothing is redirected in pure NFQUEUE mode");
                }
                retire(config)?;
                None
            }
            Mode::Hybrid => {
                let settings = sluice_bpf::Config {
                    drop_spoofed: config.drop_spoofed,
                    redirect: config.redirect_established && redirect::is_possible(),
                    ..sluice_bpf::Config::new(&config.bpffs, config.marks)
                };
                let unable = |error: sluice_bpf::LoadError| Failure::Unable(error.into());
                #[cfg_attr(
                    not(feature = "ebpf-log"),
                    expect(unused_mut, reason = "the log is taken out")
                )]
                let mut fastpath = Fastpath::open(&settings).map_err(unable)?;
                #[cfg(feature = "ebpf-log")]
                super::program_log::follow(fastpath.log().map_err(unable)?)?;
                Some(fastpath)
            }
        };
        let leases = fastpath
            .as_ref()
            .map(|fastpath| LeaseWriter::new(fastpath.leases()))
            .transpose()
            .context("leases")
            .map_err(Failure::Unable)?;
        Ok(Self { fastpath, leases })
    }

    /// The epochs as the kernel has them; none without eBPF.
    pub(crate) fn epochs(&self) -> anyhow::Result<Epochs> {
        let values = self
            .fastpath
            .as_ref()
            .map(Fastpath::epochs)
            .transpose()
            .context("epochs")?;
        Ok(Epochs::new(&values.unwrap_or_default()))
    }

    /// Addresses that an earlier agent enforced.
    pub(crate) fn adopted(&self) -> anyhow::Result<BTreeSet<IpAddr>> {
        let pods = self
            .fastpath
            .as_ref()
            .map(Fastpath::pods)
            .transpose()
            .context("pods")?;
        Ok(pods
            .unwrap_or_default()
            .into_iter()
            .map(|(address, _)| address)
            .collect())
    }

    /// A handle for the queue workers.
    pub(crate) const fn leases(&self) -> Option<&LeaseWriter> {
        self.leases.as_ref()
    }

    /// Enforces the first snapshot: pods, epochs, then the gate.
    pub(crate) fn build(
        mut self,
        config: &Config,
        snapshot: &Snapshot,
        raised: &[(u32, u32)],
    ) -> Result<Kernel, Failure> {
        let gate_config = gate_config(config, self.fastpath.as_ref())?;
        let mut pods = Pods::new();
        if let Some(fastpath) = &mut self.fastpath {
            let inherited = fastpath.leases();
            let keys = inherited
                .keys()
                .context("leases")
                .map_err(Failure::Unable)?;
            pods.reconcile(fastpath, snapshot)
                .and_then(|()| raise(fastpath, raised))
                .map_err(Failure::Unable)?;
            // Raising the epochs has ended them all: nobody is charged for them.
            inherited
                .remove_all(&keys)
                .context("leases")
                .map_err(Failure::Unable)?;
        }
        let gate = install(&gate_config, snapshot, &[]).map_err(Failure::Unable)?;
        Ok(Kernel {
            fastpath: self.fastpath,
            gate,
            gate_config,
            attached: BTreeMap::new(),
            guards: Guards::of(snapshot.local_addresses().map(|(address, _)| address)),
            leases: self.leases,
            pods,
        })
    }
}

impl Kernel {
    /// Enforces a change whose snapshot is already published. What was accepted before, and may be denied now, needs a
    /// verdict again until [`Kernel::reviewed`].
    pub(crate) fn enforce(
        &mut self,
        changes: &Changes,
        raised: &[(u32, u32)],
        snapshot: &Snapshot,
    ) -> anyhow::Result<()> {
        if let Some(fastpath) = &mut self.fastpath {
            self.pods.change(fastpath, changes, snapshot)?;
            for &(address, isolation) in &changes.isolation {
                for device in self.guards.pod(address, isolation.is_some()) {
                    write_guard(fastpath, &self.guards, device)?;
                }
            }
            raise(fastpath, raised)?;
        }
        let elements: Vec<_> = changes
            .isolation
            .iter()
            .map(|&(address, isolation)| (address, isolated(isolation.unwrap_or_default())))
            .collect();
        let review = under_review(changes, snapshot);
        self.gate.update(&elements, &review).context("gate")?;
        Ok(())
    }

    /// Whether connections are under review.
    pub(crate) fn is_reviewing(&self) -> bool {
        self.gate.is_reviewing()
    }

    /// Every connection that was under review has been judged again.
    pub(crate) fn reviewed(&mut self) -> anyhow::Result<()> {
        let _addresses = self.gate.reviewed().context("gate")?;
        Ok(())
    }

    /// Writes the whole state again, whatever the kernel has: the way back from a refused change.
    pub(crate) fn rebuild(
        &mut self,
        snapshot: &Snapshot,
        raised: &[(u32, u32)],
    ) -> anyhow::Result<()> {
        if let Some(fastpath) = &mut self.fastpath {
            // First what ends leases, whatever becomes of the rest.
            self.pods.reconcile(fastpath, snapshot)?;
            raise(fastpath, raised)?;
            for pin in fastpath.repin().context("pins")? {
                warn!(pin, "the pin was removed: pinned again");
            }
            let local = snapshot.local_addresses();
            self.guards.pods(local.map(|(address, _)| address));
            write_guards(fastpath, &self.guards)?;
        }
        let every: Vec<_> = snapshot.local_addresses().map(|(it, _)| it).collect();
        self.gate = install(&self.gate_config, snapshot, &every)?;
        Ok(())
    }

    /// Takes in whether an interface's peer is elsewhere: what may be handed to it depends on that. The guard of an
    /// earlier agent, to whose routes this one has not come yet, stays.
    pub(crate) fn link(&mut self, index: u32, peer_elsewhere: bool) -> anyhow::Result<()> {
        let is_news = self.guards.link(index, peer_elsewhere);
        match &mut self.fastpath {
            Some(fastpath) if is_news && !self.guards.wanted(index).is_empty() => {
                write_guard(fastpath, &self.guards, index)
            }
            _ => Ok(()),
        }
    }

    /// Takes routes in, and guards the interfaces that they lead to.
    pub(crate) fn routes(
        &mut self,
        events: impl IntoIterator<Item = RouteEvent>,
    ) -> anyhow::Result<()> {
        let devices: BTreeSet<u32> = events
            .into_iter()
            .map(|event| self.guards.route(event))
            .collect();
        let Some(fastpath) = &mut self.fastpath else {
            return Ok(());
        };
        devices
            .into_iter()
            .try_for_each(|device| write_guard(fastpath, &self.guards, device))
    }

    /// Takes away every guard: nobody tells any more when one is wrong.
    pub(crate) fn forget_routes(&mut self) -> anyhow::Result<()> {
        self.guards.forget_routes();
        self.fastpath
            .as_mut()
            .map_or(Ok(()), |fastpath| write_guards(fastpath, &self.guards))
    }

    /// Forgets what local pods held that are none any more.
    pub(crate) fn forget_pods(&self, changes: &Changes) {
        let Some(leases) = &self.leases else {
            return;
        };
        let gone = changes
            .isolation
            .iter()
            .filter(|(_, isolation)| isolation.is_none());
        for (address, _) in gone {
            if let Err(error) = leases.close(*address) {
                warn!(%address, %error, "leases of a pod that is gone are left");
            }
        }
    }

    /// Puts the TC program on an interface. An interface without it is slower, not less safe.
    pub(crate) fn attach(&mut self, index: u32, name: &str) {
        let Some(fastpath) = &mut self.fastpath else {
            return;
        };
        if self
            .attached
            .get(&index)
            .is_some_and(|(attached, _)| attached == name)
        {
            return;
        }
        match fastpath.attach(index, name) {
            Ok(attach) => {
                self.attached.insert(index, (name.to_owned(), attach));
            }
            Err(error) => {
                warn!(interface = name, %error, "tc program not attached: its packets take the slow path");
            }
        }
    }

    /// Whether the gate is as it was written; true where that cannot be asked.
    pub(crate) fn gate_is_intact(&mut self) -> bool {
        self.gate.is_intact().unwrap_or_else(|error| {
            warn!(%error, "the gate cannot be read");
            true
        })
    }

    /// Puts the TC program back where somebody took it off; the names of those interfaces.
    pub(crate) fn reattach(&mut self) -> Vec<String> {
        let Some(fastpath) = &mut self.fastpath else {
            return Vec::new();
        };
        let mut lost = Vec::new();
        for (&index, (name, attach)) in &mut self.attached {
            if matches!(fastpath.is_attached(index, name, *attach), Ok(true)) {
                continue;
            }
            match fastpath.attach(index, name) {
                Ok(now) => {
                    *attach = now;
                    lost.push(name.clone());
                }
                // It is about to be told of.
                Err(error) => debug!(interface = name, %error, "the interface is gone"),
            }
        }
        lost
    }

    /// An interface is gone, or is not to have the program, which an earlier agent may have put there.
    pub(crate) fn detach(&mut self, index: u32, name: &str) {
        let Some(fastpath) = &mut self.fastpath else {
            return;
        };
        self.attached.remove(&index);
        if let Err(error) = fastpath.detach(index) {
            warn!(interface = name, %error, "tc program not taken off");
        }
    }

    /// For status.
    pub(crate) fn state(&self) -> KernelState {
        KernelState {
            queue_verb: Some(match self.gate_config.verb {
                QueueVerb::Nft => "nft",
                QueueVerb::Xt => "xt",
            }),
            matcher: Some(match self.gate_config.matcher {
                Matcher::Bpf { .. } => "bpf",
                Matcher::Sets => "set",
            }),
            tc: TcState {
                redirects: self.gate_config.redirect.is_some(),
                ..tc_state(self.attached.values().cloned())
            },
        }
    }
}

/// Takes away what a hybrid agent left: nobody would end its leases any more.
fn retire(config: &Config) -> Result<(), Failure> {
    let removed = sluice_bpf::remove_pins(&config.bpffs)
        .context("pins")
        .map_err(Failure::Unable)?;
    if !removed.is_empty() {
        info!(
            removed = removed.join(", "),
            "an earlier agent's eBPF half is not wanted"
        );
    }
    Ok(())
}

fn gate_config(config: &Config, fastpath: Option<&Fastpath>) -> Result<GateConfig, Failure> {
    let unable = |error: sluice_netlink::Error| {
        Failure::Unable(anyhow::Error::new(error).context("netfilter"))
    };
    let verb = Gate::probe_verb().map_err(unable)?;
    let matcher = match fastpath.map(Fastpath::gate_programs) {
        Some((pass, deny)) if Gate::probe_bpf_match(&pass).map_err(unable)? => {
            Matcher::Bpf { pass, deny }
        }
        Some(_) => {
            warn!(
                "this kernel has no xtables match bpf: the gate knows isolated pods by sets, without leases"
            );
            Matcher::Sets
        }
        None => Matcher::Sets,
    };
    Ok(GateConfig {
        marks: config.marks,
        queue: config.queue_num,
        queues: config.queues,
        fail_open: config.fail_open,
        accept_for_good: !config.revoke_established,
        honour_pass: fastpath.is_some(),
        early_datagrams: config.early_datagrams,
        redirect: redirect_program(fastpath, &matcher),
        matcher,
        verb,
    })
}

/// What the gate shows packets to that may be redirected.
fn redirect_program(fastpath: Option<&Fastpath>, matcher: &Matcher) -> Option<PathBuf> {
    let program = fastpath.and_then(Fastpath::redirect_program)?;
    if *matcher == Matcher::Sets {
        warn!("--redirect-established: nothing is redirected, as the gate can ask no program");
        return None;
    }
    Some(program)
}

/// An end of every connection that a change can end: none where it only allows. Each has a local pod at one end, so
/// where the change is about more addresses than a node has pods, those pods stand for all.
fn under_review(changes: &Changes, snapshot: &Snapshot) -> Vec<IpAddr> {
    if changes.only_allows {
        return Vec::new();
    }
    if changes.addresses.len() <= REVIEWED_ONE_BY_ONE {
        return changes.addresses.iter().copied().collect();
    }
    let local = snapshot.local_addresses().map(|(address, _)| address);
    let gone = changes.isolation.iter().map(|&(address, _)| address);
    local.chain(gone).collect()
}

fn install(config: &GateConfig, snapshot: &Snapshot, review: &[IpAddr]) -> anyhow::Result<Gate> {
    let elements: Vec<_> = snapshot
        .local_addresses()
        .map(|(address, isolation)| (address, isolated(isolation)))
        .collect();
    Gate::install(config, &elements, review).context("gate")
}

fn raise(fastpath: &mut Fastpath, raised: &[(u32, u32)]) -> anyhow::Result<()> {
    fastpath.raise(raised.iter().copied()).context("epochs")
}

fn write_guard(fastpath: &mut Fastpath, guards: &Guards, device: u32) -> anyhow::Result<()> {
    let _guarded = fastpath
        .guard(
            device,
            &guards.wanted(device),
            guards.has_peer_elsewhere(device),
        )
        .with_context(|| format!("guard of interface {device}"))?;
    Ok(())
}

/// Makes the guards what they should be, whatever there is.
fn write_guards(fastpath: &mut Fastpath, guards: &Guards) -> anyhow::Result<()> {
    let mut devices: BTreeSet<u32> = fastpath.guarded().context("guards")?.into_iter().collect();
    devices.extend(guards.devices());
    devices
        .into_iter()
        .try_for_each(|device| write_guard(fastpath, guards, device))
}

const fn isolated(isolation: Isolation) -> Isolated {
    Isolated {
        ingress: isolation.ingress,
        egress: isolation.egress,
    }
}
