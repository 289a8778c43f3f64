//! Ground to test on: a thread with mounts and interfaces of its own, packets made by hand, and single runs of the
//! loaded programs.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod bed;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::programs::{SchedClassifier, SocketFilter};
use aya::{TestRun as _, TestRunOptions};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use sluice_bpf::{Config, Fastpath};
use sluice_ebpf::{Addr, Epochs, Lease, LeaseKey, Marks, Verdict, names};

/// Bits that are others': kube-proxy's and the portmap plugin's among them.
pub(crate) const FOREIGN_MARK: u32 = 0x0000_e080;

/// Mounts and interfaces of this thread's own. All of it goes with the thread.
pub(crate) struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    /// None, and a line that says why, where the machine or the user cannot have it.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: {test}: needs root");
            return None;
        }
        // SAFETY: no descriptor table is unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::NEWNET) }.expect("namespaces");
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )
        .expect("private mounts");
        Some(Self {
            directory: tempfile::tempdir().expect("a directory"),
        })
    }

    /// The pin directory; its parent becomes the bpffs.
    pub(crate) fn pins(&self) -> PathBuf {
        self.directory.path().join("bpf").join("sluice")
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(
            self.pins(),
            Marks::from_mask(Marks::DEFAULT_MASK).expect("three bits"),
        )
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(
            self.directory.path().join("bpf"),
            rustix::mount::UnmountFlags::DETACH,
        );
    }
}

/// The programs by their pins, run on packets that never saw a wire.
pub(crate) struct Programs {
    tc: SchedClassifier,
    tc_any: SchedClassifier,
    gate_pass: SocketFilter,
    gate_deny: SocketFilter,
}

/// What a run said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) value: i32,
    pub(crate) mark: u32,
    pub(crate) each: Duration,
}

impl Programs {
    pub(crate) fn open(pins: &Path) -> Self {
        Self {
            tc: SchedClassifier::from_pin(pins.join(names::TC)).expect("the classifier"),
            tc_any: SchedClassifier::from_pin(pins.join(names::TC_ANY))
                .expect("the other classifier"),
            gate_pass: SocketFilter::from_pin(pins.join(names::GATE_PASS)).expect("gate_pass"),
            gate_deny: SocketFilter::from_pin(pins.join(names::GATE_DENY)).expect("gate_deny"),
        }
    }

    pub(crate) fn tc(&self, frame: &[u8], mark: u32, repeat: u32) -> Ran {
        run_classifier(&self.tc, frame, mark, repeat)
    }

    pub(crate) fn tc_any(&self, frame: &[u8], mark: u32, repeat: u32) -> Ran {
        run_classifier(&self.tc_any, frame, mark, repeat)
    }

    pub(crate) fn gate_pass(&self, frame: &[u8], repeat: u32) -> Ran {
        run_filter(&self.gate_pass, frame, 0, repeat)
    }

    /// Of a packet with a mark.
    pub(crate) fn gate_pass_marked(&self, frame: &[u8], mark: u32) -> Ran {
        run_filter(&self.gate_pass, frame, mark, 1)
    }

    pub(crate) fn gate_deny(&self, frame: &[u8], repeat: u32) -> Ran {
        run_filter(&self.gate_deny, frame, 0, repeat)
    }
}

/// `sizeof(struct __sk_buff)`, and where its mark is.
const SKB_SIZE: usize = 192;
const MARK_AT: usize = 8;

fn run_classifier(program: &SchedClassifier, frame: &[u8], mark: u32, repeat: u32) -> Ran {
    let mut context = [0; SKB_SIZE];
    context[MARK_AT..MARK_AT + 4].copy_from_slice(&mark.to_ne_bytes());
    let mut after = [0; SKB_SIZE];
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        ctx_out: Some(&mut after),
        repeat,
        ..TestRunOptions::default()
    };
    let result = program.test_run(options).expect("a run of a classifier");
    let mark = u32::from_ne_bytes(after[MARK_AT..MARK_AT + 4].try_into().expect("four bytes"));
    Ran {
        value: result.return_value.cast_signed(),
        mark,
        each: result.duration,
    }
}

fn run_filter(program: &SocketFilter, frame: &[u8], mark: u32, repeat: u32) -> Ran {
    let mut context = [0; SKB_SIZE];
    context[MARK_AT..MARK_AT + 4].copy_from_slice(&mark.to_ne_bytes());
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        repeat,
        ..TestRunOptions::default()
    };
    let result = program.test_run(options).expect("a run of a gate program");
    Ran {
        value: result.return_value.cast_signed(),
        mark: 0,
        each: result.duration,
    }
}

/// A packet, field by field, so that a test can get any of them wrong.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// TCP flags, or the first SCTP chunk's type.
    pub(crate) flags: u8,
    /// IPv4 options, in words.
    pub(crate) options: u8,
    /// IPv4 flags and fragment offset.
    pub(crate) fragment: u16,
    /// IPv6 extension headers: type and bytes.
    pub(crate) extension: Option<(u8, Vec<u8>)>,
    pub(crate) payload: usize,
    /// Not IP by its Ethernet header.
    pub(crate) foreign: bool,
}

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;
pub(crate) const INIT: u8 = 1;

impl Frame {
    pub(crate) fn new(
        source: &str,
        destination: &str,
        protocol: u8,
        ports: (u16, u16),
        flags: u8,
    ) -> Self {
        Self {
            source: source.parse().expect("a source address"),
            destination: destination.parse().expect("a destination address"),
            protocol,
            source_port: ports.0,
            destination_port: ports.1,
            flags,
            options: 0,
            fragment: 0,
            extension: None,
            payload: 32,
            foreign: false,
        }
    }

    pub(crate) fn reply(&self, flags: u8) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            flags,
            ..self.clone()
        }
    }

    pub(crate) fn lease_key(&self) -> LeaseKey {
        LeaseKey::new(
            self.source.into(),
            self.destination.into(),
            self.protocol,
            self.destination_port,
        )
    }

    pub(crate) fn slots(&self) -> (u32, u32) {
        (
            Addr::from(self.source).slot(),
            Addr::from(self.destination).slot(),
        )
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend(match self.source {
            _ if self.foreign => [0x88, 0xb5],
            IpAddr::V4(_) => [0x08, 0x00],
            IpAddr::V6(_) => [0x86, 0xdd],
        });
        frame.extend(self.network());
        frame
    }

    fn network(&self) -> Vec<u8> {
        let transport = self.transport();
        let mut packet = Vec::new();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = 20 + 4 * usize::from(self.options);
                let total = u16::try_from(header + transport.len()).expect("a small packet");
                packet.extend([0x45 + self.options, 0]);
                packet.extend(total.to_be_bytes());
                packet.extend([0, 1]);
                packet.extend(self.fragment.to_be_bytes());
                packet.extend([64, self.protocol, 0, 0]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
                packet.extend(std::iter::repeat_n(1, 4 * usize::from(self.options)));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (next, extension) = self
                    .extension
                    .clone()
                    .unwrap_or((self.protocol, Vec::new()));
                let length =
                    u16::try_from(extension.len() + transport.len()).expect("a small packet");
                packet.extend([0x60, 0, 0, 0]);
                packet.extend(length.to_be_bytes());
                packet.extend([next, 64]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
                packet.extend(extension);
            }
            _ => panic!("mixed families"),
        }
        packet.extend(transport);
        packet
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        match self.protocol {
            TCP => bytes.extend([
                0, 0, 0, 1, 0, 0, 0, 1, 0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0,
            ]),
            SCTP => bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, self.flags, 0, 0, 4]),
            _ => bytes.extend([0, 8, 0, 0]),
        }
        bytes.extend(std::iter::repeat_n(0, self.payload));
        bytes
    }
}

/// Writes the lease that covers a frame, from the epochs that are current.
pub(crate) fn lease(fastpath: &Fastpath, frame: &Frame, verdict: Verdict) {
    lease_until(fastpath, frame, verdict, 0);
}

pub(crate) fn lease_until(fastpath: &Fastpath, frame: &Frame, verdict: Verdict, expires_ns: u64) {
    let epochs = fastpath.epochs().expect("epochs");
    let (source, destination) = frame.slots();
    let epochs = Epochs {
        source: epochs[source as usize],
        destination: epochs[destination as usize],
    };
    let key = frame.lease_key();
    fastpath
        .leases()
        .insert(&key, &Lease::new(&key, verdict, epochs, expires_ns))
        .expect("a lease");
}
