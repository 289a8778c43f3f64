//! Selections: sets of pods that policies name by namespace and label, each held once however many policies
//! name it. Who belongs to one is worked out when objects change, never per packet.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::identity::IdentityId;
use crate::slab::Slab;
use crate::{Labels, Namespaces, Operator, Requirement, Selector};

/// The number of a selection.
pub(crate) type SelectionId = u32;
/// The number of a policy.
pub(crate) type PolicySlot = u32;

/// What a selection selects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SelectionKey {
    /// In which namespaces.
    pub(crate) namespaces: Within,
    /// Which pods, or which nodes.
    pub(crate) pods: Selector,
}

/// The namespaces of a selection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Within {
    /// One, by name: a policy's own.
    Named(Arc<str>),
    /// By label.
    Matching(Selector),
    /// None: nodes are selected, not pods.
    Nodes,
}

/// A selection, who uses it and who belongs to it.
#[derive(Debug)]
pub(crate) struct Selection {
    /// What it selects.
    pub(crate) key: Arc<SelectionKey>,
    /// Policies whose subjects it is.
    pub(crate) policies: HashSet<PolicySlot>,
    /// Identities of the scope whose tables have it as a peer.
    pub(crate) users: HashSet<IdentityId>,
    /// Identities that belong to it.
    pub(crate) members: HashSet<IdentityId>,
    /// How often policies name it, as subjects or as peers.
    references: usize,
}

/// All selections in use.
#[derive(Debug, Default)]
pub(crate) struct Selections {
    slots: Slab<Selection>,
    by_key: HashMap<Arc<SelectionKey>, SelectionId>,
    anchors: HashMap<Anchor, Vec<SelectionId>>,
    /// Named first in this batch; who belongs to them is not known yet.
    fresh: Vec<SelectionId>,
    /// Perhaps named no longer.
    idle: Vec<SelectionId>,
    /// Those that select nodes.
    of_nodes: Vec<SelectionId>,
    /// Whether those are others than at the end of the last batch.
    other_nodes: bool,
}

/// A fact that whoever belongs to a selection must have: selections are found by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Anchor {
    /// A label of the pod, or a label key; in one namespace, or in any.
    Pod(Option<Arc<str>>, Arc<str>, Option<Arc<str>>),
    /// A label of the namespace, or a label key.
    Namespace(Arc<str>, Option<Arc<str>>),
    /// A namespace.
    In(Arc<str>),
    /// None.
    Nothing,
}

impl Selector {
    /// Whether all requirements hold of labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        matches(self, |key| labels.get(key).map(|value| &**value))
    }
}

impl SelectionKey {
    /// The pods that a peer of a policy in `own` means.
    pub(crate) fn of_peer(namespaces: &Namespaces, pods: &Selector, own: &Arc<str>) -> Self {
        let namespaces = match namespaces {
            Namespaces::Own => Within::Named(Arc::clone(own)),
            Namespaces::Matching(selector) => Within::Matching(selector.clone()),
        };
        Self {
            namespaces,
            pods: pods.clone(),
        }
    }

    /// Whether pods of a namespace can belong to it.
    pub(crate) fn reaches(&self, namespace: &str, labels: &Labels) -> bool {
        match &self.namespaces {
            Within::Nodes => false,
            Within::Named(name) => **name == *namespace,
            Within::Matching(selector) => selector.matches(labels),
        }
    }

    /// Whether a node with these labels belongs to it.
    pub(crate) fn selects_node(&self, labels: &Labels) -> bool {
        self.namespaces == Within::Nodes && self.pods.matches(labels)
    }

    /// Whether a pod with these labels belongs to it, given that its namespace does.
    pub(crate) fn selects(&self, labels: &Labels) -> bool {
        self.pods.matches(labels)
    }

    /// The facts under which it is filed; whoever belongs to it has one of them.
    fn anchors(&self) -> SmallVec<[Anchor; 1]> {
        let within = match &self.namespaces {
            // Nodes are found by walking all such selections.
            Within::Nodes => return SmallVec::new(),
            Within::Named(name) => Some(Arc::clone(name)),
            Within::Matching(_) => None,
        };
        let pod = |key: &Arc<str>, value| Anchor::Pod(within.clone(), Arc::clone(key), value);
        match (required(&self.pods), &self.namespaces) {
            (Some(requirement), _) => facts(requirement, pod),
            (None, Within::Named(name)) => SmallVec::from_buf([Anchor::In(Arc::clone(name))]),
            (None, Within::Matching(selector)) => match required(selector) {
                Some(requirement) => facts(requirement, |key, value| {
                    Anchor::Namespace(Arc::clone(key), value)
                }),
                None => SmallVec::from_buf([Anchor::Nothing]),
            },
            (None, Within::Nodes) => SmallVec::new(),
        }
    }
}

impl Selections {
    /// Names a selection once more.
    pub(crate) fn acquire(&mut self, key: SelectionKey) -> SelectionId {
        let id = match self.by_key.get(&key) {
            Some(id) => *id,
            None => self.insert(Arc::new(key)),
        };
        self.slots
            .get_mut(id)
            .expect("a key leads to a selection in use")
            .references += 1;
        id
    }

    /// Names a selection once less.
    pub(crate) fn release(&mut self, id: SelectionId) {
        if let Some(selection) = self.slots.get_mut(id) {
            selection.references -= 1;
            if selection.references == 0 {
                self.idle.push(id);
            }
        }
    }

    /// A selection, if it is in use.
    pub(crate) fn get(&self, id: SelectionId) -> Option<&Selection> {
        self.slots.get(id)
    }

    /// A selection, if it is in use.
    pub(crate) fn get_mut(&mut self, id: SelectionId) -> Option<&mut Selection> {
        self.slots.get_mut(id)
    }

    /// How many are in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is left of those that were in use.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
            && self.by_key.is_empty()
            && self.anchors.is_empty()
            && self.of_nodes.is_empty()
    }

    /// The selections named first in this batch.
    pub(crate) fn take_fresh(&mut self) -> Vec<SelectionId> {
        std::mem::take(&mut self.fresh)
    }

    /// All selections that a pod of a namespace belongs to, sorted.
    pub(crate) fn of(
        &self,
        namespace: &Arc<str>,
        labels: &Labels,
        namespace_labels: &Labels,
    ) -> Vec<SelectionId> {
        let mut found: Vec<SelectionId> = Vec::new();
        let belongs = |id: &&SelectionId| {
            let key = &self
                .slots
                .get(**id)
                .expect("filed selections are in use")
                .key;
            key.selects(labels) && key.reaches(namespace, namespace_labels)
        };
        let mut look = |anchor: &Anchor| {
            found.extend(
                self.anchors
                    .get(anchor)
                    .into_iter()
                    .flatten()
                    .filter(belongs),
            );
        };
        look(&Anchor::Nothing);
        look(&Anchor::In(Arc::clone(namespace)));
        for (key, value) in labels {
            for within in [None, Some(Arc::clone(namespace))] {
                look(&Anchor::Pod(within.clone(), Arc::clone(key), None));
                look(&Anchor::Pod(
                    within,
                    Arc::clone(key),
                    Some(Arc::clone(value)),
                ));
            }
        }
        for (key, value) in namespace_labels {
            look(&Anchor::Namespace(Arc::clone(key), None));
            look(&Anchor::Namespace(Arc::clone(key), Some(Arc::clone(value))));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// All selections that a node belongs to.
    pub(crate) fn of_node(&self, labels: &Labels) -> impl Iterator<Item = SelectionId> {
        let selected = |id: &SelectionId| {
            self.slots
                .get(*id)
                .is_some_and(|selection| selection.key.selects_node(labels))
        };
        self.of_nodes.iter().copied().filter(selected)
    }

    /// Whether other selections of nodes are in use than when this was last asked.
    pub(crate) fn take_other_nodes(&mut self) -> bool {
        std::mem::take(&mut self.other_nodes)
    }

    /// Ends a batch: takes out the selections that no policy names, and returns them with their members.
    pub(crate) fn collect(&mut self) -> Vec<(SelectionId, HashSet<IdentityId>)> {
        let idle = std::mem::take(&mut self.idle);
        idle.into_iter()
            .filter_map(|id| Some((id, self.remove_idle(id)?)))
            .collect()
    }

    /// Ends a batch: numbers given back in it may be given out again.
    pub(crate) fn settle(&mut self) {
        self.slots.settle();
    }

    fn insert(&mut self, key: Arc<SelectionKey>) -> SelectionId {
        let id = self.slots.insert(Selection {
            key: Arc::clone(&key),
            policies: HashSet::default(),
            users: HashSet::default(),
            members: HashSet::default(),
            references: 0,
        });
        for anchor in key.anchors() {
            self.anchors.entry(anchor).or_default().push(id);
        }
        if key.namespaces == Within::Nodes {
            self.of_nodes.push(id);
            self.other_nodes = true;
        }
        self.by_key.insert(key, id);
        self.fresh.push(id);
        id
    }

    fn remove_idle(&mut self, id: SelectionId) -> Option<HashSet<IdentityId>> {
        if self.slots.get(id)?.references > 0 {
            return None;
        }
        let selection = self.slots.remove(id)?;
        self.by_key.remove(&selection.key);
        if selection.key.namespaces == Within::Nodes {
            self.of_nodes.retain(|other| *other != id);
            self.other_nodes = true;
        }
        for anchor in selection.key.anchors() {
            if let Some(filed) = self.anchors.get_mut(&anchor) {
                filed.retain(|other| *other != id);
                if filed.is_empty() {
                    self.anchors.remove(&anchor);
                }
            }
        }
        Some(selection.members)
    }
}

/// A requirement that only a label can meet, the narrowest kind first.
fn required(selector: &Selector) -> Option<&Requirement> {
    let of_kind =
        |kind: fn(&Operator) -> bool| selector.requirements.iter().find(|r| kind(&r.operator));
    of_kind(|operator| matches!(operator, Operator::In(_)))
        .or_else(|| of_kind(|o| matches!(o, Operator::Exists)))
}

/// The facts that meet a requirement.
fn facts(
    requirement: &Requirement,
    fact: impl Fn(&Arc<str>, Option<Arc<str>>) -> Anchor,
) -> SmallVec<[Anchor; 1]> {
    match &requirement.operator {
        Operator::In(values) => values
            .iter()
            .map(|value| fact(&requirement.key, Some(Arc::clone(value))))
            .collect(),
        _ => SmallVec::from_buf([fact(&requirement.key, None)]),
    }
}

fn matches<'l>(selector: &Selector, label: impl Fn(&str) -> Option<&'l str>) -> bool {
    selector.requirements.iter().all(|requirement| {
        let value = label(&requirement.key);
        let is_one_of = |values: &[Arc<str>]| {
            value.is_some_and(|value| values.iter().any(|other| **other == *value))
        };
        match &requirement.operator {
            Operator::In(values) => is_one_of(values),
            Operator::NotIn(values) => !is_one_of(values),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    })
}
