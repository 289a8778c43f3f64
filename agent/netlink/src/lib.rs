//! Everything that Sluice says over netlink: links, and what network namespaces for tests are made of.
//!
//! Messages are encoded and decoded by `netlink-bindings`, which is generated from the kernel's own specifications;
//! what those lack (veth) is a few attributes by hand, each where it is used. The crate knows no policy, and runs no
//! program.

pub mod dnat;
mod error;
mod gate;
mod netns;
mod nft;
mod rtnetlink;
mod socket;

pub use error::Error;
pub use gate::{Gate, GateConfig, Isolated, Matcher, QueueVerb};
pub use netns::Netns;
pub use rtnetlink::{Route, Rtnetlink, VethEnd};
