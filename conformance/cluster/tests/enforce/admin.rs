//! Policies of the administrator: their kinds come and go while agents run, and they rule by tier.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::kinds::{ANP, BANP, CNP, Kind, Served};
use crate::probe::{Cell, Via};
use crate::shared::case;
use crate::truth::every_cell;
use crate::world::{World, soon};

/// Below the Admin tier, for x/a alone: its own namespace reaches port 80.
const BELOW: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: below, namespace: x}
spec:
  podSelector: {matchLabels: {pod: a}}
  ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]
";
/// From, to, port, the tier that decides about ingress, and whether it allows.
const EXPLAINED: [(&str, &str, &str, &str, bool); 6] = [
    ("z/a", "x/a", "80", "Admin", false),
    ("x/b", "x/a", "80", "NetworkPolicy", true),
    ("x/b", "x/a", "81", "NetworkPolicy", false),
    ("x/b", "x/c", "80", "Baseline", true),
    ("x/b", "x/c", "81", "Baseline", false),
    ("z/a", "y/b", "80", "Baseline", false),
];

/// Policies of both tiers by the kinds of one version.
struct Stack {
    admin: Kind,
    baseline: Kind,
    /// Below those of other stacks, where there are any.
    priority: u16,
}

const STACKS: [Stack; 2] = [
    Stack {
        admin: ANP,
        baseline: BANP,
        priority: 10,
    },
    Stack {
        admin: CNP,
        baseline: CNP,
        priority: 5,
    },
];

#[test]
fn admin_policies_rule_by_tier_from_when_their_kinds_are_served_until_they_are_not() -> Result<()> {
    case(|world| {
        let cells = cells();
        world.serve(Served::No)?;
        world.apply(BELOW)?;
        world.agrees("a NetworkPolicy alone", &cells)?;
        world.serve(Served::Published)?;
        for stack in &STACKS {
            world.apply(&stack.policies().to_string())?;
            let seen = world.agrees(stack.admin.name, &cells)?;
            let name = stack.admin.name;
            println!("{name}: {} allowed, {} denied", seen.allowed, seen.denied);
            explained(world, stack)?;
            world.forget_admin_policies()?;
        }
        for stack in &STACKS {
            world.apply(&stack.policies().to_string())?;
        }
        world.agrees("policies of all kinds", &cells)?;
        explained(world, &STACKS[1])?;
        world.serve(Served::No)?;
        world.agrees("no kind is served any more", &cells).map(drop)
    })
}

/// Everything that ends in x or y.
fn cells() -> Vec<Cell> {
    let cells = every_cell(&[Via::Pod]).into_iter();
    cells.filter(|cell| !cell.to.starts_with("z/")).collect()
}

impl Stack {
    /// x is denied to all, but what comes from its own b is left to the tiers below; there b reaches port 80 of all
    /// of x and y, and nobody else reaches anything.
    fn policies(&self) -> Value {
        let own_b = json!({"pods": {
            "namespaceSelector": {"matchLabels": {"ns": "x"}}, "podSelector": {"matchLabels": {"pod": "b"}},
        }});
        let everybody = json!({"namespaces": {}});
        let mut admin = json!({
            "priority": self.priority, "subject": {"namespaces": {"matchLabels": {"ns": "x"}}},
            "ingress": [
                {"name": "own-b", "action": "Pass", "from": [own_b]},
                {"name": "others", "action": "Deny", "from": [everybody]},
            ],
        });
        let mut port_80 = json!({"name": "own-b", "action": self.baseline.allow, "from": [own_b]});
        if self.baseline == CNP {
            port_80["protocols"] = json!([{"tcp": {"destinationPort": {"number": 80}}}]);
        } else {
            port_80["ports"] = json!([{"portNumber": {"protocol": "TCP", "port": 80}}]);
        }
        let mut baseline = json!({
            "subject": {"namespaces": {"matchLabels": {"team": "blue"}}},
            "ingress": [port_80, {"name": "others", "action": "Deny", "from": [everybody]}],
        });
        if self.baseline == CNP {
            admin["tier"] = json!("Admin");
            baseline["tier"] = json!("Baseline");
            baseline["priority"] = json!(self.priority);
        }
        let items = [
            self.admin.policy("tiers", &admin),
            self.baseline.policy("default", &baseline),
        ];
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    /// The policy of a tier, as an explanation names it.
    fn named(&self, tier: &str) -> String {
        match tier {
            "Admin" => format!("{}/tiers", self.admin.name),
            "Baseline" => format!("{}/default", self.baseline.name),
            _ => "x/below".to_owned(),
        }
    }
}

/// What agents say, as their administrator asks them: every one the same, wherever the two pods are.
fn explained(world: &World, stack: &Stack) -> Result<()> {
    for (from, to, port, tier, allowed) in EXPLAINED {
        let question = ["explain", "--from", from, "--to", to, "--port", port];
        let text = world.exec(1, &question)?;
        println!("$ kubectl exec … -- /sluice {}\n{text}", question.join(" "));
        for node in 1..=world.cluster.nodes().len() {
            let said = world.exec(node, &[&question[..], &["--output=json"]].concat())?;
            let said: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
            assert_eq!(said["ingress"]["tier"], tier, "{said}");
            let policy = stack.named(tier);
            assert_eq!(said["ingress"]["policy"], policy.as_str(), "{said}");
            assert_eq!(said["allowed"], allowed, "{said}");
        }
    }
    Ok(())
}

#[test]
fn an_admin_policy_that_nobody_can_mean_allows_nothing_and_is_told_of() -> Result<()> {
    case(|world| {
        let kinds = [ANP, CNP];
        world.serve(Served::Unvalidated)?;
        for kind in kinds {
            let policy = kind.policy("odd", &odd(kind)).to_string();
            // The API server follows its own definitions in its own time.
            soon("an API server that takes it", || {
                Ok(world.apply(&policy).ok())
            })?;
        }
        for node in 1..=world.cluster.nodes().len() {
            world.status_is(node, "invalid policies", |status| {
                status["policies"]["invalid"] == kinds.len()
            })?;
        }
        for kind in kinds {
            println!(
                "{}",
                world.logged(1, &["WARN", kind.name, "odd", "action"])?
            );
            world.told(kind.name, "odd", "Warning", "Invalid", "action")?;
            world.has_conditions(kind, "odd", &["Accepted False Invalid 1"])?;
        }
        let cells = cells();
        let to_x = cells.iter().filter(|cell| cell.to.starts_with("x/"));
        let to_x: Vec<_> = to_x.cloned().collect();
        world.comes_out(&to_x, &vec![false; to_x.len()])?;
        for agent in world.all_ready()? {
            ensure!(agent.restarts == 0, "{agent:?}");
        }
        Ok(())
    })
}

fn odd(kind: Kind) -> Value {
    // Of the same priority, they would be told of a tie as well.
    let mut spec = json!({
        "priority": if kind == CNP { 11 } else { 10 }, "subject": {"namespaces": {"matchLabels": {"ns": "x"}}},
        "ingress": [{"name": "odd", "action": "Perhaps", "from": [{"namespaces": {}}]}],
    });
    if kind == CNP {
        spec["tier"] = json!("Admin");
    }
    spec
}
