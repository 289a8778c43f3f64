//! `sluice-lab demo`: builds a world, runs the agent in it, probes everything twice, and says what was right. What is
//! right is `expect`'s to know, how it is printed `table`'s.

mod args;
mod isolation;
mod keep;
mod report;
mod table;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

pub use args::Args;

use crate::agent::{AgentOptions, StartError};
use crate::choice::{NoAgent, agent_binary};
use crate::expect::{self, Expectation};
use crate::judge::{Judged, judge};
use crate::lab::{Lab, UpError};
use crate::{Cell, builtin, down};
use args::Output;
use report::{Report, Rounds, Seconds};

/// A demo that came to no judgement, with the exit code it ends with.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// Bad usage or bad input.
    fn input(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: 2,
            error: error.into(),
        }
    }

    /// The machine cannot do this.
    fn machine(error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: 3,
            error: error.into(),
        }
    }
}

impl From<UpError> for Failure {
    fn from(error: UpError) -> Self {
        match error {
            UpError::Machine(error) => Self::machine(error),
            other => Self::input(other),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Machine { .. } => Self::machine(error),
            StartError::Failed(error) => error.into(),
        }
    }
}

impl From<NoAgent> for Failure {
    fn from(error: NoAgent) -> Self {
        match error {
            NoAgent::Here(_) => anyhow::Error::from(error).into(),
            NoAgent::Missing(_) => Self::input(error),
        }
    }
}

impl From<anyhow::Error> for Failure {
    /// Judged, in a way: what was to be shown could not be shown.
    fn from(error: anyhow::Error) -> Self {
        Self { code: 1, error }
    }
}

/// Runs the demo and returns the exit code: 0 all right, 1 something is not right, 2 bad input, 3 the machine cannot
/// do this, 130 interrupted.
pub fn run(args: &Args) -> u8 {
    let done = if args.sweep {
        Ok(keep::sweep(&args.runs))
    } else if args.down {
        take_down(args)
    } else if args.keep && args.holder.is_none() {
        keep::supervise().map_err(Failure::from)
    } else {
        show(args)
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {}", in_full(&failure.error));
        failure.code
    })
}

/// An error with its causes, but for those that it names itself.
fn in_full(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn take_down(args: &Args) -> Result<u8, Failure> {
    require_root()?;
    let removed = down(&args.runs)?;
    let word = |was_alive| {
        if was_alive {
            "removed"
        } else {
            "removed what was left of"
        }
    };
    match args.output {
        Output::Table if removed.is_empty() => println!("nothing is up"),
        Output::Table => removed
            .iter()
            .for_each(|run| println!("{} {}", word(run.was_alive), run.run)),
        Output::Json => {
            let names: Vec<_> = removed.iter().map(|run| &run.run).collect();
            println!("{}", serde_json::json!({ "removed": names }));
        }
    }
    Ok(0)
}

fn show(args: &Args) -> Result<u8, Failure> {
    require_root()?;
    let starter = args.holder.map(keep::Starter::take).transpose()?;
    keep::remove_and_exit_on_signal(args.runs.clone())?;
    let agent = AgentOptions {
        binary: agent_binary(args.agent.clone())?,
        mode: args.mode.into(),
        arguments: Vec::new(),
        environment: Vec::new(),
    };
    let manifests = args.manifests().unwrap_or_else(builtin::default_world);

    let start = Instant::now();
    let mut lab = Lab::up(&manifests, &args.options())?;
    let setup = start.elapsed();
    tell_what_is_up(&lab, setup);
    let start = Instant::now();
    lab.start_agents(&agent)?;
    let ready = start.elapsed();
    eprintln!(
        "agents ready in {:.2} s ({})",
        ready.as_secs_f64(),
        agent.mode.name()
    );

    let report = probe_twice(&lab, &agent, Seconds::of(setup, ready))?;
    match args.output {
        Output::Table => say(&table::render(&lab, &report))?,
        Output::Json => say(
            &(serde_json::to_string(&report).context("write the report")?
                + "
"),
        )?,
    }
    let code = u8::from(!report.ok);
    if let Some(starter) = starter {
        keep::hold(&lab, starter, code)?;
    }
    Ok(code)
}

/// Writes to standard output; a reader who has seen enough is no error.
fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("write to standard output")
        }
        _ => Ok(()),
    }
}

fn tell_what_is_up(lab: &Lab, setup: Duration) {
    let ignored: Vec<_> = lab
        .ignored()
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if !ignored.is_empty() {
        eprintln!("ignored: {}", ignored.join(", "));
    }
    let plan = lab.plan();
    let pods = lab.world().pods.iter().map(|facts| &facts.pod.name);
    let missing: Vec<_> = pods
        .filter(|name| plan.pod(name).is_none())
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        eprintln!(
            "without an address of the families asked for, so not built: {}",
            missing.join(", ")
        );
    }
    eprintln!(
        "{} nodes and {} pods up in {:.2} s",
        plan.nodes.len(),
        plan.pods.len(),
        setup.as_secs_f64()
    );
}

fn probe_twice(lab: &Lab, agent: &AgentOptions, mut seconds: Seconds) -> Result<Report> {
    let cells = lab.plan().cells();
    let expected = expect::expectations(lab.plan(), lab.world(), &cells);
    let start = Instant::now();
    let before = lab.counters()?;
    let first = round(lab, "first", &cells, &expected)?;
    let between = lab.counters()?;
    let second = round(lab, "second", &cells, &expected)?;
    let after = lab.counters()?;
    seconds.probe = start.elapsed().as_secs_f64();
    let counters = [before, between, after];
    let rounds = Rounds {
        cells,
        expected,
        first,
        second,
        counters,
    };
    Report::new(lab, agent.mode, rounds, seconds)
}

fn round(lab: &Lab, name: &str, cells: &[Cell], expected: &[Expectation]) -> Result<Judged> {
    let judged = judge(lab, cells, expected)?;
    eprintln!(
        "{name} round: {} of {} right",
        judged.correct(),
        cells.len()
    );
    Ok(judged)
}

fn require_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::machine(anyhow!(
        "network namespaces need root: run this with sudo, or in a privileged container"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_named_once() {
        let cause = std::io::Error::from_raw_os_error(1);
        let names_its_cause = anyhow!("make a namespace: {cause}");
        let error = anyhow::Error::from(cause)
            .context(names_its_cause.to_string())
            .context("node n");
        assert_eq!(
            in_full(&error),
            "node n: make a namespace: Operation not permitted (os error 1)"
        );
    }
}
