//! The launcher: makes a place with an orchestrator and workers, waits, collects what they found, and takes everything
//! away again, however it ends.

pub mod cluster;
pub mod lab;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::benchmark::Benchmark;
use super::task::Results;

/// What is to be measured, and how patiently.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One after another.
    pub benchmarks: Vec<Benchmark>,
    /// How long each measures.
    pub seconds: u32,
    /// As for orchestrators.
    pub timeout: Duration,
    /// All is to be over by then.
    pub deadline: Duration,
}

/// What a launch came to.
#[derive(Clone, Debug)]
pub struct Launched {
    /// What the orchestrator wrote; nothing, where it did not come to that.
    pub results: Results,
    /// How it ended.
    pub ending: Ending,
}

/// How a launch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The orchestrator ended by itself, with this exit code; none, where something killed it.
    Over(Option<i32>),
    /// It took too long, and was ended.
    Deadline,
    /// Somebody wanted it to end.
    Interrupted,
}

/// Where programs are looked for: a directory of tools first, and then where everything is.
pub fn path(tools: Option<&Path>) -> OsString {
    let usual = env::var_os("PATH").unwrap_or_default();
    let usual = env::split_paths(&usual).collect::<Vec<PathBuf>>();
    let all = tools
        .map(Path::to_path_buf)
        .into_iter()
        .chain(usual.clone());
    // A directory with a colon in its name cannot be on a path.
    env::join_paths(all).unwrap_or_else(|_| env::join_paths(usual).unwrap_or_default())
}

/// The programs of a benchmark that are not on a path.
pub fn missing(benchmark: Benchmark, path: &OsString) -> Vec<&'static str> {
    let is_there = |program: &str| env::split_paths(path).any(|it| it.join(program).is_file());
    let mut missing = benchmark.programs().to_vec();
    missing.dedup();
    missing.retain(|program| !is_there(program));
    missing
}
