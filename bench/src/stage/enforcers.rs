//! Who enforces in a stage: agents, a command of others, or nobody. What they have run, counted and hold.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sluice_lab::{Agent, Counters, Lab};
use tempfile::TempDir;

use super::external::{CommandLine, External};
use super::stopped::Stopped;
use super::{ENFORCED, LOOK};
use crate::processes::{self, Memory};

/// The commands of a stage, one on each node; none in most.
#[derive(Debug, Default)]
pub(super) struct Externals {
    commands: Vec<External>,
    // After the commands, whose files are in it.
    _directory: Option<TempDir>,
}

impl Externals {
    /// Starts `line` on every node of `nodes`.
    pub(super) fn start(lab: &Lab, nodes: &[&'static str], line: &CommandLine) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the external command")?;
        let start = |node: &&'static str| External::start(lab, node, line, directory.path());
        Ok(Self {
            commands: nodes.iter().map(start).collect::<Result<_>>()?,
            _directory: Some(directory),
        })
    }

    /// Whether all have said that they are ready.
    pub(super) fn are_ready(&self) -> bool {
        self.commands.iter().all(External::is_ready)
    }

    /// Makes sure that none has ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        self.commands.iter_mut().try_for_each(External::check)
    }
}

/// What all of them have run.
pub(super) fn time(agents: &[Agent], externals: &Externals) -> Result<Duration> {
    let agents = agents.iter().map(|agent| processes::time_of(agent.pid()));
    let externals = externals.commands.iter().map(External::time);
    agents.chain(externals).sum()
}

/// What all of them hold.
pub(super) fn memory(agents: &[Agent], externals: &Externals) -> Result<Memory> {
    let agents = processes::memory_of(agents.iter().map(Agent::pid))?;
    let mut externals = externals.commands.iter().map(External::memory);
    externals.try_fold(agents, |sum, more| {
        let more = more?;
        Ok(Memory {
            resident: sum.resident + more.resident,
            bpf_maps: sum.bpf_maps + more.bpf_maps,
        })
    })
}

/// What all agents have counted. By their sockets: a process for each question would leave cold caches in the modes with
/// an agent alone.
pub(super) fn counters(agents: &[Agent]) -> Result<Counters> {
    let mut sum = Counters::default();
    for agent in agents {
        let said = agent.said()?.context("the agent does not listen")?;
        sum = sum + sluice_lab::counters(&said)?;
    }
    Ok(sum)
}

/// Has every agent stand still.
pub(super) fn stop(agents: &[Agent]) -> Result<Vec<Stopped>> {
    let stop = |agent: &Agent| Stopped::stop(agent.pid());
    agents.iter().map(stop).collect()
}

/// Waits until every agent enforces what it was told by `time`, in seconds since 1970.
pub(super) fn await_enforced(agents: &[Agent], time: f64) -> Result<()> {
    let limit = Instant::now() + ENFORCED;
    for agent in agents {
        while agent.enforced_as_of()? < Some(time) {
            ensure!(Instant::now() < limit, "an edited policy is not enforced");
            thread::sleep(LOOK);
        }
    }
    Ok(())
}
