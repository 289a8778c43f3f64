//! The truth-table suite for network policies: cases as data, an oracle that says what ought to come of them, and
//! runners that see what does.
//!
//! A [`case::Case`] is a world, policies and events. Which connections it leaves open is derived: [`sluice_oracle`] is a
//! literal reading of the API text, which shares no code with the evaluator of Sluice. What a person wrote down beside a
//! case must agree with it.
//!
//! # Judging an evaluator of one's own
//!
//! Who knows which connections policies allow implements [`runner::Evaluator`]; the suite does the rest. This one knows
//! no policy at all, and fails the first case that needs one:
//!
//! ```
//! use std::sync::Arc;
//!
//! use sluice_conformance::case::{Origin, read_case};
//! use sluice_conformance::profile::Profile;
//! use sluice_conformance::report::Report;
//! use sluice_conformance::runner::{Evaluator, EvaluatorRunner, Scene};
//! use sluice_oracle::{Family, Port};
//! use sluice_policy::Pod;
//!
//! struct AllowsEverything;
//!
//! impl Evaluator for AllowsEverything {
//!     fn begin(&mut self, _scene: &Arc<Scene>) {}
//!     fn follow(&mut self, _scene: &Arc<Scene>) {}
//!     fn allows(&self, _from: &Pod, _to: &Pod, _: Family, _: Port) -> bool {
//!         true
//!     }
//! }
//!
//! let text = "
//! id: mine/isolated
//! sentence: a policy without rules isolates what it selects
//! policies:
//!   - x/p: {podSelector: {matchLabels: {pod: a}}}
//! matrix: X * > x/a
//! ";
//! let case = read_case(Origin::File("isolated.yaml".into()), text)?;
//! let mut runner = EvaluatorRunner::new(AllowsEverything);
//! let report = Report::of(&mut runner, &[&case], Profile::default());
//! assert_eq!(report.failed(), 1);
//! let said: Vec<String> = report.failures().collect();
//! assert!(said[0].contains("expected denied, allowed"), "{said:?}");
//! # Ok::<(), sluice_conformance::case::CaseError>(())
//! ```
//!
//! [`catalogue::Catalogue::built_in`] has all cases of the suite, [`selection::Selection`] chooses among them, and
//! [`report`] tells what came of them in every form that the command line has. [`lint`] and [`decide`] are about
//! manifests rather than cases.
#![forbid(unsafe_code)]

pub mod case;
pub mod catalogue;
pub mod decide;
pub mod expect;
pub mod features;
pub mod fuzz;
pub mod generate;
pub mod judge;
pub mod lint;
pub mod mutants;
pub mod profile;
pub mod report;
pub mod runner;
pub mod schema;
pub mod selection;
mod share;
mod signals;
mod state;
pub mod waivers;
pub mod world;

pub use share::per_core;
pub use signals::ending_signals;
pub use state::{State, StateError};
