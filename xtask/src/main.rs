//! The tasks of this repository: `cargo xtask VERB`, one file per verb.
//!
//! Each verb first asks [`setup`] for what it needs of the machine. Nothing here knows what the agent does.

mod build_ebpf;
mod cargo;
mod cli;
mod cluster;
mod demo;
mod exit;
mod fuzz;
mod image;
mod lint;
mod privilege;
mod process;
mod repo;
mod setup;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Verb};

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    exit::code(match verb {
        Verb::Setup(args) => setup::run(&args),
        Verb::BuildEbpf(args) => build_ebpf::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Image(args) => image::run(&args),
        Verb::Cluster(args) => cluster::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Lint => lint::run(),
        Verb::Tidy(args) => tidy::run(&args),
        Verb::Guest => vm::guest(),
    })
}
