//! Labels: written once, then shared by everything that has the same ones.

use std::fmt;
use std::sync::Arc;

/// A key and its value.
type Label = (Arc<str>, Arc<str>);

/// Labels of a pod, a namespace or a node. A clone shares them.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[Label]>);

impl Labels {
    /// No labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Arc<str>> {
        let place = self.0.binary_search_by(|(other, _)| (**other).cmp(key));
        Some(&self.0[place.ok()?].1)
    }

    /// Gives a key a value, to this copy alone.
    pub fn insert(&mut self, key: Arc<str>, value: Arc<str>) {
        *self = self.iter().cloned().chain([(key, value)]).collect();
    }

    /// All of them, by key.
    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who else has this very copy.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl FromIterator<Label> for Labels {
    /// Of several values of a key, the last holds.
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        let mut labels: Vec<Label> = labels.into_iter().collect();
        // Stable, so that the last of equal keys stays the last.
        labels.sort_by(|(one, _), (other, _)| one.cmp(other));
        labels.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self(labels.into())
    }
}

impl<const N: usize> From<[Label; N]> for Labels {
    fn from(labels: [Label; N]) -> Self {
        labels.into_iter().collect()
    }
}

impl<'l> IntoIterator for &'l Labels {
    type Item = &'l Label;
    type IntoIter = std::slice::Iter<'l, Label>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.iter().map(|(key, value)| (key, value));
        f.debug_map().entries(labels).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_the_last_value_of_a_key_holds() {
        let label = |key: &str, value: &str| (Arc::from(key), Arc::from(value));
        let mut labels = Labels::from([
            label("b", "1"),
            label("a", "2"),
            label("b", "3"),
            label("b", "4"),
        ]);
        assert_eq!(format!("{labels:?}"), r#"{"a": "2", "b": "4"}"#);
        let before = labels.clone();
        labels.insert("a".into(), "5".into());
        labels.insert("c".into(), "6".into());
        assert_eq!(format!("{labels:?}"), r#"{"a": "5", "b": "4", "c": "6"}"#);
        assert_eq!(before.get("a").map(|value| &**value), Some("2"));
        assert_eq!((before.get("c"), before.len()), (None, 2));
    }
}
