//! The objects known, and what an event does to them. Notes what it touched; who belongs to which selection and
//! which rules apply to whom is settled afterwards, once per batch.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::address::Address;
use crate::cow::{AddressMap, CowVec};
use crate::identity::{Identities, IdentityId};
use crate::intern::Interner;
use crate::pods::Pods;
use crate::policies::Object;
use crate::resolve::Policy;
use crate::selection::{PolicySlot, SelectionId, Selections};
use crate::slab::Slab;
use crate::snapshot::{Entry, IdentityView, PodView, Standing};
use crate::{
    Counts, Event, Labels, Namespace, Node, Pod, PodName, PolicyId, Scope, Snapshot, Tier,
};

/// The label that a namespace has by its mere name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Everything the index knows.
pub(crate) struct Objects {
    scope: Scope,
    /// One copy of every string.
    pub(crate) strings: Interner,
    /// Every pod, with or without addresses.
    pub(crate) pods: Pods,
    /// Pods that would have an address if its owner did not.
    rivals: HashMap<Address, Vec<Arc<PodView>>>,
    /// Namespaces that are declared or have identities.
    pub(crate) namespaces: HashMap<Arc<str>, NamespaceState>,
    /// Nodes by name.
    pub(crate) nodes: HashMap<Arc<str>, Node>,
    /// Policies by number.
    pub(crate) policies: Slab<Policy>,
    /// Policies by name.
    pub(crate) policy_numbers: HashMap<Arc<PolicyId>, PolicySlot>,
    /// How many policies there are of each kind; nothing else is counted.
    pub(crate) policy_counts: Counts,
    /// Who can be told apart.
    pub(crate) identities: Identities,
    /// What policies select.
    pub(crate) selections: Selections,
    /// Identities whose egress tables name ports.
    pub(crate) namers: HashSet<IdentityId>,
    /// How many identities have tables.
    pub(crate) ruled: usize,
    /// Addresses, as the next snapshot has them.
    pub(crate) addresses: AddressMap<Entry>,
    /// Identities, as the next snapshot has them.
    pub(crate) views: CowVec<IdentityView>,
}

/// A namespace as selectors see it.
pub(crate) struct NamespaceState {
    /// Its labels; by its mere name where it is not declared.
    pub(crate) labels: Labels,
    declared: bool,
    /// Identities of its pods.
    pub(crate) identities: HashSet<IdentityId>,
}

/// What the events of a batch touched.
#[derive(Default)]
pub(crate) struct Touched {
    /// Whether any object is different.
    pub(crate) anything: bool,
    /// Addresses behind which something may be different.
    pub(crate) addresses: HashSet<Address>,
    /// Identities that nobody has matched against selections yet.
    pub(crate) new_identities: HashSet<IdentityId>,
    /// Namespaces whose labels are different.
    pub(crate) namespaces: HashSet<Arc<str>>,
    /// Selections whose subjects are ruled by other policies of a tier.
    pub(crate) subjects: HashSet<(Tier, SelectionId)>,
    /// Identities that belong to other selections, as their namespaces have other labels.
    pub(crate) rematched: HashSet<IdentityId>,
    /// Addresses that nodes came to or left, or whose nodes have other labels.
    pub(crate) node_addresses: HashSet<Address>,
    /// Identities that have their first pod of the scope, or their last no more.
    pub(crate) subject_identities: HashSet<IdentityId>,
}

impl Objects {
    /// Nothing.
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            strings: Interner::default(),
            pods: Pods::default(),
            rivals: HashMap::default(),
            namespaces: HashMap::default(),
            nodes: HashMap::default(),
            policies: Slab::default(),
            policy_numbers: HashMap::default(),
            policy_counts: Counts::default(),
            identities: Identities::default(),
            selections: Selections::default(),
            namers: HashSet::default(),
            ruled: 0,
            addresses: AddressMap::new(),
            views: CowVec::new(),
        }
    }

    /// Whether nothing is left of what it knew.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let views = self
            .views
            .iter()
            .all(|view| view.selections.is_empty() && view.tiers.is_empty());
        let objects = self.pods.is_empty() && self.nodes.is_empty() && self.policies.len() == 0;
        let found = self.ruled == 0
            && self.policy_numbers.is_empty()
            && self.namers.is_empty()
            && self.rivals.is_empty();
        views
            && self.selections.is_empty()
            && objects
            && found
            && self.namespaces.is_empty()
            && self.addresses.iter().next().is_none()
    }

    /// What readers see of it, but for the counts of the scope.
    pub(crate) fn snapshot(&self, scope: Counts) -> Snapshot {
        let counts = Counts {
            local: scope.local,
            isolated: scope.isolated,
            pods: self.pods.len(),
            ..self.policy_counts
        };
        Snapshot {
            addresses: self.addresses.clone(),
            identities: self.views.clone(),
            counts,
            ruled: self.ruled,
        }
    }

    /// Takes one event in.
    pub(crate) fn take(&mut self, event: Event, touched: &mut Touched) {
        match event {
            Event::Pod(pod) => self.set_pod(pod, touched),
            Event::PodGone(name) => self.remove_pod(&name, touched),
            Event::Namespace(namespace) => self.set_namespace(&namespace, touched),
            Event::NamespaceGone(name) => self.remove_namespace(&name, touched),
            Event::Node(node) => self.set_node(node, touched),
            Event::NodeGone(name) => self.remove_node(&name, touched),
            Event::NetworkPolicy(policy) => self.set_network_policy(policy, touched),
            Event::NetworkPolicyGone(namespace, name) => {
                self.remove_policy(&PolicyId::NetworkPolicy { namespace, name }, touched);
            }
            Event::AdminPolicy(policy) => {
                self.set_policy(Object::Admin(Box::new(policy)), touched);
            }
            Event::AdminPolicyGone(name) => self.remove_policy(&PolicyId::from(&name), touched),
        }
    }

    fn set_pod(&mut self, pod: Pod, touched: &mut Touched) {
        if self
            .pods
            .get(&pod.name)
            .is_some_and(|known| known.pod == pod)
        {
            return;
        }
        self.remove_pod(&pod.name, touched);
        touched.anything = true;
        let pod = self.strings.pod(pod);
        // A host-network pod is its node to everybody else.
        let is_seen = !pod.host_network && !pod.addresses.is_empty();
        let local = is_seen && self.is_local(&pod);
        let identity = if is_seen {
            self.identity(&pod, touched)
        } else {
            0
        };
        let view = Arc::new(PodView {
            pod,
            standing: Standing { identity, local },
        });
        if is_seen {
            if self.identities.join(&view) {
                touched.subject_identities.insert(identity);
            }
            for address in addresses(&view.pod) {
                touched.addresses.insert(address);
                self.claim(address, &view);
            }
        }
        self.pods.insert(view);
    }

    fn remove_pod(&mut self, name: &PodName, touched: &mut Touched) {
        let Some(view) = self.pods.remove(name) else {
            return;
        };
        touched.anything = true;
        if view.pod.host_network || view.pod.addresses.is_empty() {
            return;
        }
        for address in addresses(&view.pod) {
            touched.addresses.insert(address);
            self.unclaim(address, &view);
        }
        if self.identities.leave(&view) {
            touched.subject_identities.insert(view.standing.identity);
        }
    }

    /// Whether a pod is of the scope.
    pub(crate) fn is_local(&self, pod: &Pod) -> bool {
        match &self.scope {
            Scope::Cluster => true,
            Scope::Node(node) => pod.node.as_ref() == Some(node),
        }
    }

    /// The identity of a pod.
    fn identity(&mut self, pod: &Pod, touched: &mut Touched) -> IdentityId {
        let (id, is_new) = self.identities.acquire(&pod.name.namespace, &pod.labels);
        if is_new {
            touched.new_identities.insert(id);
            let namespace = Arc::clone(&pod.name.namespace);
            let undeclared = || NamespaceState::undeclared(&namespace);
            self.namespaces
                .entry(Arc::clone(&namespace))
                .or_insert_with(undeclared)
                .identities
                .insert(id);
        }
        id
    }

    /// Gives a pod an address, unless a pod that goes before it has it.
    fn claim(&mut self, address: Address, view: &Arc<PodView>) {
        let rivals = &mut self.rivals;
        self.addresses.update(address, |entry| {
            let winner = match entry.pod.take() {
                None => Arc::clone(view),
                Some(owner) => {
                    let (winner, loser) = if owner.precedence() < view.precedence() {
                        (Arc::clone(view), owner)
                    } else {
                        (owner, Arc::clone(view))
                    };
                    rivals.entry(address).or_default().push(loser);
                    winner
                }
            };
            entry.set_pod(Some(winner));
        });
    }

    /// Takes an address, or the claim to it, from a pod.
    fn unclaim(&mut self, address: Address, view: &Arc<PodView>) {
        let mut heir = None;
        let is_owner = self
            .addresses
            .get(address)
            .and_then(|entry| entry.pod.as_ref())
            .is_some_and(|p| Arc::ptr_eq(p, view));
        if let Some(rivals) = self.rivals.get_mut(&address) {
            rivals.retain(|rival| !Arc::ptr_eq(rival, view));
            if is_owner {
                let next = (0..rivals.len()).max_by_key(|index| rivals[*index].precedence());
                heir = next.map(|index| rivals.swap_remove(index));
            }
            if rivals.is_empty() {
                self.rivals.remove(&address);
            }
        }
        if is_owner {
            self.addresses.update(address, |entry| entry.set_pod(heir));
        }
    }

    fn set_namespace(&mut self, namespace: &Namespace, touched: &mut Touched) {
        let name = self.strings.string(&namespace.name);
        let labels = self.strings.labels(&namespace.labels);
        let state = self
            .namespaces
            .entry(Arc::clone(&name))
            .or_insert_with(|| NamespaceState::undeclared(&name));
        state.declared = true;
        if state.labels != labels {
            state.labels = labels;
            touched.anything = true;
            touched.namespaces.insert(name);
        }
    }

    fn remove_namespace(&mut self, name: &Arc<str>, touched: &mut Touched) {
        let Some(state) = self.namespaces.get_mut(name) else {
            return;
        };
        let undeclared = NamespaceState::undeclared(name);
        state.declared = false;
        if state.labels != undeclared.labels {
            state.labels = undeclared.labels;
            touched.anything = true;
            touched.namespaces.insert(Arc::clone(name));
        }
        if state.identities.is_empty() {
            self.namespaces.remove(name);
        }
    }

    /// Names of the namespaces that are declared.
    pub(crate) fn declared_namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        let declared = self.namespaces.iter().filter(|(_, state)| state.declared);
        declared.map(|(name, _)| name)
    }

    /// The pods of the scope that have or claim addresses.
    pub(crate) fn local_pods(&self) -> impl Iterator<Item = &PodView> {
        let identities = self.identities.iter();
        identities.flat_map(|(_, identity)| identity.local.iter())
    }

    /// Forgets that an identity is in a namespace, and the namespace if nothing else keeps it.
    pub(crate) fn leave_namespace(&mut self, name: &Arc<str>, identity: IdentityId) {
        let Some(state) = self.namespaces.get_mut(name) else {
            return;
        };
        state.identities.remove(&identity);
        if state.identities.is_empty() && !state.declared {
            self.namespaces.remove(name);
        }
    }
}

impl NamespaceState {
    fn undeclared(name: &Arc<str>) -> Self {
        let labels = Labels::from([(Arc::from(NAMESPACE_NAME), Arc::clone(name))]);
        Self {
            labels,
            declared: false,
            identities: HashSet::default(),
        }
    }
}

impl PodView {
    /// Of several pods with one address, the greatest has it.
    fn precedence(&self) -> (i64, &PodName) {
        (self.pod.created, &self.pod.name)
    }
}

/// The addresses of a pod, each once.
fn addresses(pod: &Pod) -> Vec<Address> {
    let mut addresses: Vec<Address> = pod
        .addresses
        .iter()
        .map(|address| Address::from(*address))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}
