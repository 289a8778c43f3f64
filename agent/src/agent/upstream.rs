//! What the writer remembers of where policies and pods come from: enough to tell what is new, and what is wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use sluice_api::{Batch, Delivery, Subject, Update};
use sluice_kubernetes::live::{Kind, ObjectName};
use sluice_kubernetes::{Manifests, Problem, World};
use sluice_policy::Event;

use super::writer::Work;

/// Where policies and pods come from.
pub(crate) enum Upstream {
    Manifests(Files),
    Kubernetes(Objects),
}

/// Files, as they were last read.
pub(crate) struct Files {
    pub(crate) manifests: Manifests,
    pub(crate) world: World,
}

/// Objects of the Kubernetes API: they themselves are in the index.
#[derive(Default)]
pub(crate) struct Objects {
    /// The version of each kind up to which everything was taken in.
    pub(crate) versions: BTreeMap<Kind, String>,
    problems: BTreeMap<(Kind, ObjectName), Vec<Problem>>,
    problems_changed: bool,
    /// Of policies.
    pub(crate) generations: BTreeMap<Subject, i64>,
    /// All that the API serves was told of.
    pub(crate) complete: bool,
}

/// Events that are applied together, at most.
const MOST_TOGETHER: usize = 16 * 1024;

impl Files {
    /// Takes over what was read anew; what is different.
    pub(crate) fn replace(&mut self, world: World) -> Vec<Event> {
        let events = world.events_since(&self.world);
        self.world = world;
        events
    }
}

impl Objects {
    /// Takes in what the API told, and whatever else it told meanwhile, up to other work, which is returned.
    pub(crate) fn gather(
        &mut self,
        first: Update,
        work: &Receiver<Work>,
    ) -> (Vec<Event>, Option<Work>) {
        let mut events = self.take(first);
        while events.len() < MOST_TOGETHER {
            match work.try_recv() {
                Ok(Work::Told(update)) => events.append(&mut self.take(update)),
                Ok(other) => return (events, Some(other)),
                Err(_nothing) => break,
            }
        }
        (events, None)
    }

    fn take(&mut self, update: Update) -> Vec<Event> {
        let Update::Batch(Delivery { kind, batch, .. }) = update else {
            self.complete = true;
            return Vec::new();
        };
        self.absorb(kind, batch)
    }

    /// Remembers of a batch what is not for the index; the rest.
    pub(super) fn absorb(&mut self, kind: Kind, batch: Batch) -> Vec<Event> {
        for (name, problems) in batch.problems {
            self.problems_changed = true;
            if problems.is_empty() {
                self.problems.remove(&(kind, name));
            } else {
                self.problems.insert((kind, name), problems);
            }
        }
        if let Some(version) = batch.version {
            self.versions.insert(kind, version);
        }
        let generations = batch.generations.into_iter();
        self.generations
            .extend(generations.map(|(name, it)| (Subject { kind, name }, it)));
        self.forget_generations(&batch.events);
        batch.events
    }

    fn forget_generations(&mut self, events: &[Event]) {
        for event in events {
            let gone = match event {
                Event::NetworkPolicyGone(namespace, name) => Subject {
                    kind: Kind::NetworkPolicy,
                    name: ObjectName {
                        namespace: Arc::clone(namespace),
                        name: Arc::clone(name),
                    },
                },
                Event::AdminPolicyGone(name) => Subject::from(name),
                _ => continue,
            };
            self.generations.remove(&gone);
        }
    }

    /// Whether there are other problems than when this was last asked.
    pub(crate) fn take_problems_changed(&mut self) -> bool {
        std::mem::take(&mut self.problems_changed)
    }

    /// All that is wrong, by object.
    pub(crate) const fn problems_by_object(&self) -> &BTreeMap<(Kind, ObjectName), Vec<Problem>> {
        &self.problems
    }

    /// All that is wrong.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.problems.values().flatten().cloned().collect()
    }
}
