//! `cargo xtask setup`: installs what a Debian or Ubuntu machine with Rust lacks.
//!
//! What is needed, and how to get it, is the table in `setup/tools.rs`; how to look and to install is in
//! `setup/machine.rs`. The second time it does nothing, in well under a second: every verb calls [`ensure`].

mod component;
mod machine;
mod tools;

use std::process::ExitCode;

use clap::ValueEnum;

use self::machine::Machine;
use self::tools::{Remedy, TOOLS, Tool};
use crate::exit::{self, Stop};

/// What a task is about to do, and so which tools have to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Need {
    /// Build the eBPF programs; the agent carries them, so building it needs this.
    Ebpf,
    /// Run the privileged tests, and look at what they do.
    Lab,
    /// Measure the network between nodes with the tools that others use.
    Network,
    /// Run a Kubernetes on this machine.
    Cluster,
    /// Build the agent's image.
    Image,
    /// Build the agent's image for arm64.
    ImageArm64,
    /// Run tests on another kernel.
    Vm,
    /// Lint.
    Lint,
    /// Fuzz.
    Fuzz,
}

/// What people want who do not say what: another processor's image is for whoever asks for it.
const EVERYTHING: &[Need] = &[
    Need::Ebpf,
    Need::Lab,
    Need::Network,
    Need::Cluster,
    Need::Image,
    Need::Vm,
    Need::Lint,
    Need::Fuzz,
];

const EXAMPLES: &str = "\
Examples:
  cargo xtask setup             everything
  cargo xtask setup ebpf        what building takes";

/// What `setup` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What the machine shall be able to do [default: all]
    #[arg(value_enum)]
    needs: Vec<Need>,
}

/// Installs what is missing, and says what is there.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let needs = if args.needs.is_empty() {
        EVERYTHING
    } else {
        &args.needs
    };
    ensure(needs)?;
    let names: Vec<_> = needed(needs).map(|tool| tool.name).collect();
    println!("there: {}", names.join(", "));
    Ok(exit::holds(true))
}

/// Sees to it that the tools for `needs` are there.
///
/// # Errors
/// [`Stop::Machine`], naming every tool that is missing, what it is for and the command that installs it.
pub(crate) fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    let machine = Machine::this();
    let missing: Vec<_> = needed(needs)
        .filter(|tool| !(tool.present)(&machine))
        .collect();
    let plan: Vec<_> = missing
        .iter()
        .map(|tool| (*tool, tool.remedies.iter().find(|it| machine.can(it))))
        .collect();
    if plan.iter().any(|(_, remedy)| remedy.is_none()) {
        return Err(refusal(&machine, &missing).into());
    }
    for (tool, remedy) in plan
        .iter()
        .filter_map(|(tool, remedy)| Some((tool, (*remedy)?)))
    {
        install(&machine, tool, remedy)?;
    }
    Ok(())
}

fn needed(needs: &[Need]) -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(move |tool| needs.contains(&tool.need))
}

/// Installs one tool, unless an earlier one brought it along.
fn install(machine: &Machine, tool: &Tool, remedy: &Remedy) -> anyhow::Result<()> {
    if (tool.present)(machine) {
        return Ok(());
    }
    eprintln!(
        "installing {} ({}): {}",
        tool.name,
        tool.why,
        remedy.shown()
    );
    let done = machine.apply(remedy);
    match done {
        Ok(()) if (tool.present)(machine) => Ok(()),
        Ok(()) => Err(failure(
            tool,
            "it succeeded, but the tool is still not there",
            remedy,
        )),
        Err(error) if error.downcast_ref() == Some(&Stop::Interrupted) => Err(error),
        Err(error) => Err(failure(tool, &format!("{error:#}"), remedy)),
    }
}

fn failure(tool: &Tool, how: &str, remedy: &Remedy) -> anyhow::Error {
    let command = remedy.shown();
    let message = format!(
        "{} is missing ({}) and could not be installed: {how}\n  tried: {command}",
        tool.name, tool.why
    );
    Stop::Machine(message).into()
}

/// Names all that is missing at once, so that one visit to an administrator is enough.
fn refusal(machine: &Machine, missing: &[&Tool]) -> Stop {
    let mut lines = vec![String::from("this machine lacks:")];
    for tool in missing {
        let ways: Vec<_> = tool
            .remedies
            .iter()
            .map(|remedy| machine.advice(remedy))
            .collect();
        lines.push(format!(
            "  {} ({})\n    {}",
            tool.name,
            tool.why,
            ways.join("\n    or ")
        ));
    }
    Stop::Machine(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::machine::Machine;
    use super::tools::{Remedy, TOOLS, Tool};
    use clap::ValueEnum as _;

    use super::{Need, needed, refusal};
    use crate::exit::Stop;

    const NOWHERE: Tool = Tool {
        need: Need::Lab,
        name: "nowhere",
        why: "nothing",
        present: |_| false,
        remedies: &[
            Remedy::Apt {
                packages: &["nowhere-pkg"],
                at_least: None,
            },
            Remedy::Cargo("nowhere", "1.0.0"),
        ],
    };

    #[test]
    fn every_need_has_tools_and_every_tool_a_remedy() {
        for need in Need::value_variants().iter().copied() {
            assert!(needed(&[need]).count() > 0, "{need:?}");
        }
        assert!(
            TOOLS
                .iter()
                .all(|tool| !tool.remedies.is_empty() && !tool.why.is_empty())
        );
    }

    #[test]
    fn a_refusal_names_tool_purpose_and_command() {
        let Stop::Machine(message) = refusal(&Machine::bare(), &[&NOWHERE]) else {
            panic!("not exit code 3")
        };
        assert_eq!(
            message,
            "this machine lacks:\n  nowhere (nothing)\n    sudo apt-get install nowhere-pkg\
             \n    or cargo install --locked nowhere --version 1.0.0"
        );
    }
}
