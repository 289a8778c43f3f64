//! Calling cargo: building, and reading back what it built and what the workspace consists of.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::exit;
use crate::process::shown;

/// A target of a package: a library, a binary, an integration test, a benchmark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// The package it belongs to.
    pub package: String,
    /// The directory of that package.
    pub directory: PathBuf,
    /// `lib`, `bin`, `test`, `bench`, `custom-build`, …
    pub kind: String,
    /// Its name in the manifest.
    pub name: String,
}

/// Something that cargo built and that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// What it was built from.
    pub target: Target,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a test binary, not the thing itself.
    pub is_test: bool,
}

/// The cargo that runs us, in the root of the repository.
pub(crate) fn command(root: &Path, verb: &str) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.arg(verb).current_dir(root).stdin(Stdio::null());
    command
}

/// The targets of the workspace's packages.
pub(crate) fn targets(root: &Path) -> anyhow::Result<Vec<Target>> {
    Ok(array(&metadata(root)?["packages"])
        .iter()
        .flat_map(targets_of)
        .collect())
}

/// Where cargo builds.
pub(crate) fn target_directory(root: &Path) -> anyhow::Result<PathBuf> {
    Ok(text(&metadata(root)?["target_directory"]).into())
}

/// Runs a cargo build (or `test --no-run`), its messages on stderr, and returns what came out.
///
/// # Errors
/// Where cargo fails, after it has said why.
pub(crate) fn executables(command: &mut Command) -> anyhow::Result<Vec<Executable>> {
    command
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let line = shown(command);
    let mut child = command.spawn().with_context(|| format!("running {line}"))?;
    let mut built = Vec::new();
    for message in BufReader::new(child.stdout.take().context("cargo's stdout")?).lines() {
        built.extend(
            serde_json::from_str(&message?)
                .ok()
                .as_ref()
                .and_then(executable),
        );
    }
    if !exit::unless_interrupted(child.wait()?)?.success() {
        bail!("`{line}` failed");
    }
    Ok(built)
}

/// The path of the binary `name` among what was built.
pub(crate) fn binary(built: &[Executable], name: &str) -> anyhow::Result<PathBuf> {
    let found = built
        .iter()
        .find(|one| !one.is_test && one.target.kind == "bin" && one.target.name == name);
    found
        .map(|one| one.path.clone())
        .with_context(|| format!("cargo built no binary `{name}`"))
}

fn metadata(root: &Path) -> anyhow::Result<Value> {
    let mut command = command(root, "metadata");
    command.args(["--no-deps", "--format-version", "1"]);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed");
    }
    serde_json::from_slice(&output.stdout).context("reading cargo metadata")
}

fn targets_of(package: &Value) -> Vec<Target> {
    let directory = Path::new(text(&package["manifest_path"]))
        .parent()
        .unwrap_or(Path::new(""))
        .to_path_buf();
    array(&package["targets"])
        .iter()
        .map(|target| Target {
            package: text(&package["name"]).to_owned(),
            directory: directory.clone(),
            kind: text(&target["kind"][0]).to_owned(),
            name: text(&target["name"]).to_owned(),
        })
        .collect()
}

/// An artifact message's executable; none for other messages and for libraries.
fn executable(message: &Value) -> Option<Executable> {
    let path = PathBuf::from(message["executable"].as_str()?);
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let directory = manifest.parent()?.to_path_buf();
    let target = &message["target"];
    Some(Executable {
        target: Target {
            package: package_name(text(&message["package_id"])).to_owned(),
            directory,
            kind: text(&target["kind"][0]).to_owned(),
            name: text(&target["name"]).to_owned(),
        },
        path,
        is_test: message["profile"]["test"].as_bool().unwrap_or(false),
    })
}

/// The name in a package id: `path+file:///x/xtask#0.1.0` (named as its directory) or `path+file:///x/agent#sluice@0.1.0`.
fn package_name(id: &str) -> &str {
    let (url, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => url.rsplit('/').next().unwrap_or(url),
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{executable, package_name, targets};
    use crate::repo;

    #[test]
    fn package_ids_name_their_package() {
        assert_eq!(package_name("path+file:///x/xtask#0.1.0"), "xtask");
        assert_eq!(package_name("path+file:///x/agent#sluice@0.1.0"), "sluice");
    }

    #[test]
    fn only_artifacts_with_an_executable_are_executables() {
        let mut message = json!({
            "reason": "compiler-artifact", "package_id": "path+file:///x/agent#sluice@0.1.0",
            "manifest_path": "/x/agent/Cargo.toml", "target": {"kind": ["bin"], "name": "sluice"},
            "executable": "/x/target/debug/sluice",
        });
        let built = executable(&message).unwrap();
        assert_eq!(
            (built.target.kind.as_str(), built.target.name.as_str()),
            ("bin", "sluice")
        );
        assert_eq!(built.target.directory.to_str(), Some("/x/agent"));
        message["executable"] = json!(null);
        assert_eq!(executable(&message), None);
        assert_eq!(executable(&json!({"reason": "build-finished"})), None);
    }

    #[test]
    fn this_binary_is_a_target_of_the_workspace() {
        let all = targets(&repo::root()).unwrap();
        assert!(
            all.iter()
                .any(|target| target.package == "xtask" && target.kind == "bin"),
            "{all:?}"
        );
    }
}
