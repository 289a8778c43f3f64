//! An image of the program that is tested, for a cluster: as `cargo xtask image` makes one of a release build, which
//! takes minutes, but with the libraries of this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sluice_cluster::image::{Entry, Image, with_libraries};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sluice-bench");

/// Writes an image `tag` to `archive`: the program, which has more names, and tools that it runs. It starts with the first
/// of the names.
pub(crate) fn pack(tag: &str, names: &[&str], tools: Vec<PathBuf>, archive: &Path) -> Result<()> {
    let mut files = vec![("sluice-bench".to_owned(), PathBuf::from(PROGRAM))];
    for tool in tools {
        let name = tool.file_name().context("a tool without a name")?;
        files.push((format!("usr/bin/{}", name.to_string_lossy()), tool));
    }
    let mut entries = with_libraries(&files)?;
    let link = |name: &&str| Entry::Link((*name).to_owned(), "/sluice-bench".to_owned());
    entries.extend(names.iter().map(link));
    let arch = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let first = names.first().context("no name")?;
    let image = Image {
        tags: vec![tag.to_owned()],
        architecture: arch.to_owned(),
        entrypoint: vec![format!("/{first}")],
        entries,
        ..Image::default()
    };
    image.write(archive).map(drop)
}
