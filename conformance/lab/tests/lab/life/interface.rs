//! Interfaces that appear while the agent is away.

use sluice_lab::{Family, Lab, Mode, Outcome};

use super::{EITHER, How, agent, pair};
use crate::common::{eventually, pod};

fn outcomes(lab: &Lab, from: &str) -> Vec<Outcome> {
    let families = [Family::Ipv4, Family::Ipv6];
    let cells = families.map(|family| EITHER.map(|it| pair(from, "server", it, family)));
    lab.probe(cells.as_flattened()).unwrap()
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
        assert_eq!(outcomes(&lab, "client"), vec![Outcome::Allowed; 4]);
        agent(&mut lab).kill().unwrap();
        let names =
            ["x/client", "x/stranger", "x/server"].map(|name| lab.replug(&pod(name)).unwrap());
        let leased = match mode {
            Mode::Hybrid => Outcome::Allowed,
            Mode::Nfqueue => Outcome::Denied,
        };
        assert_eq!(outcomes(&lab, "client"), vec![leased; 4], "{mode:?}");
        assert_eq!(outcomes(&lab, "stranger"), vec![Outcome::Denied; 4]);
        agent(&mut lab).restart().unwrap();
        assert_eq!(outcomes(&lab, "client"), vec![Outcome::Allowed; 4]);
        assert_eq!(outcomes(&lab, "stranger"), vec![Outcome::Denied; 4]);
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
                outcomes(&lab, "client");
                hits(&mut lab) > before
            });
        }
    }
}
