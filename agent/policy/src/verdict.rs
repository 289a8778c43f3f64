//! What an evaluation says, and on whose authority.

use crate::PolicyId;

/// Allowed or denied. There is no third.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The connection may open.
    Allow,
    /// The connection is dropped.
    Deny,
}

/// From whose end a connection is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into the destination.
    Ingress,
    /// Out of the source.
    Egress,
}

/// Which tier of policies decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// `AdminNetworkPolicy`, or `ClusterNetworkPolicy` of the Admin tier.
    Admin,
    /// `NetworkPolicy`, final for the pods it isolates.
    NetworkPolicy,
    /// `BaselineAdminNetworkPolicy`, or `ClusterNetworkPolicy` of the Baseline tier.
    Baseline,
    /// No policy had a say.
    Default,
    /// Outside all policies: a pod and itself, or a node reaching its own pod.
    Exempt,
}

impl Tier {
    /// As users read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "Admin",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Baseline => "Baseline",
            Self::Default => "Default",
            Self::Exempt => "Exempt",
        }
    }
}

/// One direction's outcome and its reason.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'s> {
    /// The outcome.
    pub action: Action,
    /// The tier that decided.
    pub tier: Tier,
    /// The policy that decided; for a denial by isolation the first, in name order, that isolates the
    /// subject in this direction; none where a default decided.
    pub policy: Option<&'s PolicyId>,
    /// Zero-based index of the rule that decided, where a single one did.
    pub rule: Option<u32>,
}

impl Decision<'_> {
    /// The outcome where no policy applies.
    pub const DEFAULT: Decision<'static> = Decision {
        action: Action::Allow,
        tier: Tier::Default,
        policy: None,
        rule: None,
    };
    /// The outcome where policies do not apply.
    pub const EXEMPT: Decision<'static> = Decision {
        action: Action::Allow,
        tier: Tier::Exempt,
        policy: None,
        rule: None,
    };
}

/// Both directions' outcomes: a connection needs egress of its source and ingress of its destination.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'s> {
    /// Egress of the source; the default where the source is no pod of the snapshot's scope.
    pub egress: Decision<'s>,
    /// Ingress of the destination; the default where the destination is no pod of the snapshot's scope.
    pub ingress: Decision<'s>,
}

impl Verdict<'_> {
    /// The outcome for the connection.
    pub const fn action(&self) -> Action {
        match (self.egress.action, self.ingress.action) {
            (Action::Allow, Action::Allow) => Action::Allow,
            _ => Action::Deny,
        }
    }
}

/// One tier's answer on the way to a decision, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'s> {
    /// The direction asked about.
    pub direction: Direction,
    /// The tier asked.
    pub tier: Tier,
    /// What it said; none where it had no say and the next tier was asked.
    pub action: Option<Action>,
    /// The policy it speaks for; also where it left the decision to the next tier by a rule.
    pub policy: Option<&'s PolicyId>,
    /// The rule of that policy.
    pub rule: Option<u32>,
    /// Why, as a fragment: "no policy selects x/a", "rule 0 allows", "rule 1 denies", "rule 2 passes", "no rule
    /// matches", "isolated, and no rule matches".
    pub reason: String,
}
