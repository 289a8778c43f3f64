//! One connection against one snapshot: the tiers in order, for each direction. Knows nothing of how the
//! snapshot came about.

use std::net::IpAddr;
use std::sync::Arc;

use crate::address::Address;
use crate::snapshot::{Entry, IdentityView, PodView, Snapshot};
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
    nodes: &'s [Arc<str>],
    pod: Option<(&'s PodView, &'s IdentityView)>,
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
        subject: (&'s PodView, &'s IdentityView),
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

    /// The pod whose policies are asked, if it is of the scope.
    #[inline]
    fn subject(&self, direction: Direction) -> Option<(&'s PodView, &'s IdentityView)> {
        let end = match direction {
            Direction::Ingress => self.destination,
            Direction::Egress => self.source,
        };
        end.pod.filter(|(pod, _)| pod.local)
    }

    /// A pod and itself, and a node reaching its own pod.
    #[inline]
    fn is_exempt(&self, direction: Direction, subject: &PodView) -> bool {
        self.is_loopback() || (direction == Direction::Ingress && self.is_from_node_of(subject))
    }

    #[inline]
    fn is_loopback(&self) -> bool {
        match (self.source.pod, self.destination.pod) {
            (Some((source, _)), Some((destination, _))) => std::ptr::eq(source, destination),
            _ => false,
        }
    }

    #[inline]
    fn is_from_node_of(&self, subject: &PodView) -> bool {
        // Few sources are nodes: an empty list settles it.
        !self.source.nodes.is_empty()
            && subject
                .pod
                .node
                .as_ref()
                .is_some_and(|node| self.source.nodes.contains(node))
    }

    /// NetworkPolicy is final for whom it isolates: what no rule allows is denied.
    #[inline]
    fn judge(&self, table: &'s Table, direction: Direction) -> Decision<'s> {
        let peer = match direction {
            Direction::Ingress => self.source,
            Direction::Egress => self.destination,
        };
        let declared = self
            .destination
            .pod
            .map_or(&[][..], |(pod, _)| &pod.pod.ports);
        let service = Service {
            protocol: self.protocol,
            port: self.port,
            declared,
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

    fn end(&self, direction: Direction) -> String {
        let end = match direction {
            Direction::Ingress => self.destination,
            Direction::Egress => self.source,
        };
        match end.pod {
            Some((pod, _)) => pod.pod.name.to_string(),
            None => IpAddr::from(end.address).to_string(),
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
        let pod = entry.and_then(|entry| {
            let pod = entry.pod.as_deref()?;
            Some((pod, snapshot.identities.get(pod.identity)?))
        });
        Self {
            address,
            nodes: entry.map_or(&[], Entry::nodes),
            pod,
        }
    }

    #[inline]
    fn peer(&self) -> Peer<'s> {
        let selections = self
            .pod
            .and_then(|(_, identity)| identity.selections.as_deref());
        Peer {
            address: self.address,
            selections: selections.unwrap_or_default(),
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
