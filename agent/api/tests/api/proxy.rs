//! A TCP proxy in front of an API server, which can be cut, and cuts off connections after some bytes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use sluice_cluster::ControlPlane;

/// It runs until the namespace is gone.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// New connections are refused.
    closed: AtomicBool,
    /// So many more connections are cut off after so many bytes from the server.
    cuts: AtomicUsize,
    after: AtomicUsize,
    /// Connections that were cut off.
    made: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    /// Bytes from the server, over all connections.
    total: AtomicUsize,
    hold: Mutex<Hold>,
    changed: Condvar,
}

#[derive(Default)]
struct Hold {
    /// Once so many bytes came, none go on; none where they do.
    after: Option<usize>,
    /// Some connection waits.
    holds: bool,
}

impl Proxy {
    pub(crate) fn start(control: &ControlPlane, server: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            closed: AtomicBool::new(false),
            cuts: AtomicUsize::new(0),
            after: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
            open: Mutex::default(),
            total: AtomicUsize::new(0),
            hold: Mutex::default(),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        let port = control.inside(move || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    serving.connect(stream.unwrap(), server);
                }
            });
            port
        });
        Self {
            port: port.unwrap(),
            shared,
        }
    }

    /// Cuts everything, and refuses what is new.
    pub(crate) fn close(&self) {
        let mut open = self.shared.open.lock().unwrap();
        self.shared.closed.store(true, Ordering::SeqCst);
        for stream in open.drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn open(&self) {
        self.shared.closed.store(false, Ordering::SeqCst);
    }

    /// Cuts the next connections off after some bytes each.
    pub(crate) fn cut_off(&self, connections: usize, after: usize) {
        self.shared.after.store(after, Ordering::SeqCst);
        self.shared.cuts.store(connections, Ordering::SeqCst);
    }

    /// Keeps connections waiting once so many bytes came from the server.
    pub(crate) fn hold(&self, after: usize) {
        self.shared.hold.lock().unwrap().after = Some(after);
    }

    /// Waits until a connection is kept waiting.
    pub(crate) fn await_held(&self) {
        let hold = self.shared.hold.lock().unwrap();
        let patience = Duration::from_mins(2);
        let (_hold, timed_out) = self
            .shared
            .changed
            .wait_timeout_while(hold, patience, |hold| !hold.holds)
            .unwrap();
        assert!(!timed_out.timed_out(), "no connection got that far");
    }

    /// Keeps no connection waiting any more.
    pub(crate) fn go_on(&self) {
        self.shared.hold.lock().unwrap().after = None;
        self.shared.changed.notify_all();
    }

    /// How many connections were cut off.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream, server: SocketAddr) {
        // A server that is away refuses the client as well.
        let Ok(server) = TcpStream::connect(server) else {
            return;
        };
        let mut open = self.open.lock().unwrap();
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        open.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        drop(open);
        let (to_server, from_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || pass(from_client, to_server, |_, _| true));
        let shared = Arc::clone(self);
        thread::spawn(move || {
            pass(server, client, |count, sent| shared.lets_pass(count, sent));
        });
    }

    /// Whether a connection over which so much was sent goes on.
    fn lets_pass(&self, count: usize, sent: usize) -> bool {
        let total = self.total.fetch_add(count, Ordering::SeqCst) + count;
        self.await_turn(total);
        let one_less = |cuts: usize| cuts.checked_sub(1);
        if sent < self.after.load(Ordering::SeqCst) {
            return true;
        }
        let cut = self
            .cuts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .is_ok();
        self.made.fetch_add(usize::from(cut), Ordering::SeqCst);
        !cut
    }

    fn await_turn(&self, total: usize) {
        let mut hold = self.hold.lock().unwrap();
        while hold.after.is_some_and(|after| total >= after) {
            hold.holds = true;
            self.changed.notify_all();
            hold = self.changed.wait(hold).unwrap();
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, goes_on: impl Fn(usize, usize) -> bool) {
    let mut bytes = [0; 4096];
    let mut sent = 0;
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        sent += count;
        if !goes_on(count, sent) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
