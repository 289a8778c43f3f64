//! The policies known, of every kind: what an event does to them, and what can be asked about them.

use std::sync::Arc;

use crate::objects::{Objects, Touched};
use crate::resolve::Policy;
use crate::{
    AdminKind, AdminName, AdminPolicy, AdminTier, Counts, Event, NetworkPolicy, PolicyId, Tier,
};

/// A policy as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// A namespaced one.
    Network(NetworkPolicy),
    /// A cluster-scoped one; there are few of them.
    Admin(Box<AdminPolicy>),
}

/// Where a policy stands among those of its tier that select the same pod.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank<'p> {
    priority: u16,
    name: &'p str,
    kind: Option<AdminKind>,
}

impl Object {
    /// Its name.
    pub(crate) fn id(&self) -> PolicyId {
        match self {
            Self::Network(policy) => PolicyId::NetworkPolicy {
                namespace: Arc::clone(&policy.namespace),
                name: Arc::clone(&policy.name),
            },
            Self::Admin(policy) => PolicyId::from(&policy.name),
        }
    }

    /// The tier that it is of.
    pub(crate) const fn tier(&self) -> Tier {
        match self {
            Self::Network(_) => Tier::NetworkPolicy,
            Self::Admin(policy) => match policy.tier {
                AdminTier::Admin => Tier::Admin,
                AdminTier::Baseline => Tier::Baseline,
            },
        }
    }

    /// Its place in its tier.
    pub(crate) fn rank(&self) -> Rank<'_> {
        match self {
            Self::Network(policy) => Rank {
                priority: 0,
                name: &policy.name,
                kind: None,
            },
            Self::Admin(policy) => Rank {
                priority: policy.priority,
                name: &policy.name.name,
                kind: Some(policy.name.kind),
            },
        }
    }
}

impl Counts {
    /// The count of a policy's kind.
    fn of_kind(&mut self, id: &PolicyId) -> &mut usize {
        match id {
            PolicyId::NetworkPolicy { .. } => &mut self.network_policies,
            PolicyId::AdminNetworkPolicy(_) => &mut self.admin_network_policies,
            PolicyId::BaselineAdminNetworkPolicy(_) => &mut self.baseline_admin_network_policies,
            PolicyId::ClusterNetworkPolicy(_) => &mut self.cluster_network_policies,
        }
    }
}

impl Objects {
    /// Takes a NetworkPolicy in.
    pub(crate) fn set_network_policy(&mut self, mut policy: NetworkPolicy, touched: &mut Touched) {
        policy.namespace = self.strings.string(&policy.namespace);
        policy.name = self.strings.string(&policy.name);
        self.set_policy(Object::Network(policy), touched);
    }

    /// Whether an event changes nothing but that there are more rules: it is of a NetworkPolicy that is not known yet, or
    /// of a namespace without pods.
    pub(crate) fn only_adds_rules(&self, event: &Event) -> bool {
        match event {
            Event::NetworkPolicy(policy) => {
                let id = PolicyId::NetworkPolicy {
                    namespace: Arc::clone(&policy.namespace),
                    name: Arc::clone(&policy.name),
                };
                !self.policy_numbers.contains_key(&id)
            }
            Event::Namespace(namespace) => self.is_without_pods(&namespace.name),
            Event::NamespaceGone(name) => self.is_without_pods(name),
            _ => false,
        }
    }

    fn is_without_pods(&self, namespace: &Arc<str>) -> bool {
        let state = self.namespaces.get(namespace);
        state.is_none_or(|state| state.identities.is_empty())
    }

    /// Takes a policy in.
    pub(crate) fn set_policy(&mut self, object: Object, touched: &mut Touched) {
        let id = object.id();
        let known = self.policy_numbers.get(&id);
        if known
            .and_then(|number| self.policies.get(*number))
            .is_some_and(|known| known.object == object)
        {
            return;
        }
        self.remove_policy(&id, touched);
        touched.anything = true;
        let policy = Policy::new(object, &mut self.selections);
        let (id, subjects) = (Arc::clone(&policy.id), policy.subjects);
        touched.subjects.insert((policy.object.tier(), subjects));
        *self.policy_counts.of_kind(&id) += 1;
        let number = self.policies.insert(policy);
        self.policy_numbers.insert(id, number);
        if let Some(selection) = self.selections.get_mut(subjects) {
            selection.policies.insert(number);
        }
    }

    /// Lets a policy go.
    pub(crate) fn remove_policy(&mut self, id: &PolicyId, touched: &mut Touched) {
        let Some(number) = self.policy_numbers.remove(id) else {
            return;
        };
        let Some(policy) = self.policies.remove(number) else {
            return;
        };
        touched.anything = true;
        touched
            .subjects
            .insert((policy.object.tier(), policy.subjects));
        *self.policy_counts.of_kind(id) -= 1;
        if let Some(selection) = self.selections.get_mut(policy.subjects) {
            selection.policies.remove(&number);
        }
        policy.release(&mut self.selections);
    }

    /// Names of all policies, in no order.
    pub(crate) fn policy_names(&self) -> impl Iterator<Item = &PolicyId> {
        self.policy_numbers.keys().map(Arc::as_ref)
    }

    /// Pairs of admin policies of one tier and priority, neighbours in the order in which they are asked.
    pub(crate) fn ties(&self) -> Vec<(AdminName, AdminName)> {
        let admin = self.policies.iter().filter_map(|(_, policy)| {
            let Object::Admin(admin) = &policy.object else {
                return None;
            };
            Some(((admin.tier, policy.object.rank()), &admin.name))
        });
        let mut admin: Vec<_> = admin.collect();
        admin.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let is_tied = |(tier, rank): &(AdminTier, Rank<'_>),
                       (other_tier, other): &(AdminTier, Rank<'_>)| {
            (*tier, rank.priority) == (*other_tier, other.priority)
        };
        let tied = admin
            .windows(2)
            .filter(|pair| is_tied(&pair[0].0, &pair[1].0));
        tied.map(|pair| (pair[0].1.clone(), pair[1].1.clone()))
            .collect()
    }

    /// The policies that select no pod with an address.
    pub(crate) fn selecting_nothing(&self) -> impl Iterator<Item = &PolicyId> {
        let empty = self.policies.iter().filter(|(_, policy)| {
            self.selections
                .get(policy.subjects)
                .is_none_or(|subjects| subjects.members.is_empty())
        });
        empty.map(|(_, policy)| &*policy.id)
    }
}
