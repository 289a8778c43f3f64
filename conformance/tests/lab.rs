//! Cases with real packets: the laboratory's agents do what the oracle says, and what is broken is noticed. Needs root.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sluice_conformance::case::{Case, Origin, read_case};
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::Report;
use sluice_conformance::runner::{LabOptions, LabRunner, Outcome, Runner as _};
use sluice_lab::Mode;
use sluice_oracle::Family;

fn options(mode: Mode) -> Option<LabOptions> {
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
    Some(LabOptions {
        agent,
        mode,
        families: vec![Family::Ipv4],
    })
}

/// Runs what a laboratory can run of some cases, and says what failed.
fn check(mode: Mode, is_meant: impl Fn(&Case) -> bool) {
    let Some(options) = options(mode) else {
        return;
    };
    let mut runner = LabRunner::new(options);
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

/// What does not get through without policies tells nothing about them. The agent has a policy more than it is shown.
#[test]
fn what_does_not_get_through_without_policies_is_an_error_and_no_failure() {
    let more = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                metadata: {name: more, namespace: x}\n\
                spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}\n";
    for (denied, said) in [
        ("x", "before any policy: "),
        ("y", "; without policies: 48 of 48 cells are wrong"),
    ] {
        let Some(mut options) = options(Mode::Hybrid) else {
            return;
        };
        let directory = tempfile::tempdir().unwrap();
        let manifest = directory.path().join("more.yaml");
        fs::write(&manifest, more).unwrap();
        options.agent = with_manifest(&options.agent, &manifest);
        let text = format!(
            "id: a/b\nsentence: pods of a namespace are isolated\n\
             policies:\n- {denied}/p: {{podSelector: {{}}, ingress: []}}\n"
        );
        let case = read_case(Origin::File("b.yaml".into()), &text).unwrap();
        let result = LabRunner::new(options).run(&case, Profile::SLUICE);
        match result.outcome {
            Outcome::Error(reason) => {
                assert!(reason.contains(said), "{reason}");
                assert!(reason.contains("expected allowed, denied"), "{reason}");
            }
            other => panic!("{denied}: {other:?}"),
        }
    }
}

/// Beside a manifest: a program that is the agent, and has that manifest too.
fn with_manifest(agent: &Path, manifest: &Path) -> PathBuf {
    let program = manifest.with_file_name("agent");
    let (agent, manifest) = (agent.display(), manifest.display());
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = agent ]; then exec '{agent}' \"$@\" --manifests '{manifest}'; fi\n\
         exec '{agent}' \"$@\"\n"
    );
    // A program that another test starts has a copy of what this process has open until it is executed, and what
    // somebody has open for writing is not run: so another process writes it.
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 700 \"$0\""])
        .arg(&program)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut input = writer.stdin.take().expect("its input");
    input.write_all(script.as_bytes()).expect("it reads");
    drop(input);
    assert!(writer.wait().expect("its end").success());
    program
}

/// The agent cuts what policy begins to deny, so a case that says otherwise fails.
#[test]
fn what_an_agent_does_not_do_fails_its_case() {
    let Some(options) = options(Mode::Hybrid) else {
        return;
    };
    let mut runner = LabRunner::new(options);
    let text = "id: a/b\nsentence: a connection that policy denies goes on\npolicies: []\nsteps:\n\
                - events:\n  - open: {name: c, from: y/a, to: x/a, port: 80/TCP}\n  \
                - apply: {x/p: {podSelector: {}, ingress: []}}\n  alive: [c]\n";
    let case = read_case(Origin::File("b.yaml".into()), text).unwrap();
    match runner.run(&case, Profile::default()).outcome {
        Outcome::Failed(failure) => assert_eq!(failure.reason, "connection c was cut"),
        other => panic!("{other:?}"),
    }
}
