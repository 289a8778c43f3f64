//! How long the suite takes, beside the time that it may take: all static cases by the evaluator, upstream's cases in
//! laboratories of both modes, with `--all` every case that a laboratory can hold, and with `KUBECONFIG` upstream's in
//! that cluster, whose enforcer is whatever it has.
//! `cargo build --release -p sluice && cargo bench -p sluice-conformance --bench suite [-- --all]`; laboratories need
//! root, a cluster the image of `cargo xtask image --prober`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;

use sluice_conformance::case::Case;
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::per_core;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::Report;
use sluice_conformance::runner::{
    ClusterOptions, ClusterRunner, EvaluatorRunner, LabOptions, LabRunner, Outcome, Runner, Sluice,
};
use sluice_lab::choice::agent_binary;
use sluice_lab::{Family, Mode};

/// How often the evaluator judges all cases.
const ROUNDS: usize = 5;
/// The limit of the evaluator is for so many cases.
const CASES: f64 = 1200.0;

/// What is measured: its name, and the seconds that it may take.
struct Measure {
    name: &'static str,
    limit: f64,
}

const EVALUATOR: Measure = Measure {
    name: "evaluator, per 1,200 static cases",
    limit: 10.0,
};
const HYBRID: Measure = Measure {
    name: "laboratory, upstream's, hybrid",
    limit: 60.0,
};
const NFQUEUE: Measure = Measure {
    name: "laboratory, upstream's, nfqueue",
    limit: 60.0,
};
const ALL: Measure = Measure {
    name: "laboratory, all",
    limit: 600.0,
};
const CLUSTER: Measure = Measure {
    name: "cluster, upstream's",
    limit: 300.0,
};

fn main() {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    if !has("--bench") {
        println!("skipped: needs --bench");
        return;
    }
    let catalogue = Catalogue::built_in();
    let cases: Vec<&Case> = catalogue.cases.iter().collect();
    println!(
        "{:<36}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "cases", "cells", "min s", "median s", "max s", "limit s", "failed"
    );
    let evaluator = || EvaluatorRunner::new(Sluice::default());
    let rounds = (0..ROUNDS).map(|_| judged(evaluator, 1, &cases));
    print(&EVALUATOR, &rounds.collect::<Vec<_>>(), Some(CASES));
    let is_upstream = |case: &&&Case| case.theme() == "upstream";
    let upstream: Vec<&Case> = cases.iter().filter(is_upstream).copied().collect();
    match agent_binary(None) {
        Ok(agent) if rustix::process::geteuid().is_root() => {
            let all = has("--all").then_some(cases.as_slice());
            laboratories(&agent, &upstream, all);
        }
        Ok(_) => println!("laboratory: skipped, needs root"),
        Err(error) => println!("laboratory: skipped, {error}"),
    }
    if std::env::var_os("KUBECONFIG").is_some() {
        cluster(&upstream);
    }
}

fn laboratories(agent: &Path, upstream: &[&Case], all: Option<&[&Case]>) {
    let lab = |mode| {
        move || {
            LabRunner::new(LabOptions {
                agent: agent.to_owned(),
                mode,
                families: vec![Family::Ipv4],
            })
        }
    };
    for (measure, mode) in [(HYBRID, Mode::Hybrid), (NFQUEUE, Mode::Nfqueue)] {
        print(
            &measure,
            &[judged(lab(mode), LabRunner::PER_CORE, upstream)],
            None,
        );
    }
    if let Some(all) = all {
        print(
            &ALL,
            &[judged(lab(Mode::Hybrid), LabRunner::PER_CORE, all)],
            None,
        );
    }
}

fn cluster(upstream: &[&Case]) {
    let connected = ClusterRunner::connect(ClusterOptions::default());
    let judged = connected.and_then(|mut runner| {
        let report = Report::of(&mut runner, upstream, Profile::SLUICE);
        runner.close()?;
        Ok(report)
    });
    match judged {
        Ok(report) => print(&CLUSTER, &[report], None),
        Err(error) => println!("cluster: {error}"),
    }
}

/// Those of the cases that runners of a kind can judge, so many at a time for each core.
fn judged<R: Runner + Send>(runner: impl Fn() -> R, count: usize, cases: &[&Case]) -> Report {
    let mut runners: Vec<R> = (0..per_core(count)).map(|_| runner()).collect();
    let able: Vec<&Case> = cases
        .iter()
        .filter(|case| runners[0].unable(case).is_none())
        .copied()
        .collect();
    Report::observed(&mut runners, &able, Profile::SLUICE, &mut ())
}

/// A line: the seconds of rounds, or what they would be for so many cases.
fn print(measure: &Measure, rounds: &[Report], per: Option<f64>) {
    let Some(first) = rounds.first() else { return };
    #[expect(clippy::cast_precision_loss, reason = "some thousand cases")]
    let scale = per.map_or(1.0, |per| per / first.results.len() as f64);
    let mut seconds: Vec<f64> = rounds
        .iter()
        .map(|round| round.took.as_secs_f64() * scale)
        .collect();
    seconds.sort_unstable_by(f64::total_cmp);
    let is_failed = |outcome: &Outcome| !matches!(outcome, Outcome::Passed);
    let failed: usize = rounds
        .iter()
        .map(|round| {
            round
                .results
                .iter()
                .filter(|it| is_failed(&it.outcome))
                .count()
        })
        .sum();
    println!(
        "{:<36}{:>7}{:>9}{:>9.2}{:>9.2}{:>9.2}{:>9.0}{failed:>9}",
        measure.name,
        first.results.len(),
        first.cells(),
        seconds[0],
        seconds[seconds.len() / 2],
        seconds[seconds.len() - 1],
        measure.limit,
    );
}
