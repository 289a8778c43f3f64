//! The lab, tried: real namespaces and packets, and the real agent in them. Needs root; without it every test says that
//! it was skipped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agents;
mod common;
mod demo;
mod packets;
mod reopened;
mod streams;
