//! The one cluster of this binary: made for the first case, taken away after the last. What is in it is not known here.

use std::env;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use sluice_cluster::{skipped, why_no_cluster};

use crate::agents;
use crate::world::World;

static SHARED: Mutex<Shared> = Mutex::new(Shared {
    world: None,
    left: None,
});

struct Shared {
    world: Option<World>,
    /// How many cases are still to come.
    left: Option<usize>,
}

/// Has the cluster until it is dropped.
struct Turn(MutexGuard<'static, Shared>);

/// Runs a case on the cluster: with agents on all nodes, the pods of the world, and no policy.
pub(crate) fn case(run: impl FnOnce(&mut World) -> Result<()>) -> Result<()> {
    if skipped(why_no_cluster().or_else(agents::why_no_image)) {
        return Ok(());
    }
    let mut turn = Turn(SHARED.lock().unwrap_or_else(PoisonError::into_inner));
    if turn.0.left.is_none() {
        turn.0.left = Some(cases()?);
    }
    let mut world = match turn.0.world.take() {
        Some(world) => world,
        None => World::up()?,
    };
    // A case that fails half way leaves a world of which the next one makes what it needs.
    let start = Instant::now();
    let outcome = world.restore();
    let restored = start.elapsed();
    let outcome = outcome.and_then(|()| run(&mut world));
    let ran = start.elapsed().saturating_sub(restored);
    println!("restored in {restored:.1?}, ran for {ran:.1?}");
    turn.0.world = Some(world);
    outcome
}

impl Drop for Turn {
    fn drop(&mut self) {
        let left = self.0.left.map(|left| left.saturating_sub(1));
        self.0.left = left;
        if left == Some(0) {
            self.0.world = None;
        }
    }
}

/// How many cases this process was asked to run.
fn cases() -> Result<usize> {
    let this = env::current_exe().context("this program")?;
    let listed = Command::new(this)
        .args(env::args_os().skip(1))
        .arg("--list")
        .output()
        .context("listing the cases")?;
    ensure!(listed.status.success(), "the cases cannot be listed");
    let text = String::from_utf8_lossy(&listed.stdout);
    Ok(text.lines().filter(|line| line.ends_with(": test")).count())
}
