//! The part of `nf_tables` that Sluice needs, as values: a table with its sets, chains and rules. What the rules are for
//! is known in `gate` and `dnat`.

mod encode;
mod expression;
mod read;
mod transaction;

use std::borrow::Cow;
use std::ffi::CStr;

pub(crate) use expression::{Expression, Extension, Field, IPV4, IPV6, Nat, Rule, ct_state};
pub(crate) use read::{counters, elements, generation, rules, table_exists};
pub(crate) use transaction::{Transaction, remove_table};

/// A table of the `inet` family, and all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruleset {
    pub(crate) table: &'static CStr,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
}

impl Ruleset {
    /// The comments of all rules, chain by chain.
    pub(crate) fn rule_names(&self) -> Vec<String> {
        let rules = self.chains.iter().flat_map(|chain| &chain.rules);
        rules.map(|rule| rule.name.clone().into_owned()).collect()
    }
}

/// A set of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: &'static CStr,
    pub(crate) key: Key,
}

/// What a set's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Ipv4,
    Ipv6,
}

/// A base chain with policy accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: &'static CStr,
    pub(crate) kind: ChainKind,
    pub(crate) hook: Hook,
    pub(crate) priority: i32,
    pub(crate) rules: Vec<Rule>,
}

/// What the kernel does with a chain's verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainKind {
    Filter,
    Nat,
}

/// `enum nf_inet_hooks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting = 0,
    Input = 1,
    Output = 3,
    Postrouting = 4,
}

/// A rule's counter, as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) rule: String,
    pub(crate) packets: u64,
}

/// A name for messages.
pub(crate) fn display(name: &CStr) -> Cow<'_, str> {
    name.to_string_lossy()
}
