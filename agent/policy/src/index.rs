//! The single writer.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::objects::{Objects, Touched};
use crate::review::review;
use crate::{AdminKind, AdminName, AdminPolicy, NetworkPolicy, PolicyId};
use crate::{Counts, Isolation, Namespace, Node, Pod, PodName, Snapshot};

/// Whose verdicts an index is asked for: the pods that are subjects of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The pods of one node: what an agent enforces.
    Node(Arc<str>),
    /// Every pod: what the offline tools ask about.
    Cluster,
}

/// Something that became known. Events may come in any order, and more than once.
#[derive(Clone, Debug)]
pub enum Event {
    /// A pod is there, or is different now.
    Pod(Pod),
    /// A pod is gone.
    PodGone(PodName),
    /// A namespace is there, or is different now.
    Namespace(Namespace),
    /// A namespace is gone; pods that still name it see it with `kubernetes.io/metadata.name` alone.
    NamespaceGone(Arc<str>),
    /// A node is there, or is different now.
    Node(Node),
    /// A node is gone.
    NodeGone(Arc<str>),
    /// A policy is there, or is different now.
    NetworkPolicy(NetworkPolicy),
    /// A policy is gone: namespace, name.
    NetworkPolicyGone(Arc<str>, Arc<str>),
    /// A cluster-scoped policy is there, or is different now.
    AdminPolicy(AdminPolicy),
    /// A cluster-scoped policy is gone.
    AdminPolicyGone(AdminName),
}

/// What a batch of events changed; empty where nothing did.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The pods of the scope whose verdicts can be different now, and no others.
    pub pods: BTreeSet<PodName>,
    /// An end of every tuple whose verdict can be different now, and as few others as can be: the addresses of pods
    /// that came or went, of pods whose own rules changed, of peers that rules see differently now, and of nodes that
    /// came or went. A pod of `pods` that merely sees such a peer keeps its own addresses out of here, so that churn
    /// among its peers does not touch what it has to do with others. Their epochs are to be raised.
    pub addresses: BTreeSet<IpAddr>,
    /// Sorted by address: addresses of the scope's pods whose isolation is different now; none where no such pod is there any more.
    pub isolation: Vec<(IpAddr, Option<Isolation>)>,
    /// Whether no verdict turned from allow to deny: NetworkPolicies came and nobody is isolated that was not, or peers
    /// changed and nobody's rules deny what they allowed. Where it is false, one may have.
    pub only_allows: bool,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.addresses.is_empty() && self.isolation.is_empty()
    }
}

/// All objects known, compiled. The single writer: not `Clone`.
pub struct Index {
    objects: Objects,
    published: Arc<Snapshot>,
}

impl Index {
    /// An index of nothing: everything is allowed by default.
    pub fn new(scope: Scope) -> Self {
        let objects = Objects::new(scope);
        let published = Arc::new(objects.snapshot(Counts::default()));
        Self { objects, published }
    }

    /// Takes a batch of events in and publishes one snapshot for all of them.
    pub fn apply(&mut self, events: impl IntoIterator<Item = Event>) -> Changes {
        let mut touched = Touched::default();
        let mut adds_rules = true;
        for event in events {
            adds_rules = adds_rules && self.objects.only_adds_rules(&event);
            self.objects.take(event, &mut touched);
        }
        if !touched.anything {
            return Changes::default();
        }
        let recompiled = self.objects.settle(&mut touched);
        let new = self.objects.snapshot(Counts::default());
        let (changes, counts) = review(&self.objects, &self.published, &new, &touched, &recompiled);
        let isolates = |snapshot: &Snapshot, id| {
            let view = snapshot.identities.get(id);
            view.map_or_else(Isolation::default, |view| view.tiers.network_policy())
        };
        // Rules of NetworkPolicies add up, and only deny whom no policy before them isolated.
        let only_allows = if adds_rules {
            let isolates_alike = |id| isolates(&self.published, id) == isolates(&new, id);
            recompiled.iter().all(|id| isolates_alike(*id))
        } else {
            changes.only_allows
        };
        self.published = Arc::new(Snapshot { counts, ..new });
        Changes {
            only_allows,
            ..changes
        }
    }

    /// The state after the last batch.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published)
    }

    /// The same, as if the pods at these addresses were of the scope as well: who asks about them learns what the policies
    /// of other nodes' pods say.
    pub fn snapshot_about(&self, addresses: &[IpAddr]) -> Snapshot {
        let mut snapshot = self.objects.snapshot(self.published.counts);
        for address in addresses {
            self.objects.take_in(&mut snapshot, (*address).into());
        }
        snapshot
    }

    /// Names of all pods known, in no order: whoever lists them anew finds out which are gone.
    pub fn pod_names(&self) -> impl Iterator<Item = &PodName> {
        self.objects.pods.iter().map(|view| &view.pod.name)
    }

    /// Names of the namespaces known, in no order; not of those that pods merely name.
    pub fn namespace_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.objects.declared_namespaces()
    }

    /// Names of the nodes known, in no order.
    pub fn node_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.objects.nodes.keys()
    }

    /// Whether a node of that name is known.
    pub fn has_node(&self, name: &str) -> bool {
        self.objects.nodes.contains_key(name)
    }

    /// Whether any pod of the scope is known, with or without an address of its own. Looks at all pods.
    pub fn has_local_pods(&self) -> bool {
        let mut pods = self.objects.pods.iter();
        pods.any(|view| self.objects.is_local(&view.pod))
    }

    /// Namespaces and names of the NetworkPolicies known, in no order.
    pub fn network_policy_names(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.objects.policy_names().filter_map(|id| match id {
            PolicyId::NetworkPolicy { namespace, name } => Some((namespace, name)),
            _ => None,
        })
    }

    /// Names of the cluster-scoped policies of a kind that are known, in no order.
    pub fn admin_policy_names(&self, kind: AdminKind) -> impl Iterator<Item = &Arc<str>> {
        let names = self.objects.policy_names();
        names.filter_map(move |id| match (id, kind) {
            (PolicyId::AdminNetworkPolicy(name), AdminKind::AdminNetworkPolicy)
            | (PolicyId::BaselineAdminNetworkPolicy(name), AdminKind::BaselineAdminNetworkPolicy)
            | (PolicyId::ClusterNetworkPolicy(name), AdminKind::ClusterNetworkPolicy) => Some(name),
            _ => None,
        })
    }

    /// Admin policies of one tier and one priority, which the API leaves without an order: pairs of neighbours in the
    /// order in which they are asked here, by name and then by kind. Of `n` tied policies there are `n - 1` pairs.
    pub fn ties(&self) -> Vec<(AdminName, AdminName)> {
        self.objects.ties()
    }

    /// The policies of every kind whose subjects are no pod of the cluster that has an address of its own, in no order.
    pub fn selects_nothing(&self) -> impl Iterator<Item = &PolicyId> {
        self.objects.selecting_nothing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdminAction, AdminPeer, AdminPeers, AdminPorts, AdminRule, AdminTier, PodsOf};
    use crate::{Labels, Namespaces, Operator, Peer, Peers, Ports, Requirement, Rule, Selector};

    fn labelled(value: usize) -> Selector {
        let operator = Operator::In(vec![value.to_string().into()]);
        Selector {
            requirements: vec![Requirement {
                key: "n".into(),
                operator,
            }],
        }
    }

    fn pod(number: usize) -> Pod {
        Pod {
            name: PodName {
                namespace: format!("ns{}", number % 7).into(),
                name: number.to_string().into(),
            },
            node: None,
            labels: Labels::from([("n".into(), number.to_string().into())]),
            addresses: vec![IpAddr::from([
                10,
                0,
                u8::try_from(number / 256).unwrap(),
                u8::try_from(number % 256).unwrap(),
            ])],
            ports: [].into(),
            host_network: false,
            created: 0,
        }
    }

    fn policy(number: usize) -> NetworkPolicy {
        let peers = Peers::Of(vec![
            Peer::Pods {
                namespaces: Namespaces::Matching(labelled(number)),
                pods: labelled(number + 1),
            },
            Peer::Pods {
                namespaces: Namespaces::Own,
                pods: labelled(number + 2),
            },
        ]);
        NetworkPolicy {
            namespace: format!("ns{}", number % 7).into(),
            name: number.to_string().into(),
            pods: labelled(number),
            ingress: Some(vec![Rule {
                peers,
                ports: Ports::Any,
            }]),
            egress: None,
        }
    }

    /// An admin policy for some pods, of nodes and pods of their own.
    fn admin_policy(number: usize) -> AdminPolicy {
        let pods = |number| PodsOf {
            namespaces: labelled(number),
            pods: labelled(number + 1),
        };
        let rule = AdminRule {
            action: AdminAction::Deny,
            peers: AdminPeers::Of(vec![
                AdminPeer::Nodes(labelled(number)),
                AdminPeer::Pods(pods(number)),
            ]),
            ports: AdminPorts::Any,
        };
        AdminPolicy {
            name: AdminName {
                kind: AdminKind::ClusterNetworkPolicy,
                name: number.to_string().into(),
            },
            tier: AdminTier::Baseline,
            priority: 0,
            subject: PodsOf {
                namespaces: Selector::default(),
                pods: labelled(number),
            },
            ingress: Vec::new(),
            egress: vec![rule],
        }
    }

    fn node(number: usize) -> Node {
        Node {
            name: number.to_string().into(),
            labels: Labels::from([("n".into(), number.to_string().into())]),
            addresses: vec![IpAddr::from([192, 168, 0, 1])],
        }
    }

    #[test]
    fn what_only_admin_policies_and_nodes_used_is_freed() {
        let mut index = Index::new(Scope::Cluster);
        for number in 0..500 {
            let _changes = index.apply([
                Event::Pod(pod(number)),
                Event::AdminPolicy(admin_policy(number)),
                Event::Node(node(number)),
            ]);
            let (policies, node_selections) = (
                index.objects.policies.len(),
                index.objects.addresses.get(node(0).addresses[0].into()),
            );
            assert!(policies <= 11 && index.objects.selections.len() <= 33);
            // Each node is in the selection of its own policy.
            let selections = node_selections.map(|entry| entry.node_selections().len());
            assert_eq!(selections, Some(policies));
            if let Some(old) = number.checked_sub(10) {
                let _changes = index.apply([Event::AdminPolicyGone(admin_policy(old).name)]);
                let _changes = index.apply([Event::NodeGone(node(old).name)]);
                let _changes = index.apply([Event::PodGone(pod(old).name)]);
            }
        }
        for number in 490..500 {
            let _changes = index.apply([
                Event::NodeGone(node(number).name),
                Event::PodGone(pod(number).name),
                Event::AdminPolicyGone(admin_policy(number).name),
            ]);
        }
        assert_eq!(index.objects.selections.len(), 0);
        assert!(index.objects.is_empty());
        assert!(*index.snapshot() == *Index::new(Scope::Cluster).snapshot());
    }

    #[test]
    fn policies_that_come_together_select_what_they_select_one_by_one() {
        let pods = || (0..80).map(|number| Event::Pod(pod(number)));
        // So many that every identity is asked where it belongs.
        let policies = || (0..200).map(|number| Event::NetworkPolicy(policy(number)));
        let mut together = Index::new(Scope::Cluster);
        let _changes = together.apply(pods());
        let _changes = together.apply(policies());
        let mut one_by_one = Index::new(Scope::Cluster);
        for event in policies().chain(pods()) {
            let _changes = one_by_one.apply([event]);
        }
        assert!(*together.snapshot() == *one_by_one.snapshot());
        assert_eq!(together.selects_nothing().count(), 120);
        assert_eq!(one_by_one.selects_nothing().count(), 120);
    }

    #[test]
    fn what_nobody_uses_is_freed() {
        let mut index = Index::new(Scope::Cluster);
        for number in 0..2000 {
            let _changes = index.apply([
                Event::Pod(pod(number)),
                Event::NetworkPolicy(policy(number)),
            ]);
            assert!(index.objects.identities.len() <= 11 && index.objects.selections.len() <= 33);
            if let Some(old) = number.checked_sub(10) {
                let (pod, policy) = (pod(old), policy(old));
                let _changes = index.apply([Event::PodGone(pod.name)]);
                let _changes =
                    index.apply([Event::NetworkPolicyGone(policy.namespace, policy.name)]);
            }
        }
        for number in 1990..2000 {
            let (pod, policy) = (pod(number), policy(number));
            let _changes = index.apply([
                Event::NetworkPolicyGone(policy.namespace, policy.name),
                Event::PodGone(pod.name),
            ]);
        }
        assert_eq!(
            (
                index.objects.identities.len(),
                index.objects.selections.len()
            ),
            (0, 0)
        );
        assert!(index.objects.is_empty());
        assert!(*index.snapshot() == *Index::new(Scope::Cluster).snapshot());
    }
}
