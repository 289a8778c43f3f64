//! A pod that comes and goes: its object appears with the address, and then another interface.

use std::time::Instant;

use anyhow::Result;

use super::super::timing;
use super::flow;
use super::kind::Kind;
use super::report::{Figure, note};
use super::room::{Edit, MORE, Room};
use super::world::WANTED;

/// A pod is made, plugged in anew, and taken away.
pub(super) fn repeat(room: &Room, figures: &mut [Figure]) -> Result<()> {
    appear(room, figures)?;
    replug(room, figures)?;
    room.edit(&Edit::no_target())?;
    flow::stand("who is not known is not reached", &[room.client()])?;
    flow::flow("who is not known is not isolated", &[room.stranger()?])
}

/// Until then everybody who may send at all gets through to it, as its address is nobody's.
fn appear(room: &Room, figures: &mut [Figure]) -> Result<()> {
    let change = room.edit(&Edit::label(WANTED))?;
    let (reached, done) = room.opened(change)?;
    flow::stand("the pod is protected", &[room.stranger()?])?;
    flow::go_by(room.stranger()?, MORE)?;
    let protected = timing::closed(&room.stranger()?.deliveries(), change.at, done);
    note(figures, Kind::Reached, reached.into());
    note(figures, Kind::Protected, protected.into());
    Ok(())
}

/// It is known already: from the first packet over the new interface on, whoever may not does not get through.
fn replug(room: &Room, figures: &mut [Figure]) -> Result<()> {
    let plugged = Instant::now();
    room.replug()?;
    flow::flow("the client gets through again", &[room.client()])?;
    flow::go_by(room.stranger()?, MORE)?;
    let window = timing::closed(&room.stranger()?.deliveries(), plugged, plugged);
    note(figures, Kind::Window, window.into());
    Ok(())
}
