//! How a connection gets from whoever listens for it to whoever counts what it carries.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sluice_netlink::Netns;

use super::LOOK;

/// Where a connection comes out.
pub(super) enum Door {
    /// A pod's server hands it over.
    Announced(Receiver<TcpStream>),
    /// Listeners of our own, one of which will have it.
    Listening(Vec<TcpListener>),
}

impl Door {
    /// Listens at all of `receivers`.
    pub(super) fn listen(receivers: &[(&Netns, SocketAddr)]) -> Result<Self> {
        let listen = |(netns, at): &(&Netns, SocketAddr)| {
            let listener = netns.enter(|| TcpListener::bind(at))?;
            let listener = listener.with_context(|| format!("listen at {at}"))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listeners = receivers.iter().map(listen).collect::<Result<_>>()?;
        Ok(Self::Listening(listeners))
    }

    /// The connection, once it is there.
    pub(super) fn accept(&self, limit: Duration) -> Result<TcpStream> {
        match self {
            Self::Announced(handed) => handed.recv_timeout(limit).context("is not opened"),
            Self::Listening(listeners) => {
                let start = Instant::now();
                while start.elapsed() < limit {
                    let mut accepted = listeners.iter().filter_map(|it| it.accept().ok());
                    if let Some((connection, _)) = accepted.next() {
                        return Ok(connection);
                    }
                    thread::sleep(LOOK);
                }
                bail!("is not opened")
            }
        }
    }
}
