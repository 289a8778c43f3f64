//! Real packets between network namespaces that are made from manifests.
//!
//! [`Lab::up`] turns a world of manifests into namespaces on this machine: one per node and pod, with a server on
//! every port. [`Lab::start_agents`] runs the real agent on every node; [`Lab::probe`] sends real packets and says what
//! came of them. Needs root.

mod agent;
pub mod builtin;
mod cell;
mod client;
mod dnat;
mod lab;
mod patience;
mod plan;
mod raw;
mod run_dir;
mod sctp;
mod server;
mod stage;
mod topology;
mod warden;

pub use agent::{Agent, AgentOptions, Counters, Mode, StartError, counters};
pub use cell::{Cell, Family, Outcome, Port, Reply, ServiceName, Target};
pub use lab::{Connection, Lab, Options, UpError};
pub use plan::{NodePlan, Plan, PodPlan, ServicePlan, ServicePortPlan};
pub use run_dir::{Removed, down};
pub use stage::{Manifests, StageError, Staged};
