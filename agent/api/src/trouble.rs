//! What is wrong between the agent and the API, in one line for whoever runs it. Knows no retries.

use std::error::Error as StdError;
use std::fmt::Write as _;

use http::StatusCode;
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
    /// Any other refusal: the code, and what the server says.
    #[error("the server answers {0}: {1}")]
    Refused(u16, String),
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
            Self::Refused(code, _) => *code >= 500 || *code == 429,
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

    /// From a status and the body of an answer.
    pub(crate) fn from_answer(code: StatusCode, body: &[u8], resource: &str) -> Self {
        let status = serde_json::from_slice(body).unwrap_or_else(|_no_status| Status {
            code: code.as_u16(),
            message: first_line(&String::from_utf8_lossy(body)),
        });
        Self::from_status(code.as_u16(), &status.message, resource)
    }

    /// From what an `ERROR` event of a watch holds.
    pub(crate) fn from_event(json: &str, resource: &str) -> Self {
        match serde_json::from_str::<Status>(json) {
            Ok(status) => Self::from_status(status.code, &status.message, resource),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    fn from_status(code: u16, message: &str, resource: &str) -> Self {
        let message = first_line(message);
        match code {
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
            _ => Self::Refused(code, message),
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
            (500, Trouble::Refused(500, "m".into())),
        ] {
            let status = StatusCode::from_u16(code).unwrap();
            let answer = Trouble::from_answer(status, body(code).as_bytes(), "pods");
            assert_eq!(answer, wanted);
            assert_eq!(Trouble::from_event(&body(code), "pods"), wanted);
        }
    }

    #[test]
    fn a_page_instead_of_a_status_is_cut() {
        let page = format!("<html>{}\nmore", "x".repeat(1000));
        let Trouble::Refused(502, said) =
            Trouble::from_answer(StatusCode::BAD_GATEWAY, page.as_bytes(), "pods")
        else {
            panic!("another kind of trouble");
        };
        assert!(said.len() == 300 && !said.contains('\n'));
    }
}
