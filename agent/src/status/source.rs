//! Where policies and pods come from, and how that stands.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sluice_api::{KindReport, Report};
use sluice_kubernetes::live::Kind;

/// The source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceState {
    /// `kubernetes` or `manifests`.
    pub kind: String,
    /// The URL of the Kubernetes API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// All of it was read once.
    pub synced: bool,
    /// It can be read right now; what was read last is enforced in any case.
    pub connected: bool,
    /// Unix time in seconds: since when it cannot.
    #[serde(default)]
    pub disconnected_since: Option<f64>,
    /// What is wrong, each once.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// What is read of the Kubernetes API.
    #[serde(default)]
    pub resources: Vec<ResourceState>,
}

/// The objects of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceState {
    /// `Pod`, `NetworkPolicy`.
    pub kind: String,
    /// Whether the API serves it.
    pub served: bool,
    /// All of them were read once.
    pub synced: bool,
    /// What the API said up to this version is enforced, on open connections too.
    pub resource_version: Option<String>,
    /// How many there are.
    pub objects: usize,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl SourceState {
    /// Files.
    pub(crate) fn of_manifests(synced: bool) -> Self {
        Self {
            kind: "manifests".into(),
            server: None,
            synced,
            connected: true,
            disconnected_since: None,
            troubles: Vec::new(),
            resources: Vec::new(),
        }
    }

    /// A Kubernetes API whose source is about to be started.
    pub(crate) fn of_no_api() -> Self {
        Self {
            kind: "kubernetes".into(),
            connected: false,
            ..Self::of_manifests(false)
        }
    }

    /// The Kubernetes API, and the versions that are enforced.
    pub(crate) fn of_api(report: &Report, versions: &BTreeMap<Kind, String>) -> Self {
        let resource = |it: &KindReport| ResourceState {
            kind: it.kind.name().into(),
            served: it.served,
            synced: it.synced,
            resource_version: versions.get(&it.kind).filter(|_| it.served).cloned(),
            objects: it.objects,
            trouble: it.trouble.clone(),
        };
        Self {
            kind: "kubernetes".into(),
            server: report.server.clone(),
            synced: report.synced,
            connected: report.disconnected.is_none(),
            disconnected_since: report.disconnected.map(unix_seconds),
            troubles: report.troubles.clone(),
            resources: report.kinds.iter().map(resource).collect(),
        }
    }

    /// With one more thing that is wrong, if it is.
    pub(crate) fn with_trouble(mut self, trouble: Option<String>) -> Self {
        self.troubles.extend(trouble);
        self
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
