//! Who holds how many allow leases, so that the map never fills up by itself: what is written beyond the bound is paid by
//! whoever holds most. Pure: what leaves the map is told to the caller.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use sluice_ebpf::LeaseKey;

/// The leases of every account, an account being a local pod's address.
#[derive(Debug)]
pub(crate) struct Ledger {
    accounts: HashMap<IpAddr, Account>,
    total: usize,
    bound: usize,
}

/// Leases in the order in which they were first given.
#[derive(Debug, Default)]
struct Account {
    order: VecDeque<LeaseKey>,
    held: HashSet<LeaseKey>,
}

impl Ledger {
    /// A ledger of at most `bound` leases.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            accounts: HashMap::new(),
            total: 0,
            bound,
        }
    }

    /// Charges a lease; returns one that has to go for it, where the bound is reached: the oldest of the account that
    /// holds most, which is this one if no other holds more. Costs a look at every account then, and nothing else ever.
    #[must_use = "what is displaced has to leave the map"]
    pub(crate) fn charge(&mut self, account: IpAddr, key: LeaseKey) -> Option<LeaseKey> {
        let own = self.accounts.entry(account).or_default();
        if !own.held.insert(key) {
            return None;
        }
        own.order.push_back(key);
        self.total += 1;
        if self.total <= self.bound {
            return None;
        }
        let holds = |of: &(&IpAddr, &mut Account)| (of.1.order.len(), *of.0 == account);
        let (_, largest) = self.accounts.iter_mut().max_by_key(holds)?;
        let oldest = largest.order.pop_front()?;
        largest.held.remove(&oldest);
        self.total -= 1;
        Some(oldest)
    }

    /// Closes an account; returns what it held.
    pub(crate) fn close(&mut self, account: IpAddr) -> Vec<LeaseKey> {
        let closed = self.accounts.remove(&account).unwrap_or_default();
        self.total -= closed.order.len();
        closed.order.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const SCANNER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn key(source: IpAddr, port: u16) -> LeaseKey {
        LeaseKey::new(source.into(), Ipv4Addr::new(10, 0, 0, 9).into(), 6, port)
    }

    #[test]
    fn a_scan_displaces_its_own_leases_alone() {
        let mut ledger = Ledger::new(100);
        for port in 0..40 {
            assert_eq!(ledger.charge(OTHER, key(OTHER, port)), None);
        }
        let displaced: Vec<_> = (0..1000)
            .filter_map(|port| ledger.charge(SCANNER, key(SCANNER, port)))
            .collect();
        let oldest: Vec<_> = (0..940).map(|port| key(SCANNER, port)).collect();
        assert_eq!(displaced, oldest);
        assert_eq!(ledger.close(OTHER).len(), 40);
        assert_eq!(ledger.close(SCANNER).len(), 60);
        assert_eq!(ledger.total, 0);
    }

    #[test]
    fn whoever_needs_less_than_the_largest_gets_it() {
        let mut ledger = Ledger::new(10);
        for port in 0..10 {
            assert_eq!(ledger.charge(SCANNER, key(SCANNER, port)), None);
        }
        for port in 0..5 {
            let displaced = ledger.charge(OTHER, key(OTHER, port));
            assert_eq!(displaced, Some(key(SCANNER, port)));
        }
        assert_eq!(ledger.charge(OTHER, key(OTHER, 5)), Some(key(OTHER, 0)));
    }

    #[test]
    fn a_lease_given_again_is_charged_once() {
        let mut ledger = Ledger::new(1);
        for _ in 0..3 {
            assert_eq!(ledger.charge(OTHER, key(OTHER, 80)), None);
        }
        assert_eq!(ledger.close(OTHER), [key(OTHER, 80)]);
        assert!(ledger.close(OTHER).is_empty());
    }
}
