//! Builds the eBPF object with whichever toolchain is there.
//!
//! Stable Rust ships no `core` for BPF. Two toolchains have one: a rustc whose `core` was built for the target
//! beforehand (Debian's `rustc-web` with `libstd-rust-web-dev-bpf`), and a nightly with `rust-src`, which builds it
//! on the way. Both need `bpf-linker`. A build script and the tasks use this in the same way.
#![forbid(unsafe_code)]

mod toolchain;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use toolchain::{NIGHTLY, Toolchain};

/// Names a prebuilt object: nothing is built, it is copied.
pub const OBJECT_VARIABLE: &str = "SLUICE_EBPF_OBJECT";

const TARGET: &str = "bpfel-unknown-none";
const PACKAGE: &str = "sluice-ebpf";

/// What to build.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// With debug lines from the programs.
    pub log: bool,
    /// Where cargo keeps what it makes on the way; next to the object where none is named. It must not be the target
    /// directory of a cargo that waits for this build: the inner one would wait for the outer one forever.
    pub target_directory: Option<PathBuf>,
}

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// With what.
    pub toolchain: Toolchain,
    /// Where the object is: the path asked for.
    pub object: PathBuf,
    /// What a rebuild depends on besides the sources.
    pub tools: Vec<PathBuf>,
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The machine lacks a tool. Everything else of the workspace builds without it.
    #[error("{what} is missing")]
    Missing {
        /// Which.
        what: &'static str,
    },
    /// The build ran and failed.
    #[error("the eBPF build with {toolchain} failed:\n{output}")]
    Failed {
        /// With what.
        toolchain: Toolchain,
        /// What cargo said.
        output: String,
    },
    /// A file or program could not be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Builds the object to the path `out`.
pub fn build(out: &Path, options: &Options) -> Result<Built, BuildError> {
    if let Some(prebuilt) = std::env::var_os(OBJECT_VARIABLE) {
        let prebuilt = PathBuf::from(prebuilt);
        fs::copy(&prebuilt, out).map_err(|source| BuildError::Io {
            path: prebuilt.clone(),
            source,
        })?;
        let tools = vec![prebuilt.clone()];
        return Ok(Built {
            toolchain: Toolchain::Prebuilt(prebuilt),
            object: out.to_path_buf(),
            tools,
        });
    }
    let linker =
        toolchain::find_program("bpf-linker").ok_or(BuildError::Missing { what: "bpf-linker" })?;
    let toolchain = Toolchain::find()?;
    let target_directory = options
        .target_directory
        .clone()
        .unwrap_or_else(|| out.with_extension("target"));
    run(&toolchain, &linker, &target_directory, options)?;
    let made = target_directory.join(TARGET).join("release").join(PACKAGE);
    fs::copy(&made, out).map_err(|source| BuildError::Io { path: made, source })?;
    let tools = std::iter::once(linker)
        .chain(toolchain.program().map(Path::to_path_buf))
        .collect();
    Ok(Built {
        toolchain,
        object: out.to_path_buf(),
        tools,
    })
}

/// The sources of the object: directories and files.
pub fn sources() -> Vec<PathBuf> {
    let root = package();
    vec![
        root.join("src"),
        root.join("Cargo.toml"),
        root.join("build").join("src"),
    ]
}

fn package() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

fn run(
    toolchain: &Toolchain,
    linker: &Path,
    target: &Path,
    options: &Options,
) -> Result<(), BuildError> {
    let mut command = toolchain.cargo();
    command
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--package",
            PACKAGE,
            "--bin",
            PACKAGE,
        ])
        .args(["--features", if options.log { "bpf,log" } else { "bpf" }])
        .arg("--manifest-path")
        .arg(package().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target);
    clean_environment(&mut command, linker);
    let output = command.output().map_err(|source| BuildError::Io {
        path: command.get_program().into(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(BuildError::Failed {
        toolchain: toolchain.clone(),
        output,
    })
}

/// Takes away what an outer cargo, clippy or miri meant for the host's build, and gives the linker what it needs.
fn clean_environment(command: &mut Command, linker: &Path) {
    const HOST_ONLY: [&str; 9] = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTC_WRAPPER",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CARGO_INCREMENTAL",
    ];
    for variable in HOST_ONLY {
        command.env_remove(variable);
    }
    let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
    flags.extend(remapped());
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    command.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker);
    if let Some(path) = path_with(linker.parent()) {
        command.env("PATH", path);
    }
}

/// Debug information names sources as they are nowhere, so that every checkout makes the same object.
fn remapped() -> impl Iterator<Item = String> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home);
    let package = package();
    let root = package.parent().map(Path::to_path_buf);
    let both = [(cargo, "/cargo"), (root, "/sluice")];
    both.into_iter()
        .filter_map(|(path, name)| Some(format!("--remap-path-prefix={}={name}", path?.display())))
}

fn path_with(directory: Option<&Path>) -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = directory.map(Path::to_path_buf).into_iter();
    std::env::join_paths(directories.chain(std::env::split_paths(&path))).ok()
}
