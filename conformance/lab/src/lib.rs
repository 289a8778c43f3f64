//! Real packets between network namespaces that are made from manifests.
//!
//! [`Lab::up`] turns a world of manifests into namespaces on this machine: one per node and pod, with a server on
//! every port. [`Lab::start_agents`] runs the real agent on every node; [`Lab::probe`] sends real packets and says what
//! came of them, and [`stream`] keeps numbered traffic going, to count what is lost and what leaks. What ought to come
//! of probes is said by [`expect`], from the oracle of `sluice-oracle`. Needs root.

mod agent;
pub mod builtin;
mod cell;
pub mod choice;
mod complete;
mod confine;
mod counters;
mod deliveries;
pub mod demo;
mod descriptors;
mod dnat;
pub mod expect;
mod forge;
mod guests;
pub mod judge;
mod lab;
mod plan;
mod ports;
pub mod promtool;
mod run_dir;
mod stage;
pub mod stream;
mod topology;
mod usable;
mod warden;

pub use agent::{Agent, AgentOptions, Mode, StartError};
pub use cell::{Outcome, distinct};
pub use confine::Confinement;
pub use counters::{Counters, counters};
pub use forge::{Forged, Forger, Segment};
pub use lab::{Connection, Lab, Options, UpError};
pub use plan::{NodePlan, Plan, PodPlan, ServicePlan, ServicePortPlan};
pub use run_dir::{Removed, down};
pub use sluice_oracle::{Cell, Family, Port, ServiceName, Target};
pub use sluice_prober::Reply;
pub use stage::{Manifests, StageError, Staged};
