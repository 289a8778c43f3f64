//! The agent on a real Kubernetes: installed by the chart, it enforces what the API server holds, whatever happens to
//! agents, API server, nodes and pods. All cases share a cluster, one at a time; each finds it whole, and without policies.

mod admin;
mod agents;
mod api;
mod change;
mod confinement;
mod doors;
mod install;
mod kinds;
mod life;
mod probe;
mod shared;
mod table;
mod told;
mod traffic;
mod truth;
mod world;

/// The namespaces of the pods.
const NAMESPACES: [&str; 3] = ["x", "y", "z"];
/// The pods of each.
const PODS: [&str; 3] = ["a", "b", "c"];
/// The ports of each, of TCP and UDP.
const PORTS: [u16; 2] = [80, 81];
