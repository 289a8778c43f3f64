//! What a process costs, by `/proc`.

use std::fs;
use std::time::{Duration, Instant};

const MEGABYTE: u64 = 1024 * 1024;
/// How the kernel counts processor time.
const TICK: Duration = Duration::from_millis(10);

/// A process that runs.
pub(crate) struct Process(String);

impl Process {
    pub(crate) fn this() -> Self {
        Self("self".into())
    }

    pub(crate) fn of(pid: u32) -> Self {
        Self(pid.to_string())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Says what it took to become ready.
    pub(crate) fn tell_until_ready(&self) {
        println!("  processor time until then {:.2?}", self.processor());
        println!(
            "  resident {} MB, {} MB at most",
            self.resident() / MEGABYTE,
            self.status("VmHWM:") / MEGABYTE
        );
    }

    /// Says what it takes while nothing happens.
    pub(crate) fn tell_idle(&self, idle: impl FnOnce()) {
        let (started, before) = (Instant::now(), self.processor());
        idle();
        let busy = self.processor().saturating_sub(before).as_secs_f64();
        println!(
            "  doing nothing: {:.2} % of a core, resident {} MB",
            busy / started.elapsed().as_secs_f64() * 100.0,
            self.resident() / MEGABYTE
        );
    }

    /// Processor time so far.
    fn processor(&self) -> Duration {
        let stat = self.file("stat");
        let behind_name = stat.rsplit(')').next().unwrap();
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
        TICK * ticks
    }

    /// A line of its status, in bytes.
    fn status(&self, line: &str) -> u64 {
        let status = self.file("status");
        let found = status.lines().find_map(|it| it.strip_prefix(line)).unwrap();
        let kilobytes = found.trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() * 1024
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap()
    }
}
