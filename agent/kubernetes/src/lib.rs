//! Kubernetes objects as policy values: decoding, defaulting, validation.
//!
//! The only crate that knows `k8s-openapi`. It does what the API server would have done to an object (defaults,
//! validation), so that the offline tools and a cluster agree. It reads files and nothing else.
#![forbid(unsafe_code)]

mod manifests;
mod world;

pub use manifests::{LoadError, Loaded, Origin, Problem, load, load_file};
pub use world::{PodFacts, Service, ServicePort, TargetPort, World};
