//! SIGKILL under load, at any moment of an agent's life.

use std::thread;
use std::time::{Duration, Instant};

use sluice_lab::{Cell, Family, Lab, Mode, Outcome};

use super::{EITHER, How, Load, agent, pair};
use crate::common::{assert_outcomes, eventually};

/// Kills the agent `kills` times, every other time while it starts, each time a little later.
fn kill(how: How, kills: u32) {
    let Some(mut lab) = how.up() else {
        return;
    };
    let mut load = Load::start(&lab);
    let mut lives = Vec::new();
    let mut start = Duration::ZERO;
    for number in 0..kills {
        let started = Instant::now();
        if number > 0 {
            agent(&mut lab).start_again().unwrap();
        }
        if number % 2 == 0 {
            agent(&mut lab).wait_ready().unwrap();
            let ready = Instant::now();
            start = start.max(started.elapsed());
            // reason: not a condition but the case itself: a life of this length
            thread::sleep(Duration::from_millis(u64::from(number % 7)));
            lives.push((ready, Instant::now()));
        } else {
            // reason: the same: a start that gets so far
            thread::sleep(start * (number * 37 % 100) / 100);
        }
        agent(&mut lab).kill().unwrap();
    }
    agent(&mut lab).restart().unwrap();
    let in_a_life = |sent, arrived| {
        let covers = |(ready, killed): &(Instant, Instant)| *ready <= sent && arrived <= *killed;
        lives.iter().any(covers)
    };
    let tolls = load.end(|sent, arrived| !how.fail_open || in_a_life(sent, arrived));
    println!("{how:?}: {kills} kills, {tolls:?}");
    assert_eq!((tolls.lost, tolls.leaked), (0, 0));
    assert!(tolls.sent > 0 && tolls.denied > 0);
    if how.mode == Mode::Nfqueue {
        // no denial is remembered there: so it shows that the load would have got through
        assert_eq!(load.passed() > 0, how.fail_open, "{}", load.passed());
    }
}

#[test]
fn a_killed_hybrid_agent_cuts_nothing_and_lets_nothing_pass() {
    kill(
        How {
            mode: Mode::Hybrid,
            fail_open: false,
        },
        80,
    );
}

#[test]
fn a_killed_hybrid_agent_that_fails_open_cuts_nothing_and_enforces_while_it_lives() {
    kill(
        How {
            mode: Mode::Hybrid,
            fail_open: true,
        },
        40,
    );
}

#[test]
fn a_killed_nfqueue_agent_cuts_nothing_and_lets_nothing_pass() {
    kill(
        How {
            mode: Mode::Nfqueue,
            fail_open: false,
        },
        40,
    );
}

#[test]
fn a_killed_nfqueue_agent_that_fails_open_cuts_nothing_and_enforces_while_it_lives() {
    kill(
        How {
            mode: Mode::Nfqueue,
            fail_open: true,
        },
        40,
    );
}

#[track_caller]
fn assert_outcome(lab: &Lab, from: &str, expected: &Outcome) {
    let to_server = |protocol| pair(from, "server", protocol, Family::Ipv4);
    let cells: Vec<Cell> = EITHER.map(to_server).to_vec();
    println!("{from}");
    assert_outcomes(lab, &cells, &vec![expected.clone(); cells.len()]);
}

#[test]
fn what_nobody_judged_before_the_agent_died_follows_the_fail_mode() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        for fail_open in [false, true] {
            let Some(mut lab) = (How { mode, fail_open }).up() else {
                return;
            };
            assert_outcome(&lab, "client", &Outcome::Allowed);
            assert_outcome(&lab, "other", &Outcome::Denied);
            // Silence may come before the verdict on a busy machine.
            eventually("both are judged", || {
                agent(&mut lab).counters().unwrap().denied >= 2
            });
            let judged = Instant::now();
            agent(&mut lab).kill().unwrap();
            let unjudged = if fail_open {
                Outcome::Allowed
            } else {
                Outcome::Denied
            };
            let [leased, remembered] = match mode {
                Mode::Hybrid => [Outcome::Allowed, Outcome::Denied],
                Mode::Nfqueue => [unjudged.clone(), unjudged.clone()],
            };
            let cells = EITHER.map(|protocol| pair("other", "server", protocol, Family::Ipv4));
            let others = lab.probe(&cells).unwrap();
            // Denials are remembered for ten seconds.
            if judged.elapsed() < Duration::from_secs(8) && remembered == Outcome::Denied {
                assert_eq!(others, [Outcome::Denied, Outcome::Denied]);
            }
            // late would be allowed, stranger would not: without an agent there is nobody to know
            assert_outcome(&lab, "late", &unjudged);
            assert_outcome(&lab, "stranger", &unjudged);
            assert_outcome(&lab, "client", &leased);
            agent(&mut lab).restart().unwrap();
            assert_outcome(&lab, "late", &Outcome::Allowed);
            assert_outcome(&lab, "stranger", &Outcome::Denied);
        }
    }
}
