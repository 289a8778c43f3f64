//! How a task ends: the exit codes that every command of this repository shares.

use std::fmt;
use std::process::{ExitCode, ExitStatus};

/// Why a task stopped, where the exit code tells more than "failed".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The machine cannot do it; the message names what is missing. Exit code 3.
    Machine(String),
    /// What was asked for makes no sense. Exit code 2.
    Usage(String),
    /// Somebody pressed Ctrl-C. Exit code 130.
    Interrupted,
}

/// The number of SIGINT, the same on every Linux.
const SIGINT: i32 = 2;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(message) | Self::Usage(message) => f.write_str(message),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Stop {}

/// The exit code of a finished task; an error's message goes to stderr.
pub(crate) fn code(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(of_error(&error))
    })
}

/// 0 where it holds, 1 where it does not.
pub(crate) fn holds(yes: bool) -> ExitCode {
    ExitCode::from(u8::from(!yes))
}

/// Fails with [`Stop::Interrupted`] where a child process was ended by Ctrl-C, which reached it as well as us.
pub(crate) fn unless_interrupted(status: ExitStatus) -> Result<ExitStatus, Stop> {
    use std::os::unix::process::ExitStatusExt as _;

    let interrupted = status.signal() == Some(SIGINT) || status.code() == Some(128 + SIGINT);
    if interrupted {
        Err(Stop::Interrupted)
    } else {
        Ok(status)
    }
}

fn of_error(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Stop>() {
        Some(Stop::Machine(_)) => 3,
        Some(Stop::Usage(_)) => 2,
        Some(Stop::Interrupted) => 130,
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use anyhow::Context as _;

    use super::{Stop, of_error, unless_interrupted};

    #[test]
    fn a_stop_keeps_its_code_under_context() {
        let wrapped = Err::<(), _>(Stop::Machine("no eBPF".into()))
            .context("building")
            .unwrap_err();
        assert_eq!(of_error(&wrapped), 3);
        assert_eq!(of_error(&Stop::Usage(String::new()).into()), 2);
        assert_eq!(of_error(&Stop::Interrupted.into()), 130);
        assert_eq!(of_error(&anyhow::anyhow!("anything else")), 1);
    }

    #[test]
    fn ctrl_c_in_a_child_is_ours_too() {
        assert_eq!(
            unless_interrupted(ExitStatus::from_raw(2)),
            Err(Stop::Interrupted),
            "killed by SIGINT"
        );
        assert_eq!(
            unless_interrupted(ExitStatus::from_raw(130 << 8)),
            Err(Stop::Interrupted),
            "exited 130"
        );
        assert!(
            unless_interrupted(ExitStatus::from_raw(1 << 8)).is_ok(),
            "an ordinary failure"
        );
    }
}
