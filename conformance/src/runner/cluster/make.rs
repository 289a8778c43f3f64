//! Objects that can only be made or be gone a while after one has asked for it.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde_json::Value;

use super::api::{Api, Refusal};

/// By then pods are ready, and what was taken away is gone.
pub(super) const LIMIT: Duration = Duration::from_mins(2);
/// How often is looked.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Makes a namespace, once an earlier one of the name is gone.
pub(super) async fn make_namespace(api: &Api, path: &str, manifest: &Value) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match api.create(path, manifest).await {
            Ok(_) => return Ok(()),
            Err(error) if is_conflict(error.refusal()) && Instant::now() < deadline => {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => {
                let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
                return Err(anyhow!(error).context(format!("Namespace {name}")));
            }
        }
    }
}

/// Makes a pod, once its namespace has what pods need.
pub(super) async fn make_pod(api: &Api, path: &str, manifest: &Value) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match api.create(path, manifest).await {
            Ok(_) => return Ok(()),
            Err(error) => {
                // The account of a new namespace comes a moment later.
                let is_early = error
                    .refusal()
                    .is_some_and(|it| it.code == 403 && it.message.contains("serviceaccount"));
                if !is_early && !is_conflict(error.refusal()) || Instant::now() > deadline {
                    return Err(anyhow!(error));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

fn is_conflict(refusal: Option<&Refusal>) -> bool {
    refusal.is_some_and(|it| it.code == 409)
}

pub(super) async fn await_gone(api: &Api, path: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match api.get(path).await {
            Err(error) if error.refusal().is_some_and(|it| it.code == 404) => return Ok(()),
            Err(error) => return Err(anyhow!(error)),
            Ok(_) if Instant::now() > deadline => bail!("{path}: there after {LIMIT:?}"),
            Ok(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
