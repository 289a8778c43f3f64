//! A pod that comes and goes: its interface appears, then its object with the address.

use std::time::Instant;

use anyhow::Result;

use super::super::timing;
use super::flow;
use super::report::{Figure, Kind, Sample, note};
use super::room::{Edit, MORE, Room};
use super::world::WANTED;

/// A pod is made and taken away once.
pub(super) fn repeat(room: &Room, figures: &mut [Figure]) -> Result<()> {
    let plugged = Instant::now();
    room.replug()?;
    let change = room.edit(Edit::label(WANTED))?;
    let reached = room.opened(change)?;
    flow::stand("the pod is protected", &[room.stranger()?])?;
    let done = room.enforced(change)?;
    flow::go_by(room.stranger()?, MORE)?;
    let stranger = room.stranger()?.deliveries();
    let protected = timing::closed(&stranger, change.at, done);
    let before = timing::closed(&stranger, plugged, done);
    note(figures, Kind::Reached, reached.into());
    note(figures, Kind::Protected, protected.into());
    note(
        figures,
        Kind::Window,
        Sample {
            leaked: 0,
            ..before.into()
        },
    );
    room.edit(Edit::no_target())?;
    flow::stand("who is not known is not reached", &[room.client()])?;
    flow::flow("who is not known is not isolated", &[room.stranger()?])
}
