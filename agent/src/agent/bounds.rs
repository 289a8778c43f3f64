//! Who is served over HTTP: so many at once, so much of a request, for so long. The port is open to the pods of the
//! cluster, and none of them shall keep the node's own probes waiting, or fill the agent's memory.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;

use crate::metrics::{Metrics, bump};

/// A connection is one request, and has its answer by then or not at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request.
const LONGEST_REQUEST: usize = 16 * 1024;
/// Connections of the node itself at once: probes, mostly.
const MOST_OF_THE_NODE: usize = 16;
/// Connections of everybody else at once.
const MOST_OF_OTHERS: usize = 32;
/// Of these, from one address.
const MOST_OF_AN_ADDRESS: usize = 4;

/// A listener that turns away who is too much.
pub(crate) struct Bounded {
    listener: TcpListener,
    places: Arc<Places>,
    metrics: Arc<Metrics>,
}

/// A connection that is served.
pub(crate) struct Served {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    /// Bytes that may still be read.
    left: usize,
    /// Given back when the connection ends.
    _place: Place,
}

/// Who is being served.
#[derive(Default)]
struct Places(Mutex<HashMap<Client, usize>>);

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    /// The connection comes from the address that it goes to.
    Node,
    Other(IpAddr),
}

/// One of them, until it is dropped.
struct Place {
    client: Client,
    places: Arc<Places>,
}

impl Bounded {
    pub(crate) fn new(listener: TcpListener, metrics: Arc<Metrics>) -> Self {
        Self {
            listener,
            places: Arc::default(),
            metrics,
        }
    }
}

impl Listener for Bounded {
    type Io = Served;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Served, SocketAddr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            let local = stream.local_addr().map(|local| local.ip()).ok();
            let client = Client::of(peer.ip(), local);
            match self.places.take(client) {
                Some(place) => return (Served::new(stream, place), peer),
                None => bump(&self.metrics.tally.http_refused),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Client {
    fn of(peer: IpAddr, local: Option<IpAddr>) -> Self {
        if Some(peer) == local {
            Self::Node
        } else {
            Self::Other(peer)
        }
    }
}

impl Places {
    /// A place for a client; none where there are enough of its kind.
    fn take(self: &Arc<Self>, client: Client) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&client).copied().unwrap_or_default();
        let room = match client {
            Client::Node => own < MOST_OF_THE_NODE,
            Client::Other(_) => own < MOST_OF_AN_ADDRESS && others(&taken) < MOST_OF_OTHERS,
        };
        room.then(|| {
            taken.insert(client, own + 1);
            Place {
                client,
                places: Arc::clone(self),
            }
        })
    }
}

fn others(taken: &HashMap<Client, usize>) -> usize {
    let of_others = taken.iter().filter(|(client, _)| **client != Client::Node);
    of_others.map(|(_, count)| count).sum()
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

impl Served {
    fn new(stream: TcpStream, place: Place) -> Self {
        Self {
            stream,
            deadline: Box::pin(tokio::time::sleep(PATIENCE)),
            left: LONGEST_REQUEST,
            _place: place,
        }
    }

    /// Fails once the time is up; wakes the task by then.
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Served {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Served {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 1));

    fn pod(number: u8) -> Client {
        Client::of([10, 0, 0, number].into(), Some(NODE))
    }

    fn served(places: &Arc<Places>, client: Client, attempts: usize) -> Vec<Place> {
        (0..attempts).filter_map(|_| places.take(client)).collect()
    }

    #[test]
    fn an_address_has_a_few_places_and_all_of_them_together_leave_some_to_the_node() {
        let places = Arc::default();
        let pods: Vec<_> = (0..100)
            .flat_map(|it| served(&places, pod(it), 100))
            .collect();
        assert_eq!(pods.len(), MOST_OF_OTHERS);
        let clients: std::collections::HashSet<_> = pods.iter().map(|it| it.client).collect();
        assert_eq!(clients.len(), MOST_OF_OTHERS / MOST_OF_AN_ADDRESS);
        let node = served(&places, Client::of(NODE, Some(NODE)), 100);
        assert_eq!(node.len(), MOST_OF_THE_NODE);
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let places = Arc::default();
        let all = served(&places, pod(1), 100);
        assert!(places.take(pod(1)).is_none());
        drop(all);
        assert_eq!(served(&places, pod(1), 100).len(), MOST_OF_AN_ADDRESS);
        assert!(places.0.lock().unwrap().is_empty());
    }
}
