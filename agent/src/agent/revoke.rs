//! Live connections under a changed policy: conntrack's entries are judged again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sluice_ebpf::Marks;
use sluice_netlink::{Conntrack, Entry, Filter, Judged, Masked};
use sluice_policy::{Action, Protocol, Snapshot, Tuple};

/// What became of the entries looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejudged {
    /// Accepted before, denied now.
    pub(crate) revoked: u64,
    /// Denied before, accepted now.
    pub(crate) restored: u64,
}

/// Which entries are looked at.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    /// Those that touch one of these addresses.
    Touching(&'a BTreeSet<IpAddr>),
    /// All that were ever judged.
    All,
}

/// Judges entries that were judged before, and writes what is different now into their marks; without `revoke` only
/// what is allowed again.
///
/// One dump: the kernel walks its whole table for each, however few entries it hands out.
pub(crate) fn rejudge(
    conntrack: &mut Conntrack,
    snapshot: &Snapshot,
    marks: Marks,
    which: Which<'_>,
    revoke: bool,
) -> Result<Rejudged, sluice_netlink::Error> {
    let mask = marks.conntrack();
    let mut changed: Vec<(Entry, Masked)> = Vec::new();
    let mut outcome = Rejudged::default();
    let judged_before = Masked {
        value: marks.accepted,
        mask: marks.accepted,
    };
    conntrack.dump(
        &Filter {
            mark: Some(judged_before),
            ..Filter::default()
        },
        |entry| {
            let tuple = judged(&entry, marks);
            if !which.covers(&tuple) {
                return;
            }
            let was_revoked = entry.mark & marks.revoked != 0;
            match (was_revoked, snapshot.evaluate(&tuple).action()) {
                (false, Action::Deny) if revoke => {
                    outcome.revoked += 1;
                    changed.push((entry, Masked { value: mask, mask }));
                }
                (true, Action::Allow) => {
                    outcome.restored += 1;
                    changed.push((
                        entry,
                        Masked {
                            value: marks.accepted,
                            mask,
                        },
                    ));
                }
                (true, Action::Deny) | (false, _) => {}
            }
        },
    )?;
    conntrack.set_marks(&changed)?;
    Ok(outcome)
}

impl Which<'_> {
    fn covers(self, tuple: &Tuple) -> bool {
        match self {
            Self::All => true,
            Self::Touching(addresses) => {
                addresses.contains(&tuple.source) || addresses.contains(&tuple.destination)
            }
        }
    }
}

/// The connection as policies see it: after destination translation, and turned round where conntrack picked it up
/// by a reply.
pub(super) fn judged(entry: &Entry, marks: Marks) -> Tuple {
    let Judged {
        source,
        destination,
        protocol,
        port,
    } = entry.judged();
    let protocol = Protocol::from_number(protocol);
    if entry.mark & marks.reply == 0 {
        Tuple {
            source,
            destination,
            protocol,
            port,
        }
    } else {
        Tuple {
            source: destination,
            destination: source,
            protocol,
            port: entry.original.sport,
        }
    }
}
