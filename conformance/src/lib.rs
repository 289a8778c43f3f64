//! What network policies mean, told apart from how Sluice computes it.
//!
//! [`Oracle`] is a literal reading of the API text, and [`upstream`] the expectations that Kubernetes' own end-to-end
//! suite writes down. Neither knows the evaluator, and the oracle shares no code with it.
#![forbid(unsafe_code)]

mod case;
mod oracle;
pub mod upstream;

pub use case::{Case, Expectation, Step};
pub use oracle::{Family, Oracle};
