//! What a run leaves: nothing.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::api::ApiError;
use super::names::RUN;
use super::site::Site;

/// How long the cluster may take to let go of namespaces.
const GONE: Duration = Duration::from_mins(2);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(300);

impl Site {
    /// Takes away everything with this run's label, and waits until it is gone. What goes wrong keeps nothing else.
    pub(super) async fn clean(&mut self) -> Result<()> {
        self.rooms.clear();
        let namespaces = "/api/v1/namespaces".to_owned();
        let collections: Vec<&String> = std::iter::once(&namespaces).chain(&self.admin).collect();
        let mut wrong = Vec::new();
        for collection in &collections {
            if let Err(error) = self.take_away(collection).await {
                wrong.push(format!("{error:#}"));
            }
        }
        if let Err(error) = self.await_gone(&namespaces).await {
            wrong.push(format!("{error:#}"));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("{}", left(wrong, &collections, &self.run))
    }

    /// The objects of a collection that are of this run.
    async fn own(&self, collection: &str) -> Result<Vec<Value>, ApiError> {
        let path = format!("{collection}?labelSelector={RUN}%3D{}", self.run);
        self.api.list(&path).await
    }

    async fn take_away(&self, collection: &str) -> Result<()> {
        let mut wrong = Vec::new();
        for object in self.own(collection).await? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{collection}/{name}");
            if let Err(error) = self.api.delete_one(&path, &object).await {
                wrong.push(format!("{path}: {error}"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("{}", wrong.join("; "))
    }

    async fn await_gone(&self, collection: &str) -> Result<()> {
        let deadline = Instant::now() + GONE;
        loop {
            let left = self.own(collection).await?.len();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{left} namespaces are there after {GONE:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What went wrong, each of it once, and how to take away what may be left.
fn left(mut wrong: Vec<String>, collections: &[&String], run: &str) -> String {
    // A server that has gone away says the same to every request.
    let mut said = HashSet::new();
    wrong.retain(|it| said.insert(it.clone()));
    let kinds = collections.iter();
    let kinds: Vec<&str> = kinds.filter_map(|it| it.rsplit('/').next()).collect();
    format!(
        "{}; what is left goes by: kubectl delete {} --selector {RUN}={run}",
        wrong.join("; "),
        kinds.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_is_said_once_with_the_way_to_take_away_what_is_left() {
        let wrong = ["no answer", "no answer", "x: refused"].map(str::to_owned);
        let collections = [
            "/api/v1/namespaces",
            "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",
        ];
        let collections = collections.map(str::to_owned);
        assert_eq!(
            left(wrong.into(), &collections.each_ref(), "0a1b2"),
            "no answer; x: refused; what is left goes by: kubectl delete namespaces,clusternetworkpolicies \
             --selector sluice-conformance/run=0a1b2"
        );
    }
}
