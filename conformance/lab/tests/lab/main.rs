//! The lab, tried: real namespaces and packets, and the real agent in them. Needs root; without it every test says that
//! it was skipped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agents;
mod associations;
mod common;
mod confined;
mod craft;
mod demo;
mod flood;
mod fragments;
mod full;
mod headers;
mod held;
mod hostile;
mod icmp;
mod life;
mod marks;
mod node_traffic;
mod observed;
mod packets;
mod path_mtu;
mod protocols;
mod raw;
mod redirect;
mod reopened;
mod resolver;
mod revocation;
mod spoof;
mod streams;
mod tcp_games;
mod untracked;
