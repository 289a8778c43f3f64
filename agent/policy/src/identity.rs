//! Identities: what selectors can tell apart of a pod, its namespace and its labels. Pods share them, so a pod
//! with known labels costs nothing but itself.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::Labels;
use crate::pods::Pods;
use crate::slab::Slab;
use crate::snapshot::PodView;

/// The number of an identity.
pub(crate) type IdentityId = u32;

/// A namespace and a set of labels, and who has them.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The namespace.
    pub(crate) namespace: Arc<str>,
    /// The labels.
    pub(crate) labels: Labels,
    /// Pods of the scope.
    pub(crate) local: Pods,
    /// Other pods.
    pub(crate) remote: Pods,
    hash: u64,
}

/// All identities in use.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    slots: Slab<Identity>,
    by_key: HashTable<IdentityId>,
    hasher: RandomState,
    idle: Vec<IdentityId>,
}

impl Identities {
    /// The identity of a namespace and labels, and whether it is a new one.
    pub(crate) fn acquire(&mut self, namespace: &Arc<str>, labels: &Labels) -> (IdentityId, bool) {
        let hash = self.hasher.hash_one((namespace, labels));
        let is_it = |id: &IdentityId| {
            self.slots
                .get(*id)
                .is_some_and(|known| known.is(namespace, labels))
        };
        if let Some(id) = self.by_key.find(hash, is_it) {
            return (*id, false);
        }
        let id = self.slots.insert(Identity {
            namespace: Arc::clone(namespace),
            labels: labels.clone(),
            local: Pods::default(),
            remote: Pods::default(),
            hash,
        });
        let slots = &self.slots;
        self.by_key
            .insert_unique(hash, id, |id| slots.get(*id).map_or(0, |known| known.hash));
        (id, true)
    }

    /// Adds a pod to its identity; whether it is the first of the scope there.
    pub(crate) fn join(&mut self, view: &Arc<PodView>) -> bool {
        let identity = self.slots.get_mut(view.standing.identity);
        let identity = identity.expect("pods join identities in use");
        let first = view.standing.local && identity.local.is_empty();
        identity.pods_like(view).insert(Arc::clone(view));
        first
    }

    /// Takes a pod away from its identity; whether it was the last of the scope there.
    pub(crate) fn leave(&mut self, view: &PodView) -> bool {
        let id = view.standing.identity;
        let identity = self.slots.get_mut(id);
        let identity = identity.expect("pods leave identities in use");
        identity.pods_like(view).remove(&view.pod.name);
        let last = view.standing.local && identity.local.is_empty();
        if identity.local.is_empty() && identity.remote.is_empty() {
            self.idle.push(id);
        }
        last
    }

    /// An identity, if it is in use.
    pub(crate) fn get(&self, id: IdentityId) -> Option<&Identity> {
        self.slots.get(id)
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IdentityId, &Identity)> {
        self.slots.iter()
    }

    /// How many are in use.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Ends a batch: takes out the identities that no pod has.
    pub(crate) fn collect(&mut self) -> Vec<(IdentityId, Identity)> {
        let idle = std::mem::take(&mut self.idle);
        idle.into_iter()
            .filter_map(|id| Some((id, self.remove_idle(id)?)))
            .collect()
    }

    /// Ends a batch: numbers given back in it may be given out again.
    pub(crate) fn settle(&mut self) {
        self.slots.settle();
    }

    fn remove_idle(&mut self, id: IdentityId) -> Option<Identity> {
        let identity = self.slots.get(id)?;
        if !identity.local.is_empty() || !identity.remote.is_empty() {
            return None;
        }
        if let Ok(entry) = self.by_key.find_entry(identity.hash, |other| *other == id) {
            entry.remove();
        }
        self.slots.remove(id)
    }
}

impl Identity {
    fn is(&self, namespace: &str, labels: &Labels) -> bool {
        *self.namespace == *namespace && self.labels == *labels
    }

    /// Those of its pods that a pod is among.
    const fn pods_like(&mut self, view: &PodView) -> &mut Pods {
        if view.standing.local {
            &mut self.local
        } else {
            &mut self.remote
        }
    }
}
