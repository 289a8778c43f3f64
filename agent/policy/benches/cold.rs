//! A cold start: 10,000 policies and 100,000 pods, how long until the first snapshot and how much memory then.

mod world;

use std::time::Instant;

use sluice_policy::Index;

fn main() {
    let before = resident();
    let start = Instant::now();
    let mut index = Index::new(world::one_node());
    let changes = index.apply(world::events(100_000, 10_000));
    let seconds = start.elapsed().as_secs_f64();
    let counts = index.snapshot().counts();
    println!(
        "cold build of {counts:?}, {} addresses changed: {seconds:.2} s",
        changes.addresses.len()
    );
    drop(changes);
    println!(
        "resident memory: {before} MB before, {} MB after",
        resident()
    );
}

/// Resident memory of this process in MB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number of kB")
        / 1024
}
