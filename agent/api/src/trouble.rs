//! What is wrong between the agent and the API, in one line for whoever runs it. Knows no retries.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

/// Why a request had no answer, or none that helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// No connection, or a broken one.
    #[error("{0}")]
    Unreachable(String),
    /// Nobody answered in time.
    #[error("no answer within {0} s")]
    Silent(u64),
    /// The server's certificate, or the agent's own, is not accepted.
    #[error("TLS: {0}")]
    Tls(String),
    /// The kubeconfig, or a file that it names, cannot be used now.
    #[error("{0}")]
    Access(String),
    /// 401.
    #[error("the credentials are invalid or expired (401 Unauthorized)")]
    Unauthorized,
    /// 403; the resource, and what the server says.
    #[error("RBAC does not let the agent list and watch {resource}: {message}")]
    Forbidden {
        /// `pods`.
        resource: String,
        /// As the server says it; it names user and verb.
        message: String,
    },
    /// 403 to the question what is served; what the server says.
    #[error(
        "RBAC does not let the agent ask which APIs are served: needs get on /apis and /apis/policy.networking.k8s.io/*, \
         as the ClusterRole system:discovery grants it: {0}"
    )]
    NoDiscovery(String),
    /// 404.
    #[error("not served")]
    NotServed,
    /// 404, as the resource has other versions alone: these.
    #[error("served in {0} only, which the agent does not read")]
    Elsewhere(String),
    /// 410: the version that was asked for is forgotten.
    #[error("the resource version is too old")]
    Expired,
    /// 400 or 422: this server does not know what was asked for.
    #[error("{0}")]
    Unsupported(String),
    /// Any other refusal.
    #[error("the server answers {code}: {message}")]
    Refused {
        /// Of HTTP.
        code: u16,
        /// As the server says it.
        message: String,
        /// How long the server asks to be left alone; within [`LONGEST_AFTER`].
        after: Option<Duration>,
    },
    /// More came than is read as a whole, in MiB.
    #[error("an answer of more than {0} MiB")]
    TooLong(usize),
    /// What came is no answer to what was asked.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

/// What the API answers where it does not answer what was asked (`kind: Status`).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default, rename = "retryAfterSeconds")]
    retry_after: Option<u64>,
}

/// A wait that a server asks for is no longer: API servers ask for 32 s at most, and whatever else answers in their place
/// shall not keep changes of policy from an agent for an hour.
const LONGEST_AFTER: Duration = Duration::from_mins(1);

/// 429, which API servers answer where a user, or all of them together, ask for too much at once.
const TOO_MANY: u16 = 429;

impl Status {
    fn after(&self) -> Option<Duration> {
        let seconds = self.details.as_ref()?.retry_after?;
        Some(Duration::from_secs(seconds).min(LONGEST_AFTER))
    }
}

impl Trouble {
    /// Whether it concerns the server as a whole rather than one resource.
    pub(crate) const fn is_of_server(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Silent(_)
            | Self::Tls(_)
            | Self::Access(_)
            | Self::Unauthorized => true,
            Self::Refused { code, .. } => *code >= 500 || *code == TOO_MANY,
            Self::Forbidden { .. }
            | Self::NoDiscovery(_)
            | Self::NotServed
            | Self::Elsewhere(_)
            | Self::Expired
            | Self::Unsupported(_)
            | Self::TooLong(_)
            | Self::Unreadable(_) => false,
        }
    }

    /// Whether RBAC does not let the agent do what it asked for.
    pub(crate) const fn is_of_rights(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::NoDiscovery(_))
    }

    /// Whether credentials or certificates may be others by now.
    pub(crate) const fn may_be_stale_access(&self) -> bool {
        matches!(self, Self::Unauthorized | Self::Tls(_))
    }

    /// Whether the server has too much to do: what was asked for is right, and is to be asked for later.
    pub(crate) const fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { code: TOO_MANY, .. })
    }

    /// How long the server asks to be left alone.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { after, .. } => *after,
            _ => None,
        }
    }

    /// From the head and the body of an answer.
    pub(crate) fn from_answer(
        code: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        resource: &str,
    ) -> Self {
        let mut status = serde_json::from_slice(body).unwrap_or_else(|_no_status| Status {
            message: first_line(&String::from_utf8_lossy(body)),
            ..Status::default()
        });
        status.code = code.as_u16();
        // The time of day that HTTP has as its other form, no API server sends.
        let asked = headers.get(header::RETRY_AFTER);
        let asked = asked.and_then(|it| it.to_str().ok()?.trim().parse().ok());
        if let Some(seconds) = asked {
            status.details.get_or_insert_default().retry_after = Some(seconds);
        }
        Self::from_status(&status, resource)
    }

    /// From what an `ERROR` event of a watch holds.
    pub(crate) fn from_event(json: &str, resource: &str) -> Self {
        match serde_json::from_str::<Status>(json) {
            Ok(status) => Self::from_status(&status, resource),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    fn from_status(status: &Status, resource: &str) -> Self {
        let message = first_line(&status.message);
        match status.code {
            401 => Self::Unauthorized,
            403 => Self::Forbidden {
                resource: resource.to_owned(),
                // "pods is forbidden: User …"
                message: message
                    .split_once("forbidden: ")
                    .map_or(message.as_str(), |(_, who)| who)
                    .to_owned(),
            },
            404 => Self::NotServed,
            410 => Self::Expired,
            400 | 422 => Self::Unsupported(message),
            code => Self::Refused {
                code,
                message,
                after: status.after(),
            },
        }
    }

    /// From a failed request: what caused it, innermost last.
    pub(crate) fn from_failure(error: &(dyn StdError + 'static)) -> Self {
        let mut said = String::new();
        let mut is_tls = false;
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            is_tls |= mentions_tls(&text);
            // Wrappers repeat what they wrap, or say nothing.
            let says_nothing = ["ServiceError", "HyperError", "client error"];
            let says_nothing = says_nothing.iter().any(|it| text.starts_with(it));
            if !said.contains(&text) && !says_nothing {
                let separator = if said.is_empty() { "" } else { ": " };
                let _infallible = write!(said, "{separator}{text}");
            }
            next = cause.source();
        }
        let said = if said.is_empty() {
            error.to_string()
        } else {
            said
        };
        let said = first_line(&said);
        if is_tls {
            Self::Tls(said)
        } else {
            Self::Unreachable(said)
        }
    }
}

fn mentions_tls(text: &str) -> bool {
    // A connection that broke off, not one that was refused.
    if text.contains("close_notify") {
        return false;
    }
    [
        "certificate",
        "TLS",
        "tls",
        "handshake",
        "InvalidContentType",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// The first line, and not too much of it: servers and proxies answer with pages.
fn first_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = text.lines().next().unwrap_or_default().trim();
    line.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_named_by_what_can_be_done_about_it() {
        let body = |code: u16| format!(r#"{{"kind":"Status","code":{code},"message":"m"}}"#);
        let forbidden = Trouble::Forbidden {
            resource: "pods".into(),
            message: "m".into(),
        };
        for (code, wanted) in [
            (401, Trouble::Unauthorized),
            (403, forbidden),
            (404, Trouble::NotServed),
            (410, Trouble::Expired),
            (422, Trouble::Unsupported("m".into())),
            (500, refused(500, None)),
        ] {
            let status = StatusCode::from_u16(code).unwrap();
            let answer =
                Trouble::from_answer(status, &HeaderMap::new(), body(code).as_bytes(), "pods");
            assert_eq!(answer, wanted);
            assert_eq!(Trouble::from_event(&body(code), "pods"), wanted);
        }
    }

    fn refused(code: u16, after: Option<u64>) -> Trouble {
        Trouble::Refused {
            code,
            message: "m".into(),
            after: after.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_page_instead_of_a_status_is_cut() {
        let page = format!("<html>{}\nmore", "x".repeat(1000));
        let headers = HeaderMap::new();
        let Trouble::Refused {
            code: 502,
            message,
            after: None,
        } = Trouble::from_answer(StatusCode::BAD_GATEWAY, &headers, page.as_bytes(), "pods")
        else {
            panic!("another kind of trouble");
        };
        assert!(message.len() == 300 && !message.contains('\n'));
    }

    #[test]
    fn a_wait_that_the_server_asks_for_is_read_and_bounded() {
        // The header, the seconds in the status, and the wait.
        for (header, details, after) in [
            (None, None, None),
            (Some("2"), None, Some(2)),
            (None, Some("3"), Some(3)),
            (Some("2"), Some("3"), Some(2)),
            (Some("Fri, 31 Dec 1999 23:59:59 GMT"), None, None),
            (Some("-1"), Some("3"), Some(3)),
            (Some("0"), None, Some(0)),
            (Some("18446744073709551615"), None, Some(60)),
            (None, Some("86400"), Some(60)),
            (None, Some("null"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header::RETRY_AFTER, header.parse().unwrap());
            }
            let details = details.map_or_else(
                || "null".to_owned(),
                |seconds| format!(r#"{{"retryAfterSeconds":{seconds}}}"#),
            );
            let body = format!(r#"{{"code":429,"message":"m","details":{details}}}"#);
            let code = StatusCode::TOO_MANY_REQUESTS;
            let trouble = Trouble::from_answer(code, &headers, body.as_bytes(), "pods");
            assert_eq!(trouble, refused(429, after), "{header:?} {body}");
        }
    }
}
