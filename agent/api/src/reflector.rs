//! What is known of one kind of objects: list and watch in, events for an index out. Pure: no I/O, no clock.
//!
//! A list replaces what was known only once it is complete: until then it only adds, so a list that breaks off, starts
//! again, or repeats itself takes nothing away, and what is not in a complete one is gone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use sluice_kubernetes::Problem;
use sluice_kubernetes::live::{Kind, Live, ObjectName};
use sluice_policy::Event;

type Names = HashMap<Arc<str>, u32, RandomState>;

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Reflector {
    kind: Kind,
    /// By namespace and name, the list that each was last heard of in, or since.
    known: HashMap<Arc<str>, Names, RandomState>,
    count: usize,
    /// The current list.
    list: u32,
    /// Where a watch goes on; none while a list is needed.
    version: Option<String>,
    /// Where the current list goes on, of one in pages that is half read; empty where a list begins.
    next: String,
    /// Those with problems that have been told of.
    invalid: HashSet<ObjectName>,
}

/// What came of what was read together, for the index.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order.
    pub events: Vec<Event>,
    /// What is wrong with objects from now on; empty where it is nothing any more.
    pub problems: Vec<(ObjectName, Vec<Problem>)>,
    /// The generations that policies have from now on.
    pub generations: Vec<(ObjectName, i64)>,
    /// Once these events are applied, everything up to this resource version is.
    pub version: Option<String>,
}

impl Batch {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.problems.is_empty() && self.version.is_none()
    }
}

impl Reflector {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            known: HashMap::default(),
            count: 0,
            list: 0,
            version: None,
            next: String::new(),
            invalid: HashSet::new(),
        }
    }

    /// How many objects there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Where a watch goes on; none where a list is needed first.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Where a list in pages goes on that is half read; empty where one is to begin.
    pub(crate) fn next(&self) -> &str {
        &self.next
    }

    /// A list begins, or begins again: what was read of an earlier one and not handed on is no part of it.
    pub(crate) fn begin(&mut self, batch: &mut Batch) {
        *batch = Batch::default();
        self.list = self.list.wrapping_add(1);
        self.version = None;
        self.next.clear();
    }

    /// A page of the list was read, and the next one begins there.
    pub(crate) fn goes_on(&mut self, next: String) {
        self.next = next;
    }

    /// The list is not gone on with: the next one begins.
    pub(crate) fn broke_off(&mut self) {
        self.next.clear();
    }

    /// An object is there: of a list, or added or changed since.
    pub(crate) fn there(&mut self, live: Live, batch: &mut Batch) {
        let Live {
            name,
            version,
            generation,
            event,
            problems,
        } = live;
        self.mark(&name);
        let generation = generation.map(|generation| (name.clone(), generation));
        batch.generations.extend(generation);
        self.advance(version, batch);
        batch.events.push(event);
        if problems.is_empty() {
            self.is_valid(name, batch);
        } else {
            self.invalid.insert(name.clone());
            batch.problems.push((name, problems));
        }
    }

    /// An object is there that cannot be read: what was known of it holds.
    pub(crate) fn unreadable(&mut self, name: &ObjectName, version: String, batch: &mut Batch) {
        self.mark(name);
        self.advance(version, batch);
    }

    /// An object was deleted.
    pub(crate) fn gone(&mut self, name: ObjectName, version: String, batch: &mut Batch) {
        self.advance(version, batch);
        let Some(names) = self.known.get_mut(&name.namespace) else {
            return;
        };
        if names.remove(&name.name).is_some() {
            self.count -= 1;
            if names.is_empty() {
                self.known.remove(&name.namespace);
            }
            self.forget(name, batch);
        }
    }

    /// The list is complete as of this version: what was not in it is gone.
    pub(crate) fn listed(&mut self, version: String, batch: &mut Batch) {
        let list = self.list;
        let mut gone = Vec::new();
        for (namespace, names) in &mut self.known {
            names.retain(|name, seen| {
                let stays = *seen == list;
                if !stays {
                    gone.push(ObjectName {
                        namespace: Arc::clone(namespace),
                        name: Arc::clone(name),
                    });
                }
                stays
            });
        }
        self.known.retain(|_, names| !names.is_empty());
        self.count -= gone.len();
        for name in gone {
            self.forget(name, batch);
        }
        self.next.clear();
        self.bookmark(version, batch);
    }

    /// Everything up to this version was told of.
    pub(crate) fn bookmark(&mut self, version: String, batch: &mut Batch) {
        batch.version = Some(version.clone());
        self.version = Some(version);
    }

    /// Neither the watch nor a list that is half read can go on where it was.
    pub(crate) fn expired(&mut self) {
        self.version = None;
        self.next.clear();
    }

    /// The kind is not served any more: nothing of it is there.
    pub(crate) fn vanished(&mut self, batch: &mut Batch) {
        self.begin(batch);
        self.listed(String::new(), batch);
        (self.version, batch.version) = (None, None);
    }

    fn mark(&mut self, name: &ObjectName) {
        let list = self.list;
        let names = match self.known.get_mut(&name.namespace) {
            Some(names) => names,
            None => self.known.entry(Arc::clone(&name.namespace)).or_default(),
        };
        if names.insert(Arc::clone(&name.name), list).is_none() {
            self.count += 1;
        }
    }

    /// While a list is read, its objects' own versions say nothing about how far it is.
    fn advance(&mut self, version: String, batch: &mut Batch) {
        if self.version.is_some() && !version.is_empty() {
            self.bookmark(version, batch);
        }
    }

    fn forget(&mut self, name: ObjectName, batch: &mut Batch) {
        self.is_valid(name.clone(), batch);
        batch.events.push(self.kind.gone(name));
    }

    fn is_valid(&mut self, name: ObjectName, batch: &mut Batch) {
        if self.invalid.remove(&name) {
            batch.problems.push((name, Vec::new()));
        }
    }
}

#[cfg(test)]
mod tests;
