//! The agent's image: static, small, and the same whenever it is written.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use sluice_cluster::image::is_static;
use sluice_cluster::programs;

/// What `cargo xtask image` has made.
fn made() -> Result<(PathBuf, PathBuf)> {
    let target = programs::target()?;
    let triple = "x86_64-unknown-linux-musl";
    Ok((
        target.join(triple).join("release/sluice"),
        target.join("image/sluice-amd64.tar"),
    ))
}

#[test]
fn the_agent_needs_no_other_file_and_its_image_is_the_same_each_time() -> Result<()> {
    let (binary, archive) = made()?;
    if !binary.is_file() || !archive.is_file() {
        println!("skipped: there is no image; run cargo xtask image");
        return Ok(());
    }
    assert!(is_static(&binary)?);
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("elsewhere");
    fs::copy(&binary, &copy)?;
    let again = directory.path().join("again.tar");
    let output = Command::new(env!("CARGO_BIN_EXE_sluice-cluster"))
        .args([
            "pack",
            "--arch",
            "amd64",
            "--version",
            env!("CARGO_PKG_VERSION"),
        ])
        .arg("--binary")
        .arg(&copy)
        .arg("--to")
        .arg(&again)
        .output()
        .context("running sluice-cluster")?;
    assert!(output.status.success(), "{output:?}");
    assert!(
        fs::read(&archive)? == fs::read(&again)?,
        "two archives of one binary differ"
    );
    assert!(fs::metadata(&archive)?.len() < 25 << 20, "small");
    Ok(())
}
