//! `sluice cleanup`: removes all that Sluice put into the kernel of this network namespace.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sluice_ebpf::Marks;
use sluice_netlink::{Conntrack, Filter, Gate, Masked};
use tokio_util::sync::CancellationToken;

use crate::agent;
use crate::agent::lock::Lock;
use crate::cli::CleanupArgs;
use crate::config::mark_bits;
use crate::exit::Failure;
use crate::privilege;

/// How often it is seen whether an agent has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Removes everything, and where asked for, keeps agents away from then on.
pub(crate) fn run(args: &CleanupArgs) -> Result<ExitCode, Failure> {
    privilege::for_cleanup()?;
    let marks = mark_bits(args.mark_bits.as_deref())?;
    agent::runtime()?.block_on(clean(args, marks))
}

/// Signals are listened to from the start: a container's first process is not ended by any that it does not listen to,
/// and a removal that has begun is carried through.
async fn clean(args: &CleanupArgs, marks: Marks) -> Result<ExitCode, Failure> {
    let (stop, stopped) = agent::stop_on_signal().map_err(Failure::Unable)?;
    let lock = lock(&args.socket, Duration::from_secs(args.wait), &stop).await?;
    remove(args, marks)?;
    let code = if args.stay {
        let stopped = stopped.await;
        let stopped = stopped.map_err(|error| Failure::Unable(error.into()))?;
        stopped.code()
    } else {
        ExitCode::SUCCESS
    };
    drop(lock);
    Ok(code)
}

/// Removes the gate first: without it nothing is queued, so nothing is lost while the rest goes. No agent may run: it
/// would put back some of it, and miss the rest.
fn remove(args: &CleanupArgs, marks: Marks) -> Result<(), Failure> {
    let mut removed = Vec::new();
    if Gate::remove().context("gate").map_err(Failure::Unable)? {
        removed.push("table inet sluice".to_owned());
    }
    removed.extend(
        sluice_bpf::remove_pins(&args.bpffs)
            .context("pins")
            .map_err(Failure::Unable)?,
    );
    // Where there was nothing of Sluice's, the bits may be somebody else's.
    if !removed.is_empty() {
        let unmarked = unmark(marks)
            .context("conntrack")
            .map_err(Failure::Unable)?;
        if unmarked > 0 {
            removed.push(format!("the marks of {unmarked} connections"));
        }
    }
    if crate::socket::remove(&args.socket).unwrap_or(false) {
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

/// Takes Sluice's bits from the marks of all connections: of how many.
fn unmark(marks: Marks) -> Result<usize, sluice_netlink::Error> {
    let mask = marks.packet() | marks.conntrack();
    let mut marked = Vec::new();
    let mut conntrack = Conntrack::open()?;
    conntrack.dump(&Filter::default(), |entry| {
        if entry.mark & mask != 0 {
            marked.push((entry, Masked { value: 0, mask }));
        }
    })?;
    conntrack.set_marks(&marked)
}

/// Keeps agents from running meanwhile; waits so long for one to end. Where there is no directory for the lock, none has
/// run.
async fn lock(
    socket: &Path,
    patience: Duration,
    stop: &CancellationToken,
) -> Result<Option<Lock>, Failure> {
    if socket.parent().is_some_and(|parent| !parent.exists()) {
        return Ok(None);
    }
    let started = Instant::now();
    loop {
        if let Some(lock) = Lock::take_free(socket)? {
            return Ok(Some(lock));
        }
        if stop.is_cancelled() || started.elapsed() >= patience {
            let socket = socket.display();
            return Err(Failure::unable(format!(
                "an agent runs (its socket is {socket}): stop it first; nothing was removed"
            )));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
}
