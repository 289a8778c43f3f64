//! A second agent on a node that has one.

use sluice_lab::{Lab, Mode};

use super::{How, Load, agent};
use crate::common::assert_all_right;

/// The first agent's arguments, with the values of some flags replaced.
fn arguments(lab: &mut Lab, replaced: &[(&str, &str)]) -> Vec<String> {
    let mut arguments = agent(lab).arguments();
    for (flag, value) in replaced {
        let flag = arguments.iter().position(|it| it == flag).unwrap();
        (*value).clone_into(&mut arguments[flag + 1]);
    }
    arguments
}

#[test]
fn a_second_agent_says_that_it_is_one_and_leaves_the_first_alone() {
    let socket = ("--socket", "/run/sluice-lab/no-other.sock");
    let metrics = ("--metrics-bind-address", "127.0.0.1:9081");
    let bpffs = ("--bpffs", "/run/sluice-lab/no-other-bpf/sluice");
    let cases: [&[_]; 4] = [
        &[],
        &[socket],
        &[socket, metrics],
        &[socket, metrics, bpffs],
    ];
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let Some(mut lab) = (How {
            mode,
            fail_open: false,
        })
        .up() else {
            return;
        };
        let mut load = Load::start(&lab);
        let pid = agent(&mut lab).pid();
        for replaced in cases {
            // It has no queue of the first one's either.
            let mut arguments = arguments(&mut lab, replaced);
            arguments.extend(["--queue-num", "200"].map(str::to_owned));
            let output = agent(&mut lab).run(&arguments).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{replaced:?}: {said}");
            let expected = "another agent runs on this node";
            assert!(said.contains(expected), "{replaced:?}: {said}");
        }
        let status = agent(&mut lab).status().unwrap();
        assert_eq!(status["agent"]["ready"], true);
        assert_eq!(agent(&mut lab).pid(), pid);
        assert_all_right(&lab);
        let tolls = load.end(|_, _| true);
        assert_eq!((tolls.lost, tolls.leaked), (0, 0), "{mode:?}");
        agent(&mut lab).stop().unwrap();
    }
}
