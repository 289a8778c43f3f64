//! `sluice cleanup`: removes all that Sluice put into the kernel of this network namespace.

use std::path::Path;

use anyhow::Context as _;
use sluice_netlink::Gate;

use crate::agent::lock::Lock;
use crate::cli::CleanupArgs;
use crate::exit::Failure;
use crate::privilege;

/// Removes the gate first: without it nothing is queued, so nothing is lost while the rest goes. No agent may run: it
/// would put back some of it, and miss the rest.
pub(crate) fn run(args: &CleanupArgs) -> Result<(), Failure> {
    privilege::for_cleanup()?;
    let lock = lock(&args.socket)?;
    let mut removed = Vec::new();
    if Gate::remove().context("gate").map_err(Failure::Unable)? {
        removed.push("table inet sluice".to_owned());
    }
    removed.extend(
        sluice_bpf::remove_pins(&args.bpffs)
            .context("pins")
            .map_err(Failure::Unable)?,
    );
    if crate::socket::remove(&args.socket).unwrap_or(false) {
        removed.push(format!("stale socket {}", args.socket.display()));
    }
    drop(lock);
    if removed.is_empty() {
        crate::print(format_args!("nothing to remove"));
    }
    for thing in removed {
        crate::print(format_args!("removed {thing}"));
    }
    Ok(())
}

/// Keeps agents from running meanwhile. Where there is no directory for the lock, none has run.
fn lock(socket: &Path) -> Result<Option<Lock>, Failure> {
    if socket.parent().is_some_and(|parent| !parent.exists()) {
        return Ok(None);
    }
    let lock = Lock::take_free(socket)?;
    let runs = || {
        let socket = socket.display();
        Failure::unable(format!(
            "an agent runs (its socket is {socket}): stop it first; nothing was removed"
        ))
    };
    lock.map(Some).ok_or_else(runs)
}
