//! Real packets without an agent: everybody reaches everybody, and what is broken on purpose is seen to be broken.

use crate::common::{self, assert_allowed, cell, eventually, pod, skipped};
use sluice_lab::expect::expectations;
use sluice_lab::judge::judge;
use sluice_lab::{
    Cell, Family, Lab, Manifests, Options, Outcome, Port, ServiceName, Target, builtin,
};
use sluice_policy::Protocol;

fn up(manifests: &Manifests, families: &[Family]) -> Lab {
    let options = Options {
        families: families.to_vec(),
        ..Options::default()
    };
    Lab::up(manifests, &options).unwrap()
}

#[test]
fn the_default_world_is_all_open_in_both_families() {
    if skipped() {
        return;
    }
    let lab = up(&builtin::default_world(), &[Family::Ipv4, Family::Ipv6]);
    let cells = lab.plan().cells();
    assert_eq!(cells.len(), 2 * 324);
    assert_allowed(&lab, &cells);
}

#[test]
fn two_nodes_services_and_sctp_are_all_open() {
    if skipped() {
        return;
    }
    let lab = up(&common::example("two-nodes"), &[Family::Ipv4, Family::Ipv6]);
    assert_eq!(lab.plan().nodes.len(), 2);
    let cells = lab.plan().cells();
    assert!(
        cells
            .iter()
            .any(|cell| cell.port.protocol == Protocol::Sctp)
    );
    assert!(
        cells
            .iter()
            .any(|cell| matches!(cell.to, Target::Service(_)))
    );
    assert_allowed(&lab, &cells);
}

#[test]
fn a_dropped_pair_is_denied_and_nothing_else_is() {
    if skipped() {
        return;
    }
    let lab = up(&builtin::default_world(), &[Family::Ipv4, Family::Ipv6]);
    let rules = "table inet t { chain c { type filter hook input priority 0; \
                 ip saddr 10.244.1.1 tcp dport 80 drop; ip6 saddr fd00:10:244:1::1 udp dport 81 drop; }; }";
    common::nft(lab.pod_netns(&pod("y/b")).unwrap(), rules);
    let cells = lab.plan().cells();
    let outcomes = lab.probe(&cells).unwrap();
    let not_allowed: Vec<_> = cells
        .into_iter()
        .zip(outcomes)
        .filter(|(_, outcome)| *outcome != Outcome::Allowed)
        .collect();
    let dropped = [
        cell("x/a", "y/b", 80, Protocol::Tcp, Family::Ipv4),
        cell("x/a", "y/b", 81, Protocol::Udp, Family::Ipv6),
    ];
    assert_eq!(not_allowed, dropped.map(|cell| (cell, Outcome::Denied)));
}

#[test]
fn an_answer_from_another_pod_is_a_wrong_server() {
    if skipped() {
        return;
    }
    let lab = up(&builtin::default_world(), &[Family::Ipv4]);
    let rules = "table ip t { chain c { type nat hook prerouting priority -100; \
                 ip daddr 10.244.1.5 tcp dport 80 dnat to 10.244.1.9; }; }";
    common::nft(lab.node_netns("node-1").unwrap(), rules);
    let outcomes = lab
        .probe(&[
            cell("x/a", "y/b", 80, Protocol::Tcp, Family::Ipv4),
            cell("x/a", "y/b", 81, Protocol::Tcp, Family::Ipv4),
        ])
        .unwrap();
    assert_eq!(
        outcomes,
        [Outcome::WrongServer("z/c".to_owned()), Outcome::Allowed]
    );
}

#[test]
fn a_reset_and_an_icmp_error_are_refusals() {
    if skipped() {
        return;
    }
    let lab = up(&builtin::default_world(), &[Family::Ipv4, Family::Ipv6]);
    let rules = "table inet t { chain c { type filter hook input priority 0; \
                 tcp dport 80 reject with tcp reset; udp dport 80 reject; }; }";
    common::nft(lab.pod_netns(&pod("z/a")).unwrap(), rules);
    for family in [Family::Ipv4, Family::Ipv6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let cell = cell("x/a", "z/a", 80, protocol, family);
            // A refusal may come too late on a busy machine.
            eventually("it is refused", || {
                let outcomes = lab.probe(std::slice::from_ref(&cell)).unwrap();
                assert_ne!(outcomes, [Outcome::Allowed], "{cell}");
                outcomes == [Outcome::Refused]
            });
        }
    }
}

#[test]
fn a_service_is_answered_by_all_its_backends_and_by_nobody_else() {
    if skipped() {
        return;
    }
    let lab = up(&common::example("two-nodes"), &[Family::Ipv4]);
    let service = ServiceName {
        namespace: "shop".into(),
        name: "web".into(),
    };
    let to = Target::Service(service.clone());
    let port = Port {
        number: 80,
        protocol: Protocol::Tcp,
    };
    let ask = Cell {
        from: pod("shop/client-1"),
        to,
        port,
        family: Family::Ipv4,
    };
    let replies = lab.ask(&vec![ask; 64]).unwrap();
    let backends = lab.plan().service(&service).unwrap().backends(port);
    assert!(backends.len() > 1);
    for (index, number) in backends {
        let name = lab.plan().pods[*index].name.to_string();
        assert_ne!(*number, port.number, "the Service translates the port");
        // 64 draws miss one of two backends once in 2^64 runs.
        assert!(
            replies.contains(&sluice_lab::Reply::Name(name.clone())),
            "{name} never answered: {replies:?}"
        );
    }
    let ask = Cell {
        from: pod("shop/client-1"),
        to: Target::Service(service),
        port,
        family: Family::Ipv4,
    };
    assert_allowed(&lab, &vec![ask; 16]);
}

#[test]
fn an_open_connection_is_alive_until_it_is_cut() {
    if skipped() {
        return;
    }
    let lab = up(&builtin::default_world(), &[Family::Ipv4]);
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let mut connection = lab
            .connect(&cell("x/a", "x/b", 80, protocol, Family::Ipv4))
            .unwrap();
        assert_eq!(connection.server, "x/b");
        eventually("it is alive", || lab.is_alive(&mut connection));
        let rules = format!(
            "table inet {protocol} {{ chain c {{ type filter hook input priority 0; drop; }}; }}"
        );
        common::nft(lab.pod_netns(&pod("x/b")).unwrap(), &rules);
        assert!(!lab.is_alive(&mut connection), "{protocol}");
        common::nft(lab.pod_netns(&pod("x/b")).unwrap(), "flush ruleset");
    }
}

#[test]
fn a_lost_reply_is_told_from_a_lost_request() {
    if skipped() {
        return;
    }
    let options = Options {
        families: Family::ALL.to_vec(),
        ports: vec!["80/SCTP".parse().unwrap()],
        deliveries: true,
        ..Options::default()
    };
    let lab = Lab::up(&builtin::default_world(), &options).unwrap();
    let rules = |hook: &str| {
        format!(
            "table inet t {{ chain c {{ type filter hook {hook} priority 0; meta l4proto {{ tcp, udp, sctp }} drop; }}; }}"
        )
    };
    common::nft(lab.pod_netns(&pod("x/b")).unwrap(), &rules("output"));
    let node = &lab.plan().nodes[0].name;
    for family in Family::ALL {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let asks = [
                cell("x/a", "x/b", 80, protocol, family),
                cell("x/a", "y/a", 80, protocol, family),
            ];
            assert_eq!(
                lab.probe(&asks).unwrap(),
                [Outcome::ReplyLost, Outcome::Allowed],
                "{protocol} {family}"
            );
        }
    }
    common::nft(lab.node_netns(node).unwrap(), &rules("forward"));
    let ask = cell("x/a", "x/b", 80, Protocol::Tcp, Family::Ipv4);
    assert_eq!(lab.probe(&[ask]).unwrap(), [Outcome::Denied]);
}

#[test]
fn labs_are_apart_from_each_other() {
    if skipped() {
        return;
    }
    let labs = [(); 2].map(|()| up(&builtin::default_world(), &[Family::Ipv4]));
    let rules = "table ip t { chain c { type filter hook input priority 0; drop; }; }";
    common::nft(labs[0].pod_netns(&pod("x/a")).unwrap(), rules);
    let ask = cell("x/b", "x/a", 80, Protocol::Tcp, Family::Ipv4);
    assert_eq!(
        labs[0].probe(std::slice::from_ref(&ask)).unwrap(),
        [Outcome::Denied]
    );
    assert_eq!(
        labs[1].probe(std::slice::from_ref(&ask)).unwrap(),
        [Outcome::Allowed]
    );
}

#[test]
fn a_world_without_an_agent_is_judged_wrong_exactly_where_policy_denies() {
    if skipped() {
        return;
    }
    let lab = up(&builtin::default_world(), &[Family::Ipv4]);
    let cells = lab.plan().cells();
    let expected = expectations(lab.plan(), lab.world(), &cells);
    let judged = judge(&lab, &cells, &expected).unwrap();
    let denied: Vec<_> = expected
        .iter()
        .map(|expectation| expectation.name() == "deny")
        .collect();
    let wrong: Vec<_> = judged.right.iter().map(|right| !right).collect();
    assert_eq!(wrong, denied);
    assert!(denied.contains(&true) && denied.contains(&false));
}
