//! How a command ends: the exit codes that every command shares.

use std::process::ExitCode;

/// Why a command could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Bad usage or bad input: exit 2.
    #[error("{0:#}")]
    BadInput(anyhow::Error),
    /// The machine cannot do this: exit 3. The message names what is missing.
    #[error("{0:#}")]
    Unable(anyhow::Error),
}

impl Failure {
    /// Bad input, said in words.
    pub fn bad_input(message: impl std::fmt::Display) -> Self {
        Self::BadInput(anyhow::anyhow!("{message}"))
    }

    /// Something missing, said in words.
    pub fn unable(message: impl std::fmt::Display) -> Self {
        Self::Unable(anyhow::anyhow!("{message}"))
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::BadInput(_) => ExitCode::from(2),
            Self::Unable(_) => ExitCode::from(3),
        }
    }
}
