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
        let limit = Instant::now() + self.patience;
        loop {
            let why = match self.is_gone().await {
                Ok(true) => return Ok(()),
                Ok(false) => "it is still going".to_owned(),
                Err(error) if error.is_passing() => error.to_string(),
                Err(error) => {
                    return Err(error).with_context(|| format!("removing {}", self.path));
                }
            };
            if Instant::now() >= limit {
                let seconds = self.patience.as_secs();
                bail!("{} is not gone after {seconds} s: {why}", self.path);
            }
            sleep(LOOK).await;
        }
    }

    /// Whether it is gone; if it does not go yet, it does now.
    async fn is_gone(&self) -> Result<bool, ApiError> {
        let found = self.api.find(&self.path).await?;
        let found = found.filter(|it| it["metadata"]["uid"] == self.uid);
        let Some(found) = found else {
            return Ok(true);
        };
        if found["metadata"]["deletionTimestamp"].is_null() {
            let options = json!({"preconditions": {"uid": self.uid}});
            match self.api.delete(&self.path, &options).await {
                // One in its place, or one that is going by now: the next look tells.
                Err(ApiError::Refused { code: 409, .. }) => {}
                deleted => deleted?,
            }
        }
        Ok(false)
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
