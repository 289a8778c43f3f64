//! Interfaces that appear while the agent is away.

use sluice_lab::{Cell, Family, Lab, Mode, Outcome};

use super::{EITHER, How, agent, pair};
use crate::common::{assert_outcomes, eventually, pod};

#[track_caller]
fn assert_outcome(lab: &Lab, from: &str, expected: &Outcome) {
    assert_outcomes(
        lab,
        &cells(from),
        &vec![expected.clone(); cells(from).len()],
    );
}

fn cells(from: &str) -> Vec<Cell> {
    let families = [Family::Ipv4, Family::Ipv6];
    let cells = families.map(|family| EITHER.map(|it| pair(from, "server", it, family)));
    cells.as_flattened().to_vec()
}

#[test]
fn an_interface_that_appears_while_the_agent_is_away_is_enforced_at_once_and_fast_later() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let how = How {
            mode,
            fail_open: false,
        };
        let Some(mut lab) = how.up() else {
            return;
        };
        assert_outcome(&lab, "client", &Outcome::Allowed);
        agent(&mut lab).kill().unwrap();
        let names =
            ["x/client", "x/stranger", "x/server"].map(|name| lab.replug(&pod(name)).unwrap());
        let leased = match mode {
            Mode::Hybrid => Outcome::Allowed,
            Mode::Nfqueue => Outcome::Denied,
        };
        assert_outcome(&lab, "client", &leased);
        assert_outcome(&lab, "stranger", &Outcome::Denied);
        agent(&mut lab).restart().unwrap();
        assert_outcome(&lab, "client", &Outcome::Allowed);
        assert_outcome(&lab, "stranger", &Outcome::Denied);
        if mode == Mode::Hybrid {
            let status = agent(&mut lab).status().unwrap();
            let attached = status["tc"]["interfaces"].as_array().unwrap();
            assert!(
                names
                    .iter()
                    .all(|name| attached.contains(&name.as_str().into())),
                "{status}"
            );
            let hits = |lab: &mut Lab| agent(lab).counters().unwrap().lease_hits;
            let before = hits(&mut lab);
            eventually("TC passes what comes from a new interface", || {
                lab.probe(&cells("client")).unwrap();
                hits(&mut lab) > before
            });
        }
    }
}
