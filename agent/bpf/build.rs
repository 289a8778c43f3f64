//! Embeds the eBPF object. Where the machine lacks the toolchain for it, an empty one is embedded, so that everything
//! else builds anywhere; the loader then says so.

use std::path::PathBuf;

use anyhow::Context as _;
use sluice_ebpf_build::{BuildError, OBJECT_VARIABLE, Options, build, sources};

fn main() -> anyhow::Result<()> {
    let directory = PathBuf::from(std::env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let out = directory.join("sluice-ebpf.o");
    // TARGET/PROFILE/build/PACKAGE/out: one directory for all profiles, as the object is the same in each.
    let target_directory = directory
        .ancestors()
        .nth(4)
        .map(|target| target.join("ebpf"));
    let options = Options {
        log: std::env::var_os("CARGO_FEATURE_LOG").is_some(),
        target_directory,
    };
    println!("cargo::rerun-if-env-changed={OBJECT_VARIABLE}");
    watch(&sources());
    match build(&out, &options) {
        Ok(built) => watch(&built.tools),
        Err(error @ BuildError::Missing { .. }) => {
            // A path that is never there: try again with every build, as the tools may come.
            println!(
                "cargo::rerun-if-changed={}",
                directory.join("missing").display()
            );
            println!(
                "cargo::warning=no eBPF fast path in this build, as {error}: run `cargo xtask setup`"
            );
            std::fs::write(&out, []).with_context(|| out.display().to_string())?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn watch(paths: &[PathBuf]) {
    for path in paths {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}
