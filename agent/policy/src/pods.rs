//! Sets of pods, by name. The name is the pod's own: a set costs a pointer for each.

use std::fmt;
use std::hash::BuildHasher as _;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::PodName;
use crate::snapshot::PodView;

/// Pods, each with a name of its own. Most sets are of very few.
#[derive(Default)]
pub(crate) enum Pods {
    /// None.
    #[default]
    Empty,
    /// One, which takes no table.
    One(Arc<PodView>),
    /// Any number.
    Many(Box<Table>),
}

/// Pods by the hash of their names.
#[derive(Default)]
pub(crate) struct Table {
    views: HashTable<Arc<PodView>>,
    hasher: RandomState,
}

impl Pods {
    /// The pod of a name.
    pub(crate) fn get(&self, name: &PodName) -> Option<&Arc<PodView>> {
        match self {
            Self::Empty => None,
            Self::One(view) => Some(view).filter(|view| view.pod.name == *name),
            Self::Many(table) => table.get(name),
        }
    }

    /// Adds a pod, in place of one with its name.
    pub(crate) fn insert(&mut self, view: Arc<PodView>) {
        match self {
            Self::Empty => *self = Self::One(view),
            Self::One(known) if known.pod.name == view.pod.name => *known = view,
            Self::One(_) => {
                let mut table = Box::<Table>::default();
                if let Self::One(known) = mem::take(self) {
                    table.insert(known);
                }
                table.insert(view);
                *self = Self::Many(table);
            }
            Self::Many(table) => table.insert(view),
        }
    }

    /// Takes a pod out.
    pub(crate) fn remove(&mut self, name: &PodName) -> Option<Arc<PodView>> {
        if let Self::Many(table) = self {
            let removed = table.remove(name);
            if table.views.is_empty() {
                *self = Self::Empty;
            }
            return removed;
        }
        let removed = self.get(name).cloned()?;
        *self = Self::Empty;
        Some(removed)
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PodView> {
        let (one, many) = match self {
            Self::Empty => (None, None),
            Self::One(view) => (Some(view), None),
            Self::Many(table) => (None, Some(&table.views)),
        };
        one.into_iter()
            .chain(many.into_iter().flatten())
            .map(Arc::as_ref)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::Many(table) => table.views.len(),
        }
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Table {
    fn get(&self, name: &PodName) -> Option<&Arc<PodView>> {
        let hash = self.hasher.hash_one(name);
        self.views.find(hash, |view| view.pod.name == *name)
    }

    fn insert(&mut self, view: Arc<PodView>) {
        let hash = self.hasher.hash_one(&view.pod.name);
        let is_it = |other: &Arc<PodView>| other.pod.name == view.pod.name;
        let rehash = |other: &Arc<PodView>| self.hasher.hash_one(&other.pod.name);
        match self.views.entry(hash, is_it, rehash) {
            Entry::Occupied(mut entry) => *entry.get_mut() = view,
            Entry::Vacant(entry) => {
                entry.insert(view);
            }
        }
    }

    fn remove(&mut self, name: &PodName) -> Option<Arc<PodView>> {
        let hash = self.hasher.hash_one(name);
        let is_it = |view: &Arc<PodView>| view.pod.name == *name;
        let entry = self.views.find_entry(hash, is_it).ok()?;
        Some(entry.remove().0)
    }
}

impl fmt::Debug for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|view| &view.pod.name))
            .finish()
    }
}
