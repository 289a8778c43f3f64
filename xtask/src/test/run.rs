//! Building the test binaries once, and running those of a level.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::level::Level;
use super::tally::Tally;
use super::transcript::Transcript;
use crate::cargo::{self, Executable, Target};
use crate::exit::{self, Stop};
use crate::{process, repo};

/// How long output may be silent before it is asked whether the test has ended at all.
const GRACE: Duration = Duration::from_secs(2);

/// A test binary that says nothing for so long hangs, and is ended: the longest test takes a third of it.
const SILENCE: Duration = Duration::from_mins(15);

/// What is wrong where output does not end with the process.
pub(super) const LEFT: &str = "ended, but left a process behind that holds on to its output";

/// The package with the binary that privileged tests of other packages run.
const AGENT: &str = "sluice";

/// The tests of the chosen packages.
#[derive(Debug)]
pub(super) struct Suite {
    root: PathBuf,
    /// All targets of the chosen packages.
    targets: Vec<Target>,
    /// The chosen packages; empty: the whole workspace.
    packages: Vec<String>,
    /// For the test binaries.
    more: Vec<String>,
    /// What was built, so that the second level does not ask cargo again.
    built: OnceCell<Vec<Executable>>,
}

impl Suite {
    /// # Errors
    /// [`Stop::Usage`] where there is no such package.
    pub(super) fn of(packages: &[String], more: &[String]) -> anyhow::Result<Self> {
        let root = repo::root();
        let mut targets = cargo::targets(&root)?;
        let known: BTreeSet<_> = targets
            .iter()
            .map(|target| target.package.clone())
            .collect();
        if let Some(unknown) = packages.iter().find(|package| !known.contains(*package)) {
            let known: Vec<_> = known.into_iter().collect();
            return Err(Stop::Usage(format!(
                "no package `{unknown}`; there are {}",
                known.join(", ")
            ))
            .into());
        }
        targets.retain(|target| packages.is_empty() || packages.contains(&target.package));
        Ok(Self {
            root,
            targets,
            packages: packages.to_vec(),
            more: more.to_vec(),
            built: OnceCell::new(),
        })
    }

    /// Runs the test binaries of `level`; doc tests are of level unit.
    ///
    /// # Errors
    /// Where the tests do not compile, or Ctrl-C was pressed.
    pub(super) fn run(&self, level: Level) -> anyhow::Result<Tally> {
        let mut tests: Vec<&Executable> = self.tests(level)?.collect();
        tests.sort_by_key(|test| level.turn(&test.target));
        let mut sum = Tally::default();
        for ran in in_lanes(level.lanes(), &tests, &self.more) {
            sum.add(&ran?);
        }
        if level == Level::Unit {
            sum.add(&self.run_doc_tests()?);
        }
        Ok(sum)
    }

    /// The test binaries of `level`.
    ///
    /// # Errors
    /// Where the tests do not compile.
    pub(super) fn tests(&self, level: Level) -> anyhow::Result<impl Iterator<Item = &Executable>> {
        let chosen = |test: &&Executable| self.targets.contains(&test.target);
        let tests = self.built()?.iter().filter(|it| it.is_test).filter(chosen);
        Ok(tests.filter(move |it| Level::of(&it.target) == level))
    }

    /// What the test binaries are given.
    pub(super) fn arguments(&self) -> &[String] {
        &self.more
    }

    /// Builds every test, of whichever level, and every binary: one set of features, one build.
    ///
    /// The lab's tests run the agent's binary, beside their own: one of yesterday must not be there.
    fn built(&self) -> anyhow::Result<&[Executable]> {
        if let Some(built) = self.built.get() {
            return Ok(built);
        }
        let mut build = cargo::command(&self.root, "build");
        build.args(["--bins", "--tests"]);
        let agent = AGENT.to_owned();
        let is_run = self
            .targets
            .iter()
            .any(|target| Level::of(target) == Level::Lab);
        self.select(
            &mut build,
            self.packages.iter().chain(is_run.then_some(&agent)),
        );
        let mut executables = cargo::executables(&mut build)?;
        executables.sort_by(|a, b| a.target.cmp(&b.target));
        Ok(self.built.get_or_init(|| executables))
    }

    /// Cargo runs them itself, all in one go.
    fn run_doc_tests(&self) -> anyhow::Result<Tally> {
        let documented = self
            .targets
            .iter()
            .filter(|target| target.kind == "lib")
            .map(|target| &target.package);
        let documented: BTreeSet<_> = documented.collect();
        if documented.is_empty() {
            return Ok(Tally::default());
        }
        eprintln!("\ndoc tests");
        let mut command = cargo::command(&self.root, "test");
        command.args(["--doc", "--no-fail-fast"]);
        self.select(&mut command, documented.into_iter());
        follow(
            command.arg("--").arg("--show-output").args(&self.more),
            Transcript::new("doc tests"),
            "",
            SILENCE,
        )
    }

    /// The whole workspace by that name, since naming all of its packages could mean other features.
    fn select(&self, command: &mut Command, packages: impl Iterator<Item = impl AsRef<str>>) {
        if self.packages.is_empty() {
            command.arg("--workspace");
        } else {
            for package in packages {
                command.args(["-p", package.as_ref()]);
            }
        }
    }
}

/// Runs test binaries in so many lanes, each of which takes the next one when it is done with one; what came of each
/// lane.
fn in_lanes(lanes: usize, tests: &[&Executable], more: &[String]) -> Vec<anyhow::Result<Tally>> {
    let queue = Mutex::new(tests.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lane = || {
        let mut sum = Tally::default();
        while let Some(test) = next() {
            sum.add(&run_binary(test, more, lanes > 1)?);
        }
        Ok(sum)
    };
    thread::scope(|scope| {
        let started: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        let joined = started.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|ran| ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// As cargo would run it: in the directory of its package. Where others run beside it, its lines say whose they are.
fn run_binary(test: &Executable, more: &[String], beside: bool) -> anyhow::Result<Tally> {
    let label = label(&test.target);
    match Level::why_root(&test.target) {
        Some(reason) => eprintln!("\n{label} (as root: {reason})"),
        None => eprintln!("\n{label}"),
    }
    let prefix = if beside {
        format!("{}: ", test.target.name)
    } else {
        String::new()
    };
    let mut command = Command::new(&test.path);
    command
        .current_dir(&test.target.directory)
        .env("CARGO_MANIFEST_DIR", &test.target.directory)
        .arg("--show-output")
        .args(more);
    follow(&mut command, Transcript::new(&label), &prefix, SILENCE)
}

/// Runs `command`, its output read by `transcript` and shown on stderr as it comes, each line behind `prefix`. It is ended
/// where it says nothing for longer than `silence`.
fn follow(
    command: &mut Command,
    mut transcript: Transcript,
    prefix: &str,
    silence: Duration,
) -> anyhow::Result<Tally> {
    let (reader, writer) = io::pipe().context("making a pipe")?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("running {}", process::shown(command)))?;
    // Our copies of the writing end have to go, or the reading never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let lines = process::lines_of(reader);
    let (mut has_ended, mut heard) = (false, Instant::now());
    loop {
        match lines.recv_timeout(GRACE.min(silence)) {
            Ok(line) => {
                heard = Instant::now();
                if let Some(shown) = transcript.line(&line) {
                    eprintln!("{prefix}{shown}");
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if has_ended => {
                transcript.fail(LEFT);
                break;
            }
            Err(RecvTimeoutError::Timeout) if heard.elapsed() > silence => {
                child.kill().context("ending a test that hangs")?;
                transcript.fail(&silent(silence, transcript.slow()));
                break;
            }
            // What it said last may be on its way, where the machine stood still meanwhile.
            Err(RecvTimeoutError::Timeout) => has_ended = child.try_wait()?.is_some(),
        }
    }
    let status = exit::unless_interrupted(child.wait()?)?;
    Ok(transcript.finish(status.success()))
}

/// What is wrong where nothing was said for so long.
fn silent(silence: Duration, slow: &[String]) -> String {
    let under_way = match slow {
        [] => "no test that it named".to_owned(),
        slow => slow.join(", "),
    };
    format!("said nothing for {silence:?} and was ended; under way: {under_way}")
}

/// What a test binary is called where people read it.
pub(super) fn label(target: &Target) -> String {
    match target.kind.as_str() {
        "test" => format!("{} tests/{}.rs", target.package, target.name),
        "bin" => format!("{} (binary {})", target.package, target.name),
        _ => target.package.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::{SILENCE, Suite, Transcript, follow};
    use crate::exit::Stop;

    fn tally_of(script: &str) -> String {
        follow(
            Command::new("sh").args(["-c", script]),
            Transcript::new("sh"),
            "",
            SILENCE,
        )
        .unwrap()
        .to_string()
    }

    #[test]
    fn both_streams_are_read_and_the_exit_status_counts() {
        let result = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            tally_of(&format!("echo noise; echo '{result}' >&2")),
            "3 passed, 0 failed, 0 skipped"
        );
        assert_eq!(
            tally_of(&format!("echo '{result}'; kill -SEGV $$")),
            "3 passed, 1 failed, 0 skipped"
        );
        assert_eq!(tally_of("exit 0"), "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_process_left_behind_is_a_failure_not_a_hang() {
        // Waited for to its end, it would be no failure.
        let script = "sleep 20 & echo 'test result: ok. 1 passed; 0 failed; 0 ignored'";
        assert_eq!(tally_of(script), "1 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_test_that_hangs_is_ended_and_named() {
        let script = "echo 'test a::b has been running for over 60 seconds'\n\
                      echo 'test c has been running for over 60 seconds'\n\
                      echo 'test c ... ok'\n\
                      exec sleep 600";
        let tally = follow(
            Command::new("sh").args(["-c", script]),
            Transcript::new("sh"),
            "",
            Duration::from_secs(1),
        )
        .unwrap();
        let failures: Vec<_> = tally.failures.iter().map(|it| it.what.as_str()).collect();
        assert_eq!(
            failures,
            [
                "sh: said nothing for 1s and was ended; under way: a::b",
                "sh: ended without a result"
            ]
        );
    }

    #[test]
    fn ctrl_c_in_a_test_stops_everything() {
        // As who was interrupted and caught it: whatever runs in the background of a shell ignores the signal itself.
        let error = follow(
            Command::new("sh").args(["-c", "exit 130"]),
            Transcript::new("sh"),
            "",
            SILENCE,
        )
        .unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Stop::Interrupted));
    }

    #[test]
    fn an_unknown_package_is_bad_usage() {
        let error = Suite::of(&["sluce".into()], &[]).unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(Stop::Usage(message)) if message.contains("sluice-policy"))
        );
    }
}
