//! What policies most likely do not mean: rules as pure functions over manifests that are valid. None of them says that
//! a policy is wrong; each says what it does, where people tend to expect something else.

mod blocks;
mod covers;
mod order;
mod ports;
mod scene;
mod selection;
mod shape;

use std::fmt;

use sluice_kubernetes::{Place, World, Written};

use scene::{Policy, Scene};

/// How likely it is that something else was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is rarely meant.
    Warning,
    /// It may well be meant.
    Note,
}

/// Something that is looked for.
pub struct Rule {
    /// What it is called, for `--allow`.
    pub name: &'static str,
    /// How likely something else was meant.
    pub severity: Severity,
    /// What it looks for.
    pub sentence: &'static str,
    find: fn(&Scene<'_>) -> Vec<Remark>,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// The rule's severity.
    pub severity: Severity,
    /// Where the field stands.
    pub place: Place,
    /// `NetworkPolicy x/allow`.
    pub object: String,
    /// `spec.ingress[0].from[1]`.
    pub field: String,
    /// What it does, and what to do where that was not meant.
    pub message: String,
}

/// What a rule says of a policy's field.
struct Remark {
    policy: usize,
    field: String,
    message: String,
}

impl Remark {
    fn new(policy: &Policy<'_>, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            policy: policy.number,
            field: field.into(),
            message: message.into(),
        }
    }
}

macro_rules! rules {
    ($($severity:ident $name:literal $find:path: $sentence:literal,)*) => {
        &[$(Rule { name: $name, severity: Severity::$severity, sentence: $sentence, find: $find }),*]
    };
}

/// Every rule.
pub const RULES: &[Rule] = rules![
    Warning "selects-no-pod" selection::selects_no_pod: "a policy whose subject no pod of the manifests is",
    Note "selects-host-network" selection::selects_host_network: "a policy that selects a pod in the network of its node, for which the API leaves open what it means",
    Warning "peer-selects-nothing" selection::peer_selects_nothing: "a peer that no pod or node of the manifests is",
    Warning "unreachable-rule" order::unreachable: "a rule of an admin policy whose connections an earlier rule of the policy decides, all of them",
    Warning "shadowed-rule" order::shadowed: "a rule of an admin policy whose connections a policy of a lower priority number decides, all of them",
    Note "redundant-rule" order::redundant: "a rule of a NetworkPolicy that allows nothing which another rule of it does not allow",
    Note "priority-tie" order::tied: "admin policies of one tier and priority, of which the API does not say which comes first",
    Warning "dns-forgotten" ports::dns_forgotten: "egress that is isolated, allows something, and does not allow port 53 to anybody",
    Warning "service-port" ports::service_port: "a port of a Service where the port of its pods is meant: policies see pods",
    Warning "unknown-port-name" ports::unknown_name: "a port by a name that no pod at the receiving end has",
    Warning "except-reopened" blocks::except_reopened: "an except that another rule allows: it is no deny, it is left out of its own block alone",
    Note "block-covers-pods" blocks::covers_pods: "an ipBlock that holds addresses of pods",
    Warning "empty-peers" shape::empty_peers: "an empty `from` or `to`, which means everybody, not nobody",
    Note "empty-ports" shape::empty_ports: "an empty `ports`, which means every port, not none",
    Warning "or-for-and" shape::or_for_and: "a podSelector and a namespaceSelector as two items of a list: either suffices",
    Warning "ignored-rules" shape::ignored_rules: "rules for a direction that `policyTypes` does not name: they do nothing",
    Warning "egress-not-isolated" shape::egress_not_isolated: "an empty `egress` without `policyTypes`: it isolates nothing",
    Warning "ingress-isolated-too" shape::ingress_isolated_too: "egress rules without `policyTypes` and without `ingress`: ingress is isolated as well",
];

/// What there is to say about manifests, in order of place. `world` and `written` are of the same paths.
pub fn lint(world: &World, written: &[Written]) -> Vec<Finding> {
    let scene = Scene::of(world, written);
    let mut findings: Vec<Finding> = RULES
        .iter()
        .flat_map(|rule| {
            let remarks = (rule.find)(&scene);
            let finding = |remark| finding(&scene, rule, remark);
            remarks.into_iter().map(finding).collect::<Vec<_>>()
        })
        .collect();
    findings.sort_by(|one, other| {
        (&one.place, &one.field, one.rule).cmp(&(&other.place, &other.field, other.rule))
    });
    findings
}

fn finding(scene: &Scene<'_>, rule: &Rule, remark: Remark) -> Finding {
    let written = scene.policies[remark.policy].written;
    Finding {
        rule: rule.name,
        severity: rule.severity,
        place: written.place(&remark.field),
        object: written.title.clone(),
        field: remark.field,
        message: remark.message,
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            place,
            object,
            field,
            message,
            ..
        } = self;
        write!(f, "{place}: {object}: {field}: {message} [{rule}]")
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}
