//! Local pods into the kernel's map, and what holds while not all of them fit.

use std::net::IpAddr;

use anyhow::Context as _;
use sluice_bpf::{Fastpath, PodIsolation};
use sluice_policy::{Changes, Isolation, Snapshot};
use tracing::{debug, info, warn};

/// Whether the map holds every local pod. While it does not, every address counts as isolated there: what is not leased
/// is judged, and nothing passes for being nobody's.
#[derive(Debug)]
pub(super) struct Pods {
    complete: bool,
}

impl Pods {
    /// A map of which nothing is known.
    pub(super) const fn new() -> Self {
        Self { complete: true }
    }

    /// Makes the map say what the snapshot says.
    pub(super) fn reconcile(
        &mut self,
        fastpath: &mut Fastpath,
        snapshot: &Snapshot,
    ) -> anyhow::Result<()> {
        // What is gone makes room first.
        for (address, _) in fastpath.pods().context("pods")? {
            if snapshot.isolation(address).is_none() {
                let _removed = write_pod(fastpath, address, None)?;
            }
        }
        let mut complete = true;
        for (address, isolation) in snapshot.local_addresses() {
            complete &= write_pod(fastpath, address, Some(isolation))?;
        }
        if complete {
            fastpath.assume_isolated(false).context("state")?;
        }
        self.note(complete);
        Ok(())
    }

    /// Writes what has changed, or everything, where there may be room now for what did not fit.
    pub(super) fn change(
        &mut self,
        fastpath: &mut Fastpath,
        changes: &Changes,
        snapshot: &Snapshot,
    ) -> anyhow::Result<()> {
        let mut fits = true;
        for &(address, isolation) in &changes.isolation {
            fits &= write_pod(fastpath, address, isolation)?;
        }
        let is_gone = |(_, isolation): &(IpAddr, Option<Isolation>)| isolation.is_none();
        if !self.complete && changes.isolation.iter().any(is_gone) {
            return self.reconcile(fastpath, snapshot);
        }
        if !fits {
            self.note(false);
        }
        Ok(())
    }

    fn note(&mut self, complete: bool) {
        match (self.complete, complete) {
            (true, false) => {
                warn!("more local pods than fit: what is not leased goes to the queue");
            }
            (false, true) => info!("all local pods fit again"),
            _ => {}
        }
        self.complete = complete;
    }
}

/// Whether the map holds what it should. An address that does not fit must not pass for one that is not isolated: from
/// then on every address counts as isolated, until the whole state is written again and fits.
#[must_use = "a map that is not complete must not be declared so"]
fn write_pod(
    fastpath: &mut Fastpath,
    address: IpAddr,
    isolation: Option<Isolation>,
) -> anyhow::Result<bool> {
    let Some(Isolation { ingress, egress }) = isolation else {
        return fastpath
            .remove_pod(address)
            .map(|_was_there| true)
            .with_context(|| format!("pod address {address}"));
    };
    let Err(error) = fastpath.set_pod(address, PodIsolation { ingress, egress }) else {
        return Ok(true);
    };
    debug!(%address, %error, "pods map refused an address");
    fastpath
        .assume_isolated(true)
        .with_context(|| format!("pod address {address}"))?;
    Ok(false)
}
