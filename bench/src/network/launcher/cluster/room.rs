//! The namespace of a launch: made for it, and gone after it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Place;
use super::api::{Api, ApiError};
use super::objects::{self, MANAGER};

const NAMESPACES: &str = "/api/v1/namespaces";
/// A namespace takes a while to go, whatever patience there is with workers.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);
/// From one look at whether it is gone to the next.
const LOOK: Duration = Duration::from_millis(250);

/// A namespace that is ours.
pub(super) struct Room<'a> {
    api: &'a Api,
    path: String,
    uid: Value,
    patience: Duration,
}

impl<'a> Room<'a> {
    /// Makes the namespace. What an earlier launch left of it goes first.
    ///
    /// # Errors
    /// Where it is there and somebody else's.
    pub(super) async fn make(api: &'a Api, place: &Place, patience: Duration) -> Result<Self> {
        let name = &place.namespace;
        let object = objects::namespace(place);
        let room = |object: Value| Self {
            api,
            path: format!("{NAMESPACES}/{name}"),
            uid: object["metadata"]["uid"].clone(),
            patience: patience.max(LEAST_PATIENCE),
        };
        if let Some(made) = create(api, &object).await? {
            return Ok(room(made));
        }
        if let Some(found) = api.find(&format!("{NAMESPACES}/{name}")).await? {
            if found["metadata"]["labels"][MANAGER.0] != MANAGER.1 {
                bail!("there is a namespace {name} already, and no launcher has made it");
            }
            eprintln!("launcher: removing the namespace {name}, which an earlier launch has left");
            room(found).remove().await?;
        }
        let made = create(api, &object).await?;
        let made = made.with_context(|| format!("somebody else makes the namespace {name}"))?;
        Ok(room(made))
    }

    /// Of what is in it.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.path)
    }

    /// Takes it away with everything in it, and waits until it is gone.
    pub(super) async fn remove(&self) -> Result<()> {
        let options = json!({"preconditions": {"uid": self.uid}});
        let deleted = self.api.delete(&self.path, &options).await;
        match deleted {
            // One in its place, or one that is going already.
            Err(ApiError::Refused { code: 409, .. }) => {}
            other => other.with_context(|| format!("deleting {}", self.path))?,
        }
        let limit = Instant::now() + self.patience;
        while self.is_there().await? {
            if Instant::now() >= limit {
                bail!(
                    "{} is not gone after {} s, and still going",
                    self.path,
                    self.patience.as_secs()
                );
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn is_there(&self) -> Result<bool> {
        let found = self.api.find(&self.path).await?;
        Ok(found.is_some_and(|found| found["metadata"]["uid"] == self.uid))
    }
}

/// None where there is one of that name.
async fn create(api: &Api, object: &Value) -> Result<Option<Value>> {
    match api.create(NAMESPACES, object).await {
        Ok(made) => Ok(Some(made)),
        Err(ApiError::Refused { code: 409, .. }) => Ok(None),
        Err(error) => Err(error).context("making the namespace"),
    }
}
