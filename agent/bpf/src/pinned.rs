//! What can be known and done by the pins alone, without the eBPF object and without an agent.

use std::fs;
use std::io;
use std::path::Path;

use sluice_ebpf::{Counters, names};

use crate::attach::{self, Attach};
use crate::maps::{Maps, Usage, specs};
use crate::{LoadError, Sizes, bpffs};

/// What the pins tell while no agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedState {
    /// Summed over CPUs.
    pub counters: Counters,
    /// How full the maps are.
    pub usage: Usage,
    /// The interfaces that have the classifier, by index.
    pub attached: Vec<(u32, Attach)>,
    /// How many local pod addresses there are, and how many of them are isolated in some direction.
    pub pods: (usize, usize),
}

/// Reads the pins; none where there are none, or not all, or of another layout.
pub fn peek(pins: &Path) -> Option<PinnedState> {
    let maps = Maps::open(pins).ok()?;
    let pods = maps.pods.entries().ok()?;
    let isolated = pods.iter().filter(|(_, pod)| pod.isolated != 0).count();
    Some(PinnedState {
        counters: maps.counters().ok()?,
        usage: maps.usage().ok()?,
        attached: attach::attached(pins),
        pods: (pods.len(), isolated),
    })
}

/// Takes everything of Sluice's out of the kernel that the pins know of: classifiers, programs and maps. What was
/// removed, for people; empty where there was nothing. Programs that rules still refer to go with the rules.
pub fn remove_pins(pins: &Path) -> Result<Vec<String>, LoadError> {
    let mut removed = Vec::new();
    if !pins.exists() {
        return Ok(removed);
    }
    for (ifindex, attach) in attach::attached(pins) {
        if attach::detach(pins, ifindex)? {
            let means = match attach {
                Attach::Tcx => "TCX",
                Attach::Clsact => "clsact",
            };
            removed.push(format!("{means} program on interface {ifindex}"));
        }
    }
    let programs = names::PROGRAMS.map(|name| ("program", name));
    let maps = specs(Sizes::default()).map(|map| ("map", map.name));
    for (what, name) in programs.into_iter().chain(maps) {
        let path = pins.join(name);
        // What a process that was killed between pinning and renaming left.
        let unfinished = bpffs::next_to(&path);
        match bpffs::remove(&unfinished).and_then(|_| bpffs::remove(&path)) {
            Ok(true) => removed.push(format!("{what} {}", path.display())),
            Ok(false) => {}
            Err(source) => return Err(LoadError::Pin { path, source }),
        }
    }
    remove_directories(pins, &mut removed)?;
    Ok(removed)
}

fn remove_directories(pins: &Path, removed: &mut Vec<String>) -> Result<(), LoadError> {
    for path in [
        pins.join(attach::LINKS),
        pins.join(attach::CLSACT),
        pins.to_path_buf(),
    ] {
        match fs::remove_dir(&path) {
            Ok(()) if path == pins => removed.push(format!("directory {}", path.display())),
            Ok(()) => {}
            // What somebody else pinned there is theirs, and so is a bpffs that is mounted right there.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::DirectoryNotEmpty
                        | io::ErrorKind::ResourceBusy
                ) => {}
            Err(source) => return Err(LoadError::Pin { path, source }),
        }
    }
    Ok(())
}
