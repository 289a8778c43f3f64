//! Policies of the administrator: their kinds come and go while agents run, and they rule by tier.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::probe::{Cell, Via};
use crate::shared::case;
use crate::truth::every_cell;
use crate::world::World;

/// What is asked for in either kind: x is denied to all, but what comes from its own b is left to `NetworkPolicy`.
const PASS_THEN_DENY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: below, namespace: x}
spec:
  podSelector: {}
  ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]
";

/// A kind: its resource, its version, what its policy has besides, and what letting through is called.
struct Kind {
    name: &'static str,
    resource: &'static str,
    version: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "AdminNetworkPolicy",
        resource: "adminnetworkpolicies",
        version: "v1alpha1",
    },
    Kind {
        name: "ClusterNetworkPolicy",
        resource: "clusternetworkpolicies",
        version: "v1alpha2",
    },
];

#[test]
fn admin_policies_rule_by_tier_from_when_their_kind_is_served_until_it_is_not() -> Result<()> {
    case(|world| {
        let cells = of_x();
        world.apply(PASS_THEN_DENY)?;
        world.agrees("a NetworkPolicy alone", &cells)?;
        for kind in KINDS {
            kind.comes(world)?;
            world.apply(&kind.policy("tiers", &rules()).to_string())?;
            let seen = world.agrees(kind.name, &cells)?;
            println!(
                "{}: {} allowed, {} denied",
                kind.name, seen.allowed, seen.denied
            );
            explained(world, &kind)?;
            kind.goes(world)?;
            world.agrees("its kind is not served any more", &cells)?;
        }
        Ok(())
    })
}

/// Everything that has an end in x.
fn of_x() -> Vec<Cell> {
    let cells = every_cell(&[Via::Pod]).into_iter();
    cells.filter(|cell| cell.to.starts_with("x/")).collect()
}

fn rules() -> Value {
    json!([
        {"name": "own-b", "action": "Pass", "from": [{"pods": {
            "namespaceSelector": {"matchLabels": {"ns": "x"}}, "podSelector": {"matchLabels": {"pod": "b"}},
        }}]},
        {"name": "others", "action": "Deny", "from": [{"namespaces": {}}]},
    ])
}

/// What an agent says of itself, as its administrator asks it.
fn explained(world: &World, kind: &Kind) -> Result<()> {
    let node = world.pod("x/a")?.node;
    for (from, port, tier, policy) in [
        ("z/a", "80", "Admin", format!("{}/tiers", kind.name)),
        ("x/b", "80", "NetworkPolicy", "x/below".to_owned()),
        ("x/b", "81", "NetworkPolicy", "x/below".to_owned()),
    ] {
        let question = ["explain", "--from", from, "--to", "x/a", "--port", port];
        let text = world.exec(node, &question)?;
        println!("$ kubectl exec … -- /sluice {}\n{text}", question.join(" "));
        let said = world.exec(node, &[&question[..], &["--output=json"]].concat())?;
        let said: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
        assert_eq!(said["ingress"]["tier"], tier, "{said}");
        assert_eq!(said["ingress"]["policy"], policy.as_str(), "{said}");
        assert_eq!(said["allowed"], port == "80" && from == "x/b", "{said}");
    }
    Ok(())
}

#[test]
fn an_admin_policy_that_nobody_can_mean_allows_nothing_and_is_told_of() -> Result<()> {
    case(|world| {
        for kind in KINDS {
            kind.comes(world)?;
            let odd = json!([{"name": "odd", "action": "Perhaps", "from": [{"namespaces": {}}]}]);
            world.apply(&kind.policy("odd", &odd).to_string())?;
            for node in 1..=world.cluster.nodes().len() {
                world.status_is(node, "an invalid policy", |status| {
                    status["policies"]["invalid"] == 1
                })?;
            }
            println!("{}", world.logged(1, &["WARN", "odd", "action"])?);
            for agent in world.all_ready()? {
                ensure!(agent.restarts == 0, "{agent:?}");
            }
            kind.goes(world)?;
        }
        Ok(())
    })
}

impl Kind {
    /// Lets the API serve it, without validation, and waits until agents have noticed.
    fn comes(&self, world: &mut World) -> Result<()> {
        let singular = self.name.to_lowercase();
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.definition(), "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
            },
            "spec": {
                "group": "policy.networking.k8s.io", "scope": "Cluster",
                "names": {"kind": self.name, "plural": self.resource, "singular": singular},
                "versions": [{
                    "name": self.version, "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }],
            },
        });
        world.apply(&definition.to_string())?;
        let crd = format!("crd/{}", self.definition());
        world.kubectl(&["wait", "--for=condition=Established", &crd, "--timeout=60s"])?;
        world.admin_kinds.push(self.resource);
        self.is_served(world, true)
    }

    fn goes(&self, world: &mut World) -> Result<()> {
        world
            .admin_kinds
            .retain(|resource| *resource != self.resource);
        world.kubectl(&["delete", "crd", &self.definition(), "--timeout=60s"])?;
        self.is_served(world, false)
    }

    fn is_served(&self, world: &World, served: bool) -> Result<()> {
        for node in 1..=world.cluster.nodes().len() {
            world.status_is(node, &format!("{} served: {served}", self.name), |status| {
                let resources = status["source"]["resources"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let mut it = resources.iter().filter(|it| it["kind"] == self.name);
                it.any(|it| it["served"] == served && it["synced"] == served)
            })?;
        }
        Ok(())
    }

    fn definition(&self) -> String {
        format!("{}.policy.networking.k8s.io", self.resource)
    }

    /// A policy of the Admin tier on x.
    fn policy(&self, name: &str, ingress: &Value) -> Value {
        let mut policy = json!({
            "apiVersion": format!("policy.networking.k8s.io/{}", self.version), "kind": self.name,
            "metadata": {"name": name},
            "spec": {
                "priority": 10, "subject": {"namespaces": {"matchLabels": {"ns": "x"}}}, "ingress": ingress,
            },
        });
        if self.name == "ClusterNetworkPolicy" {
            policy["spec"]["tier"] = json!("Admin");
        }
        policy
    }
}
