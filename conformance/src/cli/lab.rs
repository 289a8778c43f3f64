//! What commands with laboratories share.

use std::path::PathBuf;

use clap::Args;
use sluice_conformance::runner::LabOptions;
use sluice_lab::choice::{FamilyName, ModeName, NoAgent, agent_binary};

use super::Stopped;

/// What laboratories are made of.
#[derive(Debug, Args)]
pub(super) struct LabArgs {
    /// Of the runner `lab`: how the agents work
    #[arg(long, value_enum, default_value = "hybrid")]
    mode: ModeName,
    /// Of the runner `lab`: the address families of pods
    #[arg(long, value_enum, default_value = "4")]
    family: FamilyName,
    /// Of the runner `lab`: the agent's binary [default: `sluice` beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
}

impl LabArgs {
    pub(super) fn options(&self) -> Result<LabOptions, Stopped> {
        if !rustix::process::geteuid().is_root() {
            let message = "--runner lab makes network namespaces, which needs root";
            return Err(Stopped(3, message.to_owned()));
        }
        let agent = agent_binary(self.agent.clone()).map_err(|error| match error {
            NoAgent::Here(_) => Stopped(3, error.to_string()),
            NoAgent::Missing(_) => Stopped(2, error.to_string()),
        })?;
        Ok(LabOptions {
            agent,
            mode: self.mode.into(),
            families: self.family.families(),
        })
    }
}
