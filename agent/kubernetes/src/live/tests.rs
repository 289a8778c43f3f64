//! Objects as the API serves them, and as policies see them; those that cannot be read close what they may.

use sluice_policy::{AdminAction, Pod, Protocol, Selector};

use super::*;

/// What the API serves has many fields that nobody asks for.
fn served(kind: Kind, metadata: &str, rest: &str) -> Event {
    let json = format!(
        r#"{{"kind":"x","apiVersion":"v1","metadata":{{"name":"a","resourceVersion":"7","uid":"u",
                "managedFields":[{{"fieldsV1":{{"f:x":{{}}}}}}],"annotations":{{"k":"{{\"a\":1}}"}}{metadata}}}{rest}}}"#
    );
    let live = Reader::new(kind).read(&json).unwrap();
    assert_eq!((&*live.name.name, &*live.version), ("a", "7"));
    assert_eq!(read_name(&json).unwrap().0, live.name);
    live.event
}

fn pod(spec: &str, status: &str) -> Pod {
    let metadata =
        r#","namespace":"x","labels":{"app":"a\u00e9"},"creationTimestamp":"2026-01-01T00:00:10Z""#;
    let rest = format!(r#","spec":{{{spec}}},"status":{{{status}}}"#);
    match served(Kind::Pod, metadata, &rest) {
        Event::Pod(pod) => pod,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pod_is_what_policies_see_of_it() {
    let spec = r#""nodeName":"n1","volumes":[{"name":"v"}],"containers":[{"name":"c","image":"i","ports":[
            {"name":"web","containerPort":80,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]}],
            "initContainers":[{"ports":[{"containerPort":1}]},{"restartPolicy":"Always","ports":[{"containerPort":2}]}]"#;
    let read = pod(
        spec,
        r#""phase":"Running","podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}]"#,
    );
    assert_eq!(read.name.to_string(), "x/a");
    assert_eq!(read.labels.get("app").map(|value| &**value), Some("aé"));
    assert_eq!(read.node.as_deref(), Some("n1"));
    assert_eq!(read.addresses.len(), 2);
    assert_eq!(read.created, 1_767_225_610);
    let ports: Vec<_> = read.ports.iter().map(|it| (it.protocol, it.port)).collect();
    let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
    assert_eq!(ports, [(tcp, 80), (udp, 53), (tcp, 2)]);
    assert_eq!(read.ports[0].name.as_deref(), Some("web"));
}

#[test]
fn a_pod_has_addresses_from_when_it_has_some_until_it_has_ended() {
    for (status, addresses) in [
        ("", 0),
        (r#""phase":"Pending""#, 0),
        (r#""phase":"Running","podIP":"10.0.0.1""#, 1),
        (r#""phase":"Unknown","podIPs":[{"ip":"10.0.0.1"}]"#, 1),
        (r#""phase":"Succeeded","podIPs":[{"ip":"10.0.0.1"}]"#, 0),
        (r#""phase":"Failed","podIP":"10.0.0.1""#, 0),
        (r#""phase":"Running","podIPs":null,"podIP":"""#, 0),
    ] {
        assert_eq!(pod("", status).addresses.len(), addresses, "{status}");
    }
    assert!(pod(r#""hostNetwork":true"#, "").host_network);
    assert_eq!(pod("", "").node, None);
}

#[test]
fn a_namespace_has_its_name_as_a_label() {
    let Event::Namespace(read) = served(Kind::Namespace, r#","labels":{"k":"v"}"#, "") else {
        panic!("no namespace");
    };
    assert_eq!(read.labels.len(), 2);
    assert_eq!(
        read.labels.get(NAMESPACE_NAME).map(|name| &**name),
        Some("a")
    );
}

#[test]
fn a_node_has_the_addresses_that_name_it() {
    let status = r#","status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"},{"type":"Hostname",
            "address":"n"},{"type":"ExternalIP","address":"fd00::1"},{"type":"InternalDNS","address":"10.0.0.9"}]}"#;
    let Event::Node(read) = served(Kind::Node, r#","labels":{"k":"v"}"#, status) else {
        panic!("no node");
    };
    assert_eq!((read.addresses.len(), read.labels.len()), (2, 1));
}

#[test]
fn an_invalid_policy_fails_closed_and_says_why() {
    let json = r#"{"metadata":{"name":"p","namespace":"x","resourceVersion":"7"},
            "spec":{"podSelector":{},"policyTypes":["Sideways"]}}"#;
    let live = Reader::new(Kind::NetworkPolicy).read(json).unwrap();
    let Event::NetworkPolicy(policy) = live.event else {
        panic!("no policy");
    };
    assert!(policy.ingress.is_some() && policy.egress.is_some());
    assert_eq!(live.problems.len(), 1);
}

/// JSON that is well-formed, and that no decoder takes.
#[test]
fn a_policy_that_cannot_be_decoded_closes_both_directions() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let admin = Kind::Admin(AdminKind::AdminNetworkPolicy);
    for kind in [Kind::NetworkPolicy, admin] {
        for rest in [
            format!(r#""spec":{{"podSelector":{{}},"ingress":[{{}}],"x":{deep}}}"#),
            r#""spec":{"podSelector":{},"ingress":[{}],"x":1e999}"#.to_owned(),
            r#""spec":{"ingress":[{}]},"x":"\ud800""#.to_owned(),
        ] {
            let json = format!(
                r#"{{"metadata":{{"name":"p","namespace":"x","resourceVersion":"7","generation":3,"labels":7}},{rest}}}"#
            );
            let live = Reader::new(kind).read(&json).unwrap();
            assert_eq!((&*live.version, live.generation), ("7", Some(3)));
            let [problem] = &live.problems[..] else {
                panic!("{:?}", live.problems);
            };
            assert!(
                problem.to_string().contains("p: cannot be decoded"),
                "{problem}"
            );
            match live.event {
                Event::NetworkPolicy(policy) => {
                    assert_eq!(policy.pods, Selector::default());
                    assert_eq!(policy.ingress.as_deref(), Some(&[][..]));
                    assert_eq!(policy.egress.as_deref(), Some(&[][..]));
                }
                Event::AdminPolicy(policy) => {
                    for rules in [&policy.ingress, &policy.egress] {
                        assert!(matches!(&rules[..], [rule] if rule.action == AdminAction::Deny));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_policy_with_very_many_problems_tells_of_some_and_counts_the_rest() {
    for (bad, told, last) in [
        (20, 20, None),
        (21, 21, Some("and 1 more problems")),
        (30_000, 21, Some("and 29980 more problems")),
    ] {
        let ports = vec![r#"{"port":0}"#; bad].join(",");
        let json = format!(
            r#"{{"metadata":{{"name":"p","namespace":"x"}},"spec":{{"podSelector":{{}},"ingress":[{{"ports":[{ports}]}}]}}}}"#
        );
        let problems = Reader::new(Kind::NetworkPolicy)
            .read(&json)
            .unwrap()
            .problems;
        assert_eq!(problems.len(), told);
        let said = problems.last().map(ToString::to_string).unwrap();
        assert!(
            last.is_none_or(|last| said.ends_with(&format!("x/p: {last}"))),
            "{said}"
        );
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for json in [
        "",
        "{}",
        "[]",
        r#"{"metadata":{}}"#,
        r#"{"metadata":{"name":"a"}"#,
    ] {
        assert!(Reader::new(Kind::Pod).read(json).is_err(), "{json}");
        assert!(read_name(json).is_err(), "{json}");
    }
}

#[test]
fn pods_of_one_template_share_what_they_have_in_common_and_nothing_else() {
    let mut reader = Reader::new(Kind::Pod);
    let read = |reader: &mut Reader, (namespace, labels, port): (&str, &str, &str)| {
        let json = format!(
            r#"{{"metadata":{{"name":"a","namespace":"{namespace}"{labels}}},"spec":{{"containers":[{{"ports":[{{{port}}}]}}]}}}}"#
        );
        match reader.read(&json).unwrap().event {
            Event::Pod(pod) => pod,
            other => panic!("{other:?}"),
        }
    };
    let (web, db) = (r#","labels":{"app":"web"}"#, r#","labels":{"app":"db"}"#);
    let (http, dns) = (
        r#""name":"p","containerPort":80"#,
        r#""name":"p","containerPort":53"#,
    );
    let first = read(&mut reader, ("x", web, http));
    let same = read(&mut reader, ("x", web, http));
    assert!(Arc::ptr_eq(&first.ports, &same.ports));
    assert!(Arc::ptr_eq(&first.name.namespace, &same.name.namespace));
    assert_eq!(first, same);
    for other in [
        ("y", web, http),
        ("x", db, http),
        ("x", "", http),
        ("x", web, dns),
        ("x", r#","labels":null"#, r#""containerPort":80"#),
    ] {
        let read_after = read(&mut reader, other);
        assert_eq!(read_after, read(&mut Reader::new(Kind::Pod), other));
        assert_ne!(read_after, first);
    }
}
