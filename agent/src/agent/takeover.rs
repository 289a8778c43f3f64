//! Open connections that an agent finds when it starts, before it ends the leases that some of them live by.

use sluice_ebpf::Marks;
use sluice_netlink::{Conntrack, Entry, Filter, Masked};
use sluice_policy::{Action, Snapshot};

use super::revoke::judged;

/// Accepts each open connection for itself that needs a verdict and is allowed. Without a lease, its packets would go
/// through the queue, and one that waits there is lost if the agent is killed just then. How many were accepted.
pub(crate) fn accept_open(
    conntrack: &mut Conntrack,
    snapshot: &Snapshot,
    marks: Marks,
) -> Result<usize, sluice_netlink::Error> {
    let accepted = Masked {
        value: marks.accepted,
        mask: marks.conntrack(),
    };
    let mut changed: Vec<(Entry, Masked)> = Vec::new();
    conntrack.dump(&Filter::default(), |entry| {
        let is_accepted = entry.mark & accepted.mask == accepted.value;
        if !is_accepted && is_allowed(&entry, snapshot, marks) {
            changed.push((entry, accepted));
        }
    })?;
    conntrack.set_marks(&changed)
}

/// Whether a connection needs a verdict, and gets a good one.
fn is_allowed(entry: &Entry, snapshot: &Snapshot, marks: Marks) -> bool {
    let tuple = judged(entry, marks);
    let isolation = |address| snapshot.isolation(address).unwrap_or_default();
    let needs_one = isolation(tuple.source).egress || isolation(tuple.destination).ingress;
    needs_one && snapshot.evaluate(&tuple).action() == Action::Allow
}
