//! What holds whatever the cluster: whether one selector, network, port or rule means all that another means. Yes is
//! proven; no means that it could not be.

use ipnet::IpNet;
use sluice_policy::{Operator, Requirement, Selector};

use super::scene::{PeerKind, PeerOf, Pods, PortKind, PortOf, Rule, Scene, Within};
use sluice_kubernetes::NAMESPACE_NAME;

/// Whether `wide` selects whatever `narrow` selects.
pub(super) fn selector(wide: &Selector, narrow: &Selector) -> bool {
    let is_implied = |it: &Requirement| narrow.requirements.iter().any(|own| implies(own, it));
    wide.requirements.iter().all(is_implied)
}

fn implies(known: &Requirement, wanted: &Requirement) -> bool {
    use Operator::{DoesNotExist, Exists, In, NotIn};
    let is_within = |some: &[_], all: &[_]| some.iter().all(|it| all.contains(it));
    known.key == wanted.key
        && match (&known.operator, &wanted.operator) {
            (In(some), In(all)) => is_within(some, all),
            (In(some), NotIn(none)) => !some.iter().any(|it| none.contains(it)),
            (NotIn(none), NotIn(fewer)) => is_within(fewer, none),
            (In(_) | Exists, Exists) | (DoesNotExist, NotIn(_) | DoesNotExist) => true,
            _ => false,
        }
}

/// The same of pods; a namespace that is named has the labels that it has.
pub(super) fn pods(scene: &Scene<'_>, wide: &Pods<'_>, narrow: &Pods<'_>) -> bool {
    let is_within = match (wide.namespaces, narrow.namespaces) {
        (_, Within::Own(name)) => scene.is_within(wide.namespaces, name),
        (Within::Matching(wide), Within::Matching(narrow)) => selector(wide, narrow),
        (Within::Own(name), Within::Matching(narrow)) => is_named(narrow, name),
    };
    is_within && selector(wide.pods, narrow.pods)
}

/// Whether a selector of namespaces means one alone.
fn is_named(selector: &Selector, name: &str) -> bool {
    selector.requirements.iter().any(|it| {
        let is_it = |values: &Vec<std::sync::Arc<str>>| values.iter().all(|value| **value == *name);
        *it.key == *NAMESPACE_NAME && matches!(&it.operator, Operator::In(values) if is_it(values))
    })
}

/// Whether one peer means all that another means.
fn peer(scene: &Scene<'_>, wide: &PeerOf<'_>, narrow: &PeerOf<'_>) -> bool {
    match (&wide.kind, &narrow.kind) {
        (PeerKind::Pods(wide), PeerKind::Pods(narrow)) => pods(scene, wide, narrow),
        (PeerKind::Nodes(wide), PeerKind::Nodes(narrow)) => selector(wide, narrow),
        (PeerKind::Block(cidr, except), PeerKind::Block(own, own_except)) => {
            let is_kept =
                |net: &IpNet| overlap(net, own).is_none_or(|part| is_covered(&part, own_except));
            cidr.contains(*own) && except.iter().all(is_kept)
        }
        (PeerKind::Networks(wide), PeerKind::Networks(narrow)) => {
            narrow.iter().all(|net| is_covered(net, wide))
        }
        _ => false,
    }
}

/// Whether one of some networks holds all of another.
pub(super) fn is_covered(net: &IpNet, by: &[IpNet]) -> bool {
    by.iter().any(|it| it.contains(net))
}

/// What two networks have in common: the smaller, or nothing.
pub(super) fn overlap(one: &IpNet, other: &IpNet) -> Option<IpNet> {
    if one.contains(other) {
        Some(*other)
    } else {
        other.contains(one).then_some(*one)
    }
}

/// Whether one port means all that another means.
fn port(wide: &PortOf<'_>, narrow: &PortOf<'_>) -> bool {
    wide.protocol == narrow.protocol
        && match (wide.kind, narrow.kind) {
            (PortKind::Any, _) => true,
            (PortKind::Range(first, last), PortKind::Range(from, to)) => {
                first <= from && to <= last
            }
            (wide, narrow) => wide == narrow,
        }
}

/// Whether one rule is about all connections that another is about, of the same subject.
pub(super) fn rule(scene: &Scene<'_>, wide: &Rule<'_>, narrow: &Rule<'_>) -> bool {
    wide.direction == narrow.direction
        && all(
            wide.peers.as_deref(),
            narrow.peers.as_deref(),
            |wide, narrow| peer(scene, wide, narrow),
        )
        && all(wide.ports.as_deref(), narrow.ports.as_deref(), port)
}

/// Whether each of some is covered; none at all stands for everything.
fn all<T>(wide: Option<&[T]>, narrow: Option<&[T]>, covers: impl Fn(&T, &T) -> bool) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow
            .iter()
            .all(|narrow| wide.iter().any(|wide| covers(wide, narrow))),
    }
}

/// Whether two rules can be about the same port.
pub(super) fn share_a_port(one: &Rule<'_>, other: &Rule<'_>) -> bool {
    let (Some(one), Some(other)) = (&one.ports, &other.ports) else {
        return true;
    };
    let meet = |one: &PortOf<'_>, other: &PortOf<'_>| {
        let protocols = one.protocol.zip(other.protocol);
        protocols.is_none_or(|(one, other)| one == other)
            && match (one.kind, other.kind) {
                (PortKind::Range(first, last), PortKind::Range(from, to)) => {
                    first <= to && from <= last
                }
                (PortKind::Named(one), PortKind::Named(other)) => one == other,
                _ => true,
            }
    };
    one.iter()
        .any(|one| other.iter().any(|other| meet(one, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, operator: Operator) -> Selector {
        let key = key.into();
        Selector {
            requirements: vec![Requirement { key, operator }],
        }
    }

    fn values(some: &[&str]) -> Vec<std::sync::Arc<str>> {
        some.iter().map(|it| (*it).into()).collect()
    }

    #[test]
    fn a_selector_covers_what_it_cannot_miss() {
        use Operator::{DoesNotExist, Exists, In, NotIn};
        let everything = Selector::default();
        let a = of("k", In(values(&["a"])));
        let ab = of("k", In(values(&["a", "b"])));
        let not_b = of("k", NotIn(values(&["b"])));
        let not_bc = of("k", NotIn(values(&["b", "c"])));
        let (some, none) = (of("k", Exists), of("k", DoesNotExist));
        for (wide, narrow, covers) in [
            (&everything, &a, true),
            (&a, &everything, false),
            (&ab, &a, true),
            (&a, &ab, false),
            (&some, &a, true),
            (&not_b, &a, true),
            (&not_b, &ab, false),
            (&not_b, &not_bc, true),
            (&not_bc, &not_b, false),
            (&not_b, &none, true),
            (&none, &not_b, false),
            (&some, &none, false),
            (&a, &of("j", In(values(&["a"]))), false),
        ] {
            assert_eq!(selector(wide, narrow), covers, "{wide:?} {narrow:?}");
        }
    }
}
