//! A verdict allocates nothing. Alone in its binary, whose allocator counts.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use sluice_policy::{AdminPolicy, Event, NetworkPolicy, Pod};
use support::build::{
    admin_in, admin_out, any, block, declared, egress, ingress, ip, node, own, pod, pods_in, ports,
    rule, snapshot, tuple,
};

struct Counting;

thread_local! {
    /// Of this thread: the harness has one that allocates meanwhile.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A policy of everything that a rule can hold.
fn policy(number: usize) -> Vec<NetworkPolicy> {
    let rules = || {
        vec![
            rule(
                vec![own(&format!("n notin ({number})")), pods_in("!team", "n=7")],
                ports(&["80/TCP", "web/TCP"]),
            ),
            rule(
                vec![
                    block("10.0.0.0/8", &["10.9.0.0/16"]),
                    block("fd00::/64", &[]),
                ],
                ports(&["1-9/UDP", "/SCTP"]),
            ),
            any(ports(&["web/UDP"])),
        ]
    };
    vec![
        ingress(&format!("x/in{number}"), "", rules()),
        egress(&format!("x/out{number}"), "", rules()),
    ]
}

/// An admin policy of everything that a rule can hold.
fn admin_policy(text: &str) -> Event {
    let rules = [
        "pass pods n notin (3) @ 80/TCP web",
        "deny ns !team @ 1-9/UDP",
        "allow net 10.0.0.0/8 fd00::/64 @ /SCTP",
        "deny nodes !zone @ 81/TCP",
    ];
    Event::AdminPolicy(AdminPolicy {
        egress: admin_out(text, &rules).egress,
        ..admin_in(text, &rules)
    })
}

#[test]
fn a_verdict_allocates_nothing() {
    let pods = (1..=20).map(|number| {
        let addresses = [format!("10.0.0.{number}"), format!("fd00::{number}")];
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let pod = pod(&format!("x/p{number}"), &format!("n={number}"), &addresses);
        Event::Pod(Pod {
            ports: [declared("web=80/TCP"), declared("web=80/UDP")].into(),
            ..pod
        })
    });
    let policies = (0..30).flat_map(policy).map(Event::NetworkPolicy);
    let snapshot = snapshot(
        pods.chain(policies)
            .chain(["anp/a", "admin/b:5", "baseline/c", "banp/default"].map(admin_policy))
            .chain([Event::Node(node("n1", &["192.168.0.1"]))]),
    );
    assert_eq!(snapshot.counts().isolated, 20);

    let ends = [
        "10.0.0.1",
        "10.0.0.7",
        "10.9.0.1",
        "fd00::1",
        "fd00::7",
        "192.168.0.1",
        "8.8.8.8",
        "::ffff:10.0.0.1",
    ];
    let services = ["80/TCP", "81/TCP", "80/UDP", "5/UDP", "1/SCTP", "0/1"];
    let tuples = ends
        .iter()
        .flat_map(|source| ends.iter().map(move |destination| (source, destination)));
    let tuples =
        tuples.flat_map(|(s, d)| services.map(|service| tuple(&format!("{s} > {d} {service}"))));
    let tuples: Vec<_> = tuples.collect();
    let mut denied = 0;

    let before = ALLOCATIONS.get();
    for tuple in &tuples {
        denied += usize::from(
            black_box(snapshot.evaluate(tuple)).action() == sluice_policy::Action::Deny,
        );
        black_box((
            snapshot.pod_at(tuple.source),
            snapshot.isolation(tuple.source),
            snapshot.counts(),
        ));
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);

    assert!((1..tuples.len()).contains(&denied), "both outcomes occur");
    let steps = snapshot.trace(&tuples[0]);
    assert!(!steps.is_empty());
    assert!(
        ALLOCATIONS.get() > before,
        "the counter counts: a trace allocates"
    );
    assert_eq!(snapshot.isolation(ip("8.8.8.8")), None);
}
