//! Live connections under a changed policy: conntrack's entries are judged again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sluice_ebpf::Marks;
use sluice_netlink::{Conntrack, Entry, Filter, Judged, Masked};
use sluice_policy::{Action, Protocol, Snapshot, Tuple};

/// So many denied connections are kept in mind, in a list of 1.7 MB at most; where there are more, all are looked for when
/// some may be revived.
const KEPT: usize = 16_384;

/// What became of the entries looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejudged {
    /// Accepted before, denied now.
    pub(crate) revoked: u64,
    /// Denied before, accepted now.
    pub(crate) restored: u64,
    /// Those that are denied now.
    pub(crate) denied: Denied,
}

/// The live connections that are denied, all of them: once an agent has begun with [`Which::All`], nobody but
/// [`rejudge`] denies any. Some may have ended since; one that has the tuple of another by now is one that is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Denied {
    entries: Vec<Entry>,
    /// There are more than are kept.
    more: bool,
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
            let was_revoked = entry.mark & marks.revoked != 0;
            if !which.covers(&tuple) {
                if was_revoked {
                    outcome.denied.keep(entry);
                }
                return;
            }
            match (was_revoked, snapshot.evaluate(&tuple).action()) {
                (false, Action::Deny) if revoke => {
                    outcome.revoked += 1;
                    outcome.denied.keep(entry);
                    changed.push((entry, Masked { value: mask, mask }));
                }
                (true, Action::Allow) => {
                    outcome.restored += 1;
                    changed.push((entry, restored(marks)));
                }
                (true, Action::Deny) => outcome.denied.keep(entry),
                (false, _) => {}
            }
        },
    )?;
    conntrack.set_marks(&changed)?;
    Ok(outcome)
}

/// Writes into the marks of denied connections that they are allowed again, where they are, after a change that ends no
/// other: the entries are known, and the kernel need not walk its table for them. How many are restored; none where not
/// all are known, and so nothing was done.
pub(crate) fn revive(
    conntrack: &mut Conntrack,
    snapshot: &Snapshot,
    marks: Marks,
    which: Which<'_>,
    denied: &mut Denied,
) -> Result<Option<u64>, sluice_netlink::Error> {
    if denied.more {
        return Ok(None);
    }
    let is_allowed = |entry: &Entry| {
        let tuple = judged(entry, marks);
        which.covers(&tuple) && snapshot.evaluate(&tuple).action() == Action::Allow
    };
    let (allowed, still_denied): (Vec<Entry>, Vec<Entry>) =
        denied.entries.iter().partition(|entry| is_allowed(entry));
    let changed: Vec<(Entry, Masked)> = allowed
        .into_iter()
        .map(|entry| (entry, restored(marks)))
        .collect();
    let found = conntrack.set_marks(&changed)?;
    denied.entries = still_denied;
    Ok(Some(found as u64))
}

/// The mark of what was denied and is allowed again.
const fn restored(marks: Marks) -> Masked {
    Masked {
        value: marks.accepted,
        mask: marks.conntrack(),
    }
}

impl Denied {
    fn keep(&mut self, entry: Entry) {
        if self.entries.len() < KEPT {
            self.entries.push(entry);
        } else {
            self.more = true;
        }
    }
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sluice_netlink::FlowTuple;

    use super::*;

    #[test]
    fn of_more_denied_connections_than_are_kept_that_much_is_known() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let tuple = FlowTuple {
            src: address,
            dst: address,
            sport: 0,
            dport: 0,
            protocol: 6,
        };
        let entry = |id| Entry {
            original: tuple,
            reply: tuple,
            mark: 0,
            status: 0,
            id,
            zone: 0,
        };
        let ids = 0..u32::try_from(KEPT).unwrap();
        let mut denied = Denied::default();
        ids.clone().for_each(|id| denied.keep(entry(id)));
        assert_eq!((denied.entries.len(), denied.more), (KEPT, false));
        denied.keep(entry(ids.end));
        assert_eq!((denied.entries.len(), denied.more), (KEPT, true));
        let most = KEPT * size_of::<Entry>();
        assert!(most <= 1_700_000, "{most} bytes");
    }
}
