//! The slow path: packets that need a verdict. The only room that knows `nfq`.

#[cfg(test)]
mod allocations;
mod allowance;
mod buffer;
mod hold;
mod judge;
mod packet;
pub(crate) mod proc;
mod untracked;
mod verdicts;
mod worker;

pub(crate) use judge::Judgement;
pub(crate) use worker::{Bound, Settings, Worker};
