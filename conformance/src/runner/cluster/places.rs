//! Where things really are. The objects of a case declare addresses; in a cluster pods, nodes and Services have others,
//! and what is expected follows from those. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::access::RealNode;
use crate::State;
use crate::case::Object;

/// Real addresses, by the names that a case knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Of each node of the world, the real one. More nodes than there are share those that there are.
    pub(super) nodes: BTreeMap<String, RealNode>,
    /// Of pods, `NAMESPACE/NAME`.
    pub(super) pods: BTreeMap<String, Vec<IpAddr>>,
    /// Of Services, `NAMESPACE/NAME`.
    pub(super) services: BTreeMap<String, Vec<IpAddr>>,
}

impl Places {
    /// Real nodes for the nodes of a world, in order.
    pub(super) fn of(world: &State, real: &[RealNode]) -> Self {
        let names = world.objects().iter().map(Object::name);
        let names = names.filter(|name| name.kind == "Node");
        let pairs = names.zip(real.iter().cycle());
        Self {
            nodes: pairs
                .map(|(name, real)| (name.name.clone(), real.clone()))
                .collect(),
            ..Self::default()
        }
    }

    /// The host names of real nodes, by the names of the world's.
    pub(super) fn hosts(&self) -> BTreeMap<String, String> {
        let host = |real: &RealNode| {
            let label = real.labels["kubernetes.io/hostname"].as_str();
            label.unwrap_or(&real.name).to_owned()
        };
        self.nodes
            .iter()
            .map(|(name, real)| (name.clone(), host(real)))
            .collect()
    }

    /// The real node of a pod, by `spec.nodeName`.
    pub(super) fn node_of(&self, pod: &Object) -> Option<&RealNode> {
        let name = pod.value()["spec"]["nodeName"].as_str()?;
        self.nodes.get(name).or_else(|| self.nodes.values().next())
    }

    /// A world with the addresses that are.
    pub(super) fn settled(&self, world: &State) -> State {
        let objects = world.objects().iter();
        State::new(objects.filter_map(|it| self.settle(it)).collect())
    }

    /// An object with the addresses that are; none for a node that is the same as another.
    pub(super) fn settle(&self, object: &Object) -> Option<Object> {
        let mut settled = object.clone();
        let name = object.name();
        let key = format!("{}/{}", name.namespace, name.name);
        let value = settled.value_mut();
        match name.kind.as_str() {
            "Node" => {
                let real = self.nodes.get(&name.name)?;
                if self.first_of(real) != Some(&name.name) {
                    return None;
                }
                value["metadata"]["labels"] = real.labels.clone();
                value["status"]["addresses"] = real.addresses.clone();
            }
            "Pod" => {
                if let Some(addresses) = self.pods.get(&key) {
                    let listed = addresses.iter().map(|it| json!({"ip": it}));
                    value["status"]["podIPs"] = listed.collect();
                }
                let first = self.node_of(object).and_then(|real| self.first_of(real));
                if let Some(first) = first {
                    value["spec"]["nodeName"] = json!(first);
                }
            }
            "Service" => {
                // A headless one has none, and says so itself.
                if let Some(addresses) = self.services.get(&key).filter(|it| !it.is_empty()) {
                    value["spec"]["clusterIP"] = json!(addresses.first());
                    value["spec"]["clusterIPs"] = json!(addresses);
                }
            }
            _ => {}
        }
        Some(settled)
    }

    /// The world's name for a real node: the first that stands for it.
    fn first_of(&self, real: &RealNode) -> Option<&String> {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|(_, it)| it.name == real.name)
            .map(|(name, _)| name)
    }
}

/// The addresses of a list such as `status.podIPs`, by the field that has each.
pub(super) fn addresses(list: &Value, key: &str) -> Vec<IpAddr> {
    let items = list.as_array().into_iter().flatten();
    let texts = items.filter_map(|it| {
        if key.is_empty() {
            it.as_str()
        } else {
            it[key].as_str()
        }
    });
    texts.filter_map(|it| it.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::world;

    fn real(name: &str, address: &str) -> RealNode {
        RealNode {
            name: name.to_owned(),
            labels: json!({"kubernetes.io/hostname": name}),
            addresses: json!([{"type": "InternalIP", "address": address}]),
        }
    }

    #[test]
    fn what_is_expected_follows_from_real_addresses() {
        let grid = world("grid").unwrap();
        let nodes = [real("worker-a", "10.99.0.1"), real("worker-b", "10.99.0.2")];
        let mut places = Places::of(&grid, &nodes);
        places
            .pods
            .insert("x/a".to_owned(), vec!["192.0.2.9".parse().unwrap()]);
        let mut settled = places.settled(&grid);
        let policy = json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "$4(x/a/32)"}}]}]});
        let policy = Object::with_spec("x/p".parse().unwrap(), &policy).unwrap();
        settled.put(&policy).unwrap();
        let last = settled.objects().last().unwrap().value();
        assert_eq!(
            last["spec"]["ingress"][0]["from"][0]["ipBlock"]["cidr"],
            "192.0.2.9/32"
        );
        assert_eq!(places.hosts()["node-2"], "worker-b");
    }

    #[test]
    fn a_headless_service_has_no_address() {
        let spec = json!({"clusterIP": "None", "ports": [{"port": 80}]});
        let value = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": "x"}, "spec": spec});
        let service = Object::new(value).unwrap();
        let mut places = Places::of(&world("grid").unwrap(), &[real("only", "10.99.0.1")]);
        for (own, expected) in [("10.96.0.7", "10.96.0.7"), ("", "None")] {
            let own = own.parse().into_iter().collect();
            places.services.insert("x/s".to_owned(), own);
            let settled = places.settle(&service).unwrap();
            assert_eq!(settled.value()["spec"]["clusterIP"], expected);
        }
    }

    #[test]
    fn a_world_of_two_nodes_lives_on_one() {
        let grid = world("grid").unwrap();
        let places = Places::of(&grid, &[real("only", "10.99.0.1")]);
        let settled = places.settled(&grid);
        let nodes = settled
            .objects()
            .iter()
            .filter(|it| it.name().kind == "Node");
        assert_eq!(nodes.count(), 1);
        let loaded = settled.load("grid");
        assert_eq!(loaded.problems, []);
    }
}
