//! Where the repository is, and which files it is made of.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The root of the checkout that this task was started in.
///
/// Asked of the environment first: with a target directory shared by several checkouts, the binary may have been
/// compiled in another one.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or(package.clone(), Path::to_path_buf)
}

/// The files of the checkout that git tracks or would track, relative to the root, in order.
pub(crate) fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = from_git(root)
        .or_else(|| from_disk(root))
        .context("listing the files of the repository")?;
    let mut files: Vec<_> = listed
        .into_iter()
        .filter(|file| root.join(file).is_file())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// None where there is no git, or none that trusts this checkout.
fn from_git(root: &Path) -> Option<Vec<PathBuf>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_terminator('\0').map(PathBuf::from).collect())
}

/// Every file below `root` but those in `.git` and `target`: for a source archive without a git directory.
fn from_disk(root: &Path) -> Option<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).ok()?.flatten() {
            let path = entry.path();
            if !path.is_dir() {
                files.push(path.strip_prefix(root).ok()?.to_path_buf());
            } else if !matches!(entry.file_name().to_str(), Some(".git" | "target")) {
                todo.push(path);
            }
        }
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{from_disk, from_git, root};

    #[test]
    fn the_root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"), "{manifest}");
    }

    #[test]
    fn without_git_the_same_sources_are_found() {
        let this = PathBuf::from("xtask/src/repo.rs");
        let disk = from_disk(&root()).unwrap();
        assert!(disk.contains(&this), "{disk:?}");
        assert!(
            !disk
                .iter()
                .any(|file| file.starts_with("target") || file.starts_with(".git/")),
            "{disk:?}"
        );
        if let Some(git) = from_git(&root()) {
            assert!(git.contains(&this), "{git:?}");
        }
        assert_eq!(from_disk(Path::new("/nonexistent")), None);
    }
}
