//! One connection against one snapshot: the tiers in order, for each direction. Knows nothing of how the
//! snapshot came about.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::Address;
use crate::snapshot::{Entry, IdentityView, Snapshot};
use crate::table::{Peer, Reason, Service, Table};
use crate::{Action, AdminAction, Decision, Direction, Protocol, Step, Tier, Tuple};

/// The tiers that can have a say, first to last; the Default always has.
const TIERS: [Tier; 5] = [
    Tier::Exempt,
    Tier::Admin,
    Tier::NetworkPolicy,
    Tier::Baseline,
    Tier::Default,
];

/// A tuple with all that the snapshot knows about its ends.
pub(crate) struct Connection<'s> {
    source: End<'s>,
    destination: End<'s>,
    protocol: Protocol,
    port: u16,
}

/// One end of a connection.
#[derive(Clone, Copy)]
struct End<'s> {
    address: Address,
    entry: Option<&'s Entry>,
    /// That of the pod, if a pod has the address.
    identity: Option<&'s IdentityView>,
}

impl<'s> Connection<'s> {
    /// Looks both ends up.
    #[inline]
    pub(crate) fn of(snapshot: &'s Snapshot, tuple: &Tuple) -> Self {
        Self {
            source: End::of(snapshot, tuple.source.into()),
            destination: End::of(snapshot, tuple.destination.into()),
            protocol: tuple.protocol,
            port: tuple.port,
        }
    }

    /// What the first tier with a say decides.
    #[inline]
    pub(crate) fn decide(&self, direction: Direction) -> Decision<'s> {
        let Some(subject) = self.subject(direction) else {
            return Decision::DEFAULT;
        };
        let asked = TIERS
            .iter()
            .find_map(|tier| self.ask(*tier, direction, subject));
        asked.unwrap_or(Decision::DEFAULT)
    }

    /// The same as steps for people.
    pub(crate) fn explain(&self, direction: Direction) -> Vec<Step<'s>> {
        let Some(subject) = self.subject(direction) else {
            let reason = format!(
                "{} is no pod whose policies are enforced here",
                self.end(direction)
            );
            return vec![Step {
                direction,
                tier: Tier::Default,
                action: Some(Decision::DEFAULT.action),
                policy: None,
                rule: None,
                reason,
            }];
        };
        let mut steps = Vec::new();
        for tier in TIERS {
            let step = self.step(tier, direction, subject);
            let is_last = step.action.is_some();
            steps.push(step);
            if is_last {
                break;
            }
        }
        steps
    }

    /// What a tier decides; none where it has no say.
    #[inline]
    fn ask(
        &self,
        tier: Tier,
        direction: Direction,
        subject: (&'s Entry, &'s IdentityView),
    ) -> Option<Decision<'s>> {
        match tier {
            Tier::Exempt => self
                .is_exempt(direction, subject.0)
                .then_some(Decision::EXEMPT),
            Tier::Admin | Tier::NetworkPolicy | Tier::Baseline => {
                let table = subject.1.tiers.table(tier, direction)?;
                judge(tier, table, self.first_match(table, direction))
            }
            Tier::Default => Some(Decision::DEFAULT),
        }
    }

    /// The end whose policies are asked, if it is a pod of the scope.
    #[inline]
    fn subject(&self, direction: Direction) -> Option<(&'s Entry, &'s IdentityView)> {
        let end = self.end(direction);
        Some((
            end.entry.filter(|entry| entry.standing.local)?,
            end.identity?,
        ))
    }

    /// A pod and itself, and a node reaching its own pod.
    #[inline]
    fn is_exempt(&self, direction: Direction, subject: &Entry) -> bool {
        self.is_loopback() || (direction == Direction::Ingress && self.is_from_node_of(subject))
    }

    #[inline]
    fn is_loopback(&self) -> bool {
        let pod = |end: &End<'s>| end.entry.and_then(|entry| entry.pod.as_ref());
        pod(&self.source)
            .zip(pod(&self.destination))
            .is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    #[inline]
    fn is_from_node_of(&self, subject: &Entry) -> bool {
        // Few sources are nodes: an empty list settles it.
        let nodes = self.source.entry.map_or(&[][..], Entry::nodes);
        !nodes.is_empty()
            && subject
                .pod
                .as_ref()
                .and_then(|view| view.pod.node.as_ref())
                .is_some_and(|node| nodes.contains(node))
    }

    /// The first rule of a table that matches.
    #[inline]
    fn first_match(&self, table: &'s Table, direction: Direction) -> Option<&'s Reason> {
        let peer = match direction {
            Direction::Ingress => self.source,
            Direction::Egress => self.destination,
        };
        let pod = self
            .destination
            .entry
            .and_then(|entry| entry.pod.as_deref());
        let service = Service {
            protocol: self.protocol,
            port: self.port,
            pod,
        };
        table.first_match(peer.peer(), service)
    }

    #[inline]
    fn end(&self, direction: Direction) -> &End<'s> {
        match direction {
            Direction::Ingress => &self.destination,
            Direction::Egress => &self.source,
        }
    }

    /// What a tier says, for people.
    fn step(
        &self,
        tier: Tier,
        direction: Direction,
        subject: (&'s Entry, &'s IdentityView),
    ) -> Step<'s> {
        let decision = self.ask(tier, direction, subject);
        let table = subject.1.tiers.table(tier, direction);
        let found = table.and_then(|table| self.first_match(table, direction));
        let decided_by = decision.and_then(|decision| decision.policy);
        let reason = match (tier, table) {
            (Tier::Exempt, _) => self.exemption(decision.is_some()).to_owned(),
            (Tier::Default, _) => "no policy has a say".to_owned(),
            (_, None) => format!("no policy selects {}", self.end(direction)),
            (_, Some(table)) => said(table, found),
        };
        Step {
            direction,
            tier,
            action: decision.map(|decision| decision.action),
            policy: decided_by.or_else(|| Some(&*found?.policy)),
            rule: found.map(|reason| reason.rule),
            reason,
        }
    }

    fn exemption(&self, is_exempt: bool) -> &'static str {
        if !is_exempt {
            "neither the pod itself nor its own node"
        } else if self.is_loopback() {
            "a pod always reaches itself"
        } else {
            "a node always reaches its own pods"
        }
    }
}

impl<'s> End<'s> {
    #[inline]
    fn of(snapshot: &'s Snapshot, address: Address) -> Self {
        let entry = snapshot.addresses.get(address);
        let pod = entry.filter(|entry| entry.pod.is_some());
        let identity = pod.and_then(|entry| snapshot.identities.get(entry.standing.identity));
        Self {
            address,
            entry,
            identity,
        }
    }

    #[inline]
    fn peer(&self) -> Peer<'s> {
        Peer {
            address: self.address,
            selections: self.identity.map_or(&[], |identity| &identity.selections),
            nodes: self.entry.map_or(&[], Entry::node_selections),
        }
    }
}

impl fmt::Display for End<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry.and_then(|entry| entry.pod.as_ref()) {
            Some(view) => write!(f, "{}", view.pod.name),
            None => write!(f, "{}", IpAddr::from(self.address)),
        }
    }
}

/// What a tier decides, given its first rule that matches. A NetworkPolicy is final for whom it isolates: what no rule
/// allows is denied. The other tiers leave to the next what no rule matches, and what a rule passes.
#[inline]
fn judge<'s>(tier: Tier, table: &'s Table, found: Option<&'s Reason>) -> Option<Decision<'s>> {
    let (action, policy, rule) = match found {
        Some(reason) => {
            let action = match reason.action {
                AdminAction::Allow => Action::Allow,
                AdminAction::Deny => Action::Deny,
                AdminAction::Pass => return None,
            };
            (action, &reason.policy, Some(reason.rule))
        }
        None => (Action::Deny, table.isolated_by.as_ref()?, None),
    };
    Some(Decision {
        action,
        tier,
        policy: Some(policy),
        rule,
    })
}

/// What a tier that has rules said.
fn said(table: &Table, found: Option<&Reason>) -> String {
    let Some(Reason { rule, action, .. }) = found else {
        let isolates = table.isolated_by.is_some();
        return if isolates {
            "isolated, and no rule matches"
        } else {
            "no rule matches"
        }
        .to_owned();
    };
    let does = match action {
        AdminAction::Allow => "allows",
        AdminAction::Deny => "denies",
        AdminAction::Pass => "passes",
    };
    format!("rule {rule} {does}")
}
