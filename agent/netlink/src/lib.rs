//! Everything that Sluice says over netlink: links, and what network namespaces for tests are made of.
//!
//! Messages are encoded and decoded by `netlink-bindings`, which is generated from the kernel's own specifications;
//! what those lack (veth) is a few attributes by hand, each where it is used. The crate knows no policy, and runs no
//! program.

mod conntrack;
pub mod dnat;
mod error;
mod gate;
pub mod links;
mod netns;
mod nft;
mod rtnetlink;
mod socket;

pub use conntrack::{Conntrack, Entry, Filter, FlowTuple, Judged, Masked};
pub use error::Error;
pub use gate::{Gate, GateConfig, Isolated, Matcher, QueueVerb};
pub use links::{Link, LinkEvent, LinkWatch};
pub use netns::Netns;
pub use rtnetlink::{Route, Rtnetlink, VethEnd};
