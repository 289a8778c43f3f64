//! One connection against one snapshot: the tiers in order, for each direction. Knows nothing of how the
//! snapshot came about.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::address::Address;
use crate::snapshot::{Entry, IdentityView, Snapshot};
use crate::table::{Peer, Service, Table};
use crate::{Action, Decision, Direction, Protocol, Step, Tier, Tuple};

/// The tiers that can have a say, first to last; the Default always has.
const TIERS: [Tier; 3] = [Tier::Exempt, Tier::NetworkPolicy, Tier::Default];

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
            return vec![step(
                direction,
                Tier::Default,
                Some(Decision::DEFAULT),
                reason,
            )];
        };
        let mut steps = Vec::new();
        for tier in TIERS {
            let decision = self.ask(tier, direction, subject);
            steps.push(step(
                direction,
                tier,
                decision,
                self.reason(tier, direction, decision),
            ));
            if decision.is_some() {
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
            Tier::NetworkPolicy => {
                let table = subject.1.tables.as_ref()?.of(direction)?;
                Some(self.judge(table, direction))
            }
            // No objects of these tiers are held.
            Tier::Admin | Tier::Baseline => None,
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

    /// NetworkPolicy is final for whom it isolates: what no rule allows is denied.
    #[inline]
    fn judge(&self, table: &'s Table, direction: Direction) -> Decision<'s> {
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
        let (action, policy, rule) = match table.first_match(peer.peer(), service) {
            Some(reason) => (Action::Allow, &reason.policy, Some(reason.rule)),
            None => (Action::Deny, &table.isolated_by, None),
        };
        Decision {
            action,
            tier: Tier::NetworkPolicy,
            policy: Some(policy),
            rule,
        }
    }

    #[inline]
    fn end(&self, direction: Direction) -> &End<'s> {
        match direction {
            Direction::Ingress => &self.destination,
            Direction::Egress => &self.source,
        }
    }

    /// Why a tier said what it said.
    fn reason(&self, tier: Tier, direction: Direction, decision: Option<Decision<'s>>) -> String {
        match (tier, decision) {
            (Tier::Exempt, Some(_)) if self.is_loopback() => {
                "a pod always reaches itself".to_owned()
            }
            (Tier::Exempt, Some(_)) => "a node always reaches its own pods".to_owned(),
            (Tier::Exempt, None) => "neither the pod itself nor its own node".to_owned(),
            (Tier::Default, _) => "no policy has a say".to_owned(),
            (_, None) => format!("no policy selects {}", self.end(direction)),
            (
                _,
                Some(Decision {
                    rule: Some(rule), ..
                }),
            ) => format!("rule {rule} allows"),
            (_, Some(_)) => "isolated, and no rule matches".to_owned(),
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

fn step(
    direction: Direction,
    tier: Tier,
    decision: Option<Decision<'_>>,
    reason: String,
) -> Step<'_> {
    Step {
        direction,
        tier,
        action: decision.map(|decision| decision.action),
        policy: decision.and_then(|decision| decision.policy),
        rule: decision.and_then(|decision| decision.rule),
        reason,
    }
}
