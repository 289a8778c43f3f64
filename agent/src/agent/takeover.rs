//! Open connections that an agent finds when it starts, before it ends the leases that some of them live by.

use sluice_ebpf::Marks;
use sluice_netlink::{Conntrack, Entry, Filter, Masked};
use sluice_policy::{Action, Snapshot};

use super::revoke::judged;

/// Accepts each open connection for itself that needs a verdict and is allowed, and, if it is to `revoke`, takes back
/// what was accepted and is denied. Without a lease, an allowed connection's packets would go through the queue, and one
/// that waits there is lost if the agent is killed just then. A denied one may be under review in the gate that is about
/// to be replaced, by an agent that was killed before it had judged it. How many changed.
pub(crate) fn accept_open(
    conntrack: &mut Conntrack,
    snapshot: &Snapshot,
    marks: Marks,
    revoke: bool,
) -> Result<usize, sluice_netlink::Error> {
    let mask = marks.conntrack();
    let (accepted, revoked) = (
        Masked {
            value: marks.accepted,
            mask,
        },
        Masked { value: mask, mask },
    );
    let mut changed: Vec<(Entry, Masked)> = Vec::new();
    conntrack.dump(&Filter::default(), |entry| {
        let is_accepted = entry.mark & mask == marks.accepted;
        if !is_accepted && is_allowed(&entry, snapshot, marks) {
            changed.push((entry, accepted));
        }
        let tuple = judged(&entry, marks);
        if is_accepted && revoke && snapshot.evaluate(&tuple).action() == Action::Deny {
            changed.push((entry, revoked));
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
