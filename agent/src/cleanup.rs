//! `sluice cleanup`: removes all that Sluice put into the kernel of this network namespace.

use anyhow::Context as _;
use sluice_netlink::Gate;

use crate::cli::CleanupArgs;
use crate::exit::Failure;
use crate::privilege;

/// Removes the gate first: without it nothing is queued, so nothing is lost while the rest goes.
pub(crate) fn run(args: &CleanupArgs) -> Result<(), Failure> {
    privilege::for_cleanup()?;
    let mut removed = Vec::new();
    if Gate::remove().context("gate").map_err(Failure::Unable)? {
        removed.push("table inet sluice".to_owned());
    }
    removed.extend(
        sluice_bpf::remove_pins(&args.bpffs)
            .context("pins")
            .map_err(Failure::Unable)?,
    );
    if std::os::unix::net::UnixStream::connect(&args.socket).is_ok() {
        crate::complain(format_args!(
            "sluice: an agent answers at {}: it puts the gate back while it runs",
            args.socket.display()
        ));
    } else if crate::socket::remove(&args.socket).unwrap_or(false) {
        removed.push(format!("stale socket {}", args.socket.display()));
    }
    if removed.is_empty() {
        crate::print(format_args!("nothing to remove"));
    }
    for thing in removed {
        crate::print(format_args!("removed {thing}"));
    }
    Ok(())
}
