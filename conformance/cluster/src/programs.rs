//! Where the programs of a cluster are: Kubernetes' own beside what cargo builds, the rest where Debian puts it.
//!
//! `cargo xtask cluster` builds the former; nothing is built or fetched here.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::definitions::{self, Channel};

/// Names another directory of Kubernetes' programs.
pub const DIRECTORY: &str = "SLUICE_KUBERNETES";
/// What cargo puts into the directory that it builds into.
const CACHE_TAG: &str = "CACHEDIR.TAG";
/// Where the network plugins of Debian are.
pub(crate) const PLUGINS: &str = "/usr/lib/cni";

/// The programs that are built from `conformance/cluster/components`.
pub const BUILT: [&str; 9] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "agnhost",
    "helm",
];

/// The directory that cargo builds into, seen from this executable.
pub fn target() -> Result<PathBuf> {
    let this = env::current_exe().context("the path of this program")?;
    let found = this.ancestors().find(|path| path.join(CACHE_TAG).is_file());
    Ok(found
        .with_context(|| format!("{}: not below a target directory", this.display()))?
        .to_path_buf())
}

/// The directory of Kubernetes' programs.
pub fn directory() -> Result<PathBuf> {
    match env::var_os(DIRECTORY) {
        Some(path) => Ok(path.into()),
        None => Ok(target()?.join("kubernetes/bin")),
    }
}

/// A program that is built.
///
/// # Errors
/// Names it, and the command that builds it.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    ensure!(
        path.is_file(),
        "{}: not built yet; run cargo xtask cluster build",
        path.display()
    );
    Ok(path)
}

/// The archive of the agent's image, where `cargo xtask image` has written it.
pub fn agent_image() -> Result<Option<PathBuf>> {
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let path = target()?.join(format!("image/sluice-{architecture}.tar"));
    Ok(path.is_file().then_some(path))
}

/// The directory of the chart.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm/sluice")
}

/// Why no API server can be started here; none where it can.
pub fn why_no_control_plane() -> Option<String> {
    missing(&["etcd", "kube-apiserver", "kubectl"], &[])
}

/// Why no cluster can be started here; none where it can.
pub fn why_no_cluster() -> Option<String> {
    missing(&BUILT, &["containerd", "runc", "nft", "conntrack"])
        .or_else(|| {
            let plugin = Path::new(PLUGINS).join("ptp");
            (!plugin.exists()).then(|| format!("{} is missing", plugin.display()))
        })
        .or_else(|| why_not_there(&target().ok()?))
}

/// Why the directories of nodes cannot be below this one: they are mounted over with copies of their own, or
/// containerd could not stack overlays in them.
fn why_not_there(target: &Path) -> Option<String> {
    const OVERLAYFS: u64 = 0x794c_7630;
    let hidden = ["/etc", "/var", "/opt", "/run"];
    let is_hidden = hidden.iter().any(|top| target.starts_with(top));
    let kind = rustix::fs::statfs(target).ok()?.f_type;
    let is_overlay = u64::try_from(kind).is_ok_and(|kind| kind == OVERLAYFS);
    let reason = match (is_hidden, is_overlay) {
        (true, _) => "nodes have their own /etc, /var, /opt and /run",
        (_, true) => "it is on an overlay, on which containerd cannot stack its own",
        _ => return None,
    };
    let target = target.display();
    Some(format!(
        "{target}: {reason}; set CARGO_TARGET_DIR to another directory"
    ))
}

fn missing(kubernetes: &[&str], others: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a cluster needs root".to_owned());
    }
    let lacks = |name: &&&str| !is_on_path(name);
    if let Some(name) = others.iter().find(lacks) {
        return Some(format!(
            "{name} is not installed; run cargo xtask setup cluster"
        ));
    }
    let definitions = definitions::RESOURCES.map(|name| Channel::Experimental.definition(name));
    kubernetes
        .iter()
        .map(|name| built(name))
        .chain(definitions)
        .find_map(Result::err)
        .map(|error| error.to_string())
}

/// Whether the components would find it.
fn is_on_path(name: &str) -> bool {
    [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ]
    .iter()
    .any(|directory| Path::new(directory).join(name).is_file())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::why_not_there;

    #[test]
    fn a_checkout_that_nodes_would_hide_is_refused() {
        for (path, refused) in [("/etc", true), ("/var", true), ("/dev/shm", false)] {
            assert_eq!(why_not_there(Path::new(path)).is_some(), refused, "{path}");
        }
    }
}
