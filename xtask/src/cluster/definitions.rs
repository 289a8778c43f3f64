//! The definitions of the admin policies' kinds, as their group publishes them, out of the Go modules that carry them.
//!
//! Which versions is what the modules below `conformance/cluster/components` say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::components::{MODULES, pins};
use crate::process;

/// The Go module that carries them.
const PUBLISHED: &str = "sigs.k8s.io/network-policy-api";
const GROUP: &str = "policy.networking.k8s.io";
/// The folders of the published files, and of what is made of them.
const CHANNELS: [&str; 2] = ["standard", "experimental"];
/// The modules below [`MODULES`], and the resources that each defines.
const RELEASES: [(&str, &[&str]); 2] = [
    (
        "v1alpha1",
        &["adminnetworkpolicies", "baselineadminnetworkpolicies"],
    ),
    ("v1alpha2", &["clusternetworkpolicies"]),
];

/// Puts the definitions of these versions into `definitions/CHANNEL/RESOURCE.GROUP.yaml` below `place`, unless they are there.
pub(super) fn fetch(root: &Path, place: &Path) -> anyhow::Result<()> {
    for (module, resources) in RELEASES {
        let directory = root.join(MODULES).join(module);
        let pins = pins(&directory)?;
        let stamp = place.join("stamp").join(module);
        if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == pins) {
            continue;
        }
        let published = download(&directory)?.join("config/crd");
        for channel in CHANNELS {
            let target = place.join("definitions").join(channel);
            copy(&published.join(channel), &target, resources)?;
        }
        fs::write(&stamp, pins).with_context(|| stamp.display().to_string())?;
    }
    Ok(())
}

/// Copies what they hold, and not that they are read-only, as everything in Go's cache is.
fn copy(from: &Path, to: &Path, resources: &[&str]) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for resource in resources {
        let from = from.join(format!("{GROUP}_{resource}.yaml"));
        let text = fs::read(&from).with_context(|| from.display().to_string())?;
        let to = to.join(format!("{resource}.{GROUP}.yaml"));
        fs::write(&to, text).with_context(|| to.display().to_string())?;
    }
    Ok(())
}

/// The directory of the module that a go.mod names, which Go checks by its go.sum.
fn download(directory: &Path) -> anyhow::Result<PathBuf> {
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", PUBLISHED])
        .current_dir(directory)
        .envs([("GOFLAGS", ""), ("GOWORK", "off")]);
    let what = format!("{} in {}", process::shown(&go), directory.display());
    let said = go.output().with_context(|| what.clone())?;
    let answer: Value = serde_json::from_slice(&said.stdout)
        .with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())
        .with_context(|| what.clone())?;
    match (&answer["Dir"], &answer["Error"]) {
        (Value::String(found), Value::Null) => Ok(found.into()),
        (_, error) => bail!("{what}: {error}"),
    }
}
