//! What goes wrong while a run is under way: pods that are started again, rights that are withdrawn, signals.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sluice_cluster::until;
use sluice_conformance::case::Case;
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::profile::Profile;
use sluice_conformance::runner::{ClusterRunner, Outcome, Runner as _};

use super::{connect, needs_denial, options, run};

/// How long a change to what somebody may do takes at most, on a busy machine too.
const RIGHTS: Duration = Duration::from_secs(30);

/// The value of the label of everything that a run makes.
fn name_of(runner: &ClusterRunner) -> Result<String> {
    let label = runner.label();
    let (_, name) = label.split_once('=').context("a label")?;
    Ok(name.to_owned())
}

/// Kills what pods of a run do by a verb of theirs, those whose name, `NAMESPACE/NAME`, ends like this: how many there
/// were.
fn kill(run: &str, verb: &str, end: &str) -> Result<usize> {
    let mut killed = 0;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let number = path.file_name().and_then(|it| it.to_str()?.parse().ok());
        // What has ended meanwhile cannot be read.
        let (line, environment) = (
            fs::read(path.join("cmdline")),
            fs::read(path.join("environ")),
        );
        let (Some(pid), Ok(line), Ok(environment)) = (number, line, environment) else {
            continue;
        };
        let environment = String::from_utf8_lossy(&environment);
        let is_own = |it: &str| {
            it.starts_with(&format!("PROBER_NAME=conformance-{run}-")) && it.ends_with(end)
        };
        if line == format!("/sluice-prober\0{verb}\0").as_bytes()
            && environment.split('\0').any(is_own)
        {
            kill_process(Pid::from_raw(pid).context("a process")?, Signal::KILL)?;
            killed += 1;
        }
    }
    Ok(killed)
}

/// Answers that get lost are asked for again; a pod that listens on nothing any more is no denial: its world is made
/// again, and the case judged there.
pub(crate) fn what_happens_to_pods_is_no_denial(kubeconfig: &Path, kubectl: &Path) -> Result<()> {
    let catalogue = Catalogue::built_in();
    let mut cases: Vec<&Case> = Vec::new();
    for case in catalogue.cases.iter().filter(|it| it.theme() == "upstream") {
        if needs_denial(case)? {
            cases.push(case);
        }
    }
    let mut runner = connect(options(kubeconfig))?;
    let name = name_of(&runner)?;
    let mut judge = |runner: &mut ClusterRunner| {
        let case = cases.pop().context("a case")?;
        anyhow::Ok(runner.judge(case, Profile::SLUICE).outcome)
    };
    let before = judge(&mut runner)?;
    ensure!(before == Outcome::Passed, "{before:?}");
    let cut = kill(&name, "ask", "")?;
    ensure!(cut > 1, "{cut} conversations");
    let after = judge(&mut runner)?;
    ensure!(
        after == Outcome::Passed,
        "{cut} conversations cut: {after:?}"
    );
    let killed = kill(&name, "serve", "x/a")?;
    ensure!(killed == 1, "{killed} pods");
    await_restart(kubectl, &runner.label())?;
    let anew = judge(&mut runner)?;
    ensure!(anew == Outcome::Passed, "in a world made anew: {anew:?}");
    runner.close()?;
    Ok(())
}

/// Waits until one container of the pods with a label was started again.
fn await_restart(kubectl: &Path, label: &str) -> Result<()> {
    let selector = format!("--selector={label}");
    let running =
        "--output=jsonpath={.items[*].status.containerStatuses[?(@.restartCount==1)].ready}";
    let get = ["get", "pods", "--all-namespaces", &selector, running];
    until("a pod that was killed starting again", RIGHTS * 2, || {
        Ok((run(kubectl, &get)? == "true").then_some(()))
    })
}

/// Whether the user may list the kind.
fn may_list(kubectl: &Path, user: &str, kind: &str) -> Result<bool> {
    let asked = Command::new(kubectl)
        .args(["auth", "can-i", "list", kind, "--as", user])
        .output()?;
    match String::from_utf8_lossy(&asked.stdout).trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => bail!("{}", String::from_utf8_lossy(&asked.stderr)),
    }
}

fn await_right(kubectl: &Path, user: &str, (kind, may): (&str, bool)) -> Result<()> {
    let what = format!("{user} being told of {kind}: {may}");
    until(&what, RIGHTS, || {
        Ok((may_list(kubectl, user, kind)? == may).then_some(()))
    })
}

/// Who loses the right to one kind in the middle of a run is told so, and everything else is taken away.
pub(crate) fn what_is_refused_keeps_nothing_else(
    kubeconfig: &Path,
    (user, kubectl): (&str, &Path),
) -> Result<()> {
    let kind = "adminnetworkpolicies";
    let needed =
        "--resource=nodes,namespaces,pods,pods/exec,services,networkpolicies.networking.k8s.io";
    let admin = format!("--resource={kind}.policy.networking.k8s.io");
    for (role, resources) in [("plain", needed), ("admin", &admin)] {
        let (name, user) = (format!("{user}-{role}"), format!("--user={user}"));
        let bound = format!("--clusterrole={name}");
        run(
            kubectl,
            &["create", "clusterrole", &name, "--verb=*", resources],
        )?;
        run(
            kubectl,
            &["create", "clusterrolebinding", &name, &bound, &user],
        )?;
    }
    await_right(kubectl, user, ("pods", true))?;
    await_right(kubectl, user, (kind, true))?;
    let catalogue = Catalogue::built_in();
    let mut runner = connect(options(kubeconfig))?;
    let has_admin = |case: &&Case| {
        let mut objects = case.objects.iter();
        let is_admin = objects.any(|it| it.name().kind == "AdminNetworkPolicy");
        is_admin && !case.is_about_problems() && runner.unable(case).is_none()
    };
    let case = catalogue.cases.iter().find(has_admin).context("a case")?;
    let outcome = runner.judge(case, Profile::SLUICE).outcome;
    ensure!(outcome == Outcome::Passed, "{}: {outcome:?}", case.id);
    run(
        kubectl,
        &["delete", "clusterrolebinding", &format!("{user}-admin")],
    )?;
    await_right(kubectl, user, (kind, false))?;
    let selector = format!("--selector={}", runner.label());
    let Err(error) = runner.close() else {
        bail!("what could not be looked for is said to be gone");
    };
    ensure!(error.to_string().contains(kind), "{error}");
    let left = run(kubectl, &["get", "namespaces", &selector, "--output=name"])?;
    ensure!(left.is_empty(), "left: {left}");
    Ok(())
}

/// A run of the command, with the signals that it hears as they are by default.
fn begin(kubeconfig: &Path, prefix: &str) -> Result<(Child, Lines<BufReader<ChildStderr>>)> {
    let mut child = Command::new("env")
        .args(["--default-signal=INT,TERM,HUP", "--"])
        .arg(env!("CARGO_BIN_EXE_sluice-conformance"))
        .args([
            "run",
            "--runner",
            "cluster",
            "upstream/*",
            "--profile",
            "sluice",
        ])
        .args(["--namespace-prefix", prefix, "--kubeconfig"])
        .arg(kubeconfig)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = child.stderr.take().context("stderr")?;
    Ok((child, BufReader::new(said).lines()))
}

/// The first line that has this.
fn await_line(said: &mut Lines<BufReader<ChildStderr>>, part: &str) -> Result<String> {
    for line in said {
        let line = line?;
        if line.contains(part) {
            return Ok(line);
        }
    }
    bail!("it ended before it said {part}")
}

/// A signal ends the case that is under way, and what was made is taken away; a second one does not wait for that.
pub(crate) fn signals_end_a_run(kubeconfig: &Path, kubectl: &Path) -> Result<()> {
    let (mut child, mut said) = begin(kubeconfig, "once")?;
    await_line(&mut said, "/48 cases, ")?;
    kill_process(Pid::from_child(&child), Signal::TERM)?;
    await_line(&mut said, "taking away")?;
    let rest = said.collect::<std::io::Result<Vec<_>>>()?;
    let code = child.wait()?.code();
    ensure!(code == Some(130), "{code:?}: {rest:?}");
    let names = ["get", "namespaces", "--output=name"];
    let left = run(kubectl, &names)?;
    ensure!(!left.contains("/once-"), "{left}");

    let (mut child, mut said) = begin(kubeconfig, "twice")?;
    await_line(&mut said, "/48 cases, ")?;
    kill_process(Pid::from_child(&child), Signal::INT)?;
    await_line(&mut said, "taking away")?;
    kill_process(Pid::from_child(&child), Signal::INT)?;
    let left = await_line(&mut said, "left: ")?;
    let code = child.wait()?.code();
    ensure!(code == Some(130), "{code:?}: {left}");
    let command = left.strip_prefix("left: kubectl get ");
    let words = command.context("how to find it")?.split(' ');
    let delete: Vec<&str> = std::iter::once("delete").chain(words).collect();
    run(kubectl, &delete)?;
    let there = run(kubectl, &names)?;
    ensure!(!there.contains("/twice-"), "{delete:?} leaves {there}");
    Ok(())
}
