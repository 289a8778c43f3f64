//! `cargo xtask cluster`: builds what a cluster on this machine needs, then becomes `sluice-cluster`.
//!
//! What a cluster is, and what its verbs take, is that tool's; this only sees to it that everything is there.

pub(crate) mod components;
mod definitions;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;
use clap::Subcommand;

use crate::exit::{self, Stop};
use crate::setup::Need;
use crate::{cargo, image, privilege, repo, setup};

/// The tool that this becomes.
const TOOL: &str = "sluice-cluster";

const EXAMPLES: &str = "\
Examples:
  cargo xtask cluster up                    two nodes, in 10 s once its parts are built
  cargo xtask cluster install               the agent's image and the chart, on all nodes
  cargo xtask cluster kubectl get pods -A
  cargo xtask cluster enter node-1          a shell on a node
  cargo xtask cluster up --help             what a verb takes
  cargo xtask cluster down                  nothing is left";

/// What `cluster` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build Kubernetes' programs, once: some 8 min on two cores
    Build,
    /// Install and build what `sluice-bench` measures with: iperf3, netperf, qperf, fortio, Prometheus
    Tools,
    /// Make a cluster, and leave it up
    Up(Rest),
    /// Take a cluster away, so that nothing is left of it
    Down(Rest),
    /// Say what there is, whether it runs, and how to reach it
    Status(Rest),
    /// Build the agent's image, give it to every node, and install the chart
    Install(Rest),
    /// Give every node the images of an archive
    Load(Rest),
    /// Run kubectl as the administrator
    Kubectl(Rest),
    /// Run helm as the administrator
    Helm(Rest),
    /// Run a program on a node, or in `control`; by default a shell
    Enter(Rest),
}

/// Whatever else there is on the command line, `--help` too, is for the tool.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    line: Vec<OsString>,
}

/// Builds what the verb needs, and replaces this process by the tool.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (verb, rest) = match &args.verb {
        Verb::Build => {
            build()?;
            return Ok(exit::holds(true));
        }
        Verb::Tools => {
            build_tools()?;
            return Ok(exit::holds(true));
        }
        Verb::Up(rest) => ("up", rest),
        Verb::Down(rest) => ("down", rest),
        Verb::Status(rest) => ("status", rest),
        Verb::Install(rest) => ("install", rest),
        Verb::Load(rest) => ("load", rest),
        Verb::Kubectl(rest) => ("kubectl", rest),
        Verb::Helm(rest) => ("helm", rest),
        Verb::Enter(rest) => ("enter", rest),
    };
    let tool = tool()?;
    let mut more = Vec::new();
    if !rest.is_question() {
        // That of kind is docker's to make, for whomever docker lets.
        let is_kinds = matches!(verb, "up" | "down") && rest.has("kind");
        if !is_kinds {
            privilege::require("a cluster", "cargo xtask cluster")?;
        }
        if verb == "up" && !is_kinds {
            build()?;
        }
        if verb == "install" {
            if let Some(code) = refusal(&tool, rest)? {
                return Ok(code);
            }
            more = for_install()?;
        }
    }
    let error = Command::new(&tool)
        .arg(verb)
        .args(more)
        .args(&rest.line)
        .exec();
    Err(error).with_context(|| format!("running {}", tool.display()))
}

/// Sees to it that every program of a cluster is there.
///
/// # Errors
/// [`Stop::Machine`] naming what the machine lacks.
pub(crate) fn build() -> anyhow::Result<()> {
    setup::ensure(&[Need::Cluster])?;
    components::build(
        &repo::root(),
        &cargo::target_directory(&repo::root())?,
        None,
    )
}

/// Sees to it that what measures the network between nodes is there.
///
/// # Errors
/// [`Stop::Machine`] naming what the machine lacks.
pub(crate) fn build_tools() -> anyhow::Result<()> {
    setup::ensure(&[Need::Network])?;
    let root = repo::root();
    components::build(
        &root,
        &cargo::target_directory(&root)?,
        Some(components::FORTIO),
    )
}

/// The tool, built.
pub(crate) fn tool() -> anyhow::Result<PathBuf> {
    let mut build = cargo::command(&repo::root(), "build");
    build.args(["--quiet", "-p", TOOL]);
    cargo::binary(&cargo::executables(&mut build)?, TOOL)
}

/// How it ends where there is no cluster to install anything in: the tool says so, and minutes of building come to
/// nothing.
fn refusal(tool: &Path, rest: &Rest) -> anyhow::Result<Option<ExitCode>> {
    let mut status = Command::new(tool);
    status.arg("status").args(rest.of("--name"));
    let asked = status.stdin(Stdio::null()).stderr(Stdio::inherit());
    let asked = asked.output().context("asking for the cluster")?;
    // One of which a part has ended has a status all the same.
    let is_there = asked.status.success() || !asked.stdout.is_empty();
    let code = asked.status.code().and_then(|code| u8::try_from(code).ok());
    Ok((!is_there).then(|| ExitCode::from(code.unwrap_or(1))))
}

/// The image and the chart that the tool installs.
fn for_install() -> anyhow::Result<Vec<OsString>> {
    let chart = repo::root().join("helm/sluice");
    if !chart.join("Chart.yaml").is_file() {
        return Err(Stop::Machine(format!("{}: there is no chart", chart.display())).into());
    }
    let image = image::build(image::Program::Agent, image::Arch::this())?;
    Ok(vec![
        "--image".into(),
        image.into(),
        "--chart".into(),
        chart.into(),
    ])
}

impl Rest {
    /// Whether only the usage is asked for.
    fn is_question(&self) -> bool {
        self.has("--help") || self.has("-h")
    }

    /// An option with its value, as it was given.
    fn of(&self, option: &str) -> Vec<OsString> {
        let own = self.line.iter().take_while(|it| *it != "--");
        let own: Vec<_> = own.collect();
        let at = own.iter().position(|it| {
            let word = it.to_string_lossy();
            word == option || word.starts_with(&format!("{option}="))
        });
        let length = at.map_or(0, |at| if own[at] == option { 2 } else { 1 });
        let found = own.into_iter().skip(at.unwrap_or_default()).take(length);
        found.cloned().collect()
    }

    /// Whether there is such a word among the tool's own, those before `--`.
    fn has(&self, word: &str) -> bool {
        let own = self.line.iter().take_while(|it| *it != "--");
        own.into_iter()
            .any(|it| it == word || it.to_string_lossy().ends_with(&format!("={word}")))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Args, Verb};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn an_option_is_found_with_its_value() {
        for (line, found) in [
            ("--set a=b --name x --set c=d", "--name x"),
            ("--name=x", "--name=x"),
            ("--name", "--name"),
            ("--set name=x", ""),
            ("-- --name x", ""),
        ] {
            let line = line.split(' ').map(Into::into).collect();
            let found_words = super::Rest { line }.of("--name");
            assert_eq!(found_words.join(" ".as_ref()), found);
        }
    }

    #[test]
    fn everything_behind_a_verb_is_the_tools() {
        for (line, passed) in [
            ("cluster up --nodes 3 --help", "--nodes 3 --help"),
            ("cluster kubectl get pods -A -o json", "get pods -A -o json"),
            ("cluster kubectl -- get pods", "get pods"),
        ] {
            let parsed = Line::try_parse_from(line.split(' ')).unwrap_or_else(|it| panic!("{it}"));
            let (Verb::Up(rest) | Verb::Kubectl(rest)) = parsed.args.verb else {
                panic!("{line}")
            };
            let words: Vec<_> = rest.line.iter().map(|it| it.to_string_lossy()).collect();
            assert_eq!(words.join(" "), passed);
        }
        assert!(Line::try_parse_from(["cluster", "sideways"]).is_err());
    }
}
