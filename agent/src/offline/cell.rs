//! One connection and its verdict, in the shape that scripts hold on to.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sluice_policy::{Action, Decision, Direction, Snapshot, Step, Tier, Tuple, Verdict};

use super::ask::Family;

/// Whether one end may connect to the other, and on whose authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell<'a> {
    /// `NAMESPACE/POD`, or an address that is no pod's.
    pub from: Cow<'a, str>,
    /// The same for the destination.
    pub to: Cow<'a, str>,
    /// The destination port.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Cow<'a, str>,
    /// `IPv4` or `IPv6`.
    pub family: Cow<'a, str>,
    /// Whether both directions allow it.
    pub allowed: bool,
    /// What the source's side says.
    pub egress: Outcome<'a>,
    /// What the destination's side says.
    pub ingress: Outcome<'a>,
}

/// What one direction says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Outcome<'a> {
    /// Whether it allows.
    pub allowed: bool,
    /// The tier that decided: `Admin`, `NetworkPolicy`, `Baseline`, `Default` or `Exempt`.
    pub tier: Cow<'a, str>,
    /// The policy that decided.
    pub policy: Option<Cow<'a, str>>,
    /// Its rule that decided, from zero.
    pub rule: Option<u32>,
}

/// The ends of a connection that is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) tuple: Tuple,
}

impl Ends<'_> {
    /// A pod reaches itself over its loopback, whatever its address means to others.
    fn are_one_pod(&self) -> bool {
        self.from == self.to && self.from.contains('/')
    }
}

impl<'a> Cell<'a> {
    /// The same, for longer.
    pub(super) fn into_owned(self) -> Cell<'static> {
        Cell {
            from: self.from.into_owned().into(),
            to: self.to.into_owned().into(),
            port: self.port,
            protocol: self.protocol.into_owned().into(),
            family: self.family.into_owned().into(),
            allowed: self.allowed,
            egress: self.egress.into_owned(),
            ingress: self.ingress.into_owned(),
        }
    }

    /// Judges a connection.
    pub(super) fn judge(snapshot: &Snapshot, ends: Ends<'a>) -> Self {
        let verdict = if ends.are_one_pod() {
            Verdict {
                egress: Decision::EXEMPT,
                ingress: Decision::EXEMPT,
            }
        } else {
            snapshot.evaluate(&ends.tuple)
        };
        Self {
            from: ends.from.into(),
            to: ends.to.into(),
            port: ends.tuple.port,
            protocol: protocol(&ends.tuple),
            family: family(ends.tuple.source).into(),
            allowed: verdict.action() == Action::Allow,
            egress: Outcome::of(&verdict.egress),
            ingress: Outcome::of(&verdict.ingress),
        }
    }
}

/// How [`Cell::judge`] comes to its verdict.
pub(super) fn steps<'s>(snapshot: &'s Snapshot, ends: Ends<'_>) -> Vec<Step<'s>> {
    if !ends.are_one_pod() {
        return snapshot.trace(&ends.tuple);
    }
    let exempt = |direction| Step {
        direction,
        tier: Tier::Exempt,
        action: Some(Action::Allow),
        policy: None,
        rule: None,
        reason: "a pod always reaches itself".to_owned(),
    };
    vec![exempt(Direction::Egress), exempt(Direction::Ingress)]
}

impl Outcome<'_> {
    /// The same, for longer.
    pub(super) fn into_owned(self) -> Outcome<'static> {
        Outcome {
            allowed: self.allowed,
            tier: self.tier.into_owned().into(),
            policy: self.policy.map(|policy| policy.into_owned().into()),
            rule: self.rule,
        }
    }

    fn of(decision: &Decision<'_>) -> Self {
        Self {
            allowed: decision.action == Action::Allow,
            tier: decision.tier.name().into(),
            policy: decision.policy.map(|policy| policy.to_string().into()),
            rule: decision.rule,
        }
    }
}

fn protocol(tuple: &Tuple) -> Cow<'static, str> {
    tuple.protocol.to_string().into()
}

fn family(address: IpAddr) -> &'static str {
    Family::of(address).name()
}
