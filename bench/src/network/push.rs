//! Figures for a Prometheus `PushGateway`: one group per benchmark and pair, which each push replaces.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::benchmark::Benchmark;
use super::figures::exposition;
use super::parse::Figure;
use super::task::Task;

/// Where one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    host: String,
    port: u16,
    prefix: String,
}

/// Not the address of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form http://HOST[:PORT][/PATH]")]
pub struct NoGateway(String);

/// The port of a gateway that names none.
const PORT: u16 = 9091;
/// How long a push may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a refusal is read, in bytes.
const SHOWN: usize = 4_096;

impl FromStr for Gateway {
    type Err = NoGateway;

    fn from_str(text: &str) -> Result<Self, NoGateway> {
        let wrong = || NoGateway(text.to_owned());
        let uri: Uri = text.parse().map_err(|_unread| wrong())?;
        let (Some("http"), Some(host), None) = (uri.scheme_str(), uri.host(), uri.query()) else {
            return Err(wrong());
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(PORT),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Gateway {
    /// As [`Gateway::from_str`] reads it.
    pub fn url(&self) -> String {
        format!("http://{}:{}{}", self.host, self.port, self.prefix)
    }

    /// Where the figures of a task go. Names of workers need no escaping.
    fn path(&self, task: &Task) -> Result<String> {
        let benchmark = Benchmark::of(&task.command, &task.args).context("no benchmark")?;
        Ok(format!(
            "{}/metrics/job/network_performance/benchmark/{}/client/{}/server/{}",
            self.prefix,
            benchmark.name(),
            task.client.worker,
            task.server.worker
        ))
    }

    /// Replaces what the gateway has of a task's benchmark and pair.
    ///
    /// # Errors
    /// What the gateway says, or that there is none.
    pub async fn push(&self, task: &Task, figures: &[Figure]) -> Result<()> {
        let body = exposition(figures, &task.client, &task.server);
        let pushed = timeout(PATIENCE, self.put(&self.path(task)?, body)).await;
        let address = format!("the PushGateway at {}", self.url());
        pushed.context("no answer").flatten().context(address)
    }

    async fn put(&self, path: &str, body: String) -> Result<()> {
        // Brackets of IPv6 are of the URL.
        let host = self.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::put(path)
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(CONTENT_TYPE, "text/plain; version=0.0.4")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let said = text(response.into_body()).await;
        connection.abort();
        if !status.is_success() {
            bail!("{status}: {}", said.trim());
        }
        Ok(())
    }
}

async fn text(body: Incoming) -> String {
    let read = Limited::new(body, SHOWN).collect().await;
    let bytes = read.map(Collected::to_bytes).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_http_with_a_host() {
        for (text, url) in [
            ("http://push:9091", Some("http://push:9091")),
            ("http://10.0.0.1/", Some("http://10.0.0.1:9091")),
            ("http://[fd00::1]:80/a/b/", Some("http://[fd00::1]:80/a/b")),
            ("https://push:9091", None),
            ("push:9091", None),
            ("http://push?x=1", None),
            ("", None),
        ] {
            let gateway = text.parse::<Gateway>().ok();
            assert_eq!(gateway.map(|it| it.url()).as_deref(), url, "{text}");
        }
    }
}
