//! The process itself, under the names that every client library of Prometheus uses.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Counter, Gauge, IntGauge, Result as Outcome};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::catalogue::Catalogue;

/// Handles.
pub(super) struct Process {
    cpu: Counter,
    open_fds: IntGauge,
    max_fds: IntGauge,
    virtual_memory: IntGauge,
    resident_memory: IntGauge,
    threads: IntGauge,
}

/// What `/proc/self/status` says.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    threads: i64,
    /// Bytes.
    virtual_memory: i64,
    /// Bytes.
    resident_memory: i64,
}

impl Process {
    pub(super) fn new(catalogue: &mut Catalogue) -> Outcome<Self> {
        let started = catalogue.add(Gauge::new(
            "process_start_time_seconds",
            "Unix time when the process started (seconds)",
        ))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        started.set(now.unwrap_or_default().as_secs_f64());
        let mut gauge = |name: &str, help: &str| catalogue.add(IntGauge::new(name, help));
        Ok(Self {
            open_fds: gauge("process_open_fds", "File descriptors that are open")?,
            max_fds: gauge("process_max_fds", "File descriptors that may be open")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory (bytes)")?,
            resident_memory: gauge("process_resident_memory_bytes", "Resident memory (bytes)")?,
            threads: gauge("process_threads", "Threads")?,
            cpu: catalogue.add(Counter::new(
                "process_cpu_seconds_total",
                "Processor time in user and kernel mode (seconds)",
            ))?,
        })
    }

    /// Reads it anew; what cannot be read keeps its value.
    pub(super) fn refresh(&self) {
        let spent = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime));
        let spent = spent.unwrap_or_default().as_secs_f64();
        self.cpu.inc_by((spent - self.cpu.get()).max(0.0));
        let status = fs::read_to_string("/proc/self/status");
        if let Some(status) = status.ok().as_deref().and_then(parse) {
            self.threads.set(status.threads);
            self.virtual_memory.set(status.virtual_memory);
            self.resident_memory.set(status.resident_memory);
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // The directory itself is open while it is read.
            let open = entries.count().saturating_sub(1);
            self.open_fds.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        let most = getrlimit(Resource::Nofile).current;
        let most = most.and_then(|most| i64::try_from(most).ok());
        self.max_fds.set(most.unwrap_or(i64::MAX));
    }
}

/// Fields of `proc_pid_status(5)`; sizes are in what it calls kB.
fn parse(text: &str) -> Option<Status> {
    let field = |name: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.split_whitespace().next()?.parse::<i64>().ok()
    };
    Some(Status {
        threads: field("Threads")?,
        virtual_memory: field("VmSize")? * 1024,
        resident_memory: field("VmRSS")? * 1024,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read() {
        let text = "Name:\tsluice\nVmPeak:\t 9 kB\nVmSize:\t  49152 kB\nVmRSS:\t    8400 kB\nThreads:\t9\n";
        let expected = Status {
            threads: 9,
            virtual_memory: 49_152 * 1024,
            resident_memory: 8_400 * 1024,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("Name:\tsluice\n"), None);
    }
}
