//! Cases with real packets: the laboratory's agents do what the oracle says, and what is broken is noticed. Needs root.

use std::path::PathBuf;

use sluice_conformance::case::{Case, Origin, read_case};
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::Report;
use sluice_conformance::runner::{LabOptions, LabRunner, Outcome, Runner as _};
use sluice_lab::Mode;
use sluice_oracle::Family;

fn runner(mode: Mode) -> Option<LabRunner> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_sluice-conformance"));
    let agent = program.with_file_name("sluice");
    if !rustix::process::geteuid().is_root() {
        println!("skipped: network namespaces need root");
        return None;
    }
    if !agent.is_file() {
        println!(
            "skipped: no agent at {}: cargo build -p sluice",
            agent.display()
        );
        return None;
    }
    Some(LabRunner::new(LabOptions {
        agent,
        mode,
        families: vec![Family::Ipv4],
    }))
}

/// Runs what a laboratory can run of some cases, and says what failed.
fn check(mode: Mode, is_meant: impl Fn(&Case) -> bool) {
    let Some(mut runner) = runner(mode) else {
        return;
    };
    let cases = Catalogue::built_in().cases;
    let meant: Vec<&Case> = cases.iter().filter(|case| is_meant(case)).collect();
    let report = Report::of(&mut runner, &meant, Profile::SLUICE);
    let failed: Vec<String> = report.failures().chain(report.not_judged()).collect();
    assert_eq!(failed, [""; 0], "{} passed", report.passed());
    assert!(report.passed() > 0);
}

#[test]
fn the_agent_passes_upstreams_cases_in_hybrid_mode() {
    check(Mode::Hybrid, |case| case.theme() == "upstream");
}

#[test]
fn the_agent_passes_upstreams_cases_in_nfqueue_mode() {
    check(Mode::Nfqueue, |case| case.theme() == "upstream");
}

#[test]
fn the_agent_passes_every_case_that_needs_packets() {
    check(Mode::Hybrid, |case| !case.is_static());
}

/// The agent cuts what policy begins to deny, so a case that says otherwise fails.
#[test]
fn what_an_agent_does_not_do_fails_its_case() {
    let Some(mut runner) = runner(Mode::Hybrid) else {
        return;
    };
    let text = "id: a/b\nsentence: a connection that policy denies goes on\npolicies: []\nsteps:\n\
                - events:\n  - open: {name: c, from: y/a, to: x/a, port: 80/TCP}\n  \
                - apply: {x/p: {podSelector: {}, ingress: []}}\n  alive: [c]\n";
    let case = read_case(Origin::File("b.yaml".into()), text).unwrap();
    match runner.run(&case, Profile::default()).outcome {
        Outcome::Failed(failure) => assert_eq!(failure.reason, "connection c was cut"),
        other => panic!("{other:?}"),
    }
}
