//! Persistent containers: a clone shares all of it, and a change copies the touched part only. They know
//! nothing of what they hold.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;

use crate::address::Address;

/// Fan-out of both levels above the leaves: 1024 leaves.
const FAN: usize = 32;
/// Elements of a vector's chunk.
const CHUNK: usize = 64;

type Leaf<V> = HashTable<(Address, V)>;

/// A map from addresses, hashed with a seed of its own, since peers choose the keys.
#[derive(Clone)]
pub(crate) struct AddressMap<V> {
    hasher: RandomState,
    branches: [Arc<Branch<V>>; FAN],
}

struct Branch<V> {
    leaves: [Arc<Leaf<V>>; FAN],
}

// Derived, it would ask `V: Clone` of what only shares.
impl<V> Clone for Branch<V> {
    fn clone(&self) -> Self {
        Self {
            leaves: self.leaves.clone(),
        }
    }
}

impl<V> AddressMap<V> {
    /// What an address has.
    #[inline]
    pub(crate) fn get(&self, address: Address) -> Option<&V> {
        let hash = self.hasher.hash_one(address);
        let (branch, leaf) = place(hash);
        let found = self.branches[branch].leaves[leaf].find(hash, |(key, _)| *key == address)?;
        Some(&found.1)
    }

    /// Everything, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Address, &V)> {
        let leaves = self.branches.iter().flat_map(|branch| &branch.leaves);
        leaves
            .flat_map(|leaf| leaf.iter())
            .map(|(address, value)| (*address, value))
    }
}

impl<V: Clone + Default + PartialEq> AddressMap<V> {
    /// An empty map.
    pub(crate) fn new() -> Self {
        let leaf = Arc::new(Leaf::new());
        let branch = Arc::new(Branch {
            leaves: std::array::from_fn(|_| Arc::clone(&leaf)),
        });
        Self {
            hasher: RandomState::default(),
            branches: std::array::from_fn(|_| Arc::clone(&branch)),
        }
    }

    /// Changes what an address has. The default is the same as nothing, and is not kept.
    pub(crate) fn update(&mut self, address: Address, change: impl FnOnce(&mut V)) {
        let hash = self.hasher.hash_one(address);
        let (branch, leaf) = place(hash);
        let leaf = Arc::make_mut(&mut Arc::make_mut(&mut self.branches[branch]).leaves[leaf]);
        let rehash = |(key, _): &(Address, V)| self.hasher.hash_one(key);
        match leaf.entry(hash, |(key, _)| *key == address, rehash) {
            TableEntry::Occupied(mut entry) => {
                change(&mut entry.get_mut().1);
                if entry.get().1 == V::default() {
                    entry.remove();
                }
            }
            TableEntry::Vacant(entry) => {
                let mut value = V::default();
                change(&mut value);
                if value != V::default() {
                    entry.insert((address, value));
                }
            }
        }
    }
}

/// The branch and leaf of a hash, from bits that the leaf's own table does not look at.
#[inline]
const fn place(hash: u64) -> (usize, usize) {
    let bits = (hash >> 40) as usize;
    (bits / FAN % FAN, bits % FAN)
}

/// A vector of small values by number; a number never set has the default.
#[derive(Clone)]
pub(crate) struct CowVec<T> {
    chunks: Arc<[Arc<[T; CHUNK]>]>,
}

impl<T: Clone + Default> CowVec<T> {
    /// An empty vector.
    pub(crate) fn new() -> Self {
        Self {
            chunks: Arc::from([]),
        }
    }

    /// What a number has.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        Some(&self.chunks.get(index / CHUNK)?[index % CHUNK])
    }

    /// What the numbers up to the greatest ever set have.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Gives a number something else.
    pub(crate) fn set(&mut self, index: u32, value: T) {
        let index = index as usize;
        if index / CHUNK >= self.chunks.len() {
            self.grow(index / CHUNK + 1);
        }
        let chunk = &mut Arc::make_mut(&mut self.chunks)[index / CHUNK];
        Arc::make_mut(chunk)[index % CHUNK] = value;
    }

    /// Makes room by a quarter at least, so that growing costs little per element.
    fn grow(&mut self, chunks: usize) {
        let empty = Arc::new(std::array::from_fn(|_| T::default()));
        let target = chunks.max(self.chunks.len() * 5 / 4);
        let added = std::iter::repeat_n(empty, target - self.chunks.len());
        self.chunks = self.chunks.iter().map(Arc::clone).chain(added).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn address(number: u32) -> Address {
        Address::from(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn a_clone_of_a_map_keeps_what_it_had() {
        let mut map = AddressMap::new();
        for number in 0..5000 {
            map.update(address(number), |value| *value = number + 1);
        }
        let before = map.clone();
        map.update(address(7), |value| *value = 0);
        map.update(address(8), |value| *value = 99);
        assert_eq!(
            (before.get(address(7)), before.get(address(8))),
            (Some(&8), Some(&9))
        );
        assert_eq!(
            (map.get(address(7)), map.get(address(8))),
            (None, Some(&99))
        );
        assert_eq!((before.iter().count(), map.iter().count()), (5000, 4999));
    }

    #[test]
    fn a_clone_of_a_vector_keeps_what_it_had() {
        let mut vector = CowVec::new();
        for number in 0..1000 {
            vector.set(number, number);
        }
        let before = vector.clone();
        vector.set(500, 1);
        assert_eq!((before.get(500), vector.get(500)), (Some(&500), Some(&1)));
        assert_eq!(vector.get(100_000), None);
    }
}
