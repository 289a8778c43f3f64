//! Cases in a real Kubernetes: what the agents of the chart do is right, what nobody does is noticed, and nothing is left.
//! Needs root, and what `cargo xtask cluster build` and `cargo xtask image` make.

mod faults;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sluice_cluster::{Channel, Cluster, Options, programs, skipped, why_no_cluster};
use sluice_conformance::case::Case;
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::expect::{self, Expected};
use sluice_conformance::profile::Profile;
use sluice_conformance::report::Report;
use sluice_conformance::runner::{
    ClusterError, ClusterOptions, ClusterRunner, Outcome, Runner as _,
};
use sluice_oracle::Family;

const ADMIN: [&str; 3] = [
    "adminnetworkpolicies",
    "baselineadminnetworkpolicies",
    "clusternetworkpolicies",
];

/// Themes, and how many of their cases there are for one that is judged.
const SAMPLE: [(&str, usize); 8] = [
    ("upstream", 1),
    ("anp", 12),
    ("cnp", 12),
    ("tiers", 16),
    ("services", 12),
    ("topology", 16),
    ("temporal", 12),
    ("validation", 1),
];

/// Of the sample, what pods and nodes of one family have no means for, or no case may change.
const SKIPPED: [&str; 6] = [
    "anp/admin-egress-cidr",
    "cnp/admin-egress-cidr",
    "temporal/node-relabelled",
    "upstream/np-34",
    "upstream/np-35",
    "upstream/np-36",
];

fn image(name: &str) -> Result<PathBuf> {
    let arch = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    Ok(programs::target()?.join(format!("image/{name}-{arch}.tar")))
}

fn why_no_image() -> Option<String> {
    ["sluice", "sluice-prober"]
        .into_iter()
        .find_map(|name| match image(name) {
            Ok(path) if path.is_file() => None,
            Ok(path) => Some(format!(
                "{}: not built; run cargo xtask image",
                path.display()
            )),
            Err(error) => Some(format!("{error:#}")),
        })
}

#[test]
fn a_cluster_is_judged_by_what_its_enforcer_does() -> Result<()> {
    if skipped(why_no_cluster().or_else(why_no_image)) {
        return Ok(());
    }
    let cluster = Cluster::up(&Options {
        images: vec![image("sluice-prober")?],
        ..Options::default()
    })?;
    for resource in ADMIN {
        let name = format!("{resource}.policy.networking.k8s.io");
        cluster.control().define(&name, Channel::Experimental)?;
    }
    let kubeconfig = cluster.control().kubeconfig();
    let inside = |code: &(dyn Fn() -> Result<()> + Sync)| cluster.control().inside(code)?;
    let nobody = cluster.control().user("nobody", &[])?;
    inside(&|| what_cannot_be_had_is_named(&kubeconfig, &nobody))?;
    let kubectl = cluster.control().kubectl_script()?;
    inside(&|| a_baseline_that_comes_later_stays(&kubeconfig, &kubectl))?;
    inside(&|| without_an_enforcer(&kubeconfig))?;
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/sluice");
    cluster.install(&image("sluice")?, &chart, "sluice-system", &[])?;
    inside(&|| a_baseline_of_others_is_left_alone(&kubeconfig, &kubectl))?;
    inside(&|| faults::what_happens_to_pods_is_no_denial(&kubeconfig, &kubectl))?;
    let limited = cluster.control().user("limited", &[])?;
    inside(&|| faults::what_is_refused_keeps_nothing_else(&limited, ("limited", &kubectl)))?;
    inside(&|| faults::signals_end_a_run(&kubeconfig, &kubectl))?;
    inside(&|| with_agents(&kubeconfig))?;
    let kinds = format!("namespaces,{}", ADMIN.join(","));
    let selector = "--selector=sluice-conformance/run";
    let left = run(&kubectl, &["get", &kinds, selector, "--output=name"])?;
    ensure!(left.is_empty(), "left: {left}");
    Ok(())
}

fn options(kubeconfig: &Path) -> ClusterOptions {
    ClusterOptions {
        kubeconfig: Some(kubeconfig.to_owned()),
        progress: |text| println!("{text}"),
        warn: |text| println!("{text}"),
        ..ClusterOptions::default()
    }
}

fn connect(options: ClusterOptions) -> Result<ClusterRunner> {
    Ok(ClusterRunner::connect(options)?)
}

/// A kubeconfig, a context and an image that are not there, and a user who may do nothing.
fn what_cannot_be_had_is_named(kubeconfig: &Path, nobody: &Path) -> Result<()> {
    let wrong = |options: ClusterOptions| match ClusterRunner::connect(options) {
        Err(ClusterError::Access(said)) => said,
        Err(other) => format!("another error: {other}"),
        Ok(_) => "no error".to_owned(),
    };
    let said = wrong(options(Path::new("/nowhere")));
    ensure!(said.contains("--kubeconfig /nowhere"), "{said}");
    let said = wrong(ClusterOptions {
        context: Some("other".to_owned()),
        ..options(kubeconfig)
    });
    ensure!(said.contains("other"), "{said}");
    let said = wrong(options(nobody));
    ensure!(said.contains("create pods/exec"), "{said}");
    let catalogue = Catalogue::built_in();
    let case = catalogue
        .cases
        .iter()
        .find(|case| case.theme() == "upstream");
    let mut runner = connect(ClusterOptions {
        image: "registry.invalid/none:1".to_owned(),
        ..options(kubeconfig)
    })?;
    runner.judge(case.context("a case")?, Profile::SLUICE);
    let said = runner.fatal().unwrap_or_default().to_owned();
    ensure!(said.contains("registry.invalid/none:1"), "{said}");
    runner.close()?;
    Ok(())
}

/// A `BaselineAdminNetworkPolicy` that no run of the suite has made: no pod is to be reached.
const BASELINE: &str = r#"{
    "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "BaselineAdminNetworkPolicy",
    "metadata": {"name": "default", "labels": {"owner": "others"}},
    "spec": {"subject": {"namespaces": {}}, "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}]}
}"#;

fn run(kubectl: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(kubectl).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn apply_baseline(kubectl: &Path) -> Result<String> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(BASELINE.as_bytes())?;
    let path = file.path().to_str().context("a path")?;
    run(kubectl, &["create", "--filename", path])?;
    baseline(kubectl)
}

/// What somebody could have changed of it.
fn baseline(kubectl: &Path) -> Result<String> {
    let fields = "{.metadata.uid} {.metadata.generation} {.metadata.labels} {.spec}";
    let output = format!("--output=jsonpath={fields}");
    run(
        kubectl,
        &["get", "baselineadminnetworkpolicies", "default", &output],
    )
}

fn delete_baseline(kubectl: &Path) -> Result<()> {
    let delete = ["delete", "baselineadminnetworkpolicies", "default"];
    run(kubectl, &delete).map(drop)
}

/// Whether a case has the one `BaselineAdminNetworkPolicy` that a cluster takes from its beginning.
fn has_baseline(case: &Case) -> bool {
    let mut names = case
        .objects
        .iter()
        .map(sluice_conformance::case::Object::name);
    names.any(|it| it.kind == "BaselineAdminNetworkPolicy" && it.name == "default")
}

/// It is there only once the run has begun: the case is not judged, and the object is what it was.
fn a_baseline_that_comes_later_stays(kubeconfig: &Path, kubectl: &Path) -> Result<()> {
    let catalogue = Catalogue::built_in();
    let mut runner = connect(options(kubeconfig))?;
    let mut cases = catalogue.cases.iter();
    let case =
        cases.find(|it| has_baseline(it) && !it.is_about_problems() && runner.unable(it).is_none());
    let before = apply_baseline(kubectl)?;
    let outcome = runner
        .judge(case.context("a case")?, Profile::SLUICE)
        .outcome;
    println!("beside a baseline that came later: {outcome:?}");
    let is_error = matches!(&outcome, Outcome::Error(why) if why.contains("not of this run"));
    ensure!(is_error, "{outcome:?}");
    runner.close()?;
    let after = baseline(kubectl)?;
    ensure!(after == before, "before {before}, after {after}");
    delete_baseline(kubectl)
}

/// What others deny is no failure of the enforcer; a world that cannot be judged in is not made time and again.
fn a_baseline_of_others_is_left_alone(kubeconfig: &Path, kubectl: &Path) -> Result<()> {
    let before = apply_baseline(kubectl)?;
    let catalogue = Catalogue::built_in();
    let mut runner = connect(options(kubeconfig))?;
    let mut cases = catalogue.cases.iter();
    let own = cases.find(|it| has_baseline(it)).context("a case")?;
    let said = runner.unable(own).unwrap_or_default();
    ensure!(said.contains("of its own"), "{said}");
    let cases = catalogue.cases.iter();
    let mut cases = cases.filter(|case| case.theme() == "upstream");
    for expected in ["before any policy", "before any policy", "not made again"] {
        let outcome = runner
            .judge(cases.next().context("a case")?, Profile::SLUICE)
            .outcome;
        println!("beside a baseline of others: {outcome:?}");
        let is_error = matches!(&outcome, Outcome::Error(why) if why.contains(expected));
        ensure!(is_error, "{expected}: {outcome:?}");
    }
    let active = "--output=jsonpath={.items[?(@.status.phase==\"Active\")].metadata.name}";
    let selector = format!("--selector={}", runner.label());
    let left = run(kubectl, &["get", "namespaces", &selector, active])?;
    ensure!(left.is_empty(), "not abandoned: {left}");
    runner.close()?;
    let after = baseline(kubectl)?;
    ensure!(after == before, "before {before}, after {after}");
    delete_baseline(kubectl)
}

/// Whether anything has to be denied at any step.
fn needs_denial(case: &Case) -> Result<bool> {
    let mut state = case.start()?;
    for step in &case.steps {
        for event in &step.events {
            state.apply(event)?;
        }
        let world = state.load(&case.id).world;
        let cells = expect::cells(&world, &expect::ports(&world, &case.ports), &[Family::Ipv4]);
        let expected = expect::expected(&world, &Profile::SLUICE.readings(), &cells);
        if expected.contains(&Expected::Denied) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Nothing is denied, so exactly the cases fail in which something must be.
fn without_an_enforcer(kubeconfig: &Path) -> Result<()> {
    let catalogue = Catalogue::built_in();
    let upstream = catalogue
        .cases
        .iter()
        .filter(|case| case.theme() == "upstream");
    let mut runner = connect(ClusterOptions {
        convergence: Duration::from_millis(500),
        ..options(kubeconfig)
    })?;
    let (mut passed, mut failed) = (0, 0);
    for case in upstream.step_by(4) {
        let result = runner.judge(case, Profile::SLUICE);
        match (needs_denial(case)?, &result.outcome) {
            (false, Outcome::Passed) => passed += 1,
            (true, Outcome::Failed(failure)) if failure.is_want_of_denial() => failed += 1,
            (needs, outcome) => anyhow::bail!("{}: needs denial: {needs}: {outcome:?}", case.id),
        }
    }
    println!("without an enforcer: {passed} passed, {failed} failed");
    ensure!(
        passed > 0 && failed > passed,
        "{passed} passed, {failed} failed"
    );
    runner.close()?;
    Ok(())
}

/// All of upstream's cases, some of each tier, and all about what an API server takes.
fn with_agents(kubeconfig: &Path) -> Result<()> {
    let catalogue = Catalogue::built_in();
    let of = |theme: &'static str| {
        catalogue
            .cases
            .iter()
            .filter(move |case| case.theme() == theme)
    };
    let mut runner = connect(options(kubeconfig))?;
    let mut all_skipped: Vec<String> = Vec::new();
    for (theme, step) in SAMPLE {
        let started = Instant::now();
        let cases: Vec<&Case> = of(theme).step_by(step).collect();
        let report = Report::of(&mut runner, &cases, Profile::SLUICE);
        let failed: Vec<String> = report.failures().collect();
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{theme}: {} passed, {} skipped in {seconds:.1} s",
            report.passed(),
            report.skipped()
        );
        let skipped = report.results.iter();
        let skipped = skipped.filter(|it| matches!(it.outcome, Outcome::Skipped(_)));
        all_skipped.extend(skipped.map(|it| it.id.to_string()));
        ensure!(failed.is_empty(), "{theme}: {failed:#?}");
        let unjudged: Vec<String> = report.not_judged().collect();
        ensure!(unjudged.is_empty(), "{theme}: {unjudged:#?}");
        ensure!(report.passed() > 0, "{theme}: nothing passed");
    }
    all_skipped.sort_unstable();
    ensure!(all_skipped == SKIPPED, "skipped: {all_skipped:#?}");
    runner.close()?;
    Ok(())
}
