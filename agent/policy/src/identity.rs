//! Identities: what selectors can tell apart of a pod, its namespace and its labels. Pods share them, so a pod
//! with known labels costs nothing but itself.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::HashSet;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::slab::Slab;
use crate::{Labels, PodName};

/// The number of an identity.
pub(crate) type IdentityId = u32;

/// A namespace and a set of labels, and who has them.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The namespace.
    pub(crate) namespace: Arc<str>,
    /// The labels, sorted by key.
    pub(crate) labels: Box<[(Arc<str>, Arc<str>)]>,
    /// Pods of the scope.
    pub(crate) local: HashSet<PodName>,
    /// Other pods.
    pub(crate) remote: HashSet<PodName>,
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
            labels: labels
                .iter()
                .map(|(key, value)| (Arc::clone(key), Arc::clone(value)))
                .collect(),
            local: HashSet::default(),
            remote: HashSet::default(),
            hash,
        });
        let slots = &self.slots;
        self.by_key
            .insert_unique(hash, id, |id| slots.get(*id).map_or(0, |known| known.hash));
        (id, true)
    }

    /// Adds a pod; whether it is the first of the scope.
    pub(crate) fn join(&mut self, id: IdentityId, pod: &PodName, local: bool) -> bool {
        let identity = self.slots.get_mut(id).expect("pods join identities in use");
        let first = local && identity.local.is_empty();
        let pods = if local {
            &mut identity.local
        } else {
            &mut identity.remote
        };
        pods.insert(pod.clone());
        first
    }

    /// Takes a pod away; whether it was the last of the scope.
    pub(crate) fn leave(&mut self, id: IdentityId, pod: &PodName, local: bool) -> bool {
        let identity = self
            .slots
            .get_mut(id)
            .expect("pods leave identities in use");
        let pods = if local {
            &mut identity.local
        } else {
            &mut identity.remote
        };
        pods.remove(pod);
        if identity.local.is_empty() && identity.remote.is_empty() {
            self.idle.push(id);
        }
        local
            && self
                .slots
                .get(id)
                .is_some_and(|identity| identity.local.is_empty())
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
    #[cfg(test)]
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
        *self.namespace == *namespace
            && self.labels.len() == labels.len()
            && self
                .labels
                .iter()
                .zip(labels)
                .all(|(own, other)| (&own.0, &own.1) == other)
    }
}
