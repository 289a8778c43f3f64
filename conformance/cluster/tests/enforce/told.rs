//! What owners of policies are told: Events, and conditions of the admin kinds, by one agent at a time.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sluice_cluster::conditions;

use crate::agents::NAMESPACE;
use crate::kinds::{ANP, CNP, Kind, Served};
use crate::shared::case;
use crate::world::{World, soon};

/// Nobody has this label.
const IDLE: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: idle, namespace: x}
spec: {podSelector: {matchLabels: {pod: nobody}}}
";

#[test]
fn what_is_the_matter_is_told_by_one_agent_and_by_another_once_that_is_gone() -> Result<()> {
    case(|world| {
        world.serve(Served::Published)?;
        world.apply(IDLE)?;
        for policy in [tied("first"), tied("second"), nobody(), names()] {
            world.apply(&policy.to_string())?;
        }
        let mut tellers = BTreeSet::new();
        for (kind, name, event, reason, words) in [
            (ANP.name, "first", "Warning", "PriorityTie", "second"),
            (ANP.name, "second", "Warning", "PriorityTie", "first"),
            (CNP.name, "names", "Warning", "Unsupported", "domainNames"),
            (
                CNP.name,
                "nobody",
                "Normal",
                "SelectsNothing",
                "spec.subject",
            ),
            (
                "NetworkPolicy",
                "idle",
                "Normal",
                "SelectsNothing",
                "spec.podSelector",
            ),
        ] {
            tellers.insert(world.told(kind, name, event, reason, words)?);
        }
        // Before anything was told, it may still have been an agent that is gone.
        let leader = world.leader(None)?;
        assert_eq!(tellers, BTreeSet::from([leader.node.clone()]), "who told");
        conditions_are_there(world)?;
        world.kubectl(&["delete", "pod", &leader.pod, "--namespace", NAMESPACE])?;
        let heir = world.leader(Some(&leader))?;
        println!("{} leads after {}", heir.identity, leader.identity);
        world.apply(&tied("third").to_string())?;
        let by = world.told(ANP.name, "third", "Warning", "PriorityTie", "second")?;
        assert_eq!(by, heir.node, "who told of the third");
        world.all_ready()?;
        let twice = world.events("default", ANP.name, "first")?;
        ensure!(twice.len() == 1, "told again: {twice:?}");
        Ok(())
    })
}

fn conditions_are_there(world: &World) -> Result<()> {
    let tie = ["Accepted True Accepted 1", "Conflicted True PriorityTie 1"];
    for (kind, name, wanted) in [
        (ANP, "first", &tie[..]),
        (ANP, "second", &tie),
        (CNP, "names", &["Accepted False Unsupported 1"]),
        (
            CNP,
            "nobody",
            &[
                "Accepted True Accepted 1",
                "SelectsNothing True SelectsNothing 1",
            ],
        ),
    ] {
        world.has_conditions(kind, name, wanted)?;
    }
    Ok(())
}

/// On pods that there are, by a rule that changes nothing.
fn tied(name: &str) -> Value {
    ANP.policy(
        name,
        &json!({
            "priority": 7, "subject": {"namespaces": {"matchLabels": {"ns": "x"}}},
            "ingress": [{"action": "Pass", "from": [{"namespaces": {}}]}],
        }),
    )
}

fn nobody() -> Value {
    CNP.policy(
        "nobody",
        &json!({
            "tier": "Admin", "priority": 8, "subject": {"namespaces": {"matchLabels": {"ns": "nobody"}}},
            "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}],
        }),
    )
}

fn names() -> Value {
    CNP.policy(
        "names",
        &json!({
            "tier": "Admin", "priority": 9, "subject": {"namespaces": {"matchLabels": {"ns": "x"}}},
            "egress": [{"action": "Accept", "to": [{"domainNames": ["example.com"]}]}],
        }),
    )
}

/// Who is elected.
#[derive(Debug)]
struct Leader {
    identity: String,
    node: String,
    pod: String,
}

impl World {
    /// Waits until an agent is elected, other than the former one.
    fn leader(&self, former: Option<&Leader>) -> Result<Leader> {
        soon("an agent that is elected", || {
            let lease = ["get", "lease", "sluice", "--namespace", NAMESPACE];
            let output = "--output=jsonpath={.spec.holderIdentity}";
            // There is none before the first election.
            let Ok(identity) = self.kubectl(&[&lease[..], &[output]].concat()) else {
                return Ok(None);
            };
            let Some((node, _)) = identity.split_once('_') else {
                return Ok(None);
            };
            let agents = self.agents()?;
            let agent = agents.iter().find(|it| format!("node-{}", it.node) == node);
            let is_new = former.is_none_or(|former| former.identity != identity);
            Ok(agent.filter(|_| is_new).map(|agent| Leader {
                node: node.to_owned(),
                pod: agent.name.clone(),
                identity: identity.clone(),
            }))
        })
    }

    /// Waits until there is an Event of this type and reason about a policy, with these words: which node's agent
    /// wrote it.
    pub(crate) fn told(
        &self,
        kind: &str,
        name: &str,
        event: &str,
        reason: &str,
        words: &str,
    ) -> Result<String> {
        // Of what is in no namespace, Events are in this one.
        let namespace = if kind == "NetworkPolicy" {
            "x"
        } else {
            "default"
        };
        let what = format!("an Event {reason} about {kind} {name}");
        let told = soon(&what, || {
            let events = self.events(namespace, kind, name)?;
            Ok(events.into_iter().find(|it| it["reason"] == reason))
        })?;
        let says = told["message"].as_str().unwrap_or_default();
        ensure!(told["type"] == event && says.contains(words), "{told:#}");
        println!("{event} {reason} {kind}/{name}: {says}");
        let by = told["reportingInstance"].as_str();
        by.map(str::to_owned).context("an Event of nobody")
    }

    fn events(&self, namespace: &str, kind: &str, name: &str) -> Result<Vec<Value>> {
        let text = self.kubectl(&["get", "events", "--namespace", namespace, "--output=json"])?;
        let mut list: Value = serde_json::from_str(&text).context("events")?;
        let mut events = std::mem::take(list["items"].as_array_mut().context("events")?);
        events.retain(|it| {
            it["involvedObject"]["kind"] == kind && it["involvedObject"]["name"] == name
        });
        Ok(events)
    }

    /// Waits until a policy has these conditions and no others, as `TYPE STATUS REASON GENERATION`, in this order.
    pub(crate) fn has_conditions(&self, kind: Kind, name: &str, wanted: &[&str]) -> Result<()> {
        let mut seen = Vec::new();
        let met = soon("conditions", || {
            seen = self.conditions(kind, name)?;
            Ok((seen == wanted).then_some(()))
        });
        met.with_context(|| format!("{}/{name}: {seen:?} and not {wanted:?}", kind.name))
    }

    fn conditions(&self, kind: Kind, name: &str) -> Result<Vec<String>> {
        let text = self.kubectl(&["get", kind.resource, name, "--output=json"])?;
        Ok(conditions(
            &serde_json::from_str(&text).context("a policy")?,
        ))
    }
}
