//! The atomics of what is also checked in every order: there, others have these names.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
pub(crate) use std::thread::yield_now;
