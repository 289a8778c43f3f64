//! Connections that a pod's server does not answer itself: whoever announced the client gets what it opens.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use sluice_policy::Protocol;
use sluice_prober::Visitors;

use crate::stream::is_numbered;

/// The clients that are announced, by the address that servers see.
#[derive(Debug, Default)]
pub(crate) struct Guests(Mutex<HashMap<SocketAddr, Sender<TcpStream>>>);

impl Guests {
    /// What receives the next connection that is opened from `client`.
    pub(crate) fn announce(&self, client: SocketAddr) -> Receiver<TcpStream> {
        let (host, receiver) = mpsc::channel();
        self.lock().insert(client, host);
        receiver
    }

    /// Who waits for a connection from `client`; nobody, after that.
    pub(crate) fn host_of(&self, client: SocketAddr) -> Option<Sender<TcpStream>> {
        self.lock().remove(&client)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Sender<TcpStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbered traffic is counted by whoever sends it: its connections are handed over, its datagrams not answered.
impl Visitors for Guests {
    fn connected(
        &self,
        stream: tokio::net::TcpStream,
        _: Protocol,
        from: SocketAddr,
        _: u16,
    ) -> Option<tokio::net::TcpStream> {
        let Some(host) = self.host_of(from) else {
            return Some(stream);
        };
        // A host that has gone in the meantime closes the connection, as does one that cannot be handed over.
        if let Ok(stream) = stream.into_std() {
            drop(host.send(stream));
        }
        None
    }

    fn received(&self, _: Protocol, _: SocketAddr, _: u16, bytes: &[u8]) -> bool {
        !is_numbered(bytes)
    }
}
