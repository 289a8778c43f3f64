//! The truth table of nine pods on two nodes, direct and through Services, against the oracle's.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::probe::{Cell, Via};
use crate::shared::case;
use crate::truth::every_cell;
use crate::world::World;

/// The policies of the lab's demo.
const STACK: [&str; 2] = [
    include_str!("../../../lab/manifests/default/policies-x.yaml"),
    include_str!("../../../lab/manifests/default/policies-yz.yaml"),
];

/// As often is asked again: where an answer took too long, what comes of its connection afterwards may be queued.
const ROUNDS: usize = 5;

#[test]
fn every_pair_of_pods_comes_out_as_the_oracle_says_directly_and_through_services() -> Result<()> {
    case(|world| {
        let cells = every_cell(&[Via::Pod, Via::Service]);
        world.agrees("without policies", &cells)?;
        world.apply(&STACK.join("\n---\n"))?;
        let start = Instant::now();
        let seen = world.agrees("under a stack of policies", &cells)?;
        let one_sided = seen.allowed.min(seen.denied) <= 50;
        ensure!(!one_sided, "{} of {} allowed", seen.allowed, cells.len());
        let queued = queued_at_least(world, &cells, &seen.truth)?;
        println!(
            "{} cells as the oracle says, {} allowed, {} denied, twice in {:.1} s; {queued} of those allowed queued in a round after",
            cells.len(),
            seen.allowed,
            seen.denied,
            start.elapsed().as_secs_f64()
        );
        assert_eq!(
            queued, 0,
            "connections that are allowed, and were seen by an agent once more"
        );
        Ok(())
    })
}

/// How many packets of allowed connections agents saw in the round of questions in which they saw the fewest.
fn queued_at_least(world: &World, cells: &[Cell], truth: &[bool]) -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let before = world.counter("allowed")?;
        world.comes_out(cells, truth)?;
        least = least.min(world.counter("allowed")? - before);
        if least == 0 {
            break;
        }
    }
    Ok(least)
}
