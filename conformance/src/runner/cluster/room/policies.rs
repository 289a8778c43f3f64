//! Policies of a room.

use anyhow::{Result, anyhow};

use super::Room;
use crate::case::{Object, ObjectName};
use crate::runner::cluster::api::ApiError;

/// A policy that the API server does not take.
#[derive(Debug)]
pub(in crate::runner::cluster) struct RefusedPolicy {
    pub(in crate::runner::cluster) name: ObjectName,
    message: String,
}

impl std::fmt::Display for RefusedPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the API server refuses {}: {}", self.name, self.message)
    }
}

impl std::error::Error for RefusedPolicy {}

impl Room {
    pub(super) async fn show_policy(&mut self, object: &Object) -> Result<()> {
        if self.is_made(object) {
            return Ok(());
        }
        let name = object.name().clone();
        // Recorded first: what becomes of a request that got lost is not known.
        let before = self.made.insert(name.clone(), object.clone());
        let Err(error) = self.put_policy(object).await else {
            return Ok(());
        };
        match error.refusal() {
            // Bad Request and Unprocessable Entity: the others are about who asks, and when.
            Some(refusal) if matches!(refusal.code, 400 | 422) => {
                // What there was before is there still.
                match before {
                    Some(before) => self.made.insert(name.clone(), before),
                    None => self.made.remove(&name),
                };
                let message = refusal.message.clone();
                Err(RefusedPolicy { name, message }.into())
            }
            _ => Err(anyhow!(error).context(name.to_string())),
        }
    }

    /// Policies of the cluster may be another's, and are left alone then.
    async fn put_policy(&self, object: &Object) -> Result<(), ApiError> {
        let manifest = self.names.policy(object);
        if object.name().namespace.is_empty() {
            let (collection, name) = (
                self.names.collection(object),
                self.names.name(object.name()),
            );
            let own = self.names.own();
            let made = self.api.make_own((&collection, &name), &manifest, own);
            return made.await;
        }
        let path = self.names.path(object);
        self.api.apply(&path, &manifest).await.map(drop)
    }
}
