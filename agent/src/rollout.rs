//! `sluice rollout`: waits until a `DaemonSet` has a ready pod on each of its nodes. What the chart's hooks run: the image
//! has no other program.

use std::process::ExitCode;
use std::time::Duration;

use sluice_api::rollout::{RolloutError, wait};

use crate::cli::RolloutArgs;
use crate::exit::Failure;

/// Exit code 1 where it took too long.
pub(crate) fn run(args: &RolloutArgs) -> Result<ExitCode, Failure> {
    let given = &args.daemonset;
    let Some((namespace, name)) = given.split_once('/') else {
        return Err(Failure::bad_input(format!("{given}: not NAMESPACE/NAME")));
    };
    let limit = Duration::from_secs(args.timeout);
    let tell = |progress| crate::print(format_args!("{given}: {progress}"));
    match wait(args.kubeconfig.as_deref(), (namespace, name), limit, tell) {
        Ok(()) => {
            crate::print(format_args!("{given}: ready on every node"));
            Ok(ExitCode::SUCCESS)
        }
        Err(RolloutError::Late(how)) => {
            let seconds = args.timeout;
            crate::complain(format_args!("sluice: {given}: {how} after {seconds} s"));
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(Failure::Unable(error.into())),
    }
}
