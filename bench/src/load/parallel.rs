//! Many connections at once, on as many threads as there are processors. One thread would be busy all the time while
//! another processor waits for it, and what is measured would be that thread.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, connect, recv, send, sockopt};
use rustix::thread::set_current_timer_slack;

use super::{Meter, PATIENCE, Ports, Sent, Span, socket};
use crate::env::processors;
use crate::world::PORTS;

/// Events that are taken from the kernel at a time.
const EVENTS: usize = 256;
/// No time.
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
/// Connections of a thread that are open at once at most; what is due beyond that waits, and its time counts.
const MOST: usize = 1_024;
/// Threads at most: so many open more connections than the servers answer.
const THREADS: u32 = 16;

/// So many connections at once: when one ends, the next begins.
pub(super) fn closed(span: &Span, at_once: u32, to: IpAddr, ports: &mut Ports) -> Sent {
    shared(
        span,
        at_once.min(THREADS),
        ports,
        |meter, share, mut ports| {
            let at_once = share.part(at_once.into());
            let to = || SocketAddr::new(to, ports.next());
            drive(meter, to, |open, end| {
                let now = Instant::now();
                if now >= end {
                    Next::Done
                } else if (open as u64) < at_once {
                    Next::Begin(now)
                } else {
                    Next::Wait(None)
                }
            })
        },
    )
}

/// Connections that are due at a rate, whether or not earlier ones have ended. Each is timed from when it was due, so that
/// those that a slow answer keeps from beginning count as slow too; what was due before the end is begun after it.
pub(super) fn open(span: &Span, to: IpAddr, ports: &mut Ports) -> Sent {
    let interval = Duration::from_secs_f64(1.0 / span.rate.max(1.0));
    shared(span, THREADS, ports, |meter, share, mut ports| {
        let to = || SocketAddr::new(to, ports.next());
        // Threads take turns.
        let due = Instant::now() + interval * share.index;
        drive(meter, to, due_every(interval * share.of, due))
    })
}

/// One is due every `interval`, the first one then.
fn due_every(interval: Duration, mut due: Instant) -> impl FnMut(usize, Instant) -> Next {
    move |open, end| {
        if due >= end {
            Next::Done
        } else if open == MOST {
            Next::Wait(None)
        } else if due <= Instant::now() {
            let begun = due;
            due += interval;
            Next::Begin(begun)
        } else {
            Next::Wait(Some(due))
        }
    }
}

/// One of the threads that share a slice.
#[derive(Clone, Copy, Debug)]
struct Share {
    index: u32,
    of: u32,
}

impl Share {
    /// Its part of so many; all parts together are as many.
    fn part(self, all: u64) -> u64 {
        let [index, of] = [self.index, self.of].map(u64::from);
        all / of + u64::from(index < all % of)
    }

    /// Its part of what a slice may do.
    fn span(self, span: &Span) -> Span {
        Span {
            warm_connections: self.part(span.warm_connections),
            limit: span.limit.map(|limit| self.part(limit)),
            ..*span
        }
    }
}

/// So many of them, and which of the server's ports each begins at: it has a part of them before it comes to the next
/// one's.
fn shares(of: u32, mut ports: Ports) -> Vec<(Share, Ports)> {
    let share = |index| {
        let (share, own) = (Share { index, of }, ports);
        ports.skip(share.part(PORTS.into()));
        (share, own)
    };
    (0..of).map(share).collect()
}

/// Sends from a thread for each processor, `most` at most, each over ports of its own, and puts together what they have
/// to tell. They are in the network namespace of the calling thread.
fn shared(
    span: &Span,
    most: u32,
    ports: &mut Ports,
    work: impl Fn(Meter, Share, Ports) -> Sent + Sync,
) -> Sent {
    let of = processors().min(most);
    let sent = thread::scope(|threads| {
        let started = shares(of, *ports).into_iter().map(|(share, ports)| {
            let work = &work;
            threads.spawn(move || work(Meter::start(&share.span(span)), share, ports))
        });
        let started: Vec<_> = started.collect();
        let ended = started.into_iter().map(ScopedJoinHandle::join);
        let sent = ended.map(|sent| sent.unwrap_or_else(|panic| resume_unwind(panic)));
        sent.fold(Sent::nothing(), Sent::beside)
    });
    ports.skip(sent.connections);
    sent
}

/// What to do now.
enum Next {
    /// To begin a connection, which is timed from then.
    Begin(Instant),
    /// To wait for an answer, or until then.
    Wait(Option<Instant>),
    /// To begin no more.
    Done,
}

/// `next` is told how many are open, and when the slice ends.
fn drive(
    mut meter: Meter,
    to: impl FnMut() -> SocketAddr,
    next: impl FnMut(usize, Instant) -> Next,
) -> Sent {
    // Else the kernel lets a thread sleep 50 µs longer than asked for.
    if let Err(error) = set_current_timer_slack(NonZeroU64::new(1)) {
        meter.failed("timer slack", &error.into());
    }
    match Clients::new() {
        Ok(clients) => {
            if let Err(error) = clients.run(&mut meter, to, next) {
                meter.failed("tcp", &error);
            }
        }
        Err(error) => meter.failed("epoll", &error),
    }
    meter.finish()
}

struct Client {
    socket: OwnedFd,
    begun: Instant,
    asked: bool,
}

/// Open connections by number.
struct Clients {
    epoll: OwnedFd,
    open: Vec<Option<Client>>,
    free: VecDeque<usize>,
}

impl Clients {
    fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            open: (0..MOST).map(|_| None).collect(),
            free: (0..MOST).collect(),
        })
    }

    fn run(
        mut self,
        meter: &mut Meter,
        mut to: impl FnMut() -> SocketAddr,
        mut next: impl FnMut(usize, Instant) -> Next,
    ) -> io::Result<()> {
        let mut buffer = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        let mut heard = Instant::now();
        loop {
            let until = loop {
                if !meter.may_open() {
                    break None;
                }
                match next(self.count(), meter.end()) {
                    Next::Begin(begun) => self.begin(to(), begun, meter)?,
                    Next::Wait(due) => break due,
                    Next::Done => break None,
                }
            };
            if until.is_none() && self.count() == 0 {
                return Ok(());
            }
            self.wait(until)?;
            let (events, _rest) = epoll::wait(&self.epoll, &mut buffer, Some(&NOW))?;
            if !events.is_empty() || self.count() == 0 {
                heard = Instant::now();
            } else if heard.elapsed() >= PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            for event in &*events {
                self.step(event.data.u64(), meter)?;
            }
        }
    }

    /// Until something has become of a connection, or until then: to the microsecond, which waiting by epoll itself is
    /// not.
    fn wait(&self, until: Option<Instant>) -> io::Result<()> {
        let limit = until.map_or(PATIENCE, |due| {
            due.saturating_duration_since(Instant::now())
        });
        let limit = Timespec::try_from(limit).unwrap_or(NOW);
        match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many are open.
    fn count(&self) -> usize {
        MOST - self.free.len()
    }

    fn begin(&mut self, to: SocketAddr, begun: Instant, meter: &mut Meter) -> io::Result<()> {
        let Some(number) = self.free.pop_front() else {
            return Ok(());
        };
        meter.begins(begun);
        let socket = socket::tcp(to, SocketFlags::NONBLOCK)?;
        meter.opened();
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let data = epoll::EventData::new_u64(number as u64);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &socket, data, flags)?;
        self.open[number] = Some(Client {
            socket,
            begun,
            asked: false,
        });
        Ok(())
    }

    /// Something has become of a connection: it is open, or the answer is there.
    fn step(&mut self, number: u64, meter: &mut Meter) -> io::Result<()> {
        let number = usize::try_from(number).unwrap_or(MOST);
        let Some(client) = self.open.get_mut(number).and_then(Option::as_mut) else {
            return Ok(());
        };
        if !client.asked {
            sockopt::socket_error(&client.socket)??;
            match send(&client.socket, b"?", SendFlags::empty()) {
                Ok(_one) => client.asked = true,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        match recv(&client.socket, &mut [0_u8; 1][..], RecvFlags::empty()) {
            Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_one) => {
                meter.answered(client.begun);
                self.open[number] = None;
                self.free.push_back(number);
                Ok(())
            }
            Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn parts_have_each_port_once_together() {
        let mut ports = Ports::default();
        ports.skip(7);
        for parts in 1..=THREADS {
            let own = shares(parts, ports).into_iter();
            let own = own.flat_map(|(share, mut ports)| {
                (0..share.part(PORTS.into())).map(move |_| ports.next())
            });
            let own: BTreeSet<_> = own.collect();
            assert_eq!(own.len(), usize::from(PORTS), "{parts}");
        }
    }

    #[test]
    fn all_parts_together_are_as_many_and_as_even_as_can_be() {
        for of in 1..=THREADS {
            for all in [0, 1, 7, 64, 200, 800] {
                let parts = (0..of).map(|index| Share { index, of }.part(all));
                let parts: Vec<u64> = parts.collect();
                assert_eq!(parts.iter().sum::<u64>(), all, "{parts:?}");
                let spread = parts.iter().max().zip(parts.iter().min());
                assert!(
                    spread.is_some_and(|(most, least)| most - least <= 1),
                    "{parts:?}"
                );
            }
        }
    }
}
