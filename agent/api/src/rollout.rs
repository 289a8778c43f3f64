//! Whether a `DaemonSet` has a ready pod on each of its nodes, which the chart's hooks wait for. It asks again and again
//! rather than to watch: whoever waits has the right to see that one object alone.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use http::Request;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::access::{Access, AccessError};
use crate::hub::collect;
use crate::trouble::Trouble;

/// How often it asks.
const EVERY: Duration = Duration::from_millis(500);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// What it asks for, as errors call it.
const RESOURCE: &str = "daemonsets";

/// How far a `DaemonSet` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The nodes that shall have a pod.
    pub nodes: u32,
    /// Those that have a ready one.
    pub ready: u32,
    /// Whether these numbers are about what was asked for last, and no pod is of an older kind.
    pub current: bool,
}

/// Why not every node has a ready pod.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// There is no way to any API.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No runtime.
    #[error("runtime: {0}")]
    Runtime(#[from] io::Error),
    /// It took too long; how it stands, or why nobody knows.
    #[error("{0}")]
    Late(String),
}

impl Progress {
    /// Whether there is nothing to wait for.
    pub const fn is_done(self) -> bool {
        self.current && self.ready >= self.nodes
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} nodes ready", self.ready, self.nodes)?;
        if !self.current {
            f.write_str(", not all of them current")?;
        }
        Ok(())
    }
}

/// Waits until `namespace/name` has a ready pod on each of its nodes, and tells `progress` of each change.
///
/// # Errors
/// Where that takes longer than `limit`, or there is no API to ask.
pub fn wait(
    kubeconfig: Option<&Path>,
    (namespace, name): (&str, &str),
    limit: Duration,
    mut progress: impl FnMut(Progress),
) -> Result<(), RolloutError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_server, client) = Access::find(kubeconfig)?.client().await?;
        let path = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}");
        let started = Instant::now();
        let mut last = None;
        loop {
            let seen = ask(&client, &path).await;
            match &seen {
                Ok(now) if now.is_done() => return Ok(()),
                Ok(now) if last != Some(*now) => progress(*now),
                _ => {}
            }
            if started.elapsed() >= limit {
                return Err(RolloutError::Late(match &seen {
                    Ok(now) => now.to_string(),
                    Err(trouble) => trouble.to_string(),
                }));
            }
            last = seen.ok().or(last);
            sleep(EVERY).await;
        }
    })
}

async fn ask(client: &Client, path: &str) -> Result<Progress, Trouble> {
    let request = Request::get(path)
        .header(http::header::ACCEPT, "application/json")
        .body(Body::empty())
        .map_err(|error| Trouble::Unreadable(error.to_string()))?;
    let answer = async {
        let answer = client.clone().send(request).await;
        let (head, body) = answer
            .map_err(|error| Trouble::from_failure(&error))?
            .into_parts();
        let bytes = collect(body).await?;
        if !head.status.is_success() {
            return Err(Trouble::from_answer(
                head.status,
                &head.headers,
                &bytes,
                RESOURCE,
            ));
        }
        read(&bytes)
    };
    let answer = timeout(ANSWER, answer).await;
    answer.map_err(|_elapsed| Trouble::Silent(ANSWER.as_secs()))?
}

#[derive(Deserialize)]
struct DaemonSet {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    generation: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    update_strategy: Strategy,
}

#[derive(Default, Deserialize)]
struct Strategy {
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: u64,
    desired_number_scheduled: u32,
    updated_number_scheduled: u32,
    number_ready: u32,
}

fn read(json: &[u8]) -> Result<Progress, Trouble> {
    let DaemonSet {
        metadata,
        spec,
        status,
    } = serde_json::from_slice(json).map_err(|error| Trouble::Unreadable(error.to_string()))?;
    // With this strategy pods are of the older kind until somebody deletes them.
    let may_lag = spec.update_strategy.kind == "OnDelete";
    let updated = status.updated_number_scheduled >= status.desired_number_scheduled;
    Ok(Progress {
        nodes: status.desired_number_scheduled,
        ready: status.number_ready,
        current: status.observed_generation >= metadata.generation && (updated || may_lag),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_once_every_node_has_a_ready_pod_of_the_newest_kind() {
        for (strategy, generation, status, done) in [
            // Nobody has looked at it yet.
            ("RollingUpdate", 1, r"{}", false),
            (
                "RollingUpdate",
                1,
                r#"{"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberReady": 1}"#,
                false,
            ),
            (
                "RollingUpdate",
                1,
                r#"{"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberReady": 2}"#,
                true,
            ),
            // It is for no node.
            ("RollingUpdate", 1, r#"{"observedGeneration": 1}"#, true),
            (
                "RollingUpdate",
                2,
                r#"{"observedGeneration": 1, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberReady": 2}"#,
                false,
            ),
            (
                "RollingUpdate",
                2,
                r#"{"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1, "numberReady": 2}"#,
                false,
            ),
            (
                "OnDelete",
                2,
                r#"{"observedGeneration": 2, "desiredNumberScheduled": 2, "numberReady": 2}"#,
                true,
            ),
        ] {
            let json = format!(
                r#"{{"metadata": {{"generation": {generation}}},
                     "spec": {{"updateStrategy": {{"type": "{strategy}"}}}}, "status": {status}}}"#
            );
            let progress = read(json.as_bytes()).unwrap();
            assert_eq!(progress.is_done(), done, "{json}: {progress}");
        }
    }
}
