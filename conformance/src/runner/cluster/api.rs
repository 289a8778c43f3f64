//! The API server: requests as JSON, and what it says where it refuses one. What objects mean is not known here.

use std::fmt;
use std::time::Duration;

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

/// Who changes objects, as the API server records it.
const MANAGER: &str = "sluice-conformance";
/// How often a request is made that the server has no time for, or that got lost.
const TRIES: u32 = 5;
/// Between them.
const PAUSE: Duration = Duration::from_millis(500);
/// By then an API server has answered, or does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server says of a request that it does not carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The code of HTTP.
    pub(super) code: u16,
    /// In a sentence.
    pub(super) message: String,
    /// The fields that are wrong, as it names them.
    pub(super) fields: Vec<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// The server does not want to.
    Refused(Refusal),
    /// Nobody knows.
    Lost(String),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => f.write_str(&refusal.message),
            Self::Lost(why) => write!(f, "the API server: {why}"),
        }
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// What the server says, where it refuses.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Lost(_) => None,
        }
    }

    fn is_passing(&self) -> bool {
        self.refusal()
            .is_none_or(|it| it.code == 429 || it.code >= 500)
    }
}

/// A server.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
}

impl Api {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// What is there.
    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, None, "").await
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
    pub(super) async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.send(Method::POST, path, Some(object), "application/json")
            .await
    }

    /// Makes an object that nobody else has; one of its name with this label is given the same labels and spec.
    pub(super) async fn make_own(
        &self,
        (collection, name): (&str, &str),
        object: &Value,
        (label, own): (&str, &str),
    ) -> Result<(), ApiError> {
        match self.create(collection, object).await {
            Err(ApiError::Refused(Refusal { code: 409, .. })) => {}
            made => return made.map(drop),
        }
        let path = format!("{collection}/{name}");
        let found = self.get(&path).await?;
        if found["metadata"]["labels"][label] != own {
            return Err(ApiError::Refused(Refusal {
                code: 409,
                message: "there is one of this name that is not of this run".to_owned(),
                fields: Vec::new(),
            }));
        }
        let fields = json!([
            {"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]},
            {"op": "replace", "path": "/metadata/labels", "value": object["metadata"]["labels"]},
            {"op": "replace", "path": "/spec", "value": object["spec"]},
        ]);
        let kind = "application/json-patch+json";
        let patched = self.send(Method::PATCH, &path, Some(&fields), kind);
        patched.await.map(drop)
    }

    /// Takes an object away if it has this label; that there is none is no error, nor that it is another's.
    pub(super) async fn delete_own(
        &self,
        path: &str,
        (label, own): (&str, &str),
    ) -> Result<(), ApiError> {
        match self.get(path).await {
            Err(ApiError::Refused(Refusal { code: 404, .. })) => Ok(()),
            Ok(found) if found["metadata"]["labels"][label] == own => {
                self.delete_one(path, &found).await
            }
            other => other.map(drop),
        }
    }

    /// Takes this very object away, and none that has come in its place.
    pub(super) async fn delete_one(&self, path: &str, object: &Value) -> Result<(), ApiError> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": object["metadata"]["uid"]},
        });
        let deleted = self.send(Method::DELETE, path, Some(&options), "application/json");
        match deleted.await {
            Err(ApiError::Refused(Refusal {
                code: 404 | 409, ..
            })) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Makes an object, or gives one of its name these fields and none of those that it was given before.
    pub(super) async fn apply(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        let path = format!("{path}?fieldManager={MANAGER}&force=true");
        // Every JSON document is one of YAML.
        let kind = "application/apply-patch+yaml";
        self.send(Method::PATCH, &path, Some(object), kind).await
    }

    /// Gives an object other fields, and takes those away that are null.
    pub(super) async fn merge(&self, path: &str, fields: &Value) -> Result<Value, ApiError> {
        let kind = "application/merge-patch+json";
        self.send(Method::PATCH, path, Some(fields), kind).await
    }

    /// Takes an object away; that there is none is no error.
    pub(super) async fn delete(&self, path: &str) -> Result<(), ApiError> {
        match self.send(Method::DELETE, path, None, "").await {
            Err(ApiError::Refused(Refusal { code: 404, .. })) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        kind: &str,
    ) -> Result<Value, ApiError> {
        for _ in 1..TRIES {
            match self.send_once(&method, path, body, kind).await {
                Err(error) if error.is_passing() => tokio::time::sleep(PAUSE).await,
                other => return other,
            }
        }
        self.send_once(&method, path, body, kind).await
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        kind: &str,
    ) -> Result<Value, ApiError> {
        let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header("Content-Type", kind);
        }
        let request = request.body(bytes);
        let request = request.map_err(|error| ApiError::Lost(format!("{path}: {error}")))?;
        let answered = tokio::time::timeout(PATIENCE, self.client.request(request)).await;
        let answered = answered
            .map_err(|_elapsed| ApiError::Lost(format!("{path}: no answer in {PATIENCE:?}")))?;
        answered.map_err(|error| said(&error))
    }
}

/// What an error of the library comes to.
pub(super) fn said(error: &kube::Error) -> ApiError {
    let kube::Error::Api(status) = error else {
        return ApiError::Lost(chain(error));
    };
    let causes = status.details.iter().flat_map(|it| &it.causes);
    // Of a field that it does not know, in what is applied, a server says that it failed itself.
    let is_of_fields = status
        .message
        .starts_with("failed to create typed patch object");
    ApiError::Refused(Refusal {
        code: if is_of_fields { 422 } else { status.code },
        message: status.message.clone(),
        fields: causes.map(|cause| cause.field.clone()).collect(),
    })
}

/// An error and its causes, on one line and each once.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        let line = text.lines().next().unwrap_or_default().to_owned();
        if !said.iter().any(|it| it.contains(&line)) {
            said.push(line);
        }
        next = cause.source();
    }
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_field_that_is_not_known_is_refused_and_a_server_that_fails_is_not_a_refusal() {
        let of = |message: &str| {
            let status = Status::failure(message, "InternalError").with_code(500);
            said(&kube::Error::Api(Box::new(status)))
        };
        let unknown =
            of("failed to create typed patch object (x/p): .spec.form: field not declared");
        assert!(!unknown.is_passing());
        assert_eq!(unknown.refusal().map(|it| it.code), Some(422));
        assert!(of("etcdserver: request timed out").is_passing());
    }
}
