//! `network launcher`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::ValueEnum as _;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::{EXIT_CODES, Output, Usage, block_on, print, stop_flag};
use crate::env::Env;
use crate::network::benchmark::{Benchmark, origin};
use crate::network::duration;
use crate::network::figures::{self, Row};
use crate::network::launcher::{self, Ending, Launched, Plan, cluster, lab};
use crate::network::push::Gateway;
use crate::network::task::{Measured, Results, Status};

const EXAMPLES: &str = "\
Examples:
  sluice-bench network launcher --quick
  sluice-bench network launcher --lab 3 --benchmark netperf-tcp-rr --outputFileDirectory results
  sluice-bench network launcher --quick --benchmark fortio-http -o json
  sluice-bench network launcher -benchmark iperf3-tcp -namespace netperf-test -node-labels '' \\
    -orchImage sluice-network:0.1.0 -workerImage sluice-network:0.1.0 -outputFileDirectory results

With --namespace, --orchImage and --workerImage the nodes are those of a cluster; without, network namespaces of this
machine.

";

/// Where results of a cluster are written by default.
const DIRECTORY: &str = "/share/networkperformance_results";
const IN_A_CLUSTER: &str = "In a cluster";

/// What a launcher takes.
#[derive(Debug, clap::Args)]
#[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
pub struct Args {
    /// What is measured; of several, one after another [quick: all whose tools are installed]
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "BENCHMARK",
        required_unless_present = "quick"
    )]
    benchmark: Vec<Benchmark>,
    /// Measure between so many network namespaces of this machine, each with a worker (root) [quick: 2]
    #[arg(long, value_name = "NODES", allow_negative_numbers = true, value_parser = clap::value_parser!(u8).range(2..=16))]
    lab: Option<u8>,
    #[command(flatten)]
    cluster: Cluster,
    /// Deadline for execution
    #[arg(long, value_name = "DURATION", default_value = "30m0s", allow_hyphen_values = true, value_parser = duration::parse)]
    deadline: Duration,
    /// Timeout for worker registration, task allocation and post cleanup [default: 1m; quick: 10s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Namespace istio injection. Cannot be used with netperf, qperf benchmark
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    inject: bool,
    /// Directory for results, and the figures in them [default: none are written; in a cluster:
    /// `/share/networkperformance_results`]
    #[arg(long = "outputFileDirectory", value_name = "DIRECTORY")]
    output_file_directory: Option<PathBuf>,
    /// How long each benchmark measures [default: 10; quick: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: Option<u32>,
    /// Push each task's figures to a push gateway of Prometheus
    #[arg(long, value_name = "URL")]
    pushgateway: Option<Gateway>,
    /// Where tools are looked for before the path [default: `kubernetes/bin` of the target directory]
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "cluster")]
    tools: Option<PathBuf>,
    /// One second each, between two nodes
    #[arg(long)]
    quick: bool,
    /// A table, or one JSON document: the results, and the figures in them
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What makes it a launch in a cluster.
#[derive(Debug, clap::Args)]
#[group(id = "cluster", multiple = true, conflicts_with = "lab")]
struct Cluster {
    /// Test namespace for Orch/Worker pods deployment: made, and removed
    #[arg(long, value_name = "NAME", help_heading = IN_A_CLUSTER, value_parser = namespace,
          requires_all = ["orch_image", "worker_image", "benchmark"])]
    namespace: Option<String>,
    /// A node label selector for scheduling the orchestrator and worker pods. Empty schedules on all available nodes
    #[arg(long, value_name = "SELECTOR", help_heading = IN_A_CLUSTER, requires = "namespace",
          default_value = "node-lifecycle=on-demand")]
    node_labels: String,
    /// Docker image for the Orchestrator pod
    #[arg(long = "orchImage", value_name = "IMAGE", help_heading = IN_A_CLUSTER, requires = "namespace",
          value_parser = NonEmptyStringValueParser::new())]
    orch_image: Option<String>,
    /// Docker image for the Worker pods
    #[arg(long = "workerImage", value_name = "IMAGE", help_heading = IN_A_CLUSTER, requires = "namespace",
          value_parser = NonEmptyStringValueParser::new())]
    worker_image: Option<String>,
    /// The way to the cluster [default: $KUBECONFIG, ~/.kube/config, or the service account of the pod that this is]
    #[arg(long, value_name = "FILE", help_heading = IN_A_CLUSTER, requires = "namespace")]
    kubeconfig: Option<PathBuf>,
}

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    results: &'a [Measured],
    figures: &'a [Row],
    skipped: &'a [Skipped],
    /// What was measured on; none in a cluster, of whose nodes it says nothing.
    env: Option<Env>,
}

/// A benchmark that was not tried, since it was not asked for by name.
#[derive(Serialize)]
struct Skipped {
    benchmark: Benchmark,
    missing: Vec<&'static str>,
}

impl Args {
    pub(super) fn run(self) -> Result<ExitCode> {
        self.check()?;
        if let Some(directory) = self.directory() {
            // Better now than after all the measuring.
            let made = fs::create_dir_all(directory);
            made.map_err(|error| {
                Usage(format!(
                    "--outputFileDirectory {}: {error}",
                    directory.display()
                ))
            })?;
        }
        let stop = stop_flag()?;
        let (launched, skipped) = match self.place() {
            Some(place) => (self.in_cluster(&place, &stop)?, Vec::new()),
            None => self.in_lab(&stop)?,
        };
        let rows = figures::rows(&launched.results);
        self.write(&launched.results, &rows)?;
        match self.output {
            Output::Table => print!("{}", figures::table(&rows)),
            Output::Json => print(&Document {
                results: &launched.results.results,
                figures: &rows,
                skipped: &skipped,
                env: self.cluster.namespace.is_none().then(Env::read),
            })?,
        }
        self.push(&launched.results, &stop)?;
        Ok(exit_code(&launched))
    }

    fn in_cluster(&self, place: &cluster::Place, stop: &AtomicBool) -> Result<Launched> {
        let plan = self.plan(self.benchmark.clone());
        block_on(cluster::run(&plan, place, stop))?
    }

    fn in_lab(&self, stop: &AtomicBool) -> Result<(Launched, Vec<Skipped>)> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root"
        );
        let path = launcher::path(self.tools().as_deref());
        let (benchmarks, skipped) = self.benchmarks(&path)?;
        for Skipped { benchmark, missing } in &skipped {
            let name = benchmark.name();
            eprintln!("skipped: {name}: {} is not installed", missing.join(", "));
        }
        let plan = self.plan(benchmarks);
        let launched = lab::run(&plan, self.lab.unwrap_or(2), &path, stop)?;
        Ok((launched, skipped))
    }

    /// None: in the laboratory.
    fn place(&self) -> Option<cluster::Place> {
        let cluster = &self.cluster;
        Some(cluster::Place {
            kubeconfig: cluster.kubeconfig.clone(),
            namespace: cluster.namespace.clone()?,
            node_labels: cluster.node_labels.clone(),
            orchestrator_image: cluster.orch_image.clone()?,
            worker_image: cluster.worker_image.clone()?,
            inject: self.inject,
        })
    }

    fn directory(&self) -> Option<&Path> {
        let default = || {
            self.cluster
                .namespace
                .is_some()
                .then_some(Path::new(DIRECTORY))
        };
        self.output_file_directory.as_deref().or_else(default)
    }

    fn check(&self) -> Result<()> {
        let wrong = |usage: String| Err(Usage(usage).into());
        let mut benchmarks = self.benchmark.iter().filter(|_| self.inject);
        if let Some(benchmark) = benchmarks.find(|it| !it.has_fixed_ports()) {
            return wrong(format!(
                "--inject: {} opens ports that nobody knows beforehand, and so does not run under istio",
                benchmark.name()
            ));
        }
        let is_here = self.cluster.namespace.is_none();
        if is_here && self.lab.is_none() && !self.quick {
            return wrong(
                "where? --lab <NODES>, or --namespace, --orchImage and --workerImage".to_owned(),
            );
        }
        if is_here && self.inject {
            return wrong(
                "--inject: there is no istio between namespaces of this machine".to_owned(),
            );
        }
        match &self.cluster.kubeconfig {
            Some(file) if !file.is_file() => {
                wrong(format!("--kubeconfig {}: no such file", file.display()))
            }
            _ => Ok(()),
        }
    }

    /// Beside what cargo builds.
    fn tools(&self) -> Option<PathBuf> {
        let beside = || {
            let program = std::env::current_exe().ok()?;
            let tools = program.parent()?.parent()?.join("kubernetes/bin");
            tools.is_dir().then_some(tools)
        };
        self.tools.clone().or_else(beside)
    }

    /// Those asked for; where none is, those whose tools are there.
    fn benchmarks(&self, path: &OsString) -> Result<(Vec<Benchmark>, Vec<Skipped>)> {
        if !self.benchmark.is_empty() {
            return Ok((self.benchmark.clone(), Vec::new()));
        }
        let all = Benchmark::value_variants().iter().map(|benchmark| Skipped {
            benchmark: *benchmark,
            missing: launcher::missing(*benchmark, path),
        });
        let (there, skipped): (Vec<_>, Vec<_>) = all.partition(|it| it.missing.is_empty());
        let origins: Vec<_> = ["iperf3", "netperf", "qperf", "fortio"].map(origin).into();
        ensure!(
            !there.is_empty(),
            "no tool is installed: {}",
            origins.join("; ")
        );
        Ok((there.iter().map(|it| it.benchmark).collect(), skipped))
    }

    fn plan(&self, benchmarks: Vec<Benchmark>) -> Plan {
        // Pods take longer than processes.
        let is_short = self.quick && self.cluster.namespace.is_none();
        let timeout = Duration::from_secs(if is_short { 10 } else { 60 });
        Plan {
            benchmarks,
            seconds: self.seconds.unwrap_or(if self.quick { 1 } else { 10 }),
            timeout: self.timeout.unwrap_or(timeout),
            deadline: self.deadline,
        }
    }

    /// Two files of one name: what others read, and the figures.
    fn write(&self, results: &Results, rows: &[Row]) -> Result<()> {
        let Some(directory) = self.directory() else {
            return Ok(());
        };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let names: Vec<_> = self.benchmark.iter().map(|it| it.name()).collect();
        let name = if names.is_empty() {
            "all".to_owned()
        } else {
            names.join("_")
        };
        for (suffix, text) in [
            ("json", serde_json::to_string_pretty(results)?),
            ("figures.json", serde_json::to_string_pretty(rows)?),
        ] {
            let file = directory.join(format!("{name}-{seconds}.{suffix}"));
            write(&file, &text).with_context(|| file.display().to_string())?;
            eprintln!("written: {}", file.display());
        }
        Ok(())
    }

    /// From here, since nobody in a laboratory reaches anything outside of it.
    fn push(&self, results: &Results, stop: &AtomicBool) -> Result<()> {
        let Some(gateway) = &self.pushgateway else {
            return Ok(());
        };
        let done = results
            .results
            .iter()
            .filter(|it| it.task.status == Status::Done);
        for measured in done {
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(());
            }
            let figures = figures::read(measured).map_err(|error| anyhow!(error))?;
            block_on(gateway.push(&measured.task, &figures))??;
        }
        Ok(())
    }
}

/// A namespace's name is one of DNS, without dots.
fn namespace(text: &str) -> Result<String, String> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_fine = (1..=63).contains(&text.len())
        && text.chars().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_fine {
        Ok(text.to_owned())
    } else {
        Err("a namespace has lower-case letters, digits and inner hyphens, 63 at most".to_owned())
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let part = file.with_extension("part");
    fs::write(&part, text)?;
    fs::rename(&part, file)
}

/// The orchestrator has said what is wrong.
fn exit_code(launched: &Launched) -> ExitCode {
    match launched.ending {
        Ending::Over(Some(code @ (0..=3 | 130))) => ExitCode::from(u8::try_from(code).unwrap_or(3)),
        Ending::Over(_) => {
            eprintln!("error: something else has ended the orchestrator");
            ExitCode::from(3)
        }
        Ending::Deadline => {
            eprintln!("error: not over within the deadline");
            ExitCode::from(1)
        }
        Ending::Interrupted => ExitCode::from(130),
    }
}
