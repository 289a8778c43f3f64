//! What a run leaves: nothing.

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
        let mut wrong = Vec::new();
        for collection in std::iter::once(&namespaces).chain(&self.admin) {
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
        bail!("{}", wrong.join("; "))
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
