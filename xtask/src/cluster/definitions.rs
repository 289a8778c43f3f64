//! The definitions of custom resources, as those publish them whose they are: the admin policies, and what the chart has
//! for the Prometheus operator. Out of the Go modules that carry them.
//!
//! Which versions is what the modules below `conformance/cluster/components` say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::components::{MODULES, pins};
use crate::process;

/// Definitions that are published together.
struct Release {
    /// The module below [`MODULES`] that says which version.
    module: &'static str,
    /// The Go module that carries them.
    published: &'static str,
    /// Its folders with them, and the folder that each is copied into.
    folders: &'static [(&'static str, &'static str)],
    group: &'static str,
    resources: &'static [&'static str],
}

const RELEASES: [Release; 3] = [
    admin(
        "v1alpha1",
        &["adminnetworkpolicies", "baselineadminnetworkpolicies"],
    ),
    admin("v1alpha2", &["clusternetworkpolicies"]),
    Release {
        module: "monitoring",
        published: "github.com/prometheus-operator/prometheus-operator",
        folders: &[("example/prometheus-operator-crd", "operator")],
        group: "monitoring.coreos.com",
        resources: &["podmonitors", "prometheusrules"],
    },
];

const fn admin(module: &'static str, resources: &'static [&'static str]) -> Release {
    Release {
        module,
        published: "sigs.k8s.io/network-policy-api",
        folders: &[
            ("config/crd/standard", "standard"),
            ("config/crd/experimental", "experimental"),
        ],
        group: "policy.networking.k8s.io",
        resources,
    }
}

/// Puts the definitions of these versions into `definitions/FOLDER/RESOURCE.GROUP.yaml` below `place`, unless they are there.
pub(super) fn fetch(root: &Path, place: &Path) -> anyhow::Result<()> {
    for release in RELEASES {
        let directory = root.join(MODULES).join(release.module);
        let pins = pins(&directory)?;
        let stamp = place.join("stamp").join(release.module);
        if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == pins) {
            continue;
        }
        let published = download(&directory, release.published)?;
        for (from, to) in release.folders {
            let target = place.join("definitions").join(to);
            release.copy(&published.join(from), &target)?;
        }
        fs::write(&stamp, pins).with_context(|| stamp.display().to_string())?;
    }
    Ok(())
}

impl Release {
    /// Copies what the files hold, and not that they are read-only, as everything in Go's cache is.
    fn copy(&self, from: &Path, to: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(to).with_context(|| to.display().to_string())?;
        let group = self.group;
        for resource in self.resources {
            let from = from.join(format!("{group}_{resource}.yaml"));
            let text = fs::read(&from).with_context(|| from.display().to_string())?;
            let to = to.join(format!("{resource}.{group}.yaml"));
            fs::write(&to, text).with_context(|| to.display().to_string())?;
        }
        Ok(())
    }
}

/// The directory of the module that a go.mod names, which Go checks by its go.sum.
fn download(directory: &Path, published: &str) -> anyhow::Result<PathBuf> {
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", published])
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
