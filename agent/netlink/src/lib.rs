//! Everything that Sluice says over netlink: the gate, conntrack and links, and what laboratories are made of.
//!
//! * [`Gate`]: the `nf_tables` table that hands to the agent what needs a verdict;
//! * [`Conntrack`]: the kernel's connections, read, marked and deleted;
//! * [`LinkWatch`], [`links`]: which network interfaces there are, come and go;
//! * [`RouteWatch`]: which addresses are straight behind which of them;
//! * [`Netns`], [`Rtnetlink`], [`dnat`]: namespaces, links, addresses, routes and Services, for laboratories and tests.
//!
//! Messages are encoded and decoded by `netlink-bindings`, which is generated from the kernel's own specifications;
//! what those lack or have wrong is a few attributes by hand, each where it is used. The crate knows no policy, and runs
//! no program.

mod conntrack;
pub mod dnat;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
pub mod links;
mod message;
mod netns;
mod nft;
mod routes;
mod rtnetlink;
mod socket;

pub use conntrack::{
    Conntrack, Entry, Filter, FlowTuple, Judged, Masked, Statistics, conntrack_sysctl,
};
pub use error::Error;
pub use gate::{Gate, GateConfig, Isolated, Matcher, QueueVerb};
pub use links::{Link, LinkEvent, LinkWatch};
pub use netns::Netns;
pub use routes::{HostRoute, RouteEvent, RouteWatch};
pub use rtnetlink::{Route, Rtnetlink, VethEnd};
