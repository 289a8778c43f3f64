//! The Kubernetes API, as far as a launcher needs it: objects as JSON, and a pod's log as it is written. What objects mean
//! is not known here.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::latency::wire::Lines;

/// How often a request is made that the server has no time for, or that got lost.
const TRIES: u32 = 5;
/// Between them.
const PAUSE: Duration = Duration::from_millis(500);
/// By then an API server has answered, or does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// The server does not want to.
    Refused {
        /// The code of HTTP.
        code: u16,
        /// In a sentence.
        message: String,
    },
    /// Nobody knows.
    Lost(String),
}

/// A pod's log while it is written.
pub(super) struct Log {
    body: Body,
    pieces: Lines,
    lines: VecDeque<String>,
}

impl Api {
    /// Of a kubeconfig: this one, else that of `$KUBECONFIG` or of the user; where there is none, of the pod's own
    /// service account.
    pub(super) async fn connect(kubeconfig: Option<&Path>) -> Result<Self> {
        let config = match kubeconfig {
            None => Config::infer().await.context("no way to a cluster")?,
            Some(path) => {
                let read = Kubeconfig::read_from(path)?;
                Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                    .await
                    .with_context(|| path.display().to_string())?
            }
        };
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).with_context(|| server.clone())?;
        let api = Self { client };
        api.get("/version").await.with_context(|| server)?;
        Ok(api)
    }

    /// What is there.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(&Method::GET, path, None).await
    }

    /// The same, or nothing where nothing is.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>, ApiError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The objects of a list.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, ApiError> {
        let mut list = self.get(path).await?;
        match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(ApiError::Lost(format!("{path}: no list"))),
        }
    }

    /// Makes an object.
    pub(super) async fn create(&self, collection: &str, object: &Value) -> Result<Value, ApiError> {
        self.send(&Method::POST, collection, Some(object)).await
    }

    /// Takes an object away; that it is gone already is no error.
    pub(super) async fn delete(&self, path: &str, options: &Value) -> Result<(), ApiError> {
        match self.send(&Method::DELETE, path, Some(options)).await {
            Err(error) if error.code() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }

    /// A log, from its beginning. `path` has a query.
    pub(super) async fn log(&self, path: &str) -> Result<Log, ApiError> {
        let request = Request::get(path).body(Body::empty());
        let request = request.map_err(|error| ApiError::Lost(error.to_string()))?;
        let answered = timeout(PATIENCE, self.client.send(request)).await;
        let answered = answered.map_err(|_elapsed| late(path))?;
        let response = answered.map_err(|error| said(&error))?;
        let status = response.status();
        if !status.is_success() {
            let code = status.as_u16();
            let message = format!("the log: {status}");
            return Err(ApiError::Refused { code, message });
        }
        Ok(Log {
            body: response.into_body(),
            pieces: Lines::default(),
            lines: VecDeque::new(),
        })
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        for _ in 1..TRIES {
            match self.send_once(method, path, body).await {
                Err(error) if error.is_passing() => sleep(PAUSE).await,
                other => return other,
            }
        }
        self.send_once(method, path, body).await
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", "application/json")
            .body(bytes)
            .map_err(|error| ApiError::Lost(format!("{path}: {error}")))?;
        let answered = timeout(PATIENCE, self.client.request(request)).await;
        let answered = answered.map_err(|_elapsed| late(path))?;
        answered.map_err(|error| said(&error))
    }
}

impl ApiError {
    /// What the server says by number, where it refuses.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Lost(_) => None,
        }
    }

    /// Of a new namespace the account that its pods run as comes a moment later.
    fn is_of_account(&self) -> bool {
        matches!(self, Self::Refused { code: 403, message } if message.contains("looking up service account"))
    }

    /// Whether it may be otherwise in a moment.
    pub(super) fn is_passing(&self) -> bool {
        let passing = |code| code == 429 || code >= 500;
        self.code().is_none_or(passing) || self.is_of_account()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message, .. } => f.write_str(message),
            Self::Lost(why) => write!(f, "the API server: {why}"),
        }
    }
}

impl std::error::Error for ApiError {}

impl Log {
    /// The next line; none once there are no more, or they can be read no more. What is given up in between is not lost.
    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let frame = self.body.frame().await?.ok()?;
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            let lines = self.pieces.push(&piece);
            let lines = lines.into_iter();
            self.lines
                .extend(lines.map(|line| String::from_utf8_lossy(&line).into_owned()));
        }
    }
}

fn late(path: &str) -> ApiError {
    ApiError::Lost(format!("{path}: no answer in {} s", PATIENCE.as_secs()))
}

/// What an error of the library comes to: what the server says, or every cause, each once.
fn said(error: &kube::Error) -> ApiError {
    if let kube::Error::Api(status) = error {
        return ApiError::Refused {
            code: status.code,
            message: status.message.clone(),
        };
    }
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let more = cause.to_string();
        if !why.contains(&more) {
            why = format!("{why}: {more}");
        }
        source = cause.source();
    }
    ApiError::Lost(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again() {
        let refused = |code, message: &str| ApiError::Refused {
            code,
            message: message.to_owned(),
        };
        for (error, passes) in [
            (refused(429, "too many requests"), true),
            (refused(503, "not now"), true),
            (refused(404, "pods \"x\" not found"), false),
            (refused(403, "pods is forbidden: no"), false),
            (
                refused(
                    403,
                    "pods \"x\" is forbidden: error looking up service account n/default",
                ),
                true,
            ),
            (ApiError::Lost("no answer".to_owned()), true),
        ] {
            assert_eq!(error.is_passing(), passes, "{error}");
        }
    }
}
