//! The world of the laboratory: perf-tests' example, with a client whose egress is isolated, a target, and a policy that
//! lets the one reach the other; and a target that is isolated itself, with a stranger that it takes nothing from.

use sluice_lab::{Cell, Family, Manifests, Port, Target};
use sluice_policy::{PodName, Protocol};

const NAMESPACE: &str = "latency";
/// The node of all pods that there are packets of.
const HERE: &str = "node-1";
/// What everybody listens on.
pub(super) const PORT: u16 = 80;
/// The file of the policy that allows.
pub(super) const ALLOW: &str = "allow.yaml";
/// The file of the target.
pub(super) const TARGET: &str = "target.yaml";
/// The file of the namespace that everybody is in.
pub(super) const HOME: &str = "namespace.yaml";
/// The file of many policies.
pub(super) const BURST: &str = "burst.yaml";

/// A label of the target that the allowing policy goes by.
pub(super) const WANTED: &str = "wanted";
/// One that it does not.
pub(super) const OTHER: &str = "other";
/// A label of the namespace that the allowing policy goes by.
pub(super) const OPEN: &str = "open";
/// One that it does not.
pub(super) const SHUT: &str = "shut";

/// A file that says nothing of what it is about: a file that is gone may yet be replaced, which the agent waits for.
pub(super) const NOTHING: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: unused}\n";

/// What is there from the beginning. Pods are built of it, so the target is among it.
pub(super) fn manifests(policies: usize, guarded: bool) -> Manifests {
    let mut files = vec![
        (HOME.to_owned(), namespace(OPEN)),
        ("pods.yaml".to_owned(), pods()),
        (TARGET.to_owned(), target(WANTED)),
        ("deny.yaml".to_owned(), egress("deny", "nobody")),
    ];
    let others = (0..policies).map(|number| egress(&format!("other-{number:05}"), "nobody"));
    files.push(("others.yaml".to_owned(), others.collect()));
    if guarded {
        files.push((ALLOW.to_owned(), allow()));
        files.push(("guard.yaml".to_owned(), GUARD.to_owned()));
    }
    Manifests::Texts(files)
}

/// The namespace, with this label.
pub(super) fn namespace(door: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}, labels: {{door: {door}}}}}\n"
    )
}

fn pods() -> String {
    let pods = [("client", 1), ("stranger", 2)];
    pods.map(|(name, number)| pod(name, name, HERE, &here(number)))
        .concat()
}

/// The target, with this label.
pub(super) fn target(role: &str) -> String {
    pod("target", role, HERE, &here(3))
}

/// A pod on another node that the client may send to whenever it may to the target; each number is another pod.
pub(super) fn passer_by(number: u32) -> String {
    let [_, high, middle, low] = number.to_be_bytes();
    let address = format!("10.{}.{middle}.{low}", 128 | (high & 63));
    pod(&format!("passer-by-{number}"), WANTED, "node-2", &address)
}

/// The policy that lets the client reach what is labelled as wanted, in a namespace whose door is open.
pub(super) fn allow() -> String {
    let peer = format!(
        "namespaceSelector: {{matchLabels: {{door: {OPEN}}}}}, podSelector: {{matchLabels: {{role: {WANTED}}}}}"
    );
    policy("allow", &peer)
}

/// So many policies of the client, the last of which is one that allows.
pub(super) fn burst(policies: usize) -> String {
    let others = (1..policies).map(|number| egress(&format!("burst-{number:05}"), "nobody"));
    others.chain([egress("burst-last", WANTED)]).collect()
}

fn here(number: u8) -> String {
    format!("10.244.9.{number}")
}

fn pod(name: &str, role: &str, node: &str, address: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {NAMESPACE}, labels: {{app: {name}, role: {role}}}}}
spec:
  nodeName: {node}
  containers: [{{name: c, image: c, ports: [{{containerPort: {PORT}}}, {{containerPort: {PORT}, protocol: UDP}}]}}]
status: {{podIPs: [{{ip: {address}}}]}}
"
    )
}

/// What makes the client send to pods of this role.
fn egress(name: &str, role: &str) -> String {
    policy(
        name,
        &format!("podSelector: {{matchLabels: {{role: {role}}}}}"),
    )
}

fn policy(name: &str, peer: &str) -> String {
    format!(
        "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  podSelector: {{matchLabels: {{app: client}}}}
  policyTypes: [Egress]
  egress: [{{to: [{{{peer}}}]}}]
"
    )
}

const GUARD: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guard, namespace: latency}
spec:
  podSelector: {matchLabels: {app: target}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]
";

/// A pod of this world.
pub(super) fn name(name: &str) -> PodName {
    PodName {
        namespace: NAMESPACE.into(),
        name: name.into(),
    }
}

/// From a pod to the target.
pub(super) fn cell(from: &str, protocol: Protocol) -> Cell {
    Cell {
        from: name(from),
        to: Target::Pod(name("target")),
        port: Port {
            number: PORT,
            protocol,
        },
        family: Family::Ipv4,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sluice_kubernetes::{World, load_text};
    use sluice_lab::Plan;
    use sluice_lab::expect::{Expectation, expectations};

    use super::*;

    fn world(files: &[String]) -> World {
        let loaded = load_text("world", &files.join("---\n"));
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        loaded.world
    }

    fn expected(files: &[String]) -> Vec<&'static str> {
        let world = world(files);
        let plan = Plan::new(&world, &[Family::Ipv4], &[]);
        let cells = ["client", "stranger"].map(|from| cell(from, Protocol::Tcp));
        let expected = expectations(&plan, &world, &cells);
        expected.iter().map(Expectation::name).collect()
    }

    #[test]
    fn each_file_does_what_it_is_for() {
        let deny = egress("deny", "nobody");
        let base = [namespace(OPEN), pods(), target(WANTED), deny.clone()];
        let with = |more: &[String]| expected(&[&base[..], more].concat());
        assert_eq!(with(&[]), ["deny", "allow"]);
        assert_eq!(with(&[allow()]), ["allow", "allow"]);
        let guard = GUARD.to_owned();
        assert_eq!(with(&[allow(), guard]), ["allow", "deny"]);
        for (home, role) in [(OPEN, OTHER), (SHUT, WANTED)] {
            let relabelled = [namespace(home), pods(), target(role), deny.clone(), allow()];
            assert_eq!(expected(&relabelled), ["deny", "allow"]);
        }
    }

    #[test]
    fn of_many_policies_only_the_last_one_allows() {
        let base = [namespace(SHUT), pods(), target(WANTED)];
        let with = |more: String| expected(&[&base[..], &[more]].concat());
        assert_eq!(with(burst(20)), ["allow", "allow"]);
        assert_eq!(with(burst(1)), ["allow", "allow"]);
        let burst = burst(20);
        let (but_the_last, _) = burst.rsplit_once("---").unwrap();
        assert_eq!(but_the_last.matches("NetworkPolicy").count(), 19);
        assert_eq!(with(but_the_last.to_owned()), ["deny", "allow"]);
    }

    #[test]
    fn each_passer_by_is_another_pod_at_another_address() {
        let numbers = [0, 1, 255, 256, 65_535, 65_536];
        let texts: Vec<_> = numbers.iter().map(|number| passer_by(*number)).collect();
        let world = world(&texts);
        let addresses: BTreeSet<_> = world.pods.iter().flat_map(|it| &it.pod.addresses).collect();
        assert_eq!(addresses.len(), numbers.len());
    }

    #[test]
    fn the_manifests_are_valid_with_other_policies_besides() {
        for guarded in [false, true] {
            let Manifests::Texts(files) = manifests(7, guarded) else {
                panic!("not texts");
            };
            let texts: Vec<_> = files.into_iter().map(|(_, text)| text).collect();
            let found = expected(&texts);
            let wanted = if guarded {
                ["allow", "deny"]
            } else {
                ["deny", "allow"]
            };
            assert_eq!(found, wanted);
        }
    }
}
