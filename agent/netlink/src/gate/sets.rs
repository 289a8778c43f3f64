//! Who is isolated, where the table's own sets are to know it: what they contain, and what is to change.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::TABLE;
use crate::nft::{Key, Set, Transaction};

pub(super) const INGRESS4: Set = Set {
    name: c"ingress4",
    key: Key::Ipv4,
};
pub(super) const INGRESS6: Set = Set {
    name: c"ingress6",
    key: Key::Ipv6,
};
pub(super) const EGRESS4: Set = Set {
    name: c"egress4",
    key: Key::Ipv4,
};
pub(super) const EGRESS6: Set = Set {
    name: c"egress6",
    key: Key::Ipv6,
};
pub(super) const ALL: [Set; 4] = [INGRESS4, INGRESS6, EGRESS4, EGRESS6];

/// In which directions a local pod's address is isolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolated {
    /// As a destination.
    pub ingress: bool,
    /// As a source.
    pub egress: bool,
}

/// What the kernel's sets contain. Only the gate writes them, so they need not be read.
#[derive(Debug, Default)]
pub(super) struct Sets {
    isolated: HashMap<IpAddr, Isolated>,
}

/// A change that is taken down and not yet in the kernel.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// What was there before, for each address that changes.
    before: Vec<(IpAddr, Isolated)>,
    /// Indexed as [`ALL`].
    added: [Vec<IpAddr>; 4],
    deleted: [Vec<IpAddr>; 4],
}

impl Sets {
    /// Takes `changes` down, and returns those that change something. A later change of the same address wins.
    #[must_use]
    pub(super) fn stage(&mut self, changes: &[(IpAddr, Isolated)]) -> Staged {
        let latest: HashMap<IpAddr, Isolated> = changes.iter().copied().collect();
        let mut staged = Staged::default();
        for (address, new) in latest {
            let old = self.put(address, new);
            if old == new {
                continue;
            }
            staged.before.push((address, old));
            let family = usize::from(address.is_ipv6());
            staged.note(family, address, old.ingress, new.ingress);
            staged.note(2 + family, address, old.egress, new.egress);
        }
        staged
    }

    /// Undoes what `staged` took down.
    pub(super) fn revert(&mut self, staged: Staged) {
        for (address, old) in staged.before {
            self.put(address, old);
        }
    }

    /// What each set contains.
    pub(super) fn elements(&self) -> impl Iterator<Item = (Set, BTreeSet<IpAddr>)> + '_ {
        ALL.into_iter().enumerate().map(|(number, set)| {
            let of_set = |(address, isolated): (&IpAddr, &Isolated)| {
                let direction = if number < 2 {
                    isolated.ingress
                } else {
                    isolated.egress
                };
                (direction && address.is_ipv6() == (number % 2 == 1)).then_some(*address)
            };
            (set, self.isolated.iter().filter_map(of_set).collect())
        })
    }

    fn put(&mut self, address: IpAddr, new: Isolated) -> Isolated {
        let old = if new == Isolated::default() {
            self.isolated.remove(&address)
        } else {
            self.isolated.insert(address, new)
        };
        old.unwrap_or_default()
    }
}

impl Staged {
    /// Appends the changes to `transaction`; returns how many elements come or go.
    pub(super) fn write(&self, transaction: &mut Transaction) -> usize {
        for (set, elements) in ALL.iter().zip(&self.deleted) {
            transaction.delete_elements(TABLE, set.name, elements);
        }
        for (set, elements) in ALL.iter().zip(&self.added) {
            transaction.add_elements(TABLE, set.name, elements);
        }
        self.added.iter().chain(&self.deleted).map(Vec::len).sum()
    }

    fn note(&mut self, set: usize, address: IpAddr, old: bool, new: bool) {
        match (old, new) {
            (false, true) => self.added[set].push(address),
            (true, false) => self.deleted[set].push(address),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Isolated = Isolated {
        ingress: true,
        egress: true,
    };
    const INGRESS: Isolated = Isolated {
        ingress: true,
        egress: false,
    };

    fn pod() -> IpAddr {
        IpAddr::from([10, 0, 0, 1])
    }

    #[test]
    fn only_differences_are_staged() {
        let mut sets = Sets::default();
        let staged = sets.stage(&[(pod(), BOTH)]);
        assert_eq!(staged.added, [vec![pod()], vec![], vec![pod()], vec![]]);
        let staged = sets.stage(&[(pod(), INGRESS)]);
        assert_eq!(
            (staged.added.concat(), staged.deleted.concat()),
            (vec![], vec![pod()])
        );
        assert_eq!(sets.stage(&[(pod(), INGRESS)]).before, []);
    }

    #[test]
    fn of_two_changes_of_an_address_the_later_wins() {
        let mut sets = Sets::default();
        assert_eq!(
            sets.stage(&[(pod(), BOTH), (pod(), Isolated::default())])
                .before,
            []
        );
    }

    #[test]
    fn what_is_reverted_was_never_there() {
        let mut sets = Sets::default();
        let staged = sets.stage(&[(pod(), BOTH)]);
        sets.revert(staged);
        assert_eq!(sets.stage(&[(pod(), BOTH)]).added.concat(), [pod(), pod()]);
    }
}
