//! Policies that come and go, and a label that changes.

use anyhow::Result;
use sluice_policy::Protocol;

use super::report::{Figure, Kind, note};
use super::room::{Edit, Room};
use super::world::{OTHER, WANTED};

/// Each kind of change once, or twice; ends as it began, with everything denied.
pub(super) fn repeat(room: &Room, figures: &mut [Figure]) -> Result<()> {
    note(figures, Kind::Allow, room.open(&Edit::allow())?.into());
    let streams = [Protocol::Tcp, Protocol::Udp].map(|protocol| room.stream(protocol));
    let [tcp, udp] = streams;
    let (tcp, udp) = (tcp?, udp?);
    let closed = room.close(&Edit::deny(), &[&tcp, &udp])?;
    let kinds = [Kind::Deny, Kind::RevokeTcp, Kind::RevokeUdp];
    for (kind, closed) in kinds.into_iter().zip(closed) {
        note(figures, kind, closed.into());
    }
    drop((tcp, udp));
    note(figures, Kind::Allow, room.open(&Edit::allow())?.into());
    for closed in room.close(&Edit::label(OTHER), &[])? {
        note(figures, Kind::LabelDeny, closed.into());
    }
    let opened = room.open(&Edit::label(WANTED))?;
    note(figures, Kind::LabelAllow, opened.into());
    for closed in room.close(&Edit::deny(), &[])? {
        note(figures, Kind::Deny, closed.into());
    }
    Ok(())
}
