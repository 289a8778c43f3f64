//! `up` and `down`: a cluster that outlives the command that made it.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;
use sluice_cluster::{Cluster, Family, MOST_NODES, Options, why_no_cluster};

use super::{Cannot, Usage, Which, kind, report};

/// What `up` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// How many nodes
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_NODES)))]
    nodes: u8,
    /// The address families of nodes, pods and Services
    #[arg(long, value_enum, default_value = "4")]
    family: FamilyName,
    /// In namespaces of this machine, or in containers by kind and docker
    #[arg(long, value_enum, default_value = "namespaces")]
    provider: Provider,
    /// How to print what there is then
    #[arg(short, long, value_enum, default_value = "text")]
    output: super::Output,
}

/// What `down` takes.
#[derive(Debug, clap::Args)]
pub(super) struct DownArgs {
    #[command(flatten)]
    which: Which,
    /// Every cluster of this checkout
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// What the cluster was made with
    #[arg(long, value_enum, default_value = "namespaces")]
    provider: Provider,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FamilyName {
    #[value(name = "4")]
    V4,
    #[value(name = "6")]
    V6,
    Dual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Provider {
    Namespaces,
    Kind,
}

/// Makes a cluster, unless there is one.
pub(super) fn up(args: &Args) -> Result<ExitCode> {
    if args.provider == Provider::Kind {
        return kind::up(&args.which.name, args.nodes, args.family, args.output);
    }
    if let Some(reason) = why_no_cluster() {
        return Err(Cannot(reason).into());
    }
    let name = &args.which.name;
    if let Some(cluster) = Cluster::open(name)? {
        eprintln!("cluster `{name}` is up already");
        return report::print(&cluster, args.output);
    }
    // What is left of one whose processes are gone, as after a restart of the machine.
    sluice_cluster::down(name)?;
    let start = Instant::now();
    let mut cluster = Cluster::up(&Options {
        name: Some(name.clone()),
        nodes: args.nodes,
        family: args.family.into(),
        images: Vec::new(),
        progress: |step| eprintln!("{step}"),
    })?;
    cluster.keep()?;
    eprintln!(
        "cluster `{name}` up in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    report::print(&cluster, args.output)
}

/// Takes clusters away.
pub(super) fn down(args: &DownArgs) -> Result<ExitCode> {
    if args.provider == Provider::Kind && args.all {
        let message =
            "--all is for the clusters of this checkout; of kind's, give the --name of one";
        return Err(Usage(message.to_owned()).into());
    }
    if args.provider == Provider::Kind {
        return kind::down(&args.which.name);
    }
    let names = if args.all {
        sluice_cluster::names()?
    } else {
        vec![args.which.name.clone()]
    };
    for name in &names {
        if sluice_cluster::down(name)? {
            println!("cluster `{name}` is gone");
        } else {
            println!("there is no cluster `{name}`");
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl From<FamilyName> for Family {
    fn from(name: FamilyName) -> Self {
        match name {
            FamilyName::V4 => Self::V4,
            FamilyName::V6 => Self::V6,
            FamilyName::Dual => Self::Dual,
        }
    }
}
