//! Random sequences of events, in a lab with real packets, against a reference model that knows the spec alone.
//!
//! `SLUICE_MODEL_SEQUENCES` says how many, `SLUICE_MODEL_SEED` from which seed on. A sequence that comes out wrong is
//! made short, tried again in a new lab, and printed as a script. Needs root.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod cluster;
mod event;
mod fence;
mod model;
mod run;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use sluice_lab::Mode;

use run::{Plan, Tally};

/// Sequences of both tests together.
const SEQUENCES: usize = 200;
/// Events of a sequence.
const LENGTH: usize = 30;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// The agent's binary beside the test's; none, and why is said, where this cannot run.
fn agent_binary() -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: network namespaces need root");
        return None;
    }
    let agent = PathBuf::from(env!("CARGO_BIN_EXE_sluice-lab")).with_file_name("sluice");
    if !agent.is_file() {
        println!(
            "skipped: no agent at {} (cargo build -p sluice)",
            agent.display()
        );
        return None;
    }
    Some(agent)
}

/// Runs `share` quarters of the sequences.
fn check(mode: Mode, arguments: &[&str], share: usize, home: usize) {
    let Some(binary) = agent_binary() else { return };
    let all = number("SLUICE_MODEL_SEQUENCES").map_or(SEQUENCES, |n| usize::try_from(n).unwrap());
    let fresh = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let plan = Plan {
        binary,
        mode,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        home,
        sequences: (all * share).div_ceil(4),
        length: LENGTH,
        seed: number("SLUICE_MODEL_SEED").unwrap_or_else(fresh),
    };
    println!(
        "{} sequences of {LENGTH} events in {} mode from SLUICE_MODEL_SEED={}",
        plan.sequences,
        mode.name(),
        plan.seed
    );
    let tally = plan.run();
    println!("{tally:?}");
    assert_eq!(tally.redirected > 0, plan.redirects(), "{tally:?}");
    if all >= SEQUENCES {
        assert_tried(&tally);
    }
}

/// Sequences in which nothing happens prove nothing.
fn assert_tried(tally: &Tally) {
    let tried = [tally.passed, tally.dropped, tally.edits, tally.settled];
    assert!(tried.iter().all(|count| *count > 100), "{tally:?}");
    assert!(tally.kills > 0, "{tally:?}");
    assert!(tally.passed_dead + tally.dropped_dead > 0, "{tally:?}");
}

#[test]
fn whatever_happens_in_hybrid_mode_packets_fare_as_the_spec_says() {
    check(Mode::Hybrid, &[], 3, 0);
}

#[test]
fn whatever_happens_in_nfqueue_mode_packets_fare_as_the_spec_says() {
    check(Mode::Nfqueue, &[], 1, 1);
}

#[test]
fn whatever_happens_packets_that_are_redirected_fare_as_the_spec_says() {
    check(Mode::Hybrid, &["--redirect-established"], 1, 1);
}
