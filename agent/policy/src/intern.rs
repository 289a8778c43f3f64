//! One copy of every string, and the objects rebuilt from those copies: a cluster repeats its labels on every
//! pod.

use std::sync::Arc;

use foldhash::HashSet;

use crate::{ContainerPort, Labels, Pod};

/// Strings that nobody else holds are dropped when the number of strings has doubled, but not below this.
const KEEP: usize = 4096;

/// The strings in use.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    strings: HashSet<Arc<str>>,
    kept: usize,
}

impl Interner {
    /// The one copy of a string.
    pub(crate) fn string(&mut self, string: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.strings.get(string) {
            return Arc::clone(known);
        }
        if self.strings.len() >= 2 * self.kept.max(KEEP) {
            self.strings.retain(|string| Arc::strong_count(string) > 1);
            self.kept = self.strings.len();
        }
        self.strings.insert(Arc::clone(string));
        Arc::clone(string)
    }

    /// Labels of shared strings.
    pub(crate) fn labels(&mut self, labels: &Labels) -> Labels {
        labels
            .iter()
            .map(|(key, value)| (self.string(key), self.string(value)))
            .collect()
    }

    /// A pod of shared strings, and of no more memory than it needs. Its own name is not worth sharing.
    pub(crate) fn pod(&mut self, mut pod: Pod) -> Pod {
        pod.name.namespace = self.string(&pod.name.namespace);
        pod.node = pod.node.map(|node| self.string(&node));
        pod.labels = self.labels(&pod.labels);
        pod.addresses.shrink_to_fit();
        pod.ports = pod.ports.into_iter().map(|port| self.port(port)).collect();
        pod.ports.shrink_to_fit();
        pod
    }

    fn port(&mut self, port: ContainerPort) -> ContainerPort {
        ContainerPort {
            name: port.name.map(|name| self.string(&name)),
            ..port
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_nobody_holds_are_dropped() {
        let mut interner = Interner::default();
        let held = interner.string(&Arc::from("held"));
        for number in 0..10 * KEEP {
            drop(interner.string(&Arc::from(number.to_string())));
        }
        assert!(interner.strings.len() <= 2 * KEEP);
        assert!(Arc::ptr_eq(&held, &interner.string(&Arc::from("held"))));
    }
}
