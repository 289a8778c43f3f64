//! Kubernetes objects as policy values: decoding, defaulting, validation.
//!
//! The only crate that knows `k8s-openapi`. It does what the API server would have done to an object (defaults,
//! validation), so that the offline tools and a cluster agree. It reads files and nothing else.
#![forbid(unsafe_code)]

mod addresses;
mod admin;
mod assemble;
mod field;
mod kinds;
mod labels;
pub mod live;
mod manifests;
mod metadata;
mod node;
mod object;
mod pod;
mod policy;
mod ports;
mod problem;
mod read;
mod service;
mod syntax;
mod workload;
mod world;
mod written;
mod yaml;

pub use admin::{Tie, ties};
pub use manifests::{LoadError, Loaded, Manifests, load, load_objects, load_text};
pub use problem::{Origin, Place, Problem};
pub use read::{Policy, PolicyKind, PolicyRead, read_policy};
pub use world::{NAMESPACE_NAME, PodFacts, Service, ServicePort, TargetPort, World};
pub use written::{Written, written};
