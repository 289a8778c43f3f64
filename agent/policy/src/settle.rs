//! The end of a batch: who belongs to which selection, which rules apply to whom, and what is used no longer.
//! Touches only what the batch concerns.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use smallvec::SmallVec;

use crate::address::Address;
use crate::compile;
use crate::identity::IdentityId;
use crate::objects::{NamespaceState, Objects, Touched};
use crate::policies::Object;
use crate::resolve::Policy;
use crate::selection::{PolicySlot, SelectionId, SelectionKey, Within};
use crate::snapshot::{IdentityView, Snapshot, Standing};
use crate::table::{Table, Tables};
use crate::tiers::{POLICY_TIERS, Tiers};
use crate::{Direction, Tier};

/// To ask an identity where it belongs costs as much as to ask so many selections whether it belongs to them.
const SELECTIONS: usize = 64;

impl Objects {
    /// Settles a batch; the identities that other rules apply to.
    pub(crate) fn settle(&mut self, touched: &mut Touched) -> HashSet<IdentityId> {
        let fresh = self.selections.take_fresh();
        self.match_identities(touched, &fresh);
        let recompiled = self.compile(touched);
        self.collect();
        self.match_nodes(touched);
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
                    touched.rematched.insert(id);
                }
            }
        }
        let asked: usize = fresh.iter().map(|id| self.askable(*id)).sum();
        if asked > SELECTIONS * self.identities.len() {
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

    /// How many identities are asked, at most, whether they belong to a new selection.
    fn askable(&self, id: SelectionId) -> usize {
        let within = self.selections.get(id).map(|it| &it.key.namespaces);
        match within {
            Some(Within::Named(name)) => {
                let namespace = self.namespaces.get(name);
                namespace.map_or(0, |state| state.identities.len())
            }
            Some(Within::Matching(_)) => self.identities.len(),
            Some(Within::Nodes) | None => 0,
        }
    }

    /// Finds who belongs to a new selection.
    fn fill(&mut self, id: SelectionId) {
        let Some(selection) = self.selections.get(id) else {
            return;
        };
        let key = Arc::clone(&selection.key);
        let members: HashSet<IdentityId> = match &key.namespaces {
            Within::Nodes => return,
            Within::Named(name) => {
                let own = self.namespaces.get(name).into_iter();
                self.belonging(&key, own).collect()
            }
            Within::Matching(_) => {
                let all = self.namespaces.iter();
                let reached = all.filter(|(name, state)| key.reaches(name, &state.labels));
                self.belonging(&key, reached.map(|(_, state)| state))
                    .collect()
            }
        };
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

    /// The identities of some namespaces, which a selection reaches, that belong to it.
    fn belonging<'o>(
        &'o self,
        key: &'o SelectionKey,
        namespaces: impl Iterator<Item = &'o NamespaceState> + 'o,
    ) -> impl Iterator<Item = IdentityId> + 'o {
        let belongs = |member: &IdentityId| {
            let who = self.identities.get(*member);
            who.is_some_and(|who| key.selects(&who.labels))
        };
        let identities = namespaces.flat_map(|state| &state.identities).copied();
        identities.filter(belongs)
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
        for view in identity.local.iter().chain(identity.remote.iter()) {
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
        // Identities that the same policies of a tier select share their tables.
        let mut done: HashMap<Vec<PolicySlot>, Option<Arc<Tables>>> = HashMap::default();
        let mut recompiled = HashSet::default();
        for (id, concerned) in self.concerned(touched) {
            let mut tiers = self
                .views
                .get(id)
                .map_or_else(Tiers::default, |view| view.tiers.clone());
            for tier in concerned {
                let slots = self.policies_of(id, tier);
                let tables = match done.get(&slots) {
                    Some(tables) => tables.clone(),
                    None => done
                        .entry(slots)
                        .or_insert_with_key(|slots| self.tables(slots))
                        .clone(),
                };
                tiers.set(tier, tables);
            }
            // The pods of the scope that such an identity has came with this batch, and are looked at one by one.
            if self.set_tiers(id, tiers) && !touched.subject_identities.contains(&id) {
                recompiled.insert(id);
            }
        }
        recompiled
    }

    /// Identities, and the tiers in which other policies may select them now.
    fn concerned(&self, touched: &Touched) -> HashMap<IdentityId, SmallVec<[Tier; 3]>> {
        let mut concerned: HashMap<IdentityId, SmallVec<[Tier; 3]>> = HashMap::default();
        let mut note = |id: IdentityId, tier| {
            let tiers = concerned.entry(id).or_default();
            if !tiers.contains(&tier) {
                tiers.push(tier);
            }
        };
        for (tier, selection) in &touched.subjects {
            let members = self.selections.get(*selection).map(|it| &it.members);
            members
                .into_iter()
                .flatten()
                .for_each(|id| note(*id, *tier));
        }
        for id in touched.rematched.iter().chain(&touched.subject_identities) {
            for tier in POLICY_TIERS {
                note(*id, tier);
            }
        }
        concerned
    }

    /// Makes the pod at an address one of a snapshot's scope.
    pub(crate) fn take_in(&self, snapshot: &mut Snapshot, address: Address) {
        let standing = snapshot.owner(address).map(|pod| pod.standing);
        let Some(Standing { identity, local }) = standing else {
            return;
        };
        if local {
            return;
        }
        let mut tiers = Tiers::default();
        for tier in POLICY_TIERS {
            tiers.set(tier, self.tables(&self.policies_on(identity, tier)));
        }
        let view = snapshot.identities.get(identity).cloned();
        let view = view.unwrap_or_default();
        let view = IdentityView { tiers, ..view };
        snapshot.identities.set(identity, view);
        snapshot
            .addresses
            .update(address, |entry| entry.standing.local = true);
    }

    /// The policies of a tier that are compiled for the pods of an identity; none where no pod of the scope has it.
    fn policies_of(&self, id: IdentityId, tier: Tier) -> Vec<PolicySlot> {
        let identity = self.identities.get(id);
        if identity.is_none_or(|identity| identity.local.is_empty()) {
            return Vec::new();
        }
        self.policies_on(id, tier)
    }

    /// The policies of a tier that select the pods of an identity, in the order in which they are asked.
    fn policies_on(&self, id: IdentityId, tier: Tier) -> Vec<PolicySlot> {
        let view = self.views.get(id);
        let selections = view.map_or(&[][..], |view| &view.selections);
        let selections = selections.iter().filter_map(|id| self.selections.get(*id));
        let policy = |slot: &PolicySlot| self.policies.get(*slot).map(|policy| &policy.object);
        let mut policies: Vec<PolicySlot> = selections
            .flat_map(|selection| &selection.policies)
            .filter(|slot| policy(slot).is_some_and(|policy| policy.tier() == tier))
            .copied()
            .collect();
        policies.sort_unstable_by(|one, other| {
            let rank = |slot| policy(slot).map(Object::rank);
            rank(one).cmp(&rank(other))
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

    /// Gives an identity its tables; whether they decide otherwise than before.
    fn set_tiers(&mut self, id: IdentityId, tiers: Tiers) -> bool {
        let view = self.views.get(id).cloned().unwrap_or_default();
        if view.tiers == tiers {
            return false;
        }
        for selection in peers(&view.tiers) {
            if let Some(selection) = self.selections.get_mut(selection) {
                selection.users.remove(&id);
            }
        }
        for selection in peers(&tiers) {
            if let Some(selection) = self.selections.get_mut(selection) {
                selection.users.insert(id);
            }
        }
        if tiers.towards(Direction::Egress).any(Table::has_names) {
            self.namers.insert(id);
        } else {
            self.namers.remove(&id);
        }
        self.ruled += usize::from(!tiers.is_empty());
        self.ruled -= usize::from(!view.tiers.is_empty());
        let differs = !tiers.decide_alike(&view.tiers);
        self.views.set(id, IdentityView { tiers, ..view });
        differs
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

/// The selections that tables have as peers.
fn peers(tiers: &Tiers) -> impl Iterator<Item = SelectionId> {
    tiers
        .tables()
        .flat_map(|table| table.selections.iter().copied())
}
