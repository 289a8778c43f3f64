//! The slow path: packets that need a verdict. The only room that knows `nfq`.

mod buffer;
mod denials;
mod hold;
mod judge;
mod packet;
pub(crate) mod proc;
mod untracked;
mod worker;

pub(crate) use denials::Denials;
pub(crate) use judge::Judgement;
pub(crate) use untracked::Untracked;
pub(crate) use worker::{Bound, Settings, Worker};
