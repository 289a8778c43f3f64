//! The tiers of policies, and the tables that an identity has in each. What a tier decides is
//! [`crate::evaluate`]'s business.

use std::sync::Arc;

use crate::table::{Table, Tables};
use crate::{Direction, Isolation, Tier};

/// The tiers that policies are of, in the order in which they are asked.
pub(crate) const POLICY_TIERS: [Tier; 3] = [Tier::Admin, Tier::NetworkPolicy, Tier::Baseline];

/// The tables of an identity by tier; none in a tier whose policies do not select it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tiers([Option<Arc<Tables>>; POLICY_TIERS.len()]);

impl Tiers {
    /// The tables of a tier.
    #[inline]
    pub(crate) fn of(&self, tier: Tier) -> Option<&Arc<Tables>> {
        self.0.get(place(tier)?)?.as_ref()
    }

    /// Gives a tier other tables.
    pub(crate) fn set(&mut self, tier: Tier, tables: Option<Arc<Tables>>) {
        if let Some(place) = place(tier) {
            self.0[place] = tables;
        }
    }

    /// The table of a tier and direction.
    #[inline]
    pub(crate) fn table(&self, tier: Tier, direction: Direction) -> Option<&Table> {
        self.of(tier)?.of(direction)
    }

    /// All tables of a direction, in the order in which they are asked.
    pub(crate) fn towards(&self, direction: Direction) -> impl Iterator<Item = &Table> {
        self.0
            .iter()
            .flatten()
            .filter_map(move |tables| tables.of(direction))
    }

    /// All tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.0.iter().flatten().flat_map(|tables| tables.iter())
    }

    /// Whether both decide alike as far as the tables tell: where a NetworkPolicy isolates, the Baseline tier is not
    /// asked.
    pub(crate) fn decide_alike(&self, other: &Self) -> bool {
        [Direction::Ingress, Direction::Egress]
            .into_iter()
            .all(|direction| {
                let is_same = |tier| self.table(tier, direction) == other.table(tier, direction);
                let is_isolated = self.table(Tier::NetworkPolicy, direction).is_some();
                is_same(Tier::Admin)
                    && is_same(Tier::NetworkPolicy)
                    && (is_isolated || is_same(Tier::Baseline))
            })
    }

    /// Whether no policy selects it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The directions in which some table can deny something.
    pub(crate) fn isolation(&self) -> Isolation {
        let denies = |direction| self.towards(direction).any(|table| table.denies);
        Isolation {
            ingress: denies(Direction::Ingress),
            egress: denies(Direction::Egress),
        }
    }

    /// The directions in which NetworkPolicies isolate it.
    pub(crate) fn network_policy(&self) -> Isolation {
        let isolates = |direction| {
            let table = self.table(Tier::NetworkPolicy, direction);
            table.is_some_and(|table| table.isolated_by.is_some())
        };
        Isolation {
            ingress: isolates(Direction::Ingress),
            egress: isolates(Direction::Egress),
        }
    }
}

/// Where a tier's tables are; none for what no policy is of.
#[inline]
const fn place(tier: Tier) -> Option<usize> {
    match tier {
        Tier::Admin => Some(0),
        Tier::NetworkPolicy => Some(1),
        Tier::Baseline => Some(2),
        Tier::Default | Tier::Exempt => None,
    }
}
