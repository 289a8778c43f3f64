//! The end of a batch: who belongs to which selection, which rules apply to whom, and what is used no longer.
//! Touches only what the batch concerns.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use smallvec::SmallVec;

use crate::address::Address;
use crate::compile::{self, Policy};
use crate::identity::IdentityId;
use crate::objects::{Objects, Touched};
use crate::selection::{PolicySlot, SelectionId};
use crate::snapshot::IdentityView;
use crate::table::{Table, Tables};

/// With more new selections than this, it is cheaper to ask every identity where it belongs than every selection
/// who does.
const FEW: usize = 64;

impl Objects {
    /// Settles a batch; the identities that other rules apply to.
    pub(crate) fn settle(&mut self, touched: &mut Touched) -> HashSet<IdentityId> {
        let fresh = self.selections.take_fresh();
        self.match_identities(touched, &fresh);
        let recompiled = self.compile(touched);
        self.collect();
        recompiled
    }

    /// Brings membership up to date.
    fn match_identities(&mut self, touched: &mut Touched, fresh: &[SelectionId]) {
        for namespace in std::mem::take(&mut touched.namespaces) {
            let Some(state) = self.namespaces.get(&namespace) else {
                continue;
            };
            for id in state.identities.iter().copied().collect::<Vec<_>>() {
                if self.rematch(id) {
                    self.touch_pods(id, touched);
                }
            }
        }
        if fresh.len() > FEW {
            let all: Vec<IdentityId> = self.identities.iter().map(|(id, _)| id).collect();
            for id in all {
                self.rematch(id);
            }
        } else {
            for selection in fresh {
                self.fill(*selection);
            }
            let new: Vec<IdentityId> = touched.new_identities.iter().copied().collect();
            for id in new {
                self.rematch(id);
            }
        }
    }

    /// Finds who belongs to a new selection.
    fn fill(&mut self, id: SelectionId) {
        let Some(selection) = self.selections.get(id) else {
            return;
        };
        let key = Arc::clone(&selection.key);
        let namespaces = self
            .namespaces
            .iter()
            .filter(|(name, state)| key.reaches(name, &state.labels));
        let identities = namespaces.flat_map(|(_, state)| &state.identities).copied();
        let belongs = |member: &IdentityId| {
            self.identities
                .get(*member)
                .is_some_and(|who| key.selects(&who.labels))
        };
        let members: HashSet<IdentityId> = identities.filter(belongs).collect();
        for member in &members {
            self.edit_selections(*member, |selections| {
                if let Err(place) = selections.binary_search(&id) {
                    selections.insert(place, id);
                }
            });
        }
        if let Some(selection) = self.selections.get_mut(id) {
            selection.members = members;
        }
    }

    /// Finds all selections of an identity anew; whether they are others than before.
    fn rematch(&mut self, id: IdentityId) -> bool {
        let Some(identity) = self.identities.get(id) else {
            return false;
        };
        let Some(namespace) = self.namespaces.get(&identity.namespace) else {
            return false;
        };
        let found = self
            .selections
            .of(&identity.namespace, &identity.labels, &namespace.labels);
        let view = self.views.get(id).cloned().unwrap_or_default();
        let before = &view.selections;
        if **before == *found {
            self.views.set(id, view);
            return false;
        }
        for selection in before
            .iter()
            .filter(|selection| found.binary_search(selection).is_err())
        {
            let Some(selection) = self.selections.get_mut(*selection) else {
                continue;
            };
            selection.members.remove(&id);
        }
        for selection in found
            .iter()
            .filter(|selection| before.binary_search(selection).is_err())
        {
            let Some(selection) = self.selections.get_mut(*selection) else {
                continue;
            };
            selection.members.insert(id);
        }
        self.views.set(
            id,
            IdentityView {
                selections: SmallVec::from_slice(&found),
                ..view
            },
        );
        true
    }

    fn touch_pods(&self, id: IdentityId, touched: &mut Touched) {
        let Some(identity) = self.identities.get(id) else {
            return;
        };
        for view in identity
            .local
            .iter()
            .chain(&identity.remote)
            .filter_map(|name| self.pods.get(name))
        {
            touched.addresses.extend(
                view.pod
                    .addresses
                    .iter()
                    .map(|address| Address::from(*address)),
            );
        }
    }

    /// Compiles the tables of the identities that other policies select now.
    fn compile(&mut self, touched: &Touched) -> HashSet<IdentityId> {
        let ruled = touched
            .subjects
            .iter()
            .filter_map(|id| self.selections.get(*id));
        let mut identities: HashSet<IdentityId> = ruled
            .flat_map(|selection| &selection.members)
            .copied()
            .collect();
        identities.extend(&touched.subject_identities);
        // Identities that the same policies select share their tables.
        let mut done: HashMap<Vec<PolicySlot>, Option<Arc<Tables>>> = HashMap::default();
        identities.retain(|id| {
            let policies = self.policies_of(*id);
            let tables = match done.get(&policies) {
                Some(tables) => tables.clone(),
                None => done
                    .entry(policies)
                    .or_insert_with_key(|slots| self.tables(slots))
                    .clone(),
            };
            // The pods of the scope that such an identity has came with this batch, and are looked at one by one.
            self.set_tables(*id, tables) && !touched.subject_identities.contains(id)
        });
        identities
    }

    /// The policies that select the pods of an identity, in name order; none where no pod of the scope has it.
    fn policies_of(&self, id: IdentityId) -> Vec<PolicySlot> {
        if self
            .identities
            .get(id)
            .is_none_or(|identity| identity.local.is_empty())
        {
            return Vec::new();
        }
        let view = self.views.get(id);
        let selections = view.map_or(&[][..], |view| &view.selections);
        let selections = selections.iter().filter_map(|id| self.selections.get(*id));
        let mut policies: Vec<PolicySlot> = selections
            .flat_map(|selection| &selection.policies)
            .copied()
            .collect();
        policies.sort_unstable_by_key(|slot| {
            self.policies.get(*slot).map(|policy| &policy.object.name)
        });
        policies
    }

    fn tables(&self, slots: &[PolicySlot]) -> Option<Arc<Tables>> {
        let policies: Vec<&Policy> = slots
            .iter()
            .filter_map(|slot| self.policies.get(*slot))
            .collect();
        let tables = compile::tables(&policies, &self.selections);
        tables.iter().next()?;
        Some(Arc::new(tables))
    }

    /// Gives an identity its tables; whether they are others than before.
    fn set_tables(&mut self, id: IdentityId, tables: Option<Arc<Tables>>) -> bool {
        let view = self.views.get(id).cloned().unwrap_or_default();
        if view.tables == tables {
            return false;
        }
        for selection in view
            .tables
            .iter()
            .flat_map(|tables| tables.iter())
            .flat_map(|table| &table.selections)
        {
            let Some(selection) = self.selections.get_mut(*selection) else {
                continue;
            };
            selection.users.remove(&id);
        }
        for selection in tables
            .iter()
            .flat_map(|tables| tables.iter())
            .flat_map(|table| &table.selections)
        {
            let Some(selection) = self.selections.get_mut(*selection) else {
                continue;
            };
            selection.users.insert(id);
        }
        let names_ports =
            |tables: &Arc<Tables>| tables.egress.as_ref().is_some_and(Table::has_names);
        if tables.as_ref().is_some_and(names_ports) {
            self.namers.insert(id);
        } else {
            self.namers.remove(&id);
        }
        self.views.set(id, IdentityView { tables, ..view });
        true
    }

    /// Frees what is used no longer.
    fn collect(&mut self) {
        for (id, identity) in self.identities.collect() {
            let view = self.views.get(id).cloned().unwrap_or_default();
            for selection in &view.selections {
                let Some(selection) = self.selections.get_mut(*selection) else {
                    continue;
                };
                selection.members.remove(&id);
            }
            self.views.set(id, IdentityView::default());
            self.leave_namespace(&identity.namespace, id);
        }
        for (id, members) in self.selections.collect() {
            for member in members {
                self.edit_selections(member, |selections| selections.retain(|other| *other != id));
            }
        }
        self.identities.settle();
        self.selections.settle();
        self.policies.settle();
    }

    /// Changes the selections of an identity.
    fn edit_selections(
        &mut self,
        id: IdentityId,
        edit: impl FnOnce(&mut SmallVec<[SelectionId; 6]>),
    ) {
        let view = self.views.get(id).cloned().unwrap_or_default();
        let mut selections = view.selections.clone();
        edit(&mut selections);
        self.views.set(id, IdentityView { selections, ..view });
    }
}
