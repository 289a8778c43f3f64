//! The source against a real API server: what an index makes of what it tells is what the server has.
#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod access;
mod bed;
mod busy;
mod events;
mod halves;
mod proxy;
mod relist;
mod rights;
