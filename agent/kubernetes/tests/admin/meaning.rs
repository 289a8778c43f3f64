//! What is valid, and what becomes of it.

use sluice_policy::{
    AdminAction, AdminKind, AdminName, AdminPeer, AdminPeers, AdminPolicy, AdminPort, AdminPorts,
    AdminTier, Operator, PodsOf, Port, PortMatch, Protocol, Requirement, Selector,
};

use super::{ADMIN, BASELINE, CLUSTER, load, name, one_policy, one_rule, problems, spec};

fn selector(key: &str, value: &str) -> Selector {
    Selector {
        requirements: vec![Requirement {
            key: key.into(),
            operator: Operator::In(vec![value.into()]),
        }],
    }
}

#[track_caller]
fn valid(kind: &str, spec: &str) -> AdminPolicy {
    let loaded = load(kind, spec);
    assert_eq!(problems(&loaded), [""; 0], "{kind} {spec}");
    assert_eq!(loaded.world.api_admin_policies.len(), 1);
    one_policy(&loaded).clone()
}

#[test]
fn each_kind_has_its_tier_and_its_priority() {
    let subject = "subject: {namespaces: {}}";
    for (of, fields, kind, tier, priority) in [
        (
            ADMIN,
            "priority: 0",
            AdminKind::AdminNetworkPolicy,
            AdminTier::Admin,
            0,
        ),
        (
            BASELINE,
            "ingress: []",
            AdminKind::BaselineAdminNetworkPolicy,
            AdminTier::Baseline,
            AdminPolicy::LAST,
        ),
        (
            CLUSTER,
            "tier: Admin, priority: 1000",
            AdminKind::ClusterNetworkPolicy,
            AdminTier::Admin,
            1000,
        ),
        (
            CLUSTER,
            "tier: Baseline, priority: 3",
            AdminKind::ClusterNetworkPolicy,
            AdminTier::Baseline,
            3,
        ),
    ] {
        let every = PodsOf {
            namespaces: Selector::default(),
            pods: Selector::default(),
        };
        assert_eq!(
            valid(of, &format!("{{{fields}, {subject}}}")),
            AdminPolicy {
                name: AdminName {
                    kind,
                    name: name(of).into(),
                },
                tier,
                priority,
                subject: every,
                ingress: vec![],
                egress: vec![],
            }
        );
    }
}

#[test]
fn subjects_are_namespaces_or_pods_in_them() {
    for (subject, namespaces, pods) in [
        (
            "{namespaces: {matchLabels: {team: a}}}",
            selector("team", "a"),
            Selector::default(),
        ),
        (
            "{pods: {namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: b}}}}",
            selector("team", "a"),
            selector("app", "b"),
        ),
        (
            "{namespaces: null, pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: b}}}}",
            Selector::default(),
            selector("app", "b"),
        ),
    ] {
        let policy = valid(ADMIN, &format!("{{priority: 1, subject: {subject}}}"));
        assert_eq!(policy.subject, PodsOf { namespaces, pods }, "{subject}");
    }
    let policy = valid(
        CLUSTER,
        "{tier: Admin, priority: 1, subject: {pods: {podSelector: {matchLabels: {app: b}}}}}",
    );
    assert_eq!(policy.subject.namespaces, Selector::default());
}

#[test]
fn actions_have_the_names_of_their_version() {
    for (kind, shown, action) in [
        (ADMIN, "Allow", AdminAction::Allow),
        (ADMIN, "Deny", AdminAction::Deny),
        (ADMIN, "Pass", AdminAction::Pass),
        (BASELINE, "Allow", AdminAction::Allow),
        (BASELINE, "Deny", AdminAction::Deny),
        (CLUSTER, "Accept", AdminAction::Allow),
        (CLUSTER, "Deny", AdminAction::Deny),
        (CLUSTER, "Pass", AdminAction::Pass),
    ] {
        let rule = format!("{{name: r, action: {shown}, from: [{{namespaces: {{}}}}]}}");
        let policy = valid(kind, &spec(kind, &format!("ingress: [{rule}]")));
        assert_eq!(one_rule(&policy.ingress).action, action, "{kind} {shown}");
        assert_eq!(policy.egress, []);
    }
}

#[test]
fn egress_peers_are_pods_nodes_and_networks() {
    let of = |namespaces, pods| AdminPeer::Pods(PodsOf { namespaces, pods });
    for kind in [ADMIN, BASELINE, CLUSTER] {
        let peers = "[{namespaces: {matchLabels: {a: b}}}, {pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}}, {nodes: {matchLabels: {c: d}}}, {networks: [10.0.0.0/8, 'fd00::/8']}, {nodes: {}}]";
        let rule = format!("{{action: Deny, to: {peers}}}");
        let policy = valid(kind, &spec(kind, &format!("egress: [{rule}]")));
        let rule = one_rule(&policy.egress);
        assert_eq!(rule.ports, AdminPorts::Any);
        assert_eq!(
            rule.peers,
            AdminPeers::Of(vec![
                of(selector("a", "b"), Selector::default()),
                of(Selector::default(), selector("a", "b")),
                AdminPeer::Nodes(selector("c", "d")),
                AdminPeer::Networks(vec![
                    "10.0.0.0/8".parse().unwrap(),
                    "fd00::/8".parse().unwrap()
                ]),
                AdminPeer::Nodes(Selector::default()),
            ]),
            "{kind}"
        );
    }
}

#[test]
fn ports_are_numbers_ranges_and_names() {
    let numbered = |protocol, first, last| {
        AdminPort::Numbered(PortMatch {
            protocol,
            port: Port::Range(first, last),
        })
    };
    let expected = AdminPorts::Of(vec![
        numbered(Protocol::Tcp, 80, 80),
        numbered(Protocol::Udp, 53, 53),
        numbered(Protocol::Sctp, 1, 65535),
        AdminPort::Named("web".into()),
        AdminPort::Named("No port has this name".into()),
    ]);
    let old = "ports: [{portNumber: {port: 80}}, {portNumber: {port: 53, protocol: UDP}}, {portRange: {protocol: SCTP, start: 1, end: 65535}}, {namedPort: web}, {namedPort: No port has this name}]";
    let new = "protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {number: 53}}}, {sctp: {destinationPort: {range: {start: 1, end: 65535}}}}, {destinationNamedPort: web}, {destinationNamedPort: No port has this name}]";
    for (kind, ports) in [(ADMIN, old), (BASELINE, old), (CLUSTER, new)] {
        let rule = format!("{{action: Deny, from: [{{namespaces: {{}}}}], {ports}}}");
        let policy = valid(kind, &spec(kind, &format!("ingress: [{rule}]")));
        assert_eq!(one_rule(&policy.ingress).ports, expected, "{kind}");
    }
    // v1alpha1 does not say that the ends of a range differ, and TCP is its protocol where none is given.
    let range = "ports: [{portRange: {start: 80, end: 80}}]";
    let rule = format!("{{action: Deny, from: [{{namespaces: {{}}}}], {range}}}");
    let policy = valid(ADMIN, &spec(ADMIN, &format!("ingress: [{rule}]")));
    assert_eq!(
        one_rule(&policy.ingress).ports,
        AdminPorts::Of(vec![numbered(Protocol::Tcp, 80, 80)])
    );
}

#[test]
fn rules_stay_in_their_order() {
    let rules = "[{action: Pass, from: [{namespaces: {}}]}, {action: Allow, from: [{namespaces: {}}]}, {action: Deny, from: [{namespaces: {}}]}]";
    let policy = valid(ADMIN, &spec(ADMIN, &format!("ingress: {rules}")));
    let actions: Vec<_> = policy.ingress.iter().map(|rule| rule.action).collect();
    assert_eq!(
        actions,
        [AdminAction::Pass, AdminAction::Allow, AdminAction::Deny]
    );
}
