//! Answers without a cluster: who can reach whom under a set of manifests, and why. The agent answers the same
//! questions about its own snapshot through [`explain_snapshot`].

mod ask;
mod cell;
mod denials;
mod explain;
mod matrix;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use sluice_kubernetes::{Loaded, World};
use sluice_policy::{Index, Scope, Snapshot};

use crate::exit::Failure;

pub use cell::{Cell, Outcome};
pub use explain::{ExplainArgs, Explanation, explain, explain_snapshot};
pub use matrix::{MatrixArgs, matrix};

/// A world, and what its policies make of it.
struct Model {
    world: World,
    snapshot: Arc<Snapshot>,
}

impl Model {
    /// Reads manifests. Whatever is wrong with them goes to stderr at once, a line each.
    fn load(paths: &[PathBuf]) -> Result<Self, Failure> {
        let loaded = sluice_kubernetes::load(paths).map_err(Failure::bad_input)?;
        if let Some(line) = ignored(&loaded) {
            crate::complain(format_args!("{line}"));
        }
        for tie in sluice_kubernetes::ties(&loaded.world.admin_policies) {
            crate::complain(format_args!("{tie}"));
        }
        for problem in &loaded.problems {
            crate::complain(format_args!("{problem}"));
        }
        match loaded.problems.len() {
            0 => Ok(Self::of(loaded.world)),
            1 => Err(Failure::bad_input("1 problem in the manifests")),
            some => Err(Failure::bad_input(format_args!(
                "{some} problems in the manifests"
            ))),
        }
    }

    fn of(world: World) -> Self {
        let mut index = Index::new(Scope::Cluster);
        // Nobody holds verdicts of an earlier state.
        let _changes = index.apply(world.events());
        Self {
            world,
            snapshot: index.snapshot(),
        }
    }
}

/// One line for all kinds that were passed over.
fn ignored(loaded: &Loaded) -> Option<String> {
    let kinds: Vec<String> = loaded
        .ignored
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    (!kinds.is_empty()).then(|| format!("ignored: {}", kinds.join(", ")))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tier_tests;
