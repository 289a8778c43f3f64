//! What kernel and agent must both know: keys, values, marks, packet parsing and the decisions.
//!
//! `no_std`, pure, tested on the host. The programs in this package's binary only fetch bytes and map entries for
//! it; the agent writes the maps in the same types.
#![no_std]

mod mark;

pub use mark::{MarkError, Marks};
