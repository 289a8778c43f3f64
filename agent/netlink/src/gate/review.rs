//! Whose accepted connections are under review: what was accepted before does not count for them until the caller has
//! judged their connections again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::TABLE;
use crate::nft::{Key, Set, Transaction};

pub(super) const REVIEW4: Set = Set {
    name: c"review4",
    key: Key::Ipv4,
};
pub(super) const REVIEW6: Set = Set {
    name: c"review6",
    key: Key::Ipv6,
};

/// What the kernel's two sets contain. Only the gate writes them, so they need not be read.
#[derive(Debug, Default)]
pub(super) struct Review {
    addresses: BTreeSet<IpAddr>,
}

/// Addresses of one family each, as the sets have them.
type Families = [Vec<IpAddr>; 2];

impl Review {
    /// Those of `addresses` that are not under review yet.
    pub(super) fn missing(&self, addresses: &[IpAddr]) -> BTreeSet<IpAddr> {
        let new = |address: &&IpAddr| !self.addresses.contains(address);
        addresses.iter().filter(new).copied().collect()
    }

    /// Has `transaction` add addresses that are [`Review::missing`].
    pub(super) fn write(added: &BTreeSet<IpAddr>, transaction: &mut Transaction) {
        for (set, elements) in [REVIEW4, REVIEW6].iter().zip(by_family(added)) {
            transaction.add_elements(TABLE, set.name, &elements);
        }
    }

    /// Takes down that the kernel has them.
    pub(super) fn added(&mut self, added: BTreeSet<IpAddr>) {
        self.addresses.extend(added);
    }

    /// Has `transaction` delete all there are.
    pub(super) fn write_end(&self, transaction: &mut Transaction) {
        for (set, elements) in [REVIEW4, REVIEW6].iter().zip(by_family(&self.addresses)) {
            transaction.delete_elements(TABLE, set.name, &elements);
        }
    }

    /// What each set contains.
    pub(super) fn elements(&self) -> impl Iterator<Item = (Set, BTreeSet<IpAddr>)> + '_ {
        let families = by_family(&self.addresses).map(|elements| elements.into_iter().collect());
        [REVIEW4, REVIEW6].into_iter().zip(families)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Takes down that the kernel has none; returns how many there were.
    pub(super) fn ended(&mut self) -> usize {
        std::mem::take(&mut self.addresses).len()
    }
}

fn by_family(addresses: &BTreeSet<IpAddr>) -> Families {
    let (v4, v6) = addresses.iter().partition(|address| address.is_ipv4());
    [v4, v6]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_under_review_is_not_added_again() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut review = Review::default();
        review.added(review.missing(&[a]));
        assert_eq!(review.missing(&[a, b]), BTreeSet::from([b]));
        assert_eq!(review.ended(), 1);
        assert_eq!(review.missing(&[a, b]), BTreeSet::from([a, b]));
    }
}
