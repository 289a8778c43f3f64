//! One copy of every string, label set and list of ports, and the objects rebuilt from those copies: a cluster
//! repeats them on every pod.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::HashSet;

use crate::{ContainerPort, Labels, Pod};

/// What nobody else holds is dropped when there are twice as many copies as then, but not below this.
const KEEP: usize = 4096;

/// The copies in use.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    strings: Copies<Arc<str>>,
    labels: Copies<Labels>,
    ports: Copies<Arc<[ContainerPort]>>,
}

/// Copies of one type.
#[derive(Debug)]
struct Copies<T> {
    held: HashSet<T>,
    kept: usize,
}

/// Something of which a clone is the same copy.
trait Shared: Clone + Eq + Hash {
    /// Whether anybody else has this very copy.
    fn is_shared(&self) -> bool;
}

impl Interner {
    /// The one copy of a string.
    pub(crate) fn string(&mut self, string: &Arc<str>) -> Arc<str> {
        let known = self.strings.find(string);
        known.unwrap_or_else(|| self.strings.add(Arc::clone(string)))
    }

    /// The one copy of labels, of strings of which there is one copy.
    pub(crate) fn labels(&mut self, labels: &Labels) -> Labels {
        if let Some(known) = self.labels.find(labels) {
            return known;
        }
        let labels = labels.iter();
        let labels = labels
            .map(|(key, value)| (self.string(key), self.string(value)))
            .collect();
        self.labels.add(labels)
    }

    /// A pod of shared parts, and of no more memory than it needs. Its own name is not worth sharing.
    pub(crate) fn pod(&mut self, mut pod: Pod) -> Pod {
        pod.name.namespace = self.string(&pod.name.namespace);
        pod.node = pod.node.map(|node| self.string(&node));
        pod.labels = self.labels(&pod.labels);
        pod.addresses.shrink_to_fit();
        pod.ports = self.ports(&pod.ports);
        pod
    }

    fn ports(&mut self, ports: &Arc<[ContainerPort]>) -> Arc<[ContainerPort]> {
        if let Some(known) = self.ports.find(ports) {
            return known;
        }
        let ports = ports.iter();
        let ports = ports.map(|port| self.port(port)).collect();
        self.ports.add(ports)
    }

    fn port(&mut self, port: &ContainerPort) -> ContainerPort {
        ContainerPort {
            name: port.name.as_ref().map(|name| self.string(name)),
            ..*port
        }
    }
}

impl<T: Shared> Copies<T> {
    fn find(&self, like: &T) -> Option<T> {
        self.held.get(like).cloned()
    }

    fn add(&mut self, new: T) -> T {
        if self.held.len() >= 2 * self.kept.max(KEEP) {
            self.held.retain(T::is_shared);
            self.kept = self.held.len();
        }
        self.held.insert(new.clone());
        new
    }
}

impl<T> Default for Copies<T> {
    fn default() -> Self {
        Self {
            held: HashSet::default(),
            kept: 0,
        }
    }
}

impl<T: ?Sized> Shared for Arc<T>
where
    Self: Eq + Hash,
{
    fn is_shared(&self) -> bool {
        Self::strong_count(self) > 1
    }
}

impl Shared for Labels {
    fn is_shared(&self) -> bool {
        Self::is_shared(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_dropped() {
        let mut interner = Interner::default();
        let labels = |value: &str| Labels::from([("key".into(), value.into())]);
        let held = interner.string(&Arc::from("held"));
        let held_labels = interner.labels(&labels("held too"));
        for number in 0..10 * KEEP {
            let text: Arc<str> = number.to_string().into();
            drop(interner.string(&text));
            drop(interner.labels(&labels(&text)));
        }
        assert!(interner.strings.held.len() <= 4 * KEEP);
        assert!(interner.labels.held.len() <= 2 * KEEP);
        assert!(Arc::ptr_eq(&held, &interner.string(&Arc::from("held"))));
        let again = interner.labels(&labels("held too"));
        assert!(std::ptr::eq(
            again.get("key").unwrap(),
            held_labels.get("key").unwrap()
        ));
    }

    #[test]
    fn pods_of_one_template_share_their_labels_and_ports() {
        let mut interner = Interner::default();
        let mut pod = |name: &str| {
            interner.pod(Pod {
                name: crate::PodName {
                    namespace: "x".into(),
                    name: name.into(),
                },
                node: None,
                labels: Labels::from([("app".into(), "web".into())]),
                addresses: Vec::new(),
                ports: Arc::new([ContainerPort {
                    name: Some("http".into()),
                    protocol: crate::Protocol::Tcp,
                    port: 80,
                }]),
                host_network: false,
                created: 0,
            })
        };
        let (one, other) = (pod("a"), pod("b"));
        assert!(Arc::ptr_eq(&one.ports, &other.ports));
        assert!(one.labels.is_shared());
    }
}
