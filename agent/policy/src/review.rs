//! What a batch changed: the old snapshot against the new one, at the places that the batch touched.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::address::Address;
use crate::identity::IdentityId;
use crate::objects::{Objects, Touched};
use crate::sight::{Difference, Seen, Sight};
use crate::snapshot::{Entry, PodView};
use crate::table::{Peer, Table};
use crate::tiers::Tiers;
use crate::{Changes, ContainerPort, Counts, Direction, Isolation, PodName, Snapshot};

/// Of so many pods rules are looked at for nothing but whether they deny what they allowed: beyond, they may.
const LOOKS: usize = 1000;

/// What is different, and how many pods of the scope there are now.
pub(crate) fn review(
    objects: &Objects,
    old: &Snapshot,
    new: &Snapshot,
    touched: &Touched,
    recompiled: &HashSet<IdentityId>,
) -> (Changes, Counts) {
    let mut review = Review {
        objects,
        old,
        new,
        recompiled,
        changes: Changes::default(),
        // Other rules of a pod are not compared.
        closes: !recompiled.is_empty(),
        looks: 0,
        isolation: BTreeMap::new(),
        listed: HashSet::default(),
        affected: HashMap::default(),
    };
    for address in &touched.addresses {
        review.address(*address);
    }
    for identity in recompiled {
        review.recompiled(*identity);
    }
    let counts = review.counts();
    let isolation = review.isolation.into_iter().collect();
    (
        Changes {
            isolation,
            only_allows: !review.closes,
            ..review.changes
        },
        counts,
    )
}

struct Review<'r> {
    objects: &'r Objects,
    old: &'r Snapshot,
    new: &'r Snapshot,
    /// Identities that other rules apply to. All their pods and addresses are in the changes, so whatever else
    /// happened to their peers adds nothing.
    recompiled: &'r HashSet<IdentityId>,
    changes: Changes,
    /// Whether a verdict may have turned from allow to deny.
    closes: bool,
    /// Of how many pods rules were looked at for that alone.
    looks: usize,
    isolation: BTreeMap<IpAddr, Option<Isolation>>,
    /// Identities all of whose pods are in the changes, for a change of a peer.
    listed: HashSet<IdentityId>,
    /// Pods of the scope, then or now, that may count differently; how they were, where that is known to differ.
    affected: HashMap<PodName, Option<&'r PodView>>,
}

/// What was and is behind an address.
#[derive(Clone, Copy)]
struct Owners<'r> {
    address: Address,
    was: Option<&'r PodView>,
    is: Option<&'r PodView>,
}

impl<'r> Review<'r> {
    fn address(&mut self, address: Address) {
        let owners = Owners {
            address,
            was: self.old.owner(address),
            is: self.new.owner(address),
        };
        self.note_isolation(owners);
        self.note_affected(owners);
        self.owner(owners);
        // Without a rule from before there is nobody to whom a peer can look different.
        if self.old.ruled > 0 {
            self.peer(owners);
        }
        self.nodes(address);
    }

    /// An address as a subject.
    fn owner(&mut self, Owners { address, was, is }: Owners<'r>) {
        let differs = match (was, is) {
            (None, None) => false,
            (Some(was), Some(is)) if was.pod.name == is.pod.name => self.is_other_subject(was, is),
            _ => true,
        };
        if differs {
            self.changes.addresses.insert(address.into());
            for pod in [was, is]
                .into_iter()
                .flatten()
                .filter(|pod| pod.standing.local)
            {
                self.closes = true;
                self.changes.pods.insert(pod.pod.name.clone());
            }
        }
    }

    fn is_other_subject(&self, was: &PodView, is: &PodView) -> bool {
        if was.standing.local != is.standing.local {
            return true;
        }
        let tiers = (self.old.tiers(was), self.new.tiers(is));
        let names = |table: &Table| !table.resolves_alike(&was.pod.ports, &is.pod.ports);
        is.standing.local
            && (was.pod.node != is.pod.node
                || !alike(tiers)
                || tiers
                    .1
                    .is_some_and(|tiers| tiers.towards(Direction::Ingress).any(names)))
    }

    /// An address as a peer of pods whose own rules stay.
    fn peer(&mut self, owners: Owners<'r>) {
        let seen = Seen {
            was: peer(self.old, owners.address, owners.was),
            is: peer(self.new, owners.address, owners.is),
            ports: [ports(owners.was), ports(owners.is)],
        };
        let mut selections = difference(seen.was.selections, seen.is.selections);
        selections.extend(difference(seen.was.nodes, seen.is.nodes));
        for selection in selections {
            let users = self
                .objects
                .selections
                .get(selection)
                .map(|selection| &selection.users);
            users
                .into_iter()
                .flatten()
                .for_each(|user| self.peer_of(*user, owners, seen));
        }
        if seen.ports[0] != seen.ports[1] {
            self.objects
                .namers
                .iter()
                .for_each(|user| self.peer_of(*user, owners, seen));
        }
    }

    /// An address as a peer of the pods of one identity.
    fn peer_of(&mut self, user: IdentityId, owners: Owners<'r>, seen: Seen<'_>) {
        let raised = self.changes.addresses.contains(&owners.address.into());
        let Some(view) = self.new.identities.get(user) else {
            return;
        };
        let Some(identity) = self.objects.identities.get(user) else {
            return;
        };
        let is_known = self.recompiled.contains(&user) || (raised && self.listed.contains(&user));
        if is_known && !self.looks_on(identity.local.len()) {
            return;
        }
        let sight = Sight::of(&view.tiers, seen);
        let others = identity.local.iter().filter_map(|view| {
            // A pod is exempt from its own rules.
            let is_itself = [owners.was, owners.is]
                .iter()
                .flatten()
                .any(|pod| pod.pod.name == view.pod.name);
            let difference = sight.for_pod_with(&view.pod.ports);
            let counts =
                !is_itself && difference > Difference::None && standing(self.new, view).is_some();
            counts.then(|| (view.pod.name.clone(), difference))
        });
        let others: Vec<_> = others.collect();
        self.closes |= others.iter().any(|(_, it)| *it == Difference::Closes);
        if is_known {
            return;
        }
        if !others.is_empty() {
            self.changes.addresses.insert(owners.address.into());
        }
        if others.len() == identity.local.len() {
            self.listed.insert(user);
        }
        self.changes.pods.extend(others.into_iter().map(|it| it.0));
    }

    /// Whether to look at pods that add nothing to the changes, but whether something closes.
    const fn looks_on(&mut self, pods: usize) -> bool {
        self.looks += pods;
        self.closes |= self.looks > LOOKS;
        !self.closes
    }

    /// An address as a node's: a source that the pods of that node cannot refuse.
    fn nodes(&mut self, address: Address) {
        let nodes = |snapshot: &'r Snapshot| {
            snapshot
                .addresses
                .get(address)
                .map_or(&[][..], |entry| entry.nodes())
        };
        let differing = difference(nodes(self.old), nodes(self.new));
        if differing.is_empty() {
            return;
        }
        let owner = self.new.owner(address).map(|pod| &pod.pod.name);
        let is_of_node = |view: &&PodView| {
            view.pod
                .node
                .as_ref()
                .is_some_and(|node| differing.contains(node))
        };
        // A pod with the address of its node is exempt as itself.
        let pods = self
            .objects
            .local_pods()
            .filter(is_of_node)
            .map(|view| &view.pod.name);
        let names: Vec<_> = pods
            .filter(|name| Some(*name) != owner && self.owns_an_address(name))
            .cloned()
            .collect();
        if !names.is_empty() {
            self.closes = true;
            self.changes.addresses.insert(address.into());
            self.changes.pods.extend(names);
        }
    }

    /// The pods of an identity whose own rules are others.
    fn recompiled(&mut self, identity: IdentityId) {
        let Some(identity) = self.objects.identities.get(identity) else {
            return;
        };
        for view in identity.local.iter() {
            for address in view
                .pod
                .addresses
                .iter()
                .map(|address| Address::from(*address))
            {
                let owners = Owners {
                    address,
                    was: self.old.owner(address),
                    is: self.new.owner(address),
                };
                if owners
                    .is
                    .is_some_and(|owner| owner.pod.name == view.pod.name)
                {
                    self.changes.addresses.insert(address.into());
                    self.changes.pods.insert(view.pod.name.clone());
                    self.note_isolation(owners);
                    self.note_affected(owners);
                }
            }
        }
    }

    fn note_isolation(&mut self, Owners { address, was, is }: Owners<'_>) {
        let was = was.and_then(|pod| self.old.isolation_of(pod));
        let is = is.and_then(|pod| self.new.isolation_of(pod));
        if was != is {
            self.isolation.insert(address.into(), is);
        }
    }

    fn note_affected(&mut self, owners: Owners<'r>) {
        if let Some(was) = owners.was.filter(|pod| pod.standing.local) {
            self.affected.insert(was.pod.name.clone(), Some(was));
        }
        if let Some(is) = owners.is.filter(|pod| pod.standing.local) {
            self.affected.entry(is.pod.name.clone()).or_insert(None);
        }
    }

    /// The counts of the scope, from those before and the pods that count differently.
    fn counts(&self) -> Counts {
        let mut counts = Counts {
            local: self.old.counts.local,
            isolated: self.old.counts.isolated,
            ..self.new.counts
        };
        let now = |name| self.objects.pods.get(name).map(Arc::as_ref);
        for (name, was) in &self.affected {
            if let Some(isolated) = was
                .or_else(|| now(name))
                .and_then(|view| standing(self.old, view))
            {
                counts.local -= 1;
                counts.isolated -= usize::from(isolated);
            }
            if let Some(isolated) = now(name).and_then(|view| standing(self.new, view)) {
                counts.local += 1;
                counts.isolated += usize::from(isolated);
            }
        }
        counts
    }

    fn owns_an_address(&self, name: &PodName) -> bool {
        self.objects
            .pods
            .get(name)
            .is_some_and(|view| standing(self.new, view).is_some())
    }
}

/// Whether a pod of the scope has an address, and if so, whether it is isolated.
fn standing(snapshot: &Snapshot, view: &PodView) -> Option<bool> {
    let owners = view
        .pod
        .addresses
        .iter()
        .filter_map(|address| snapshot.owner((*address).into()));
    let isolation = owners
        .filter(|owner| owner.pod.name == view.pod.name)
        .find_map(|owner| snapshot.isolation_of(owner));
    isolation.map(|isolation| isolation.ingress || isolation.egress)
}

/// Whether the rules of a pod of the scope are the same then and now.
fn alike(tiers: (Option<&Tiers>, Option<&Tiers>)) -> bool {
    match tiers {
        (Some(was), Some(is)) => was.decide_alike(is),
        (was, is) => was.is_none() && is.is_none(),
    }
}

/// An address as rules see it.
fn peer<'s>(snapshot: &'s Snapshot, address: Address, pod: Option<&PodView>) -> Peer<'s> {
    Peer {
        address,
        selections: pod.map_or(&[], |pod| snapshot.selections(pod)),
        nodes: snapshot
            .addresses
            .get(address)
            .map_or(&[], Entry::node_selections),
    }
}

fn ports(pod: Option<&PodView>) -> &[ContainerPort] {
    pod.map_or(&[], |pod| &pod.pod.ports)
}

/// What is in one of two sorted slices only.
fn difference<T: Ord + Clone>(one: &[T], other: &[T]) -> Vec<T> {
    let only = |these: &[T], those: &[T]| -> Vec<T> {
        these
            .iter()
            .filter(|item| those.binary_search(item).is_err())
            .cloned()
            .collect()
    };
    let mut difference = only(one, other);
    difference.extend(only(other, one));
    difference
}
