//! One packet's verdict: pure, so that every case is a test.

use sluice_ebpf::Marks;
use sluice_policy::{Action, Decision, Direction, Protocol, Snapshot, Tuple, Verdict};

use super::packet::Packet;

/// What the gate wrote into the packet's mark before it queued it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// Conntrack says that it travels against its connection.
    pub(crate) reply: bool,
    /// Conntrack has not seen its connection before.
    pub(crate) fresh: bool,
    /// Conntrack was told to leave it alone.
    pub(crate) untracked: bool,
}

impl Hints {
    /// From the packet mark as the queue delivers it.
    pub(crate) const fn from_mark(mark: u32, marks: Marks) -> Self {
        let (reply, fresh) = (mark & marks.reply != 0, mark & marks.pass != 0);
        // No packet is both a reply and the first of its connection.
        let untracked = reply && fresh;
        Self {
            reply: reply && !untracked,
            fresh: fresh && !untracked,
            untracked,
        }
    }
}

/// The outcome for a packet, and the connection that it was judged as.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement<'s> {
    /// The connection in its own direction.
    pub(crate) tuple: Tuple,
    pub(crate) verdict: Verdict<'s>,
    /// The packet runs against `tuple`.
    pub(crate) reversed: bool,
}

impl<'s> Judgement<'s> {
    pub(crate) const fn action(&self) -> Action {
        self.verdict.action()
    }

    /// What was decided, and in which direction: the destination's side is not asked where the source's denies.
    pub(crate) fn decisions(&self) -> impl Iterator<Item = (Direction, Decision<'s>)> {
        let Verdict { egress, ingress } = self.verdict;
        let asked = egress.action == Action::Allow;
        let ingress = asked.then_some((Direction::Ingress, ingress));
        [(Direction::Egress, egress)].into_iter().chain(ingress)
    }

    /// The direction that denied, and why.
    pub(crate) fn denial(&self) -> Option<(Direction, Decision<'s>)> {
        let Verdict { egress, ingress } = self.verdict;
        match (egress.action, ingress.action) {
            (Action::Deny, _) => Some((Direction::Egress, egress)),
            (Action::Allow, Action::Deny) => Some((Direction::Ingress, ingress)),
            (Action::Allow, Action::Allow) => None,
        }
    }
}

/// Judges a packet as part of its connection.
///
/// Conntrack knows who opened a connection that it saw opening; only a SYN is never an answer, whatever it says. One that it picks up in the middle may run either
/// way, so it may continue if either way is allowed: a packet without SYN opens nothing, and where one with SYN follows,
/// the gate takes the acceptance back and has it judged. Of what conntrack does not look at, `answers` says whether it
/// answers something that was accepted.
pub(crate) fn judge<'s>(
    snapshot: &'s Snapshot,
    packet: &Packet,
    hints: Hints,
    answers: impl FnOnce() -> bool,
) -> Judgement<'s> {
    let judged = |tuple: Tuple, reversed| Judgement {
        tuple,
        verdict: snapshot.evaluate(&tuple),
        reversed,
    };
    let asks = packet.protocol == Protocol::Tcp && packet.opens;
    if hints.reply && !asks {
        return judged(packet.backward(), true);
    }
    let forward = judged(packet.forward(), false);
    if forward.action() == Action::Allow {
        return forward;
    }
    let may_answer = if hints.untracked {
        !asks && answers()
    } else {
        hints.fresh && packet.midstream
    };
    if !may_answer {
        return forward;
    }
    let backward = judged(packet.backward(), true);
    if backward.action() == Action::Allow {
        backward
    } else {
        forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_policy::{Event, Index, NetworkPolicy, Pod, PodName, Scope, Selector};
    use std::net::IpAddr;
    use std::sync::Arc;

    const A: &str = "10.0.0.1";
    const B: &str = "10.0.0.2";

    fn pod(name: &str, address: &str) -> Event {
        Event::Pod(Pod {
            name: PodName {
                namespace: "x".into(),
                name: name.into(),
            },
            node: None,
            labels: [("pod".into(), name.into())].into(),
            addresses: vec![address.parse().unwrap()],
            ports: [].into(),
            host_network: false,
            created: 0,
        })
    }

    fn labelled(pod: &str) -> Selector {
        Selector {
            requirements: vec![sluice_policy::Requirement {
                key: "pod".into(),
                operator: sluice_policy::Operator::In(vec![pod.into()]),
            }],
        }
    }

    /// Pod a is isolated for ingress, and nothing may reach it; what it opens itself is allowed.
    fn snapshot() -> Arc<Snapshot> {
        let policy = NetworkPolicy {
            namespace: "x".into(),
            name: "deny".into(),
            pods: labelled("a"),
            ingress: Some(Vec::new()),
            egress: None,
        };
        let mut index = Index::new(Scope::Cluster);
        let changes = index.apply([pod("a", A), pod("b", B), Event::NetworkPolicy(policy)]);
        assert_eq!(
            changes.isolation.len(),
            2,
            "both pods are local, one is isolated"
        );
        index.snapshot()
    }

    fn packet(from: &str, to: &str, midstream: bool) -> Packet {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        Packet {
            source: parse(from),
            destination: parse(to),
            protocol: Protocol::Tcp,
            source_port: 80,
            destination_port: 4000,
            midstream,
            opens: !midstream,
        }
    }

    fn check(packet: Packet, hints: Hints, action: Action, reversed: bool) {
        let snapshot = snapshot();
        let judgement = judge(&snapshot, &packet, hints, || false);
        assert_eq!(
            (judgement.action(), judgement.reversed),
            (action, reversed),
            "{packet:?} {hints:?}"
        );
    }

    #[test]
    fn an_opening_packet_is_judged_in_its_own_direction() {
        check(
            packet(B, A, false),
            Hints {
                fresh: true,
                reply: false,
                ..Hints::default()
            },
            Action::Deny,
            false,
        );
        check(
            packet(A, B, false),
            Hints {
                fresh: true,
                reply: false,
                ..Hints::default()
            },
            Action::Allow,
            false,
        );
    }

    #[test]
    fn a_reply_is_judged_as_what_it_replies_to() {
        check(
            packet(B, A, true),
            Hints {
                reply: true,
                fresh: false,
                ..Hints::default()
            },
            Action::Allow,
            true,
        );
        check(
            packet(A, B, true),
            Hints {
                reply: true,
                fresh: false,
                ..Hints::default()
            },
            Action::Deny,
            true,
        );
    }

    #[test]
    fn a_syn_is_judged_in_its_own_direction_whatever_conntrack_says() {
        let reply = Hints {
            reply: true,
            fresh: false,
            ..Hints::default()
        };
        check(packet(B, A, false), reply, Action::Deny, false);
        check(packet(A, B, false), reply, Action::Allow, false);
    }

    #[test]
    fn a_connection_picked_up_in_the_middle_may_run_either_way() {
        check(
            packet(B, A, true),
            Hints {
                fresh: true,
                reply: false,
                ..Hints::default()
            },
            Action::Allow,
            true,
        );
    }

    #[test]
    fn a_known_connection_runs_one_way_only() {
        check(
            packet(B, A, true),
            Hints {
                fresh: false,
                reply: false,
                ..Hints::default()
            },
            Action::Deny,
            false,
        );
    }

    #[test]
    fn without_conntrack_an_answer_is_judged_as_what_it_answers() {
        let snapshot = snapshot();
        let untracked = Hints {
            untracked: true,
            ..Hints::default()
        };
        for (packet, answers, action) in [
            (packet(B, A, true), true, Action::Allow),
            (packet(B, A, true), false, Action::Deny),
            // a SYN answers nothing
            (packet(B, A, false), true, Action::Deny),
        ] {
            let judgement = judge(&snapshot, &packet, untracked, || answers);
            assert_eq!(judgement.action(), action, "{packet:?} {answers}");
        }
    }

    /// Pod b may open nothing but DNS, says an admin policy; there is no other.
    fn ruled_by_admins() -> Arc<Snapshot> {
        use sluice_policy::{
            AdminAction, AdminKind, AdminName, AdminPeers, AdminPolicy, AdminPort, AdminPorts,
            AdminRule, AdminTier, PodsOf, Port, PortMatch,
        };
        let rule = |action, ports| AdminRule {
            action,
            peers: AdminPeers::Any,
            ports,
        };
        let dns = AdminPort::Numbered(PortMatch {
            protocol: Protocol::Tcp,
            port: Port::Range(53, 53),
        });
        let policy = AdminPolicy {
            name: AdminName {
                kind: AdminKind::AdminNetworkPolicy,
                name: "dns".into(),
            },
            tier: AdminTier::Admin,
            priority: 0,
            subject: PodsOf {
                namespaces: Selector::default(),
                pods: labelled("b"),
            },
            ingress: Vec::new(),
            egress: vec![
                rule(AdminAction::Allow, AdminPorts::Of(vec![dns])),
                rule(AdminAction::Deny, AdminPorts::Any),
            ],
        };
        let mut index = Index::new(Scope::Cluster);
        let _changes = index.apply([pod("a", A), pod("b", B), Event::AdminPolicy(policy)]);
        index.snapshot()
    }

    #[test]
    fn an_admin_policy_is_judged_by_like_any_other() {
        let snapshot = ruled_by_admins();
        let (fresh, reply) = (
            Hints {
                fresh: true,
                ..Hints::default()
            },
            Hints {
                reply: true,
                ..Hints::default()
            },
        );
        for (packet, hints, action) in [
            (packet(B, A, false), fresh, Action::Deny),
            (packet(A, B, false), fresh, Action::Allow),
            // What b answers is judged as what it answers, and what b asks may not be answered.
            (packet(B, A, true), reply, Action::Allow),
            (packet(A, B, true), reply, Action::Deny),
            // From the middle: a may have opened it.
            (packet(B, A, true), fresh, Action::Allow),
            (packet(B, A, true), Hints::default(), Action::Deny),
        ] {
            let judgement = judge(&snapshot, &packet, hints, || false);
            assert_eq!(judgement.action(), action, "{packet:?} {hints:?}");
        }
        let dns = Packet {
            destination_port: 53,
            ..packet(B, A, false)
        };
        let judgement = judge(&snapshot, &dns, fresh, || false);
        assert_eq!(judgement.action(), Action::Allow);
        let denied = judge(&snapshot, &packet(B, A, false), fresh, || false);
        let (direction, decision) = denied.denial().unwrap();
        assert_eq!(direction, Direction::Egress);
        assert_eq!(
            (decision.policy.unwrap().to_string(), decision.rule),
            ("AdminNetworkPolicy/dns".to_owned(), Some(1))
        );
    }

    #[test]
    fn a_denial_names_direction_and_policy() {
        let snapshot = snapshot();
        let (direction, decision) =
            judge(&snapshot, &packet(B, A, false), Hints::default(), || true)
                .denial()
                .unwrap();
        assert_eq!(direction, Direction::Ingress);
        assert_eq!(decision.policy.unwrap().to_string(), "x/deny");
        assert_eq!(decision.rule, None);
    }
}
