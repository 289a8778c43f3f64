//! What is said of objects as the API serves them.

use sluice_api::Batch;
use sluice_kubernetes::live::{Kind, Reader};
use sluice_policy::{AdminKind, Scope};

use super::*;

const ANP: Kind = Kind::Admin(AdminKind::AdminNetworkPolicy);

/// What is said about objects of the API, as `KIND/NAME@GENERATION: REASON MESSAGE`.
fn said(objects: &[(Kind, &str)]) -> Vec<String> {
    let mut index = Index::new(Scope::Cluster);
    let mut known = Objects::default();
    for (kind, json) in objects {
        let live = Reader::new(*kind).read(json).unwrap();
        let generation = live.generation.map(|it| (live.name.clone(), it));
        let batch = Batch {
            events: vec![live.event],
            problems: vec![(live.name, live.problems)],
            generations: generation.into_iter().collect(),
            version: None,
        };
        let _everything_is_new = index.apply(known.absorb(*kind, batch));
    }
    let all = findings(&index, &known);
    let line = |(subject, known): (&Subject, &Known)| {
        let Subject { kind, name } = subject;
        let said = known.findings.iter();
        let said: Vec<_> = said
            .map(|it| format!("{} {}", it.reason.name(), it.message))
            .collect();
        format!(
            "{kind}/{}@{}: {}",
            name.name,
            known.generation,
            said.join(" | ")
        )
    };
    all.iter().map(line).collect()
}

fn pod() -> (Kind, &'static str) {
    let json = r#"{"metadata":{"name":"a","namespace":"x","labels":{"app":"a"}},"spec":{},
        "status":{"podIPs":[{"ip":"10.0.0.1"}]}}"#;
    (Kind::Pod, json)
}

fn network(name: &str, spec: &str) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","namespace":"x","generation":3}},"spec":{spec}}}"#)
}

fn admin(name: &str, priority: u16, ingress: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","generation":2}},"spec":{{"priority":{priority},
           "subject":{{"namespaces":{{}}}},"ingress":{ingress}}}}}"#
    )
}

#[test]
fn a_network_policy_that_is_well_is_not_mentioned_and_an_admin_policy_is() {
    let policy = network("p", r#"{"podSelector":{}}"#);
    let well = admin("a", 1, "[]");
    let all = [pod(), (Kind::NetworkPolicy, &policy), (ANP, &well)];
    assert_eq!(said(&all), ["AdminNetworkPolicy/a@2: "]);
}

#[test]
fn what_is_only_badly_written_is_not_said_to_be_closed() {
    let policy = network(
        "p",
        r#"{"podSelector":{},"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.1/8"}}]}]}"#,
    );
    let said = said(&[pod(), (Kind::NetworkPolicy, &policy)]);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("NetworkPolicy/p@3: BadlyWritten spec.egress[0].to[0].ipBlock.cidr: ")
            && said[0].ends_with("; enforced as it is written"),
        "{said:?}"
    );
}

#[test]
fn what_cannot_be_read_is_named_by_field() {
    let policy = network("p", r#"{"podSelector":{},"policyTypes":["Sideways"]}"#);
    let said = said(&[pod(), (Kind::NetworkPolicy, &policy)]);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("NetworkPolicy/p@3: Invalid spec.policyTypes[0]: "),
        "{said:?}"
    );
    assert!(
        said[0].ends_with("; what cannot be read allows nothing"),
        "{said:?}"
    );
}

#[test]
fn many_problems_are_named_in_part() {
    let types = [r#""Sideways""#; 7].join(",");
    let policy = network(
        "p",
        &format!(r#"{{"podSelector":{{}},"policyTypes":[{types}]}}"#),
    );
    let said = said(&[pod(), (Kind::NetworkPolicy, &policy)]);
    assert!(
        said[0].contains("spec.policyTypes[4]") && !said[0].contains("spec.policyTypes[5]"),
        "{said:?}"
    );
    assert!(said[0].contains("; and 3 more; "), "{said:?}");
}

#[test]
fn what_is_not_supported_is_told_apart() {
    let names = r#"[{"action":"Allow","to":[{"domainNames":["a.example"]}]}]"#;
    let policy = admin("a", 1, "[]").replace(r#""ingress":[]"#, &format!(r#""egress":{names}"#));
    let said = said(&[pod(), (ANP, &policy)]);
    assert!(
        said[0]
            .starts_with("AdminNetworkPolicy/a@2: Unsupported spec.egress[0].to[0].domainNames: "),
        "{said:?}"
    );
    assert!(!said[0].contains("Invalid"), "{said:?}");
}

#[test]
fn all_who_are_tied_learn_with_whom() {
    let [a, b, c, other] = [("a", 5), ("b", 5), ("c", 5), ("d", 6)]
        .map(|(name, priority)| admin(name, priority, "[]"));
    let said = said(&[pod(), (ANP, &a), (ANP, &b), (ANP, &c), (ANP, &other)]);
    let same = |name: &str, when: &str| {
        format!("AdminNetworkPolicy/{name} has the same in the same tier, and is asked {when}")
    };
    assert_eq!(
        said,
        [
            format!(
                "AdminNetworkPolicy/a@2: PriorityTie spec.priority: {}: names decide",
                same("b", "after")
            ),
            format!(
                "AdminNetworkPolicy/b@2: PriorityTie spec.priority: {}; {}: names decide",
                same("a", "before"),
                same("c", "after")
            ),
            format!(
                "AdminNetworkPolicy/c@2: PriorityTie spec.priority: {}: names decide",
                same("b", "before")
            ),
            "AdminNetworkPolicy/d@2: ".to_owned(),
        ]
    );
}

#[test]
fn what_selects_nothing_is_named_by_the_field_that_selects() {
    let policy = network("p", r#"{"podSelector":{"matchLabels":{"app":"b"}}}"#);
    let all = said(&[pod(), (Kind::NetworkPolicy, &policy)]);
    assert_eq!(
        all,
        [
            "NetworkPolicy/p@3: SelectsNothing spec.podSelector: no pod with an address of its own is selected"
        ]
    );
    let baseline = admin("a", 1, "[]");
    let all = said(&[(ANP, &baseline)]);
    assert_eq!(
        all,
        [
            "AdminNetworkPolicy/a@2: SelectsNothing spec.subject: no pod with an address of its own is selected"
        ]
    );
}
