//! `AdminNetworkPolicy`, `BaselineAdminNetworkPolicy` and `ClusterNetworkPolicy` objects: what is valid as it is meant,
//! and what is not failed closed.
//!
//! Failing closed means here, from the smallest to the largest that cannot be read:
//! * an action is Deny;
//! * the ports of a rule: where it allows, it matches nothing, else it denies its peers on all ports;
//! * a peer, or a field that nobody knows: where the rule allows, it matches nothing, else it denies everything, as the
//!   API text has it. A Pass is no less closed: it would skip what others deny;
//! * the rules of a direction: everything is denied in it;
//! * where the policy stands (`tier`, `priority`, or a baseline that is not called `default`) or whom it is about
//!   (`subject`): it stands before all others that it might have to, and is about every pod, but then allows nothing,
//!   and denies what it would pass;
//! * the spec, or a field in it that nobody knows or that is there twice: everything is denied in both directions.

mod peers;
mod ports;
mod ties;

use std::sync::Arc;

use sluice_policy::{
    AdminAction, AdminKind, AdminName, AdminPeers, AdminPolicy, AdminPorts, AdminRule, AdminTier,
    PodsOf, Selector,
};

pub use ties::{Tie, ties};

use crate::field::{Checked, Field, Reported};

/// What differs between the kinds.
struct Grammar {
    kind: AdminKind,
    /// The fields of `spec`.
    fields: &'static [&'static str],
    actions: &'static [(&'static str, AdminAction)],
    /// What ports are called in a rule.
    ports: &'static str,
    /// How many rules a direction may have, and entries each of their lists.
    most: usize,
}

/// One of the two lists of rules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    const fn rules(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    const fn peers(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }
}

impl Grammar {
    /// Bounds and names of the kind's CRD, experimental channel, v0.1.8 for v1alpha1 and v0.2.0 for v1alpha2.
    const fn of(kind: AdminKind) -> Self {
        const ALLOW: (&str, AdminAction) = ("Allow", AdminAction::Allow);
        const ACCEPT: (&str, AdminAction) = ("Accept", AdminAction::Allow);
        const DENY: (&str, AdminAction) = ("Deny", AdminAction::Deny);
        const PASS: (&str, AdminAction) = ("Pass", AdminAction::Pass);
        match kind {
            AdminKind::AdminNetworkPolicy => Self {
                kind,
                fields: &["priority", "subject", "ingress", "egress"],
                actions: &[ALLOW, DENY, PASS],
                ports: "ports",
                most: 100,
            },
            AdminKind::BaselineAdminNetworkPolicy => Self {
                kind,
                fields: &["subject", "ingress", "egress"],
                actions: &[ALLOW, DENY],
                ports: "ports",
                most: 100,
            },
            AdminKind::ClusterNetworkPolicy => Self {
                kind,
                fields: &["tier", "priority", "subject", "ingress", "egress"],
                actions: &[ACCEPT, DENY, PASS],
                ports: "protocols",
                most: 25,
            },
        }
    }
}

/// Reads a whole object.
pub(crate) fn admin_policy(object: &Field<'_>, kind: AdminKind, name: Arc<str>) -> AdminPolicy {
    let grammar = Grammar::of(kind);
    let known = object.only(&["apiVersion", "kind", "metadata", "spec", "status"]);
    let name_is_right = check_name(object, kind, &name);
    let name = AdminName { kind, name };
    let spec = object
        .once("spec")
        .and_then(|spec| spec.ok_or_else(|| object.missing("spec")));
    let certain = known.and(name_is_right);
    match spec {
        Ok(spec) => read_spec(&spec, &grammar, name, certain),
        Err(Reported) => AdminPolicy {
            ingress: vec![deny_everything()],
            egress: vec![deny_everything()],
            ..unplaced(name)
        },
    }
}

/// There is one baseline.
fn check_name(object: &Field<'_>, kind: AdminKind, name: &str) -> Checked<()> {
    if kind != AdminKind::BaselineAdminNetworkPolicy || name == "default" {
        return Ok(());
    }
    let metadata = object.get("metadata");
    let field = metadata.and_then(|metadata| metadata.get("name"));
    let field = field.unwrap_or_else(|| object.clone());
    Err(field.wrong(format!(
        "must be \"default\", the one BaselineAdminNetworkPolicy of a cluster, got {name:?}"
    )))
}

const EVERY_POD: PodsOf = PodsOf {
    namespaces: Selector {
        requirements: Vec::new(),
    },
    pods: Selector {
        requirements: Vec::new(),
    },
};

/// A policy without rules, that is about every pod and before all others of its tier.
fn unplaced(name: AdminName) -> AdminPolicy {
    AdminPolicy {
        tier: match name.kind {
            AdminKind::AdminNetworkPolicy | AdminKind::ClusterNetworkPolicy => AdminTier::Admin,
            AdminKind::BaselineAdminNetworkPolicy => AdminTier::Baseline,
        },
        priority: 0,
        name,
        subject: EVERY_POD,
        ingress: Vec::new(),
        egress: Vec::new(),
    }
}

fn read_spec(
    spec: &Field<'_>,
    grammar: &Grammar,
    name: AdminName,
    certain: Checked<()>,
) -> AdminPolicy {
    let known = spec.only(grammar.fields);
    let unplaced = unplaced(name);
    let tier = tier(spec, grammar.kind);
    let priority = priority(spec, grammar.kind);
    let subject = required(spec, "subject").and_then(|field| peers::subject(&field, grammar.kind));
    let is_certain = certain.is_ok() && tier.is_ok() && priority.is_ok() && subject.is_ok();
    let rules = |direction| match (rules(spec, grammar, direction), known) {
        (Ok(rules), Ok(())) if is_certain => rules,
        (Ok(rules), Ok(())) => rules.into_iter().map(closed).collect(),
        _ => vec![deny_everything()],
    };
    AdminPolicy {
        ingress: rules(Direction::Ingress),
        egress: rules(Direction::Egress),
        tier: tier.unwrap_or(unplaced.tier),
        priority: priority.unwrap_or(unplaced.priority),
        subject: subject.unwrap_or(unplaced.subject),
        name: unplaced.name,
    }
}

fn required<'d>(parent: &Field<'d>, key: &str) -> Checked<Field<'d>> {
    parent.once(key)?.ok_or_else(|| parent.missing(key))
}

fn tier(spec: &Field<'_>, kind: AdminKind) -> Checked<AdminTier> {
    match kind {
        AdminKind::AdminNetworkPolicy => return Ok(AdminTier::Admin),
        AdminKind::BaselineAdminNetworkPolicy => return Ok(AdminTier::Baseline),
        AdminKind::ClusterNetworkPolicy => {}
    }
    let field = required(spec, "tier")?;
    match field.text()? {
        "Admin" => Ok(AdminTier::Admin),
        "Baseline" => Ok(AdminTier::Baseline),
        _ => Err(field.wrong(format!("must be Admin or Baseline, got {}", field.shown()))),
    }
}

fn priority(spec: &Field<'_>, kind: AdminKind) -> Checked<u16> {
    if kind == AdminKind::BaselineAdminNetworkPolicy {
        return Ok(AdminPolicy::LAST);
    }
    let number = required(spec, "priority")?.number(0, 1000)?;
    u16::try_from(number).map_err(|_too_large| Reported)
}

/// The rules of one direction; none where there is no such field.
fn rules(spec: &Field<'_>, grammar: &Grammar, direction: Direction) -> Checked<Vec<AdminRule>> {
    let Some(field) = spec.once(direction.rules())? else {
        return Ok(Vec::new());
    };
    let items = field.items()?;
    field.at_most(&items, grammar.most);
    Ok(items
        .iter()
        .map(|item| rule(item, grammar, direction))
        .collect())
}

/// One rule; it keeps its place in the list, whatever is wrong with it.
fn rule(field: &Field<'_>, grammar: &Grammar, direction: Direction) -> AdminRule {
    let known = field.only(&["name", "action", direction.peers(), grammar.ports]);
    check_rule_name(field);
    let action = action(field, grammar).unwrap_or(AdminAction::Deny);
    let peers = peers::peers(field, grammar, direction);
    let ports = ports::ports(field, grammar, direction);
    let peers = known.and(peers);
    match (peers, ports) {
        (Ok(peers), Ok(ports)) => AdminRule {
            action,
            peers: AdminPeers::Of(peers),
            ports,
        },
        _ if action == AdminAction::Allow => nothing(),
        (Ok(peers), Err(Reported)) => AdminRule {
            peers: AdminPeers::Of(peers),
            ..deny_everything()
        },
        (Err(Reported), _) => deny_everything(),
    }
}

fn check_rule_name(rule: &Field<'_>) {
    const LONGEST: usize = 100;
    let Some(field) = rule.get("name") else {
        return;
    };
    let length = field.text().map_or(0, |text| text.chars().count());
    if length > LONGEST {
        field.remark(format!(
            "must have at most {LONGEST} characters, got {length}"
        ));
    }
}

fn action(rule: &Field<'_>, grammar: &Grammar) -> Checked<AdminAction> {
    let field = required(rule, "action")?;
    let text = field.text()?;
    let known = grammar.actions.iter().find(|(name, _)| *name == text);
    known.map(|(_, action)| *action).ok_or_else(|| {
        let names: Vec<&str> = grammar.actions.iter().map(|(name, _)| *name).collect();
        field.wrong(format!("must be {}, got {}", one_of(&names), field.shown()))
    })
}

/// `a, b or c`.
fn one_of(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// A rule that matches nothing.
const fn nothing() -> AdminRule {
    AdminRule {
        action: AdminAction::Allow,
        peers: AdminPeers::Of(Vec::new()),
        ports: AdminPorts::Of(Vec::new()),
    }
}

/// A rule that matches everything, and denies it.
const fn deny_everything() -> AdminRule {
    AdminRule {
        action: AdminAction::Deny,
        peers: AdminPeers::Any,
        ports: AdminPorts::Any,
    }
}

/// A rule of a policy of which nobody knows where it stands, or whom it is about: it allows nothing, and what it would
/// pass, it denies, as it might skip what others deny.
fn closed(rule: AdminRule) -> AdminRule {
    match rule.action {
        AdminAction::Allow => nothing(),
        AdminAction::Deny | AdminAction::Pass => AdminRule {
            action: AdminAction::Deny,
            ..rule
        },
    }
}

/// A policy whose name is taken, under another name: it allows nothing.
pub(crate) fn again(policy: &AdminPolicy, name: Arc<str>) -> AdminPolicy {
    let closed = |rules: &[AdminRule]| rules.iter().cloned().map(closed).collect();
    AdminPolicy {
        name: AdminName {
            kind: policy.name.kind,
            name,
        },
        ingress: closed(&policy.ingress),
        egress: closed(&policy.egress),
        ..policy.clone()
    }
}
