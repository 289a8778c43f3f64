//! `cargo xtask demo`: builds the agent and the lab, then becomes the lab.
//!
//! What the demo does and prints is the lab's (`sluice-lab demo`); this only passes on what was asked for.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::setup::Need;
use crate::{cargo, privilege, repo, setup};

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                            the x/y/z × a/b/c world under a stack of policies
  cargo xtask demo --manifests my-policies/   your own pods and policies
  cargo xtask demo --mode nfqueue --family 6  without eBPF, over IPv6
  cargo xtask demo -o json | jq .probes       one JSON document, nothing else on stdout
  cargo xtask demo --keep                     leave it up and say how to enter it
  cargo xtask demo --down                     remove what --keep left";

/// What `demo` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Kubernetes YAML or JSON: a file, a directory, or `-` for stdin (repeatable)
    #[arg(long, value_name = "PATH", num_args = 1..)]
    manifests: Vec<PathBuf>,
    /// With the eBPF fast path, or pure NFQUEUE [default: hybrid]
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// The address family of pods and probes [default: 4]
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// Leave the namespaces and the agent up, and print how to enter them
    #[arg(long, conflicts_with = "down")]
    keep: bool,
    /// Remove what earlier demos left
    #[arg(long)]
    down: bool,
    /// How to print the outcome [default: table]
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    /// Build without debug assertions, with optimisation
    #[arg(long)]
    release: bool,
    /// More for `sluice-lab demo`
    #[arg(last = true, value_name = "ARGS")]
    more: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Hybrid,
    Nfqueue,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Family {
    #[value(name = "4")]
    V4,
    #[value(name = "6")]
    V6,
    Dual,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Builds, and replaces this process by the lab: its exit code, its signals and its terminal are the demo's.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    privilege::require("the demo", "cargo xtask demo")?;
    setup::ensure(&[Need::Ebpf])?;
    let mut build = cargo::command(&repo::root(), "build");
    build
        .args(["--quiet", "-p", "sluice", "-p", "sluice-lab"])
        .args(args.release.then_some("--release"));
    eprintln!("building sluice and sluice-lab");
    let executables = cargo::executables(&mut build)?;
    let (agent, lab) = (
        cargo::binary(&executables, "sluice")?,
        cargo::binary(&executables, "sluice-lab")?,
    );
    let error = Command::new(&lab)
        .arg("demo")
        .arg("--agent")
        .arg(agent)
        .args(args.for_lab())
        .exec();
    Err(error).with_context(|| format!("running {}", lab.display()))
}

impl Args {
    /// The arguments of `sluice-lab demo` that say the same.
    fn for_lab(&self) -> Vec<OsString> {
        let mut line = Vec::new();
        let mut option = |name: &str, value: Option<OsString>| {
            line.extend(value.into_iter().flat_map(|value| [name.into(), value]));
        };
        for path in &self.manifests {
            option("--manifests", Some(path.into()));
        }
        option("--mode", self.mode.as_ref().map(word));
        option("--family", self.family.as_ref().map(word));
        option("-o", self.output.as_ref().map(word));
        line.extend(self.keep.then(|| "--keep".into()));
        line.extend(self.down.then(|| "--down".into()));
        line.extend(self.more.iter().cloned());
        line
    }
}

/// A choice as it is typed.
fn word(choice: &impl ValueEnum) -> OsString {
    choice
        .to_possible_value()
        .map(|value| value.get_name().into())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::Args;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn passed_on(line: &str) -> Vec<String> {
        let parsed =
            Line::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"));
        parsed
            .args
            .for_lab()
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn everything_is_passed_on_to_the_lab() {
        assert!(passed_on("demo").is_empty());
        assert_eq!(
            passed_on(
                "demo -o json --family dual --mode nfqueue --keep --manifests a b --manifests - -- --seed 1"
            ),
            "--manifests a --manifests b --manifests - --mode nfqueue --family dual -o json --keep --seed 1"
                .split(' ')
                .collect::<Vec<_>>()
        );
        assert_eq!(
            passed_on("demo --down --family 6"),
            ["--family", "6", "--down"]
        );
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_built() {
        for line in [
            "demo --mode fast",
            "demo --family 5",
            "demo --keep --down",
            "demo extra",
            "demo -o xml",
        ] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
