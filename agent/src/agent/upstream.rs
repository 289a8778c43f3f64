//! What the writer remembers of where policies and pods come from: enough to tell what is new, and what is wrong.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use sluice_api::{Delivery, Update};
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
        batch.events
    }

    /// Whether there are other problems than when this was last asked.
    pub(crate) fn take_problems_changed(&mut self) -> bool {
        std::mem::take(&mut self.problems_changed)
    }

    /// All that is wrong, by object.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.problems.values().flatten().cloned().collect()
    }
}
