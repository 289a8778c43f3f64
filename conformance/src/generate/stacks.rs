//! Policies on top of one another: every two of a pool, and stacks of ten.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::pool::{Pooled, pool};
use crate::case::Case;

/// How many stacks of ten.
const TENS: usize = 50;

/// Every two.
pub(super) fn pairs() -> Vec<Case> {
    let pool = pool();
    let firsts = pool.iter().enumerate();
    let pairs = firsts.flat_map(|(at, one)| pool[at + 1..].iter().map(move |other| (one, other)));
    pairs.map(|(one, other)| pair(one, other)).collect()
}

fn pair(one: &Pooled, other: &Pooled) -> Case {
    draft(
        "stack-pairs",
        format!("{}-and-{}", one.name, other.name),
        &[one, other],
    )
}

/// Ten each; an id has the letters of the ten.
pub(super) fn tens() -> Vec<Case> {
    let pool = pool();
    let mut stacks = BTreeSet::new();
    let mut random = Random(1);
    while stacks.len() < TENS {
        stacks.insert(ten(&mut random, pool.len()));
    }
    stacks.iter().map(|members| stack(&pool, members)).collect()
}

fn stack(pool: &[Pooled], members: &BTreeSet<usize>) -> Case {
    let letters = ('a'..='z').enumerate();
    let letters = letters.filter(|(at, _)| members.contains(at));
    let name: String = letters.map(|(_, letter)| letter).collect();
    let members: Vec<&Pooled> = members.iter().map(|at| &pool[*at]).collect();
    draft("stack-tens", name, &members)
}

fn ten(random: &mut Random, of: usize) -> BTreeSet<usize> {
    let mut members = BTreeSet::new();
    while members.len() < 10 {
        members.insert(random.below(of));
    }
    members
}

fn draft(theme: &'static str, name: String, members: &[&Pooled]) -> Case {
    let names: Vec<&str> = members.iter().map(|member| member.name).collect();
    let sentence = format!(
        "each direction of a pod is open for what one of its policies allows: {}",
        names.join(", ")
    );
    Draft {
        theme,
        name,
        sentence,
        tags: vec!["ingress", "egress", "stacks"],
        world: "grid",
        objects: members.iter().map(|member| member.object.clone()).collect(),
        steps: Vec::new(),
    }
    .case()
}

/// The 64-bit linear congruential generator of Knuth's MMIX: ids depend on it, so that it may not be another's, which
/// can change.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        // The upper bits are the better ones.
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_has_a_letter_for_each() {
        let pool = pool();
        assert_eq!(pool.len(), 24);
        let names: BTreeSet<&str> = pool.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), 24);
        assert_eq!(pairs().len(), 24 * 23 / 2);
        assert!(tens().iter().all(|case| case.objects.len() == 10));
    }
}
