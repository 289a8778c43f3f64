//! The eBPF half in the kernel: loading it, and the agent's hands on its maps.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aya::programs::{Program, ProgramError, ProgramFd, SchedClassifier, SocketFilter};
use aya::{Ebpf, EbpfLoader};
use sluice_ebpf::{
    Counters, EGRESS, Guard, INGRESS, MAX_DENIALS, MAX_FLOWS, MAX_LEASES, MAX_PODS, MAX_REDIRECTS,
    Marks, PODS_COMPLETE, PodEntry, names,
};
use tracing::{debug, info};

use crate::maps::{Maps, Usage, discard_unusable, specs};
use crate::slots::SlotBook;
use crate::table::MapError;
use crate::{Leases, attach, bpffs, object};

/// What a fast path is loaded with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The pin directory, which is on a bpffs or will be: `--bpffs`.
    pub pins: PathBuf,
    /// The mark bits.
    pub marks: Marks,
    /// How large the maps are; [`Sizes::default`] fits a node.
    pub sizes: Sizes,
    /// Whether packets are dropped whose source is not behind the interface they come from.
    pub drop_spoofed: bool,
    /// Whether packets of established connections between local pods are handed from link to link, past netfilter. The
    /// gate has to show them to [`Fastpath::redirect_program`] for that.
    pub redirect: bool,
}

/// Map capacities, in entries. Full means slower, never wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of the `leases` map.
    pub leases: u32,
    /// Of the `denials` map.
    pub denials: u32,
    /// Of the `flows` map.
    pub flows: u32,
    /// Of the `redirects` map.
    pub redirects: u32,
    /// Of the `pods` map.
    pub pods: u32,
}

/// In which directions a local pod's connections need a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodIsolation {
    /// Into it.
    pub ingress: bool,
    /// Out of it.
    pub egress: bool,
}

/// Why there is no fast path. The gate alone still enforces.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The build machine had no eBPF toolchain.
    #[error("built without the eBPF object: run `cargo xtask setup` and build again")]
    NoObject,
    /// The pin directory is not on a bpffs, and none can be mounted.
    #[error("{}: no bpffs there, and none can be mounted: {source}", path.display())]
    NotBpffs {
        /// The pin directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A pin cannot be written, renamed or removed.
    #[error("{}: {source}", path.display())]
    Pin {
        /// The pin.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel made no maps, or the object cannot be read.
    #[error("the eBPF object: {0}")]
    Object(#[from] Box<aya::EbpfError>),
    /// The kernel refused a program.
    #[error("the eBPF program {name}: {source}")]
    Program {
        /// Which one.
        name: &'static str,
        /// What the verifier said.
        source: Box<ProgramError>,
    },
    /// The kernel log of the programs cannot be read.
    #[cfg(feature = "log")]
    #[error("the log of the eBPF programs: {0}")]
    Log(#[from] aya_log::Error),
    /// A map that was just made cannot be opened.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A program that ran before could not be replaced.
    #[error(transparent)]
    Attach(#[from] attach::AttachError),
}

/// The loaded programs and their maps. Dropping it changes nothing in the kernel: all is pinned.
#[derive(Debug)]
pub struct Fastpath {
    pub(crate) programs: Ebpf,
    pub(crate) pins: PathBuf,
    pub(crate) prefer_clsact: bool,
    redirects: bool,
    slots: SlotBook,
    pub(crate) maps: Arc<Maps>,
}

impl Config {
    /// With default sizes, dropping what is spoofed and redirecting nothing.
    pub fn new(pins: impl Into<PathBuf>, marks: Marks) -> Self {
        Self {
            pins: pins.into(),
            marks,
            sizes: Sizes::default(),
            drop_spoofed: true,
            redirect: false,
        }
    }

    /// The sizes of what is used: the kernel makes all entries of such a map at once.
    const fn needed(&self) -> Sizes {
        let redirects = if self.redirect {
            self.sizes.redirects
        } else {
            1
        };
        Sizes {
            redirects,
            ..self.sizes
        }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            leases: MAX_LEASES,
            denials: MAX_DENIALS,
            flows: MAX_FLOWS,
            redirects: MAX_REDIRECTS,
            pods: MAX_PODS,
        }
    }
}

impl Fastpath {
    /// Adopts the pinned maps whose layout is this program's and makes the others, loads the programs anew, pins
    /// the gate's, and replaces the classifier on every interface that has it.
    ///
    /// Whoever calls it must then have the gate refer to the new [`Self::gate_programs`]: rules hold on to the
    /// programs they were made with. New maps start with every address isolated, see [`Self::assume_isolated`].
    pub fn open(config: &Config) -> Result<Self, LoadError> {
        let pins = config.pins.as_path();
        let object = object::bytes().ok_or(LoadError::NoObject)?;
        bpffs::prepare(pins)?;
        for map in discard_unusable(pins, config.needed())? {
            info!(map, "replacing a pinned map");
        }
        let mut programs = load(config, object)?;
        pin_gate(&mut programs, pins)?;
        pin_classifiers(&mut programs, pins)?;
        let maps = Arc::new(Maps::open(pins)?);
        let slots = SlotBook::restore(&maps)?;
        let mut fastpath = Self {
            programs,
            pins: pins.to_path_buf(),
            prefer_clsact: false,
            redirects: config.redirect,
            slots,
            maps,
        };
        fastpath.adopt()?;
        Ok(fastpath)
    }

    /// The pinned `gate_pass` and `gate_deny`.
    pub fn gate_programs(&self) -> (PathBuf, PathBuf) {
        (
            self.pins.join(names::GATE_PASS),
            self.pins.join(names::GATE_DENY),
        )
    }

    /// The pinned `gate_redirect`, where anything is to be redirected.
    pub fn redirect_program(&self) -> Option<PathBuf> {
        self.redirects.then(|| self.pins.join(names::GATE_REDIRECT))
    }

    /// The current epoch of every slot, by slot.
    pub fn epochs(&self) -> Result<Vec<u32>, MapError> {
        let mut entries = self.maps.epochs.entries()?;
        entries.sort_unstable_by_key(|&(slot, _)| slot);
        Ok(entries.into_iter().map(|(_, epoch)| epoch).collect())
    }

    /// Sets the epochs of slots, which ends all leases and flows of the addresses in them.
    pub fn raise(&mut self, slots: impl IntoIterator<Item = (u32, u32)>) -> Result<(), MapError> {
        self.maps.epochs.insert_all(slots.into_iter())
    }

    /// The local pods' addresses as the kernel knows them.
    pub fn pods(&self) -> Result<Vec<(IpAddr, PodIsolation)>, MapError> {
        let entries = self.maps.pods.entries()?;
        Ok(entries
            .into_iter()
            .map(|(address, entry)| (address.into(), entry.into()))
            .collect())
    }

    /// Makes an address a local pod's.
    pub fn set_pod(&mut self, address: IpAddr, isolation: PodIsolation) -> Result<(), MapError> {
        self.slots.set(&self.maps, address.into(), isolation.into())
    }

    /// Makes an address no local pod's; whether it was one.
    pub fn remove_pod(&mut self, address: IpAddr) -> Result<bool, MapError> {
        self.slots.remove(&self.maps, address.into())
    }

    /// Takes for spoofed what comes in by an interface from none of these addresses; for a number of them that no guard
    /// can have, nothing is. A family of which there is none is not guarded. `peer_elsewhere` says that the interface is one
    /// end of a pair whose other end is in another network namespace. Whether there is a guard now.
    pub fn guard(
        &mut self,
        ifindex: u32,
        addresses: &[IpAddr],
        peer_elsewhere: bool,
    ) -> Result<bool, MapError> {
        let addresses: Vec<_> = addresses.iter().map(|&address| address.into()).collect();
        match Guard::new(ifindex, &addresses) {
            Some(guard) => self
                .maps
                .guards
                .insert(&ifindex, &guard.with_peer_elsewhere(peer_elsewhere))
                .map(|()| true),
            None => self.maps.guards.remove(&ifindex).map(|_was_there| false),
        }
    }

    /// The guarded interfaces, by index.
    pub fn guarded(&self) -> Result<Vec<u32>, MapError> {
        let entries = self.maps.guards.entries()?;
        Ok(entries.into_iter().map(|(ifindex, _)| ifindex).collect())
    }

    /// While true, every address counts as isolated, whatever the pods are: for a map that is full, or that does not
    /// hold every local pod yet. New maps start like this.
    pub fn assume_isolated(&mut self, isolated: bool) -> Result<(), MapError> {
        self.maps
            .state
            .insert(&0, &if isolated { 0 } else { PODS_COMPLETE })
    }

    /// The handle for workers.
    pub fn leases(&self) -> Leases {
        Leases {
            maps: Arc::clone(&self.maps),
        }
    }

    /// The programs' counters, summed over CPUs. They outlive the agent.
    pub fn counters(&self) -> Result<Counters, MapError> {
        self.maps.counters()
    }

    /// How full the maps are. Costs a walk over them: some milliseconds.
    pub fn usage(&self) -> Result<Usage, MapError> {
        self.maps.usage()
    }
}

impl From<PodEntry> for PodIsolation {
    fn from(entry: PodEntry) -> Self {
        Self {
            ingress: entry.ingress(),
            egress: entry.egress(),
        }
    }
}

impl From<PodIsolation> for PodEntry {
    fn from(isolation: PodIsolation) -> Self {
        let bit = |set, bit| if set { bit } else { 0 };
        Self {
            isolated: bit(isolation.ingress, INGRESS) | bit(isolation.egress, EGRESS),
        }
    }
}

fn load(config: &Config, object: &[u8]) -> Result<Ebpf, LoadError> {
    let (ours, pass, reply) = (config.marks.packet(), config.marks.pass, config.marks.reply);
    let (drop_spoofed, redirect) = (u32::from(config.drop_spoofed), u32::from(config.redirect));
    let mut loader = EbpfLoader::new();
    loader
        .override_global(names::MARK_BITS, &ours, true)
        .override_global(names::MARK_PASS, &pass, true)
        .override_global(names::MARK_REPLY, &reply, true)
        .override_global(names::DROP_SPOOFED, &drop_spoofed, true)
        .override_global(names::REDIRECT, &redirect, true);
    for spec in specs(config.needed()) {
        loader
            .map_max_entries(spec.name, spec.max)
            .map_pin_path(spec.name, config.pins.join(spec.name));
    }
    Ok(loader.load(object).map_err(Box::new)?)
}

fn pin_gate(programs: &mut Ebpf, pins: &Path) -> Result<(), LoadError> {
    for name in [names::GATE_PASS, names::GATE_DENY, names::GATE_REDIRECT] {
        pin(name, pins, programs, |program| {
            let program: &mut SocketFilter = program.try_into()?;
            program.load()?;
            program.fd()
        })?;
    }
    Ok(())
}

fn pin_classifiers(programs: &mut Ebpf, pins: &Path) -> Result<(), LoadError> {
    for name in [names::TC, names::TC_ANY] {
        pin(name, pins, programs, |program| {
            let program: &mut SchedClassifier = program.try_into()?;
            program.load()?;
            program.fd()
        })?;
    }
    Ok(())
}

/// Pins what `load` loads, in the place of an earlier pin.
fn pin(
    name: &'static str,
    pins: &Path,
    programs: &mut Ebpf,
    load: impl FnOnce(&mut Program) -> Result<&ProgramFd, ProgramError>,
) -> Result<(), LoadError> {
    let program = programs.program_mut(name).ok_or(LoadError::NoObject)?;
    let loaded = load(program).map_err(|source| LoadError::Program {
        name,
        source: Box::new(source),
    })?;
    let path = pins.join(name);
    bpffs::pin_over(loaded, &path).map_err(|source| LoadError::Pin { path, source })?;
    debug!(program = name, "loaded and pinned");
    Ok(())
}
