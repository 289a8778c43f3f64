//! How to know that a packet will not arrive, without waiting for it.
//!
//! A packet between namespaces of one machine goes from hop to hop through the backlog of the processor that it was
//! sent on, in order. So where a packet on the loopback has come round on a processor, whatever was sent on it before
//! has made a hop. A packet that was queued for a verdict goes on from wherever the agent's thread runs, before
//! the verdict on the next packet of the same queue, and each processor has one: a canary is sent from each, through its
//! queue, and is allowed. Where all canaries have arrived, and then a fence on every processor, every earlier packet has
//! arrived, or never will. What a kernel answered to it meanwhile, wherever that was, may be in any queue by then: it
//! takes another round.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketType, ipproto};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sluice_lab::Family;
use sluice_netlink::Netns;

use crate::cluster::{CANARIES, address};

/// Hops of the longest way: a handshake crosses two links three times.
const HOPS: usize = 8;
/// By then the machine is not slow: something is broken.
const LIMIT: Duration = Duration::from_secs(10);

/// Sockets for fences and canaries. The thread that makes it is the one that sends, and stays on one processor for as long.
pub(crate) struct Fence {
    loopback: UdpSocket,
    home: usize,
    processors: Vec<usize>,
    canary: OwnedFd,
    id: u16,
}

impl Fence {
    /// In the namespace of the first canary.
    pub(crate) fn new(netns: &Netns, home: usize) -> Self {
        let allowed = sched_getaffinity(None).unwrap();
        let processors: Vec<_> = (0..CpuSet::MAX_CPU)
            .filter(|cpu| allowed.is_set(*cpu))
            .collect();
        let (loopback, canary) = netns
            .enter(|| {
                let loopback = UdpSocket::bind("127.0.0.1:0").unwrap();
                loopback.connect(loopback.local_addr().unwrap()).unwrap();
                loopback.set_read_timeout(Some(LIMIT)).unwrap();
                let icmp = Some(ipproto::ICMP);
                let canary = rustix::net::socket(AddressFamily::INET, SocketType::RAW, icmp);
                let canary = canary.unwrap();
                set_socket_timeout(&canary, Timeout::Recv, Some(LIMIT)).unwrap();
                (loopback, canary)
            })
            .unwrap();
        let home = processors[home % processors.len()];
        stay_on(home);
        Self {
            loopback,
            home,
            processors,
            canary,
            id: 0,
        }
    }

    /// Returns once whatever was sent before, and not queued, has arrived. False: it was lost itself.
    pub(crate) fn here(&self) -> Result<(), String> {
        for _ in 0..HOPS {
            self.loopback.send(b"x").map_err(|e| e.to_string())?;
            let come_round = self.loopback.recv(&mut [0; 4]);
            come_round.map_err(|error| format!("the loopback lost a packet: {error}"))?;
        }
        Ok(())
    }

    /// Returns once whatever was sent before has arrived, or never will, and so has what was answered to it, up to as
    /// many packets in a row as there are `rounds`; `judged` where an agent gives verdicts.
    pub(crate) fn everywhere(&mut self, rounds: usize, judged: bool) -> Result<(), String> {
        for _ in 0..rounds {
            if judged {
                self.on_each(Self::canary)?;
            }
            self.on_each(|fence| fence.here())?;
        }
        Ok(())
    }

    /// Does something on each processor, and returns home.
    fn on_each(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        for number in 0..self.processors.len() {
            stay_on(self.processors[number]);
            work(self)?;
        }
        stay_on(self.home);
        Ok(())
    }

    /// An echo under a number of its own: a connection that conntrack has not seen, of a protocol without leases.
    fn canary(&mut self) -> Result<(), String> {
        const REQUEST: u8 = 8;
        self.id = self.id.wrapping_add(1);
        let [high, low] = self.id.to_be_bytes();
        let sum = u32::from(u16::from_be_bytes([REQUEST, 0])) + u32::from(self.id);
        let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).map_err(|e| e.to_string())?;
        let [check, sum] = (!sum).to_be_bytes();
        let echo = [REQUEST, 0, check, sum, high, low, 0, 0];
        let to: SocketAddrAny =
            std::net::SocketAddr::new(address(CANARIES[1], Family::Ipv4), 0).into();
        rustix::net::sendto(&self.canary, &echo, SendFlags::empty(), &to)
            .map_err(|error| format!("canary: {error}"))?;
        let mut packet = [0; 128];
        loop {
            match rustix::net::recv(&self.canary, &mut packet[..], RecvFlags::empty()) {
                Ok((length, _)) if packet[..length].get(24..26) == Some(&[high, low]) => {
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) if std::io::Error::from(error).kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("no verdict on the canary: {error}")),
            }
        }
    }
}

/// The next lab of the thread has all processors again.
impl Drop for Fence {
    fn drop(&mut self) {
        be_on(&self.processors);
    }
}

fn stay_on(processor: usize) {
    be_on(&[processor]);
}

fn be_on(processors: &[usize]) {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(*processor);
    }
    sched_setaffinity(None, &set).unwrap();
}
