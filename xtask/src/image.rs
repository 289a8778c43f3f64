//! `cargo xtask image`: the agent, the conformance suite's prober or the benchmarks, static, on an empty base.
//!
//! How an archive is written is `sluice-cluster`'s; this builds what goes into it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::ValueEnum;

use crate::cluster::components::FORTIO;
use crate::exit;
use crate::setup::Need;
use crate::{cargo, cluster, process, repo, setup};

const EXAMPLES: &str = "\
Examples:
  cargo xtask image                                   target/image/sluice-amd64.tar
  cargo xtask image --prober                          target/image/sluice-prober-amd64.tar, for the conformance suite
  cargo xtask image --bench                           target/image/sluice-bench-amd64.tar, for clients in a cluster
  cargo xtask image --network                         target/image/sluice-network-amd64.tar, with the tools of others
  docker load --input target/image/sluice-amd64.tar   it is a docker archive
  skopeo copy oci-archive:target/image/sluice-amd64.tar docker://…   and an OCI layout";

/// What `image` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// For which processor [default: this machine's]
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// The image of the pods that the conformance suite makes, in place of the agent's
    #[arg(long)]
    prober: bool,
    /// The image of the clients that measure in a cluster, in place of the agent's
    #[arg(long, conflicts_with = "prober")]
    bench: bool,
    /// The image of what measures the network between nodes, in place of the agent's; with this machine's tools
    #[arg(long, conflicts_with_all = ["prober", "bench", "arch"])]
    network: bool,
}

/// Of the tools that measure the network, those that Debian has, where it puts them.
const INSTALLED: [&str; 4] = [
    "/usr/bin/iperf3",
    "/usr/bin/netperf",
    "/usr/bin/netserver",
    "/usr/bin/qperf",
];

/// What an image is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The agent.
    Agent,
    /// What serves and asks in the pods of the conformance suite.
    Prober,
    /// What measures in a cluster.
    Bench,
    /// The same, with tools of others beside it.
    Network,
}

/// A processor, as Go and images name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    Amd64,
    Arm64,
}

/// Builds the image, and says where it is, how large, and its id.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let program = match (args.prober, args.bench, args.network) {
        (true, ..) => Program::Prober,
        (_, true, _) => Program::Bench,
        (.., true) => Program::Network,
        _ => Program::Agent,
    };
    build(program, args.arch.unwrap_or_else(Arch::this))?;
    Ok(exit::holds(true))
}

/// Builds the image: the path of its archive.
///
/// # Errors
/// [`exit::Stop::Machine`] naming what the machine lacks.
pub(crate) fn build(program: Program, arch: Arch) -> anyhow::Result<PathBuf> {
    match program {
        Program::Agent | Program::Bench => setup::ensure(&[Need::Ebpf, arch.need()])?,
        Program::Prober => setup::ensure(&[arch.need()])?,
        Program::Network => {
            setup::ensure(&[Need::Ebpf, arch.need()])?;
            cluster::build_tools()?;
        }
    }
    let name = program.name();
    let root = repo::root();
    let target = cargo::target_directory(&root)?;
    let archive = target.join(format!("image/{name}-{}.tar", arch.name()));
    eprintln!("building {name} for {}", arch.triple());
    let binary = compile(&root, program, arch)?;
    let mut pack = Command::new(cluster::tool()?);
    pack.args(["pack", "--program", name, "--arch", arch.name()])
        .args(["--version", env!("CARGO_PKG_VERSION")])
        .arg("--binary")
        .arg(binary)
        .arg("--to")
        .arg(&archive);
    for tool in program.tools(&target) {
        pack.arg("--tool").arg(tool);
    }
    if !process::run(&mut pack)?.success() {
        bail!("packing the image failed");
    }
    Ok(archive)
}

/// The program without anything that it would need beside the kernel, and without a trace of where it was built.
fn compile(root: &Path, program: Program, arch: Arch) -> anyhow::Result<PathBuf> {
    let mut build = cargo::command(root, "build");
    build
        .args(["--quiet", "--release", "-p", program.package()])
        .args(["--bin", program.package()])
        .args(["--target", arch.triple()])
        .args(["--config", "profile.release.strip=true"])
        .args(["--config", "profile.release.debug=false"])
        .env("RUSTFLAGS", flags(root, arch))
        .env(
            format!("CC_{}", arch.triple().replace('-', "_")),
            arch.compiler(),
        );
    cargo::binary(&cargo::executables(&mut build)?, program.package())
}

/// Paths of this machine are named as they are nowhere, so that every machine makes the same bytes.
fn flags(root: &Path, arch: Arch) -> String {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let cargo_home =
        std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    format!(
        "--remap-path-prefix={}=/cargo --remap-path-prefix={}=/sluice -Clinker={} -Ctarget-feature=+crt-static",
        cargo_home.display(),
        root.display(),
        arch.linker()
    )
}

impl Program {
    /// Of its image.
    fn name(self) -> &'static str {
        match self {
            Self::Network => "sluice-network",
            Self::Agent | Self::Prober | Self::Bench => self.package(),
        }
    }

    /// Of its package and its binary.
    fn package(self) -> &'static str {
        match self {
            Self::Agent => "sluice",
            Self::Prober => "sluice-prober",
            Self::Bench | Self::Network => "sluice-bench",
        }
    }

    /// The programs of others that it runs; what is built lies below `target`.
    fn tools(self, target: &Path) -> Vec<PathBuf> {
        if self != Self::Network {
            return Vec::new();
        }
        let built = target.join("kubernetes/bin").join(FORTIO);
        INSTALLED.iter().map(PathBuf::from).chain([built]).collect()
    }
}

impl Arch {
    /// This machine's.
    pub(crate) fn this() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else {
            Self::Amd64
        }
    }

    /// As images name it.
    fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As Rust names it.
    fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    fn need(self) -> Need {
        match self {
            Self::Amd64 => Need::Image,
            Self::Arm64 => Need::ImageArm64,
        }
    }

    /// Compiles the little C that TLS brings along.
    fn compiler(self) -> &'static str {
        match self {
            Self::Amd64 => "musl-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// The C library comes with Rust; of the linker only its linking is wanted.
    fn linker(self) -> &'static str {
        match self {
            Self::Amd64 => "cc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }
}

/// Whether the standard library for `triple` is there.
pub(crate) fn has_target(triple: &str) -> bool {
    let sysroot = process::output_of(Command::new("rustc").args(["--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib")
            .join(triple)
            .join("lib")
            .is_dir()
    })
}
