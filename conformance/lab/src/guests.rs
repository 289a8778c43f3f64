//! Connections that a pod's server does not answer itself: whoever announced the client gets what it opens.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};

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
