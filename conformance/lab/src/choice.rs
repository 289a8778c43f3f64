//! What commands that make labs are told: names of modes and families, and where the agent's binary is.

use std::io;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::{Family, Mode};

/// Names of [`Mode`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// With the eBPF half.
    #[default]
    Hybrid,
    /// Without.
    Nfqueue,
}

/// Names of sets of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FamilyName {
    /// IPv4 alone.
    #[value(name = "4")]
    V4,
    /// IPv6 alone.
    #[value(name = "6")]
    V6,
    /// Both.
    Dual,
}

/// Why there is no agent's binary.
#[derive(Debug, thiserror::Error)]
pub enum NoAgent {
    /// The system does not say where this program is.
    #[error("find this program: {0}")]
    Here(io::Error),
    /// There is no such file.
    #[error("no agent at {}: build it (cargo build -p sluice), or say where it is (--agent)", .0.display())]
    Missing(PathBuf),
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Hybrid => Self::Hybrid,
            ModeName::Nfqueue => Self::Nfqueue,
        }
    }
}

impl FamilyName {
    /// The families.
    pub fn families(self) -> Vec<Family> {
        match self {
            Self::V4 => vec![Family::Ipv4],
            Self::V6 => vec![Family::Ipv6],
            Self::Dual => Family::ALL.to_vec(),
        }
    }
}

/// The agent's binary: the one that was given, or `sluice` beside this program.
pub fn agent_binary(given: Option<PathBuf>) -> Result<PathBuf, NoAgent> {
    let beside = || std::env::current_exe().map(|it| it.with_file_name("sluice"));
    let binary = given.map_or_else(beside, Ok).map_err(NoAgent::Here)?;
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(NoAgent::Missing(binary))
    }
}
