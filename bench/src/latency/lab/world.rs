//! The world of the laboratory: perf-tests' example, with a client whose egress is isolated, a target, and a policy that
//! lets the one reach the other; and a target that is isolated itself, with a stranger that it takes nothing from.

use sluice_lab::{Cell, Family, Manifests, Port, Target};
use sluice_policy::{PodName, Protocol};

const NAMESPACE: &str = "latency";
/// What everybody listens on.
pub(super) const PORT: u16 = 80;
/// The file of the policy that allows.
pub(super) const ALLOW: &str = "allow.yaml";
/// The file of the target.
pub(super) const TARGET: &str = "target.yaml";

/// A label of the target that the allowing policy goes by.
pub(super) const WANTED: &str = "wanted";
/// One that it does not.
pub(super) const OTHER: &str = "other";

/// A file that says nothing of what it is about: a file that is gone may yet be replaced, which the agent waits for.
pub(super) const NOTHING: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: unused}\n";

/// What is there from the beginning. Pods are built of it, so the target is among it.
pub(super) fn manifests(policies: usize, guarded: bool) -> Manifests {
    let mut files = vec![
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

fn pods() -> String {
    let pods = [("client", 1), ("stranger", 2)];
    let pods = pods.map(|(name, number)| pod(name, name, number));
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n{}",
        pods.concat()
    )
}

/// The target, with this label.
pub(super) fn target(role: &str) -> String {
    pod("target", role, 3)
}

/// The policy that lets the client reach what is labelled as wanted.
pub(super) fn allow() -> String {
    egress("allow", WANTED)
}

fn pod(name: &str, role: &str, number: u8) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {NAMESPACE}, labels: {{app: {name}, role: {role}}}}}
spec:
  nodeName: node-1
  containers: [{{name: c, image: c, ports: [{{containerPort: {PORT}}}, {{containerPort: {PORT}, protocol: UDP}}]}}]
status: {{podIPs: [{{ip: 10.244.9.{number}}}]}}
"
    )
}

/// What makes the client send to pods of this role.
fn egress(name: &str, role: &str) -> String {
    format!(
        "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  podSelector: {{matchLabels: {{app: client}}}}
  policyTypes: [Egress]
  egress: [{{to: [{{podSelector: {{matchLabels: {{role: {role}}}}}}}]}}]
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
        let base = [pods(), target(WANTED), deny.clone()];
        let with = |more: &[String]| expected(&[&base[..], more].concat());
        assert_eq!(with(&[]), ["deny", "allow"]);
        assert_eq!(with(&[allow()]), ["allow", "allow"]);
        let guard = GUARD.to_owned();
        assert_eq!(with(&[allow(), guard]), ["allow", "deny"]);
        let relabelled = [pods(), target(OTHER), deny, allow()];
        assert_eq!(expected(&relabelled), ["deny", "allow"]);
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
