//! The names of `agent/src/atomic.rs`, as the checker has them.

pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
pub(crate) use loom::thread::yield_now;
