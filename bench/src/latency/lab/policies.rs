//! Policies that come and go, one or many at once, and labels that change; alone, and while pods come and go.

use anyhow::Result;
use sluice_policy::Protocol;

use super::Plan;
use super::kind::Kind;
use super::report::{Figure, note};
use super::room::{Edit, Room};
use super::world::{OPEN, OTHER, SHUT, WANTED};

/// Each kind of change once, or twice; ends as it began, with everything denied.
pub(super) fn repeat(room: &Room, plan: &Plan, figures: &mut [Figure]) -> Result<()> {
    revoke(room, figures)?;
    relabel(room, figures)?;
    if plan.bursts() {
        let burst = Edit::burst(plan.burst);
        note(figures, Kind::BurstAllow, room.open(&burst)?.into());
        close(room, &Edit::no_burst(), Kind::BurstDeny, figures)?;
    }
    if plan.churns() {
        room.churn(plan.churn, || {
            note(figures, Kind::ChurnAllow, room.open(&Edit::allow())?.into());
            close(room, &Edit::deny(), Kind::ChurnDeny, figures)
        })?;
    }
    Ok(())
}

/// A policy that allows, and is deleted under open connections.
fn revoke(room: &Room, figures: &mut [Figure]) -> Result<()> {
    note(figures, Kind::Allow, room.open(&Edit::allow())?.into());
    let streams = [Protocol::Tcp, Protocol::Udp].map(|protocol| room.stream(protocol));
    let [tcp, udp] = streams;
    let (tcp, udp) = (tcp?, udp?);
    let closed = room.close(&Edit::deny(), &[&tcp, &udp])?;
    let kinds = [Kind::Deny, Kind::RevokeTcp, Kind::RevokeUdp];
    for (kind, closed) in kinds.into_iter().zip(closed) {
        note(figures, kind, closed.into());
    }
    Ok(())
}

/// A policy that stays, while what it goes by changes.
fn relabel(room: &Room, figures: &mut [Figure]) -> Result<()> {
    note(figures, Kind::Allow, room.open(&Edit::allow())?.into());
    close(room, &Edit::label(OTHER), Kind::LabelDeny, figures)?;
    let opened = room.open(&Edit::label(WANTED))?;
    note(figures, Kind::LabelAllow, opened.into());
    close(room, &Edit::door(SHUT), Kind::NamespaceDeny, figures)?;
    let opened = room.open(&Edit::door(OPEN))?;
    note(figures, Kind::NamespaceAllow, opened.into());
    close(room, &Edit::deny(), Kind::Deny, figures)
}

fn close(room: &Room, edit: &Edit, kind: Kind, figures: &mut [Figure]) -> Result<()> {
    for closed in room.close(edit, &[])? {
        note(figures, kind, closed.into());
    }
    Ok(())
}
