//! Pods that send with addresses that are not theirs: it gets them nothing, and harms nobody.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use sluice_lab::{
    AgentOptions, Counters, Family, Forged, Forger, Lab, Mode, Options, Segment, builtin,
};
use sluice_netlink::{Conntrack, Filter, Netns, Route, Rtnetlink};
use sluice_policy::Protocol;

use crate::common::{
    address, agent_binary, assert_allowed, cell, eventually, nft, nft_list, pod, skipped,
    under_agents,
};

const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];
/// Below the ephemeral ports, so that only forged packets have them. Each packet of a kind has another one: of two that
/// wait for their verdicts as the same connection, the kernel drops one.
const FORGED_PORTS: RangeInclusive<u16> = 4321..=4330;
/// Pods of the default world, each with an interface of its own.
const PODS: u64 = 9;

/// Counts at a pod what was forged, and not what its owner says to the answers, resets.
const SEEN: &str = "table inet victim { chain seen { type filter hook input priority -400; \
                    tcp sport 4321-4330 tcp flags & (syn | ack) == syn counter; udp sport 4321-4330 counter; }; }";

fn counters(lab: &Lab) -> Counters {
    lab.counters().unwrap()
}

fn guarded(lab: &Lab) -> u64 {
    let status = lab.agents()[0].status().unwrap();
    status["maps"]["guards"]["entries"].as_u64().unwrap()
}

fn node(lab: &Lab) -> &Netns {
    lab.node_netns("node-1").unwrap()
}

fn node_address(lab: &Lab, family: Family) -> IpAddr {
    let mut addresses = lab.plan().nodes[0].addresses.iter();
    *addresses
        .find(|address| Family::of(**address) == family)
        .unwrap()
}

fn nobodys(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => [203, 0, 113, 7].into(),
        Family::Ipv6 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into(),
    }
}

/// A lab whose interfaces are all guarded.
fn guarded_lab() -> Option<Lab> {
    let lab = under_agents(&builtin::default_world(), &BOTH, Mode::Hybrid)?;
    assert_eq!(
        guarded(&lab),
        PODS,
        "a ready agent has guarded what there is"
    );
    Some(lab)
}

/// Sends from the pod `attacker` to port 80 of x/a, with `from` as the source; how many packets that were.
fn forge(lab: &Lab, attacker: &str, from: IpAddr) -> u64 {
    let family = Family::of(from);
    let forger = Forger::open(lab.pod_netns(&pod(attacker)).unwrap(), family).unwrap();
    let to = SocketAddr::new(address(lab, "x/a", family), 80);
    let mut sent = 0;
    for segment in [Segment::SYN, Segment::Udp] {
        for port in FORGED_PORTS {
            let from = SocketAddr::new(from, port);
            forger.send(&Forged { from, to, segment }).unwrap();
            sent += 1;
        }
    }
    sent
}

/// Whether the node's conntrack knows anything of the forged ports.
fn has_entry(lab: &Lab) -> bool {
    let look = || {
        let mut found = false;
        let mut conntrack = Conntrack::open().unwrap();
        let note =
            |entry: sluice_netlink::Entry| found |= FORGED_PORTS.contains(&entry.original.sport);
        conntrack.dump(&Filter::default(), note).unwrap();
        found
    };
    node(lab).enter(look).unwrap()
}

fn seen(lab: &Lab) -> u64 {
    nft_list(lab.pod_netns(&pod("x/a")).unwrap(), "inet victim seen")
}

#[test]
fn a_borrowed_address_gains_nothing_and_leaves_no_trace() {
    let Some(lab) = guarded_lab() else {
        return;
    };
    nft(lab.pod_netns(&pod("x/a")).unwrap(), SEEN);
    for family in BOTH {
        // x/b may connect to x/a, has leases for it, and z/b has none.
        let leased =
            [Protocol::Tcp, Protocol::Udp].map(|protocol| cell("x/b", "x/a", 80, protocol, family));
        assert_allowed(&lab, &leased);
        let sources = [
            address(&lab, "x/b", family),
            address(&lab, "x/a", family),
            node_address(&lab, family),
            nobodys(family),
        ];
        for source in sources {
            let before = counters(&lab);
            let sent = forge(&lab, "z/b", source);
            eventually("every packet is counted", || {
                counters(&lab).since(before).spoofed >= sent
            });
            let counted = counters(&lab).since(before);
            // The probes' connections may still be closing, on their leases.
            let expected = Counters {
                spoofed: sent,
                lease_hits: counted.lease_hits,
                flow_hits: counted.flow_hits,
                ..Counters::default()
            };
            assert_eq!(counted, expected, "{source}");
            assert_eq!(seen(&lab), 0, "{source}");
            assert!(!has_entry(&lab), "{source}");
        }
        // Whom it was pretended to be is none the worse for it.
        assert_allowed(&lab, &leased);
    }
}

#[test]
fn a_guard_holds_while_an_agent_starts() {
    let Some(mut lab) = guarded_lab() else {
        return;
    };
    nft(lab.pod_netns(&pod("x/a")).unwrap(), SEEN);
    let leased = [Protocol::Tcp, Protocol::Udp]
        .map(|protocol| cell("x/b", "x/a", 80, protocol, Family::Ipv4));
    assert_allowed(&lab, &leased);
    let source = address(&lab, "x/b", Family::Ipv4);
    let (before, mut sent) = (counters(&lab).spoofed, 0);
    for _ in 0..5 {
        let agent = lab.agent("node-1").unwrap();
        agent.kill().unwrap();
        agent.start_again().unwrap();
        let status = |lab: &Lab| lab.agents()[0].status();
        while !status(&lab).is_ok_and(|status| status["agent"]["ready"] == true) {
            sent += forge(&lab, "z/b", source);
        }
        sent += forge(&lab, "z/b", source);
    }
    eventually("every packet is counted", || {
        counters(&lab).spoofed >= before + sent
    });
    assert_eq!((counters(&lab).spoofed, seen(&lab)), (before + sent, 0));
}

#[test]
fn the_gate_refuses_what_is_spoofed_where_no_program_is_at_the_interface() {
    let Some(binary) = (!skipped()).then(agent_binary).flatten() else {
        return;
    };
    let mut lab = Lab::up(&builtin::default_world(), &Options::default()).unwrap();
    let options = AgentOptions {
        binary,
        mode: Mode::Hybrid,
        arguments: vec!["--interfaces=none*".into()],
        environment: Vec::new(),
    };
    lab.start_agents(&options).unwrap();
    nft(lab.pod_netns(&pod("x/a")).unwrap(), SEEN);
    let leased = [Protocol::Tcp, Protocol::Udp]
        .map(|protocol| cell("x/b", "x/a", 80, protocol, Family::Ipv4));
    assert_allowed(&lab, &leased);
    let before = counters(&lab);
    let sent = forge(&lab, "z/b", address(&lab, "x/b", Family::Ipv4));
    eventually("every packet is counted", || {
        counters(&lab).since(before).spoofed >= sent
    });
    assert_eq!(counters(&lab).since(before).spoofed, sent);
    assert!(seen(&lab) == 0 && !has_entry(&lab));
}

#[test]
fn what_is_not_dropped_is_counted_and_never_marked() {
    let Some(binary) = (!skipped()).then(agent_binary).flatten() else {
        return;
    };
    let mut lab = Lab::up(&builtin::default_world(), &Options::default()).unwrap();
    let options = AgentOptions {
        binary,
        mode: Mode::Hybrid,
        arguments: vec!["--drop-spoofed=false".into()],
        environment: Vec::new(),
    };
    lab.start_agents(&options).unwrap();
    let leased = [Protocol::Tcp, Protocol::Udp]
        .map(|protocol| cell("x/b", "x/a", 80, protocol, Family::Ipv4));
    assert_allowed(&lab, &leased);
    nft(lab.pod_netns(&pod("x/a")).unwrap(), SEEN);
    let before = counters(&lab);
    let sent = forge(&lab, "z/b", address(&lab, "x/b", Family::Ipv4));
    eventually("every packet arrives, for what it claims to be", || {
        seen(&lab) >= sent
    });
    // What the victim answers to the answers comes from where it should.
    let counted = counters(&lab).since(before);
    let unmarked = counted.gate_lease_hits;
    assert_eq!((counted.spoofed, unmarked), (sent, sent), "{counted:?}");
}

#[test]
fn a_guard_follows_routes_and_pods() {
    let Some(lab) = guarded_lab() else {
        return;
    };
    nft(lab.pod_netns(&pod("x/a")).unwrap(), SEEN);
    let stolen = address(&lab, "x/b", Family::Ipv4);
    let spoofed = || {
        let dropped = || counters(&lab).spoofed;
        let before = (dropped(), seen(&lab));
        let sent = forge(&lab, "z/b", stolen);
        // What passes on an acceptance, no counter of the agent's tells of.
        eventually("every packet is refused or arrives", || {
            (dropped() - before.0) + (seen(&lab) - before.1) >= sent
        });
        dropped() - before.0 == sent
    };
    assert!(spoofed());
    let [own, others] = ["x/b", "z/b"].map(|name| lab.plan().pod(&pod(name)).unwrap());
    let route = |pod: usize| {
        let route = |netlink: &mut Rtnetlink| {
            let device = Some(netlink.index(&format!("pod{pod}"))?);
            netlink.replace_route(&Route {
                destination: Some((stolen, 32)),
                device,
                ..Route::default()
            })
        };
        node(&lab)
            .enter(|| route(&mut Rtnetlink::open()?))
            .unwrap()
            .unwrap();
    };
    route(others);
    eventually("the address is where it is routed to", || !spoofed());
    route(own);
    eventually("the address is back where it was", spoofed);

    let text = lab.manifests().read("pods.yaml").unwrap();
    let gone = text.replace("name: b\n  namespace: z\n", "name: b\n  namespace: zz\n");
    assert_ne!(text, gone);
    let gone = gone.replace("[{ip: 10.244.1.8}, {ip: \"fd00:10:244:1::8\"}]", "[]");
    lab.manifests().write("pods.yaml", &gone).unwrap();
    eventually("the interface of no pod is not guarded", || {
        guarded(&lab) == PODS - 1
    });
    lab.manifests().write("pods.yaml", &text).unwrap();
    eventually("the interface of a pod is guarded", || {
        guarded(&lab) == PODS
    });
    assert!(spoofed());
}
