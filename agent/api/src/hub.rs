//! What the tasks of the source share: the connection, the board, the way to whoever listens, and how they wake each
//! other.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::Value as Json;
use sluice_kubernetes::live::Kind;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use crate::access::Access;
use crate::board::Board;
use crate::reflector::Batch;
use crate::source::{Delivery, Update};
use crate::trouble::Trouble;

/// The headers of an answer come within this time.
const ANSWER: Duration = Duration::from_secs(20);
/// An answer that is read as a whole has no more bytes.
const MOST_BYTES: usize = 64 << 20;
/// Batches that may wait for whoever listens: what is beyond is not read from the network.
const MOST_WAITING: usize = 16;

/// Shared by all tasks.
pub(crate) struct Hub {
    access: Access,
    /// None until what leads to the API could be read once.
    client: Mutex<Option<Client>>,
    pub(crate) board: Arc<Board>,
    listener: Box<dyn Fn(Update) + Send + Sync>,
    waiting: Arc<Semaphore>,
    /// What the API serves.
    pub(crate) served: watch::Sender<BTreeSet<Kind>>,
    /// Counts the times that the API came back: who waits tries again.
    pub(crate) back: watch::Sender<u64>,
    /// Counts the times that the API was silent: whose connection is as good as dead makes another.
    pub(crate) cut: watch::Sender<u64>,
    /// Somebody wants to know what is served.
    pub(crate) ask: Notify,
}

impl Hub {
    pub(crate) fn new(
        access: Access,
        board: Arc<Board>,
        kinds: &[Kind],
        listener: Box<dyn Fn(Update) + Send + Sync>,
    ) -> Self {
        let always = kinds.iter().copied().filter(|kind| !kind.is_optional());
        Self {
            access,
            client: Mutex::new(None),
            board,
            listener,
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            served: watch::Sender::new(always.collect()),
            back: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            ask: Notify::new(),
        }
    }

    /// Asks for a path; the answer's body, where it is one. `resource` is named in what goes wrong.
    pub(crate) async fn get(&self, path: &str, resource: &str) -> Result<Body, Trouble> {
        let request = Request::get(path)
            .header(header::ACCEPT, "application/json")
            .body(Body::empty())
            .map_err(|error| Trouble::Unreadable(error.to_string()))?;
        self.answer(request, resource).await
    }

    /// Sends an object, if there is one, as what it says that it is; the object that comes back.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Json)>,
        resource: &str,
    ) -> Result<Json, Trouble> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::ACCEPT, "application/json");
        let request = match body {
            Some((meaning, body)) => request
                .header(header::CONTENT_TYPE, meaning)
                .body(Body::from(body.to_string().into_bytes())),
            None => request.body(Body::empty()),
        };
        let request = request.map_err(|error| Trouble::Unreadable(error.to_string()))?;
        let bytes = collect(self.answer(request, resource).await?).await?;
        serde_json::from_slice(&bytes).map_err(|error| Trouble::Unreadable(error.to_string()))
    }

    /// The namespace that goes with the credentials.
    pub(crate) async fn default_namespace(&self) -> Result<String, Trouble> {
        Ok(self.connection().await?.default_namespace().to_owned())
    }

    async fn answer(&self, request: Request<Body>, resource: &str) -> Result<Body, Trouble> {
        let client = self.connection().await?;
        let answer = timeout(ANSWER, client.send(request)).await;
        let answer = answer.map_err(|_elapsed| Trouble::Silent(ANSWER.as_secs()))?;
        let answer = answer.map_err(|error| Trouble::from_failure(&error))?;
        let (head, body) = answer.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let text = collect(body).await.unwrap_or_default();
        Err(Trouble::from_answer(
            head.status,
            &head.headers,
            &text,
            resource,
        ))
    }

    /// Reads the way to the API again, where the trouble may come from there. Where it cannot be read, the former one
    /// stays: it may yet do.
    pub(crate) async fn renew(&self, trouble: &Trouble) -> Result<(), Trouble> {
        if trouble.may_be_stale_access() {
            self.read_access().await?;
        }
        Ok(())
    }

    async fn connection(&self) -> Result<Client, Trouble> {
        let known = self.client().clone();
        match known {
            Some(client) => Ok(client),
            None => self.read_access().await,
        }
    }

    async fn read_access(&self) -> Result<Client, Trouble> {
        let read = self.access.client().await;
        let (server, client) = read.map_err(|error| Trouble::Access(error.to_string()))?;
        self.board.leads_to(server);
        *self.client() = Some(client.clone());
        Ok(client)
    }

    /// Hands a batch on, once there is room for it.
    pub(crate) async fn deliver(&self, kind: Kind, batch: &mut Batch) {
        let read_at = Instant::now();
        let Ok(room) = Arc::clone(&self.waiting).acquire_owned().await else {
            return;
        };
        (self.listener)(Update::Batch(Delivery {
            kind,
            batch: std::mem::take(batch),
            read_at,
            _room: room,
        }));
    }

    /// Tells that everything that is served has been handed on.
    pub(crate) fn complete(&self) {
        (self.listener)(Update::Complete);
    }

    fn client(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

/// A body as a whole, where each of its pieces comes in time.
pub(crate) async fn collect(body: Body) -> Result<Vec<u8>, Trouble> {
    collect_up_to(MOST_BYTES, body).await
}

async fn collect_up_to(most: usize, mut body: Body) -> Result<Vec<u8>, Trouble> {
    let mut all = Vec::new();
    loop {
        let frame = timeout(ANSWER, body.frame()).await;
        match frame.map_err(|_elapsed| Trouble::Silent(ANSWER.as_secs()))? {
            None => return Ok(all),
            Some(Ok(frame)) => all.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(error)) => return Err(Trouble::from_failure(&error)),
        }
        if all.len() > most {
            return Err(Trouble::TooLong(most >> 20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_up_to_a_bound() {
        for (length, is_read) in [(0, true), (8, true), (9, false)] {
            let read = collect_up_to(8, Body::from(vec![b'x'; length])).await;
            assert_eq!(read.is_ok(), is_read, "{length}");
        }
    }
}
