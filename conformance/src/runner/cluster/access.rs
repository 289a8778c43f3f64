//! The way to a cluster: its kubeconfig, whether it answers, what one may do there, and what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::api::{Api, ApiError, chain};
use super::{ClusterError, ClusterOptions};

/// What the suite does in a cluster: verbs, and the resource with its group.
const NEEDED: &[(&[&str], &str, &str)] = &[
    (&["list"], "", "nodes"),
    (&["create", "delete", "patch", "list"], "", "namespaces"),
    (&["create", "delete", "get", "list", "patch"], "", "pods"),
    (&["get", "create"], "", "pods/exec"),
    (&["create", "delete", "patch"], "", "services"),
    (
        &["create", "delete", "patch"],
        "networking.k8s.io",
        "networkpolicies",
    ),
];
/// The same of cluster-scoped policies, without which their cases are left out.
const NEEDED_OF_ADMIN: &[&str] = &["create", "delete", "get", "list", "patch"];
/// By then a server that is there has said which version it is, tries and all.
const GREETING: Duration = Duration::from_secs(10);
/// The group of the cluster-scoped kinds.
const ADMIN: &str = "policy.networking.k8s.io";

/// A node that pods can be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RealNode {
    pub(super) name: String,
    pub(super) labels: Value,
    /// `status.addresses`, as they are.
    pub(super) addresses: Value,
}

/// What there is to find out about a cluster before anything is done there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Those that take pods first.
    pub(super) nodes: Vec<RealNode>,
    /// The resources of [`ADMIN`] that are served, `VERSION/RESOURCE`.
    pub(super) admin: BTreeSet<String>,
    /// Of those, what one may not do with them.
    pub(super) forbidden: BTreeMap<String, String>,
    /// Whether somebody has the one `BaselineAdminNetworkPolicy` that there can be.
    pub(super) has_baseline: bool,
}

pub(super) async fn connect(options: &ClusterOptions) -> Result<Api, ClusterError> {
    let wrong = |error: &dyn std::fmt::Display| {
        let what = options.kubeconfig.as_ref().map_or_else(
            || "the user's kubeconfig".to_owned(),
            |path| format!("--kubeconfig {}", path.display()),
        );
        ClusterError::Access(format!("{what}: {error}"))
    };
    let read = match &options.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let read = read.map_err(|error| wrong(&chain(&error)))?;
    let wanted = KubeConfigOptions {
        context: options.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(read, &wanted).await;
    let config = config.map_err(|error| wrong(&chain(&error)))?;
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| wrong(&chain(&error)))?;
    let api = Api::new(client);
    let greeted = tokio::time::timeout(GREETING, api.get("/version")).await;
    let greeted = greeted.unwrap_or_else(|_elapsed| {
        let message = format!("/version: no answer in {GREETING:?}");
        Err(ApiError::Lost(message))
    });
    match greeted {
        Ok(_) => Ok(api),
        Err(error) => Err(ClusterError::Access(format!("{url}: {error}"))),
    }
}

/// Whether one may do all that is needed; the first verb and resource that one may not.
pub(super) async fn review(api: &Api) -> Result<(), ClusterError> {
    let mut asked = JoinSet::new();
    for (verbs, group, resource) in NEEDED {
        for verb in *verbs {
            let api = api.clone();
            asked.spawn(async move { may(&api, verb, group, resource).await });
        }
    }
    let mut missing: Vec<String> = Vec::new();
    for answer in asked.join_all().await {
        missing.extend(answer.map_err(|error| ClusterError::Access(error.to_string()))?);
    }
    missing.sort();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ClusterError::Access(format!(
        "no permission to {}, in all namespaces",
        missing.join(", ")
    )))
}

/// What one may not.
async fn may(
    api: &Api,
    verb: &str,
    group: &str,
    resource: &str,
) -> Result<Option<String>, ApiError> {
    let (name, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "verb": verb, "group": group, "resource": name, "subresource": subresource,
        }},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = api.create(path, &review).await?;
    let is_allowed = answer["status"]["allowed"] == true;
    Ok((!is_allowed).then(|| format!("{verb} {resource}")))
}

pub(super) async fn look(api: &Api) -> Result<Found, ClusterError> {
    let failed = |error: ApiError| ClusterError::Access(error.to_string());
    let nodes = api.list("/api/v1/nodes").await.map_err(failed)?;
    let nodes = usable(&nodes);
    if nodes.is_empty() {
        return Err(ClusterError::Lacks(
            "no node of Linux that is ready and takes pods".to_owned(),
        ));
    }
    let mut admin = BTreeSet::new();
    for version in ["v1alpha1", "v1alpha2"] {
        let discovered = api.get(&format!("/apis/{ADMIN}/{version}")).await;
        let served = served(discovered).map_err(failed)?;
        admin.extend(served.iter().map(|name| format!("{version}/{name}")));
    }
    let baseline = format!("/apis/{ADMIN}/v1alpha1/baselineadminnetworkpolicies/default");
    let has_baseline = !is_missing(&api.get(&baseline).await);
    let forbidden = forbidden(api, &admin).await.map_err(failed)?;
    Ok(Found {
        nodes,
        admin,
        forbidden,
        has_baseline,
    })
}

/// Whether the server says that there is no such thing. Where nobody can tell, it is there.
fn is_missing<T>(answer: &Result<T, ApiError>) -> bool {
    let refusal = answer.as_ref().err().and_then(ApiError::refusal);
    refusal.is_some_and(|it| it.code == 404)
}

/// The resources that discovery lists of a version; none of one that is not served.
fn served(discovered: Result<Value, ApiError>) -> Result<Vec<String>, ApiError> {
    if is_missing(&discovered) {
        return Ok(Vec::new());
    }
    let listed = discovered?;
    let Some(resources) = listed["resources"].as_array() else {
        let message = format!("/apis/{ADMIN}: no list of resources");
        return Err(ApiError::Lost(message));
    };
    let names = resources.iter();
    let names = names.filter_map(|it| it["name"].as_str().map(str::to_owned));
    Ok(names.collect())
}

/// What one may not do with cluster-scoped policies, by their resource.
async fn forbidden(
    api: &Api,
    admin: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut all = BTreeMap::new();
    let policies = admin.iter().filter(|it| it.ends_with("networkpolicies"));
    for served in policies {
        let resource = served.split_once('/').map_or("", |(_, resource)| resource);
        let mut missing = Vec::new();
        for verb in NEEDED_OF_ADMIN {
            missing.extend(may(api, verb, ADMIN, resource).await?);
        }
        if !missing.is_empty() {
            all.insert(served.clone(), missing.join(", "));
        }
    }
    Ok(all)
}

/// Whether it can run the pods of the suite at all, which are of Linux; a virtual node has no kubelet of its own.
fn is_fit(node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let os = labels["kubernetes.io/os"].as_str().unwrap_or("linux");
    let is_virtual = labels["type"] == "virtual-kubelet";
    os == "linux" && !is_virtual && node["spec"]["unschedulable"] != true
}

/// The nodes of one architecture, as an image may have one alone: this machine's, for which images are built here, if
/// there is a node of it.
fn of_one_architecture(mut nodes: Vec<&Value>) -> Vec<&Value> {
    let own = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let of = |node: &Value| node["metadata"]["labels"]["kubernetes.io/arch"].clone();
    let is_own = |node: &&Value| of(node) == own;
    let first = nodes
        .iter()
        .copied()
        .find(|node| is_own(node))
        .or(nodes.first().copied());
    if let Some(wanted) = first.map(of) {
        nodes.retain(|node| of(node) == wanted);
    }
    nodes
}

/// Nodes that are ready and take pods of the suite; those without taints first, then by name.
fn usable(nodes: &[Value]) -> Vec<RealNode> {
    let is_ready = |node: &&Value| {
        let conditions = node["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
    };
    let is_shut = |node: &Value| {
        node["spec"]["taints"].as_array().is_some_and(|taints| {
            taints
                .iter()
                .any(|it| it["effect"] == "NoSchedule" || it["effect"] == "NoExecute")
        })
    };
    let one = |node: &Value| {
        let metadata = &node["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        let real = RealNode {
            name,
            labels: metadata["labels"].clone(),
            addresses: node["status"]["addresses"].clone(),
        };
        (is_shut(node), real)
    };
    let fit = nodes.iter().filter(is_ready).filter(|it| is_fit(it));
    let fit = of_one_architecture(fit.collect()).into_iter();
    let mut found: Vec<_> = fit.map(one).collect();
    found.sort_by(|(shut, one), (other_shut, other)| {
        (shut, &one.name).cmp(&(other_shut, &other.name))
    });
    found.into_iter().map(|(_, node)| node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::cluster::api::Refusal;

    fn refused(code: u16) -> ApiError {
        ApiError::Refused(Refusal {
            code,
            message: String::new(),
            fields: Vec::new(),
        })
    }

    #[test]
    fn a_discovery_that_fails_is_not_taken_for_what_is_not_served() {
        let listed = json!({"resources": [{"name": "a"}, {"name": "a/status"}]});
        assert_eq!(
            served(Ok(listed)),
            Ok(vec!["a".to_owned(), "a/status".to_owned()])
        );
        assert_eq!(served(Err(refused(404))), Ok(Vec::new()));
        for odd in [json!([]), json!({}), json!({"resources": 1})] {
            assert!(served(Ok(odd)).is_err());
        }
        for error in [
            refused(403),
            refused(503),
            ApiError::Lost("no answer".to_owned()),
        ] {
            assert_eq!(served(Err(error.clone())), Err(error.clone()));
            assert!(!is_missing::<()>(&Err(error)));
        }
        assert!(is_missing::<()>(&Err(refused(404))));
    }

    #[test]
    fn nodes_that_take_pods_come_first() {
        let node = |name: &str, ready: &str, taints: Value| {
            json!({
                "metadata": {"name": name}, "spec": {"taints": taints},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let control = json!([{"key": "control", "effect": "NoSchedule"}]);
        let nodes = [
            node("a", "True", control),
            node("c", "True", Value::Null),
            node("b", "True", json!([{"effect": "PreferNoSchedule"}])),
            node("d", "False", Value::Null),
        ];
        let names: Vec<String> = usable(&nodes).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["b", "c", "a"]);
    }

    #[test]
    fn nodes_that_cannot_run_the_pods_are_left_out() {
        let node = |name: &str, label: (&str, &str), unschedulable: bool| {
            let mut labels = serde_json::Map::new();
            labels.insert("kubernetes.io/arch".to_owned(), json!("riscv64"));
            labels.insert(label.0.to_owned(), json!(label.1));
            json!({
                "metadata": {"name": name, "labels": labels}, "spec": {"unschedulable": unschedulable},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            })
        };
        let os = |name| ("kubernetes.io/os", name);
        let nodes = [
            node("windows", os("windows"), false),
            node("virtual", ("type", "virtual-kubelet"), false),
            node("cordoned", os("linux"), true),
            node("plain", os("linux"), false),
            node("other", ("kubernetes.io/arch", "s390x"), false),
        ];
        let names: Vec<String> = usable(&nodes).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["plain"]);
    }
}
