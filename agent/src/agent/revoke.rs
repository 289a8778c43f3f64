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
pub(crate) enum Which<'a> {
    /// Those that touch one of these addresses.
    Touching(&'a BTreeSet<IpAddr>),
    /// All that were ever judged.
    All,
}

/// Judges entries that were judged before, and writes what is different now into their marks.
pub(crate) fn rejudge(
    conntrack: &mut Conntrack,
    snapshot: &Snapshot,
    marks: Marks,
    which: &Which<'_>,
) -> Result<Rejudged, sluice_netlink::Error> {
    let mask = marks.conntrack();
    let mut changed: Vec<(Entry, Masked)> = Vec::new();
    let mut outcome = Rejudged::default();
    for state in [marks.accepted, marks.revoked] {
        let filter = Filter {
            mark: Some(Masked { value: state, mask }),
            ..Filter::default()
        };
        conntrack.dump(&filter, |entry| {
            let tuple = judged(&entry, marks);
            if !which.covers(&tuple) {
                return;
            }
            let wanted = match snapshot.evaluate(&tuple).action() {
                Action::Allow => marks.accepted,
                Action::Deny => marks.revoked,
            };
            if wanted != state {
                *(if wanted == marks.revoked {
                    &mut outcome.revoked
                } else {
                    &mut outcome.restored
                }) += 1;
                changed.push((
                    entry,
                    Masked {
                        value: wanted,
                        mask,
                    },
                ));
            }
        })?;
    }
    conntrack.set_marks(&changed)?;
    Ok(outcome)
}

impl Which<'_> {
    fn covers(&self, tuple: &Tuple) -> bool {
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
fn judged(entry: &Entry, marks: Marks) -> Tuple {
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
