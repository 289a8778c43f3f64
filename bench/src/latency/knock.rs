//! Handshakes with a target, one after another all the time, and which of them succeed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluice_lab::stream::Delivery;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A handshake that is not done by then is none.
const PATIENCE: Duration = Duration::from_millis(200);

/// One that was begun.
#[derive(Clone, Copy, Debug)]
struct Knock {
    sent: Instant,
    connected: Option<Instant>,
}

/// Handshakes that are begun until this value is dropped.
pub(crate) struct Knocks {
    begun: Arc<Mutex<Vec<Knock>>>,
    task: JoinHandle<()>,
}

impl Knocks {
    /// Begins one every `pause`.
    pub(crate) fn start(to: SocketAddr, pause: Duration) -> Self {
        let begun = Arc::<Mutex<Vec<Knock>>>::default();
        let knocks = Arc::clone(&begun);
        let task = tokio::spawn(async move {
            let mut due = interval(pause);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                due.tick().await;
                tokio::spawn(knock(to, Arc::clone(&knocks)));
            }
        });
        Self { begun, task }
    }

    /// How many were begun.
    pub(crate) fn sent(&self) -> usize {
        lock(&self.begun).len()
    }

    /// How many succeeded.
    pub(crate) fn connected(&self) -> usize {
        let begun = lock(&self.begun);
        begun.iter().filter(|it| it.connected.is_some()).count()
    }

    /// Those that succeeded.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        let begun = lock(&self.begun);
        let delivery = |(number, knock): (usize, &Knock)| {
            Some(Delivery {
                number: number as u64,
                sent: knock.sent,
                arrived: knock.connected?,
            })
        };
        begun.iter().enumerate().filter_map(delivery).collect()
    }
}

impl Drop for Knocks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn knock(to: SocketAddr, knocks: Arc<Mutex<Vec<Knock>>>) {
    let number = {
        let mut begun = lock(&knocks);
        begun.push(Knock {
            sent: Instant::now(),
            connected: None,
        });
        begun.len() - 1
    };
    if let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(to)).await {
        lock(&knocks)[number].connected = Some(Instant::now());
        // A reset: no port rests.
        let _outcome = stream.set_zero_linger();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
