//! What the agent waits for in the kernel: a dump of the connection table, marks, a gate, its sets.
//! `cargo bench -p sluice-netlink`, as root; everything happens in a network namespace of its own. The time is that of
//! the CPU in this process and in the kernel for it, so that others on the machine do not count.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it must be"
)]

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use sluice_ebpf::Marks;
use sluice_netlink::{
    Conntrack, Entry, Filter, Gate, GateConfig, Isolated, Masked, Matcher, Netns, QueueVerb,
};

const BOTH: Isolated = Isolated {
    ingress: true,
    egress: true,
};
const NEITHER: Isolated = Isolated {
    ingress: false,
    egress: false,
};

fn config() -> GateConfig {
    let marks = Marks::from_mask(Marks::DEFAULT_MASK).unwrap();
    GateConfig {
        marks,
        queue: 100,
        queues: 2,
        fail_open: false,
        accept_for_good: false,
        honour_pass: false,
        early_datagrams: false,
        matcher: Matcher::Sets,
        verb: QueueVerb::Xt,
    }
}

/// Fills the namespace's table with `count` connections over loopback.
fn connections(netns: &Netns, count: u32) -> (Conntrack, Vec<Entry>) {
    drop(
        netns
            .enter(|| Gate::install(&config(), &[], &[]))
            .unwrap()
            .unwrap(),
    );
    netns
        .set_sysctl("netfilter/nf_conntrack_udp_timeout", "3600")
        .unwrap();
    let socket = netns
        .enter(|| UdpSocket::bind("127.0.0.1:0").unwrap())
        .unwrap();
    for number in 0..count {
        let [_, high, middle, low] = number.to_be_bytes();
        let (address, port) = (IpAddr::from([127, 1, middle, low]), 1 + u16::from(high));
        while socket.send_to(b"hello", (address, port)).is_err() {}
    }
    let mut conntrack = netns.enter(Conntrack::open).unwrap().unwrap();
    let mut entries = Vec::new();
    conntrack
        .dump(&Filter::default(), |entry| entries.push(entry))
        .unwrap();
    entries.retain(|entry| entry.original.protocol == 17);
    assert_eq!(entries.len(), count as usize);
    (conntrack, entries)
}

fn tables(criterion: &mut Criterion) {
    for count in [10_000, 100_000] {
        let netns = Netns::new().unwrap();
        let (mut conntrack, entries) = connections(&netns, count);
        let mut dump = |name: &str, filter: Filter, expected: usize| {
            criterion.bench_function(&format!("conntrack/{count}/{name}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    cpu_time(iterations, || {
                        let mut seen = 0;
                        conntrack.dump(&filter, |_| seen += 1).unwrap();
                        assert!(seen >= expected);
                    })
                });
            });
        };
        dump("dump all", Filter::default(), count as usize);
        let marked = Some(Masked { value: 1, mask: 1 });
        dump(
            "dump none, by mark",
            Filter {
                mark: marked,
                ..Filter::default()
            },
            0,
        );
        let source = Some("127.1.1.1".parse().unwrap());
        dump(
            "dump those of an address",
            Filter {
                reply_source: source,
                ..Filter::default()
            },
            1,
        );
        let changes: Vec<(Entry, Masked)> = entries
            .iter()
            .take(100)
            .map(|entry| {
                (
                    *entry,
                    Masked {
                        value: 0x10,
                        mask: 0x30,
                    },
                )
            })
            .collect();
        criterion.bench_function(&format!("conntrack/{count}/mark 100"), |bencher| {
            bencher.iter_custom(|iterations| {
                cpu_time(iterations, || {
                    assert_eq!(conntrack.set_marks(&changes).unwrap(), 100);
                })
            });
        });
    }
}

fn gates(criterion: &mut Criterion) {
    let netns = Netns::new().unwrap();
    let pods: Vec<(IpAddr, Isolated)> = (0..100u8)
        .map(|number| (IpAddr::from([10, 0, 0, number]), BOTH))
        .collect();
    let install = || Gate::install(&config(), &pods, &[]).unwrap();
    criterion.bench_function("gate/install with 100 pods", |bencher| {
        let many = |iterations| cpu_time(iterations, || drop(install()));
        bencher.iter_custom(|iterations| netns.enter(|| many(iterations)).unwrap());
    });
    let mut gate = netns.enter(install).unwrap();
    let mut isolated = true;
    criterion.bench_function("gate/isolate or release a pod", |bencher| {
        let mut toggle = || {
            isolated = !isolated;
            gate.update(&[(pods[0].0, if isolated { BOTH } else { NEITHER })], &[])
                .unwrap()
        };
        bencher.iter_custom(|iterations| cpu_time(iterations, || assert_eq!(toggle(), 2)));
    });
}

/// The CPU time of the calling thread over so many runs of `work`.
fn cpu_time(iterations: u64, mut work: impl FnMut()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let start = now();
    (0..iterations).for_each(|_| work());
    now().saturating_sub(start)
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = tables, gates
}
criterion_main!(benches);
