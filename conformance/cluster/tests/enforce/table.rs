//! The truth table of nine pods on two nodes, direct and through Services, against the oracle's.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::probe::Via;
use crate::shared::case;
use crate::truth::every_cell;

/// The policies of the lab's demo.
const STACK: [&str; 2] = [
    include_str!("../../../lab/manifests/default/policies-x.yaml"),
    include_str!("../../../lab/manifests/default/policies-yz.yaml"),
];

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
        let queued = world.counter("allowed")?;
        world.comes_out(&cells, &seen.truth)?;
        let queued = world.counter("allowed")? - queued;
        println!(
            "{} cells as the oracle says, {} allowed, {} denied, twice in {:.1} s; {queued} of those allowed queued in the round after",
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
