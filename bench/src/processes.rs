//! Processes by what `/proc` tells of them: who belongs to whom, how long they ran, what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use serde::Serialize;

/// What an enforcer holds in memory, in kB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident pages of its processes; those that they share count for each.
    pub resident: u64,
    /// The maps of eBPF that they have open, each once.
    pub bpf_maps: u64,
}

/// A process, by its line in `/proc/PID/stat`, proc(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) parent: u32,
    group: u32,
    /// It has ended, and waits for its parent to hear of it.
    is_dead: bool,
}

/// All that this process sees.
pub(crate) fn all() -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("/proc")? {
        let name = entry.context("/proc")?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that has ended since is none.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        found.extend(parse(id, &stat));
    }
    Ok(found)
}

/// A number as system calls take it; none of what is no process.
pub(crate) fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// What is behind the name in a line of `stat`, the state first. The name may have brackets and spaces in it.
pub(crate) fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
}

fn parse(id: u32, stat: &str) -> Option<Process> {
    let mut fields = fields(stat);
    let state = fields.next()?;
    Some(Process {
        id,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        is_dead: matches!(state, "Z" | "X"),
    })
}

/// Of `all` those that live and belong to `leader`: itself, its group, and whatever any of these started.
pub(crate) fn of(leader: u32, all: &[Process]) -> BTreeSet<u32> {
    let mut members = BTreeSet::new();
    loop {
        let belongs =
            |it: &&Process| it.id == leader || it.group == leader || members.contains(&it.parent);
        let more: BTreeSet<u32> = all.iter().filter(belongs).map(|it| it.id).collect();
        if more.len() == members.len() {
            break;
        }
        members = more;
    }
    let dead = all.iter().filter(|it| it.is_dead);
    for it in dead {
        members.remove(&it.id);
    }
    members
}

/// What the threads of a process have run, by the scheduler's own account; those that have ended are left out.
pub(crate) fn time_of(id: u32) -> Result<Duration> {
    let tasks = format!("/proc/{id}/task");
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

/// What processes hold together.
pub(crate) fn memory_of(ids: impl IntoIterator<Item = u32>) -> Result<Memory> {
    let mut resident = 0;
    let mut maps = BTreeMap::new();
    for id in ids {
        resident += self::resident(id)?.unwrap_or(0);
        let descriptors = format!("/proc/{id}/fdinfo");
        let entries = match fs::read_dir(&descriptors) {
            Err(error) if is_gone(&error) => continue,
            entries => entries.with_context(|| descriptors.clone())?,
        };
        // What ends meanwhile holds nothing.
        for entry in entries.map_while(io::Result::ok) {
            let info = read(&entry.path().to_string_lossy())?;
            maps.extend(map(&info));
        }
    }
    let bpf_maps = maps.values().sum::<u64>() / 1_024;
    Ok(Memory { resident, bpf_maps })
}

/// What a process holds of memory, in kB; none where it has ended.
pub(crate) fn resident(id: u32) -> Result<Option<u64>> {
    let status = read(&format!("/proc/{id}/status"))?;
    Ok(field(&status, "VmRSS:"))
}

/// The text of a file of `/proc`; none where what it is about has ended.
fn read(path: &str) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if is_gone(&error) => Ok(String::new()),
        text => text.with_context(|| path.to_owned()),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// The number of the map that a descriptor is of, and its bytes.
fn map(info: &str) -> Option<(u64, u64)> {
    Some((field(info, "map_id:")?, field(info, "memlock:")?))
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(id: u32, parent: u32, group: u32) -> Process {
        Process {
            id,
            parent,
            group,
            is_dead: false,
        }
    }

    #[test]
    fn a_command_is_itself_its_group_and_what_they_started() {
        let dead = Process {
            is_dead: true,
            ..process(15, 10, 10)
        };
        let all = [
            process(1, 0, 1),
            // Started before its parent has a smaller number again.
            process(8, 14, 8),
            process(10, 5, 10),
            process(11, 10, 10),
            // Whose parent is gone.
            process(12, 1, 10),
            // A group of its own.
            process(13, 11, 13),
            process(14, 13, 13),
            dead,
            process(16, 5, 5),
        ];
        assert_eq!(of(10, &all), [8, 10, 11, 12, 13, 14].into());
        assert_eq!(of(99, &all), BTreeSet::new());
    }

    #[test]
    fn a_name_with_brackets_is_no_end() {
        let stat = "7 (a) b) S 3 5 5 0 -1 4194560";
        assert_eq!(parse(7, stat), Some(process(7, 3, 5)));
        let zombie = "7 (sh) Z 3 5 5 0";
        assert!(parse(7, zombie).unwrap().is_dead);
        assert_eq!(parse(7, ""), None);
    }

    #[test]
    fn a_map_is_told_from_other_descriptors() {
        let info = "pos:\t0\nflags:\t02000002\nmap_type:\t9\nmax_entries:\t65536\nmemlock:\t5767168\nmap_id:\t12\nfrozen:\t0\n";
        assert_eq!(map(info), Some((12, 5_767_168)));
        let program = "prog_type:\t3\nmemlock:\t4096\nprog_id:\t40\n";
        assert_eq!(map(program), None);
    }

    #[test]
    fn this_process_is_one_of_all_and_holds_memory() {
        let me = std::process::id();
        assert!(of(me, &all().unwrap()).contains(&me));
        assert!(memory_of([me]).unwrap().resident > 0);
        assert!(time_of(me).unwrap() > Duration::ZERO);
    }
}
