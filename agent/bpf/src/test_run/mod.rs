//! Single runs of the loaded programs on packets that never saw a wire (`BPF_PROG_TEST_RUN`), for tests and
//! measurements: no part of the agent.

mod frame;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::programs::{ProgramError, SchedClassifier, SocketFilter};
use aya::{TestRun as _, TestRunOptions};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use sluice_ebpf::{Epochs, Lease, Marks, Verdict, names};

use crate::{Config, Fastpath, MapError};

pub use self::frame::{ACK, FIN, Frame, INIT, RST, SCTP, SYN, TCP, UDP};

/// Mounts and interfaces of the calling thread's own. All of it goes with the thread.
#[derive(Debug)]
pub struct Ground {
    directory: tempfile::TempDir,
}

/// The programs by their pins.
#[derive(Debug)]
pub struct Programs {
    tc: SchedClassifier,
    tc_any: SchedClassifier,
    gate_pass: SocketFilter,
    gate_deny: SocketFilter,
}

/// What a run said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What the program returned.
    pub value: i32,
    /// The packet's mark after a classifier; 0 after a filter, which cannot change it.
    pub mark: u32,
    /// What a run took by the kernel's own count, the mean of all.
    pub each: Duration,
}

impl Ground {
    /// For the rest of this thread's life; needs root.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no descriptor table is unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWNET) }?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private)?;
        let directory = tempfile::tempdir()?;
        Ok(Self { directory })
    }

    /// The pin directory; its parent becomes the bpffs.
    pub fn pins(&self) -> PathBuf {
        self.directory.path().join("bpf").join("sluice")
    }

    /// Of a fast path whose pins are here.
    pub fn config(&self) -> Config {
        let marks = Marks::from_mask(Marks::DEFAULT_MASK);
        let marks = marks.unwrap_or_else(|_| unreachable!("the default mask has three bits"));
        Config::new(self.pins(), marks)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let at = self.directory.path().join("bpf");
        // Where nothing was loaded there is no mount.
        let _absent = unmount(at, UnmountFlags::DETACH);
    }
}

impl Programs {
    /// Those that are pinned in the directory.
    pub fn open(pins: &Path) -> Result<Self, ProgramError> {
        Ok(Self {
            tc: SchedClassifier::from_pin(pins.join(names::TC))?,
            tc_any: SchedClassifier::from_pin(pins.join(names::TC_ANY))?,
            gate_pass: SocketFilter::from_pin(pins.join(names::GATE_PASS))?,
            gate_deny: SocketFilter::from_pin(pins.join(names::GATE_DENY))?,
        })
    }

    /// The classifier of Ethernet links, on a frame with a mark, so many times.
    pub fn tc(&self, frame: &[u8], mark: u32, repeat: u32) -> Result<Ran, ProgramError> {
        classify(&self.tc, frame, mark, repeat)
    }

    /// The classifier of any link.
    pub fn tc_any(&self, frame: &[u8], mark: u32, repeat: u32) -> Result<Ran, ProgramError> {
        classify(&self.tc_any, frame, mark, repeat)
    }

    /// The gate's question who passes.
    pub fn gate_pass(&self, frame: &[u8], mark: u32, repeat: u32) -> Result<Ran, ProgramError> {
        filter(&self.gate_pass, frame, mark, repeat)
    }

    /// The gate's question who is denied.
    pub fn gate_deny(&self, frame: &[u8], mark: u32, repeat: u32) -> Result<Ran, ProgramError> {
        filter(&self.gate_deny, frame, mark, repeat)
    }
}

/// `sizeof(struct __sk_buff)`, and where its mark is.
const SKB_SIZE: usize = 192;
const MARK_AT: usize = 8;

fn context(mark: u32) -> [u8; SKB_SIZE] {
    let mut context = [0; SKB_SIZE];
    context[MARK_AT..MARK_AT + 4].copy_from_slice(&mark.to_ne_bytes());
    context
}

fn classify(
    program: &SchedClassifier,
    frame: &[u8],
    mark: u32,
    repeat: u32,
) -> Result<Ran, ProgramError> {
    let before = context(mark);
    let mut after = [0; SKB_SIZE];
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&before),
        ctx_out: Some(&mut after),
        repeat,
        ..TestRunOptions::default()
    };
    let result = program.test_run(options)?;
    let mut mark = [0; 4];
    mark.copy_from_slice(&after[MARK_AT..MARK_AT + 4]);
    Ok(Ran {
        value: result.return_value.cast_signed(),
        mark: u32::from_ne_bytes(mark),
        each: result.duration,
    })
}

fn filter(
    program: &SocketFilter,
    frame: &[u8],
    mark: u32,
    repeat: u32,
) -> Result<Ran, ProgramError> {
    let context = context(mark);
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        repeat,
        ..TestRunOptions::default()
    };
    let result = program.test_run(options)?;
    Ok(Ran {
        value: result.return_value.cast_signed(),
        mark: 0,
        each: result.duration,
    })
}

/// Writes the lease that covers a frame, from the epochs that are current, until `expires_ns`; 0 is for ever.
pub fn lease(
    fastpath: &Fastpath,
    frame: &Frame,
    verdict: Verdict,
    expires_ns: u64,
) -> Result<(), MapError> {
    let epochs = fastpath.epochs()?;
    let (source, destination) = frame.slots();
    let epochs = Epochs {
        source: epochs[source as usize],
        destination: epochs[destination as usize],
    };
    let key = frame.lease_key();
    let lease = Lease::new(&key, verdict, epochs, expires_ns);
    fastpath.leases().insert(&key, &lease)
}
