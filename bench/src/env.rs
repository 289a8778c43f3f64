//! What a run was measured on. A ratio means something beside others of the same machine only.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;

/// The machine, as far as figures depend on it.
#[derive(Clone, Debug, Serialize)]
pub struct Env {
    /// `/proc/sys/kernel/osrelease`.
    pub kernel: String,
    /// `model name` of `/proc/cpuinfo`.
    pub cpu: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Whether a hypervisor is under it: the flag `hypervisor` of `/proc/cpuinfo`.
    pub virtual_machine: bool,
    /// `MemTotal` of `/proc/meminfo`, in MiB.
    pub memory_mib: u64,
    /// What works around the processor's faults and is on, by `/sys/devices/system/cpu/vulnerabilities`.
    pub mitigations: Vec<String>,
    /// `net.core.bpf_jit_enable` is not 0.
    pub bpf_jit: bool,
    /// Buckets of the connection tracking's table; none without it.
    pub conntrack_buckets: Option<u64>,
    /// Whether this program was built without optimisation: then its own figures mean nothing.
    pub debug_build: bool,
    /// Its version.
    pub version: &'static str,
    /// The day on which it was measured, in UTC.
    pub date: String,
    /// The command line.
    pub command: String,
}

/// How many threads can run at a time.
pub(crate) fn processors() -> u32 {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(processors).unwrap_or(u32::MAX)
}

impl Env {
    /// As it is now. What cannot be read is left empty.
    pub fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            kernel: line("/proc/sys/kernel/osrelease"),
            cpu: field(&cpuinfo, "model name").to_owned(),
            processors: processors() as usize,
            virtual_machine: field(&cpuinfo, "flags")
                .split(' ')
                .any(|flag| flag == "hypervisor"),
            memory_mib: memory(),
            mitigations: mitigations(),
            bpf_jit: line("/proc/sys/net/core/bpf_jit_enable") != "0",
            conntrack_buckets: line("/proc/sys/net/netfilter/nf_conntrack_buckets")
                .parse()
                .ok(),
            debug_build: cfg!(debug_assertions),
            version: env!("CARGO_PKG_VERSION"),
            date: today(),
            command: command(std::env::args_os()),
        }
    }
}

fn today() -> String {
    let now = jiff::Timestamp::now().to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// A command line as one types it, without the place of its program.
fn command(arguments: impl IntoIterator<Item = OsString>) -> String {
    let mut words = arguments.into_iter();
    let program = PathBuf::from(words.next().unwrap_or_default());
    let program = program.file_name().unwrap_or_default().to_owned();
    let is_plain = |word: &str| {
        let plain = |it: char| it.is_ascii_alphanumeric() || "-_=,./:+@%".contains(it);
        !word.is_empty() && word.chars().all(plain)
    };
    let words = [program].into_iter().chain(words).map(|word| {
        let word = word.to_string_lossy().into_owned();
        if is_plain(&word) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn line(path: impl AsRef<Path>) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

/// The value of the first `name : value`.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(key, _)| key.trim() == name)
        .map_or("", |(_, value)| value.trim())
}

fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = field(&text, "MemTotal").trim_end_matches(" kB");
    total.parse::<u64>().unwrap_or(0) / 1024
}

fn mitigations() -> Vec<String> {
    let directory = fs::read_dir("/sys/devices/system/cpu/vulnerabilities");
    let entries = directory.into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let text = line(entry.path());
            let what = text.strip_prefix("Mitigation: ")?.to_owned();
            Some(format!("{}: {what}", entry.file_name().to_string_lossy()))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let text =
            "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz: fast\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(text, "model name"), "Some CPU @ 2 GHz: fast");
        assert_eq!(field(text, "model"), "");
    }

    #[test]
    fn a_command_line_is_as_one_types_it() {
        for (given, expected) in [
            (
                &["target/release/sluice-bench", "env", "-o", "json"][..],
                "sluice-bench env -o json",
            ),
            (&["x", "a b", "it's", ""], "x 'a b' 'it'\\''s' ''"),
        ] {
            let given = given.iter().map(OsString::from);
            assert_eq!(command(given), expected);
        }
        assert_eq!(today().len(), "2026-11-27".len());
    }

    #[test]
    fn this_machine_has_a_kernel_and_memory() {
        let env = Env::read();
        assert!(
            env.kernel.contains('.') && env.memory_mib > 0 && env.processors > 0,
            "{env:?}"
        );
    }
}
