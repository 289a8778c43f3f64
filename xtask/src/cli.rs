//! The command line of `cargo xtask`. The arguments of a verb are in the verb's own file.

use clap::{Parser, Subcommand};

use crate::{build_ebpf, cluster, demo, fuzz, image, setup, test, tidy};

/// What a newcomer reads first, so it shows rather than tells.
const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                      policies in force between namespaces
  cargo xtask demo --mode nfqueue       the same without eBPF
  cargo xtask cluster up                a real Kubernetes on this machine
  cargo xtask test                      every test that this machine can run
  cargo xtask test unit                 the tests that need no root
  cargo xtask test lab -p sluice-bpf    the privileged tests of one package
  cargo xtask test vm                   the same tests on Debian's 6.1 kernel, in qemu
  cargo xtask lint && cargo xtask tidy  what every change has to pass

Each verb installs what it lacks, or names it and exits 3.
Exit codes: 0 it holds, 1 it does not, 2 bad usage, 3 this machine
cannot do it, 130 interrupted.";

/// The tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Install what this repository needs and the machine lacks
    Setup(setup::Args),
    /// Build the eBPF object; say where it is, how large, and by what
    BuildEbpf(build_ebpf::Args),
    /// Run the real agent between namespaces on this machine, and probe
    Demo(demo::Args),
    /// Build the agent's image: static, on an empty base
    Image(image::Args),
    /// Run a real Kubernetes on this machine, and install the chart in it
    Cluster(cluster::Args),
    /// Run the tests, all levels or those named, and add them up
    Test(test::Args),
    /// Make up packets, manifests and netlink replies, and see that nothing falls over them
    Fuzz(fuzz::Args),
    /// Check formatting, lints, and the licences of dependencies
    Lint,
    /// Check what prose and layout promise
    Tidy(tidy::Args),
    /// Take the steps of the virtual machine that this is run in
    #[command(hide = true)]
    Guest,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
