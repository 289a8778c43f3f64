//! Building Kubernetes' programs from Go modules: once, and again only where the versions have changed.
//!
//! Which programs and versions is what the modules below `conformance/cluster/components` say.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{FlockOperation, flock};

use super::definitions;
use crate::process;

pub(super) const MODULES: &str = "conformance/cluster/components";
/// What says which versions are built; the stamp of a program is what they contained.
const PINS: [&str; 2] = ["go.mod", "go.sum"];

/// A program: its name and package, the module below [`MODULES`] that pins it, and the module that gives it its version.
struct Program {
    name: &'static str,
    package: &'static str,
    module: &'static str,
    version_of: &'static str,
}

const KUBERNETES: &str = "k8s.io/kubernetes";
/// Of the version that the API server is made for: older ones cannot say how far a watch has come, which streaming lists need.
const ETCD: &str = "go.etcd.io/etcd/server/v3";
const HELM: &str = "helm.sh/helm/v3";
/// No part of a cluster: the network between nodes is measured with it.
pub(crate) const FORTIO: &str = "fortio";

/// In the order in which they are built: what is enough for an API server comes first.
const PROGRAMS: [Program; 10] = [
    Program {
        name: "etcd",
        package: ETCD,
        module: "",
        version_of: ETCD,
    },
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    kubernetes("agnhost", "k8s.io/kubernetes/test/images/agnhost"),
    Program {
        name: "helm",
        package: "helm.sh/helm/v3/cmd/helm",
        module: "helm",
        version_of: HELM,
    },
    Program {
        name: FORTIO,
        package: "fortio.org/fortio",
        module: FORTIO,
        version_of: "fortio.org/fortio",
    },
];

const fn kubernetes(name: &'static str, package: &'static str) -> Program {
    Program {
        name,
        package,
        module: "",
        version_of: KUBERNETES,
    }
}

/// Builds what is not built yet, of these versions, into `kubernetes/bin` of the target directory: everything, or this
/// program alone.
pub(super) fn build(root: &Path, target: &Path, only: Option<&str>) -> anyhow::Result<()> {
    let place = target.join("kubernetes");
    for directory in ["bin", "stamp"] {
        fs::create_dir_all(place.join(directory)).with_context(|| place.display().to_string())?;
    }
    let lock = File::create(place.join("lock")).context("the lock of kubernetes/bin")?;
    flock(&lock, FlockOperation::LockExclusive).context("waiting for another build")?;
    if only.is_none() {
        definitions::fetch(root, &place)?;
    }
    let mut pending = pending(root, &place)?;
    pending.retain(|program| only.is_none_or(|name| program.name == name));
    let count = pending.len();
    for (position, program) in pending.into_iter().enumerate() {
        let start = Instant::now();
        eprintln!(
            "building {} ({} of {count}; once, the first takes minutes)",
            program.name,
            position + 1
        );
        program.build(root, &place)?;
        eprintln!(
            "  {} in {:.0} s",
            program.name,
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// What is not there, or of other versions.
fn pending(root: &Path, place: &Path) -> anyhow::Result<Vec<&'static Program>> {
    let mut pending = Vec::new();
    for program in &PROGRAMS {
        let stamp = fs::read_to_string(program.stamp(place)).unwrap_or_default();
        if stamp != program.pins(root)? || !program.binary(place).is_file() {
            pending.push(program);
        }
    }
    Ok(pending)
}

impl Program {
    fn binary(&self, place: &Path) -> PathBuf {
        place.join("bin").join(self.name)
    }

    fn stamp(&self, place: &Path) -> PathBuf {
        place.join("stamp").join(self.name)
    }

    fn directory(&self, root: &Path) -> PathBuf {
        root.join(MODULES).join(self.module)
    }

    /// What says which versions it is built of.
    fn pins(&self, root: &Path) -> anyhow::Result<String> {
        pins(&self.directory(root))
    }

    /// Builds it beside its place first: one that is cut short must not look built.
    fn build(&self, root: &Path, place: &Path) -> anyhow::Result<()> {
        let pins = self.pins(root)?;
        let version = version(&pins, self.version_of)
            .with_context(|| format!("{}: no version of {}", MODULES, self.version_of))?;
        let binary = self.binary(place);
        let part = binary.with_extension("part");
        let mut go = Command::new("go");
        go.args(["build", "-mod=readonly", "-trimpath", "-ldflags"])
            .arg(stamps(version))
            .arg("-o")
            .arg(&part)
            .arg(self.package)
            .current_dir(self.directory(root))
            .envs([("CGO_ENABLED", "0"), ("GOFLAGS", ""), ("GOWORK", "off")]);
        if !process::run(&mut go)?.success() {
            bail!("building {} failed", self.name);
        }
        fs::rename(&part, &binary).with_context(|| binary.display().to_string())?;
        fs::write(self.stamp(place), pins).context("its stamp")
    }
}

/// What says which versions a module requires.
pub(super) fn pins(directory: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in PINS {
        let path = directory.join(file);
        text += &fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    }
    Ok(text)
}

/// The version that a go.mod requires of `module`.
fn version<'a>(pins: &'a str, module: &str) -> Option<&'a str> {
    pins.lines()
        .filter_map(|line| {
            let line = line.trim();
            let line = line.strip_prefix("require ").unwrap_or(line);
            line.strip_prefix(module)?.trim().split(' ').next()
        })
        .find(|version| version.starts_with('v'))
}

/// Without these the programs would not know which version they are, and helm's charts ask.
fn stamps(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let base = "k8s.io/component-base/version";
    let own = "helm.sh/helm/v3/internal/version";
    format!(
        "-s -w -X {base}.gitVersion={version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion={version} -X {own}.version={version}"
    )
}

/// Whether the Go that is on the path can build them.
///
/// # Errors
/// What it is instead.
pub(crate) fn check_go() -> anyhow::Result<()> {
    let version = process::output_of(Command::new("go").args(["env", "GOVERSION"]));
    let version = version.context("there is no go")?;
    let numbers: Vec<u32> = version
        .trim_start_matches("go")
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect();
    ensure!(numbers >= vec![1, 25], "go is {version}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{KUBERNETES, PROGRAMS, stamps, version};
    use crate::repo;

    #[test]
    fn every_program_has_a_version_in_its_module() {
        for program in &PROGRAMS {
            let pins = program.pins(&repo::root()).unwrap();
            assert!(
                version(&pins, program.version_of).is_some(),
                "{}",
                program.name
            );
        }
    }

    #[test]
    fn versions_are_read_from_either_form() {
        for (text, found) in [
            ("require k8s.io/kubernetes v1.35.4\n", Some("v1.35.4")),
            (
                "require (\n\tk8s.io/kubernetes v1.2.3 // x\n)",
                Some("v1.2.3"),
            ),
            ("\tk8s.io/kubernetes-x v1.2.3\n", None),
        ] {
            assert_eq!(version(text, KUBERNETES), found, "{text}");
        }
    }

    #[test]
    fn a_program_is_told_its_version() {
        let stamps = stamps("v1.35.4");
        assert!(
            stamps.contains("gitMajor=1 ") && stamps.contains("gitMinor=35 "),
            "{stamps}"
        );
    }
}
