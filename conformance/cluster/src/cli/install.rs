//! `install`: the chart, with an image that every node is given.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use sluice_cluster::Installed;

use super::Which;

/// What `install` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The archive of the agent's image
    #[arg(long, hide = true)]
    image: PathBuf,
    /// The directory of the chart
    #[arg(long, hide = true)]
    chart: PathBuf,
    /// A value of the chart, as helm takes it (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The namespace of the release
    #[arg(long, default_value = "sluice-system")]
    namespace: String,
}

/// Installs, or brings what is installed up to date.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let cluster = super::open(&args.which)?;
    ensure!(
        args.chart.join("Chart.yaml").is_file(),
        "{}: there is no chart",
        args.chart.display()
    );
    let start = Instant::now();
    let Installed { tag, said } =
        cluster.install(&args.image, &args.chart, &args.namespace, &args.set)?;
    eprintln!("image sluice:{tag} on {} nodes", cluster.nodes().len());
    println!("{}", said.trim_end());
    let pods = cluster.control().kubectl(&[
        "get",
        "pods",
        "--output=wide",
        "--namespace",
        &args.namespace,
    ]);
    println!("\n{}", pods.context("listing the agents")?.trim_end());
    eprintln!("installed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}
