//! A real Kubernetes in network namespaces of this machine: unmodified components, real nodes, nothing installed and
//! nothing left.
//!
//! [`ControlPlane::start`] makes an API server without nodes, in 4 s; [`Cluster::up`] a whole cluster, in 10 s. Both end
//! when they are dropped, or when this process dies, however it dies; what a killed one leaves is taken away by the
//! next. Needs root, and the programs that `cargo xtask cluster build` makes: [`why_no_control_plane`] and
//! [`why_no_cluster`] say what is missing, for tests to skip by. What policies do is not known here.

mod cgroup;
mod cluster;
mod conditions;
mod control;
mod definitions;
mod home;
mod identity;
pub mod image;
mod kubectl;
mod network;
mod node;
mod pki;
pub mod programs;
mod sandbox;
mod skip;
mod wait;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

pub use cluster::{Cluster, Installed, Options, down, names, sweep};
pub use conditions::conditions;
pub use control::{Component, ControlOptions, ControlPlane};
pub use definitions::Channel;
pub use home::check_name;
pub use network::{Family, MOST_NODES};
pub use node::Node;
pub use programs::{why_no_cluster, why_no_control_plane};
pub use skip::skipped;
pub use wait::{interrupted, until};

/// The image for pods that serve and probe: Kubernetes' own agnhost (`netexec`, `connect`, …), and a shell.
pub const AGNHOST: &str = "sluice-agnhost:1.35.4";
/// The image that holds a pod's namespaces.
const PAUSE: &str = "sluice-pause:1";

/// Where the directories of all clusters are.
fn root() -> Result<PathBuf> {
    Ok(programs::target()?.join("cluster"))
}

/// A name that no other cluster of this checkout has.
fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("run-{}-{number}", std::process::id())
}
