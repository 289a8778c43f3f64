//! The agent's unix socket: one JSON line asked, one JSON line answered.

use std::fs::Permissions;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use crate::agent::shared::Shared;

/// A question is one line of at most this many bytes.
const LONGEST_REQUEST: u64 = 4096;
/// Clients served at once.
const MOST_CLIENTS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "lowercase")]
pub(crate) enum Request {
    /// The agent's status.
    Status,
    /// How new a state of its source it enforces, in seconds since 1970, as `enforced_as_of` of the status; 0: none yet.
    /// For whoever asks all the time: a status counts the entries of maps.
    Enforced,
    /// Why a connection is allowed or denied.
    Explain {
        /// `NAMESPACE/POD` or an address.
        from: String,
        /// `NAMESPACE/POD` or an address.
        to: String,
        /// Destination port.
        port: u16,
        /// `TCP`, `UDP` or `SCTP`.
        protocol: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply<T> {
    Ok(T),
    Error(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// No agent listens there.
    #[error("{0}")]
    Connect(io::Error),
    /// It says nothing.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// It broke off.
    #[error("no answer: {0}")]
    Io(#[from] io::Error),
    /// It answered something else.
    #[error("answer not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

impl AskError {
    /// Whether there is no agent at all.
    pub(crate) const fn nobody_answers(&self) -> bool {
        matches!(self, Self::Connect(_))
    }
}

/// Asks the agent at `path`.
pub(crate) fn ask<T: DeserializeOwned>(path: &Path, request: &Request) -> Result<T, AskError> {
    let mut stream = UnixStream::connect(path).map_err(AskError::Connect)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(serde_json::to_string(request)?.as_bytes())?;
    stream.write_all(b"\n")?;
    let mut line = String::new();
    match BufReader::new(stream).read_line(&mut line) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(AskError::Silent),
        read => read?,
    };
    match serde_json::from_str(&line)? {
        Reply::Ok(answer) => Ok(answer),
        Reply::Error(message) => Err(AskError::Refused(message)),
    }
}

/// Listens at `path`, for its owner alone. A socket that nobody listens on any more is replaced.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    remove(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Removes a socket; whether there was one. Anything else that is there is somebody's file.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map(|()| true),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Answers for as long as the process lives. Each client has a thread, so that one who says nothing keeps nobody
/// waiting; clients beyond the bound are turned away.
pub(crate) fn serve(listener: &UnixListener, shared: &Arc<Shared>) {
    let clients = Arc::new(());
    for stream in listener.incoming() {
        let (client, shared) = (Arc::clone(&clients), Arc::clone(shared));
        if Arc::strong_count(&clients) > MOST_CLIENTS {
            continue;
        }
        let answered = stream.and_then(|stream| {
            thread::Builder::new().name("client".into()).spawn(move || {
                if let Err(error) = converse(stream, &shared) {
                    debug!(%error, "socket client failed");
                }
                drop(client);
            })
        });
        if let Err(error) = answered {
            warn!(%error, "socket client not served");
        }
    }
}

fn converse(mut stream: UnixStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&stream).take(LONGEST_REQUEST)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer(&request, shared),
        Err(error) => Reply::Error(format!("question not understood: {error}")),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    stream.write_all(&text)
}

fn answer(request: &Request, shared: &Arc<Shared>) -> Reply<serde_json::Value> {
    let value = match request {
        Request::Status => {
            serde_json::to_value(crate::agent::report::status(shared)).map_err(|e| e.to_string())
        }
        Request::Enforced => Ok(shared.metrics.enforced_as_of.get().into()),
        Request::Explain {
            from,
            to,
            port,
            protocol,
        } => match shared.snapshot() {
            Some(snapshot) => {
                let about = |ends| {
                    let busy = || "the agent is busy with changes: ask again".to_owned();
                    shared.snapshot_about(ends).ok_or_else(busy)
                };
                crate::offline::explain_snapshot(&snapshot, about, from, to, *port, protocol)
            }
            None => Err(format!(
                "the agent is not ready: {}",
                shared.why_not_ready()
            )),
        },
    };
    value.map_or_else(Reply::Error, Reply::Ok)
}
