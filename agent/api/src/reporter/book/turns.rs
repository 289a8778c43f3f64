//! Whose turn it is to be written about: namespaces one after the other, each within a bound of its own, so that what
//! happens in one keeps nobody else waiting. Pure.
//!
//! What waits is one entry for each target of a policy that is known, and of a namespace no more is remembered than its
//! allowance, until that is full again: nothing here grows by how often policies change.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::super::election::Time;
use super::Key;

/// A namespace may be written about so often at once.
const BURST: u32 = 25;
/// And once in this time from then on: a tenth of what the reporter writes as a whole, and 1,800 objects an hour, for
/// which the API server keeps their Events.
const EACH: Duration = Duration::from_secs(2);

/// The lines of all namespaces. Policies of the cluster, which no tenant writes, have one of their own, with no bound.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lines: BTreeMap<Arc<str>, Line>,
    /// Whose turn was the last.
    last: Option<Arc<str>>,
}

/// What waits in a namespace.
#[derive(Debug, Default)]
struct Line {
    /// The longest waiting first.
    keys: VecDeque<Key>,
    /// When its allowance is full again.
    full: Time,
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// This.
    Of(Key),
    /// Nothing before then, because of the bound.
    Not(Time),
    /// Nothing waits.
    Nobody,
}

impl Line {
    /// When it may be written about again.
    fn may(&self) -> Time {
        // The last of a burst fills the allowance up to here.
        self.full.saturating_sub(EACH * (BURST - 1))
    }

    fn spend(&mut self, now: Time) {
        self.full = self.full.max(now) + EACH;
    }
}

impl Turns {
    /// Lets wait exactly what is wanted: who waits already keeps its place.
    pub(super) fn update(&mut self, wanted: Vec<Key>, now: Time) {
        let mut wanting: HashSet<Key> = wanted.into_iter().collect();
        for line in self.lines.values_mut() {
            line.keys.retain(|key| wanting.remove(key));
        }
        let mut new: Vec<Key> = wanting.into_iter().collect();
        new.sort_unstable();
        for key in new {
            let namespace = Arc::clone(&key.1.name.namespace);
            let line = self.lines.entry(namespace).or_default();
            line.keys.push_back(key);
        }
        self.lines
            .retain(|_, line| !line.keys.is_empty() || line.full > now);
    }

    /// What is next, the same until it is taken out.
    pub(super) fn next(&self, now: Time) -> Turn {
        let waits = |(_, line): &(&Arc<str>, &Line)| !line.keys.is_empty();
        let may = |namespace: &str, line: &Line| match namespace {
            "" => now,
            _ => line.may(),
        };
        let lines = || self.in_turn().filter(waits);
        let mut ready = lines().filter(|(namespace, line)| may(namespace, line) <= now);
        if let Some(key) = ready.next().and_then(|(_, line)| line.keys.front()) {
            return Turn::Of(key.clone());
        }
        let soonest = lines().map(|(_, line)| line.may()).min();
        soonest.map_or(Turn::Nobody, Turn::Not)
    }

    /// Takes out what was written, or tried to be: the next namespace has its turn.
    pub(super) fn took(&mut self, key: &Key, now: Time) {
        self.leave(key);
        let namespace = &key.1.name.namespace;
        if let Some(line) = self.lines.get_mut(namespace) {
            line.spend(now);
        }
        self.last = Some(Arc::clone(namespace));
    }

    /// Takes out what need not be written any more.
    pub(super) fn leave(&mut self, key: &Key) {
        if let Some(line) = self.lines.get_mut(&key.1.name.namespace) {
            // What was written was next.
            if line.keys.front() == Some(key) {
                line.keys.pop_front();
            } else {
                line.keys.retain(|other| other != key);
            }
        }
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.lines.values().map(|line| line.keys.len()).sum()
    }

    /// Whether anything is remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// All lines, from the one behind the last.
    fn in_turn(&self) -> impl Iterator<Item = (&Arc<str>, &Line)> {
        let last = self.last.as_ref();
        let behind = self.lines.iter().filter(move |it| Some(it.0) > last);
        let before = self.lines.iter().filter(move |it| Some(it.0) <= last);
        behind.chain(before)
    }
}
