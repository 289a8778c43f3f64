//! The Kubernetes API, as far as the clients need it: a list, an object, and what happens from then on. What is done about
//! it is decided elsewhere.

use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::sleep;

use super::log;
use super::targets::{Change, Moment};
use super::wire::{self, Line, Lines};

/// Between two attempts to list or watch.
const PAUSE: Duration = Duration::from_secs(1);
/// After so long the server ends a watch, in seconds; another takes its place.
const WATCH: u32 = 240;

/// A server.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl Api {
    /// Of the cluster that this runs in, or that the user's kubeconfig names.
    pub async fn connect() -> Result<Self> {
        let config = Config::infer()
            .await
            .context("failed to create k8s client")?;
        let client = Client::try_from(config).context("failed to create k8s client")?;
        Ok(Self { client })
    }

    /// What is there.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let request = Request::get(path).body(Vec::new())?;
        self.client.request(request).await.map_err(said)
    }

    /// Makes an object.
    pub async fn create(&self, collection: &str, object: &Value) -> Result<()> {
        let request = Request::post(collection)
            .header("Content-Type", "application/json")
            .body(object.to_string().into_bytes())?;
        let _made: Value = self.client.request(request).await.map_err(said)?;
        Ok(())
    }

    /// Takes an object away.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let request = Request::delete(path).body(Vec::new())?;
        let _deleted: Value = self.client.request(request).await.map_err(said)?;
        Ok(())
    }

    /// The objects of a list, and its version.
    pub async fn list(&self, path: &str) -> Result<(Vec<Value>, String)> {
        let mut list = self.get(path).await?;
        let version = wire::version(&list);
        match list["items"].take() {
            Value::Array(items) => Ok((items, version)),
            _ => bail!("{path}: no list"),
        }
    }

    /// Tells `hear` what there is, and what becomes of it, for as long as that answers true. `path` has a query.
    pub async fn follow(&self, path: &str, mut hear: impl FnMut(Change, &Value, Moment) -> bool) {
        loop {
            match self.follow_once(path, &mut hear).await {
                Ok(Then::Enough) => return,
                Ok(_) => {}
                Err(error) => log::warning(format_args!("watch of {path}: {error:#}")),
            }
            // reason: a server that is asked again at once is asked all the time.
            sleep(PAUSE).await;
        }
    }

    /// Lists, and watches from there, until what there is has to be listed anew or `hear` has had enough.
    async fn follow_once(&self, path: &str, hear: &mut impl Hear) -> Result<Then> {
        let (items, mut version) = self.list(path).await?;
        let at = Moment::now();
        if !items.iter().all(|item| hear(Change::Listed, item, at)) {
            return Ok(Then::Enough);
        }
        loop {
            let begun = Moment::now();
            let body = self.watch(path, &version).await?;
            match read(body, &mut version, hear).await? {
                Then::GoOn if begun.steady.elapsed() < PAUSE => bail!("it ended at once"),
                Then::GoOn => {}
                then => return Ok(then),
            }
        }
    }

    async fn watch(&self, path: &str, version: &str) -> Result<Body> {
        let query = format!(
            "{path}&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH}&resourceVersion={version}"
        );
        let request = Request::get(query).body(Body::empty())?;
        let response = self.client.send(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        bail!("the API server says {status}")
    }
}

/// What the server says, without what the library adds.
fn said(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => anyhow!("{}", status.message),
        other => other.into(),
    }
}

/// Whoever is told what happens, and says whether it wants to hear more.
trait Hear: FnMut(Change, &Value, Moment) -> bool {}

impl<F: FnMut(Change, &Value, Moment) -> bool> Hear for F {}

/// How a watch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// At the last version that was seen.
    GoOn,
    /// With a list.
    Relist,
    /// Not at all.
    Enough,
}

/// Reads a watch to its end; `version` is where another one goes on.
async fn read(mut body: Body, version: &mut String, hear: &mut impl Hear) -> Result<Then> {
    let mut lines = Lines::default();
    while let Some(frame) = body.frame().await {
        let at = Moment::now();
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        for text in lines.push(&piece) {
            match take(&text, version, hear, at)? {
                Then::GoOn => {}
                then => return Ok(then),
            }
        }
    }
    Ok(Then::GoOn)
}

fn take(text: &[u8], version: &mut String, hear: &mut impl Hear, at: Moment) -> Result<Then> {
    Ok(match wire::line(text)? {
        Line::Bookmark(upto) => {
            *version = upto;
            Then::GoOn
        }
        Line::Expired(_) => Then::Relist,
        Line::Event(change, object) => {
            *version = wire::version(&object);
            if hear(change, &object, at) {
                Then::GoOn
            } else {
                Then::Enough
            }
        }
    })
}
