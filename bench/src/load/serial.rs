//! One thing after another, waited for.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::net::{SocketFlags, connect};

use super::{Meter, Sent, socket};

/// What a stream hands to the kernel at a time.
const CHUNK: usize = 128 * 1024;

/// Connect, a byte there, a byte back, reset.
pub(super) fn tcp_crr(mut meter: Meter, mut to: impl FnMut() -> SocketAddr) -> Sent {
    while meter.goes_on() {
        let to = to();
        if let Err(error) = connect_and_ask(to, &mut meter) {
            meter.failed(&format!("tcp {to}"), &error);
        }
    }
    meter.finish()
}

fn connect_and_ask(to: SocketAddr, meter: &mut Meter) -> io::Result<()> {
    let socket = socket::tcp(to, SocketFlags::empty())?;
    let begun = Instant::now();
    meter.opened();
    connect(&socket, &to)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"?")?;
    stream.read_exact(&mut [0])?;
    meter.answered(begun);
    Ok(())
}

/// A byte there and back, again and again.
pub(super) fn tcp_rr(mut meter: Meter, to: SocketAddr) -> Sent {
    let mut run = || -> io::Result<()> {
        let mut stream = connected(to, &mut meter)?;
        stream.set_nodelay(true)?;
        while meter.goes_on() {
            let begun = Instant::now();
            stream.write_all(b"?")?;
            stream.read_exact(&mut [0])?;
            meter.answered(begun);
        }
        Ok(())
    };
    if let Err(error) = run() {
        meter.failed(&format!("tcp {to}"), &error);
    }
    meter.finish()
}

fn connected(to: SocketAddr, meter: &mut Meter) -> io::Result<TcpStream> {
    let socket = socket::tcp(to, SocketFlags::empty())?;
    meter.opened();
    connect(&socket, &to)?;
    Ok(TcpStream::from(socket))
}

/// As much as goes.
pub(super) fn tcp_stream(mut meter: Meter, to: SocketAddr) -> Sent {
    let mut run = || -> io::Result<()> {
        let mut stream = connected(to, &mut meter)?;
        let chunk = vec![0; CHUNK];
        while meter.goes_on() {
            let taken = stream.write(&chunk)?;
            meter.took(taken);
        }
        Ok(())
    };
    if let Err(error) = run() {
        meter.failed(&format!("tcp {to}"), &error);
    }
    meter.finish()
}

/// A datagram there and back, again and again.
pub(super) fn udp_rr(mut meter: Meter, to: SocketAddr) -> Sent {
    let mut run = || -> io::Result<()> {
        let socket = UdpSocket::from(flow(to, &mut meter)?);
        while meter.goes_on() {
            let begun = Instant::now();
            socket.send(b"?")?;
            socket.recv(&mut [0])?;
            meter.answered(begun);
        }
        Ok(())
    };
    if let Err(error) = run() {
        meter.failed(&format!("udp {to}"), &error);
    }
    meter.finish()
}

fn flow(to: SocketAddr, meter: &mut Meter) -> io::Result<OwnedFd> {
    let socket = socket::udp(to)?;
    meter.opened();
    connect(&socket, &to)?;
    Ok(socket)
}

/// A datagram there and back, each time from another port.
pub(super) fn udp_new(mut meter: Meter, mut flow: impl FnMut() -> (SocketAddr, u16)) -> Sent {
    while meter.goes_on() {
        let (to, from) = flow();
        if let Err(error) = send_from(from, to, &mut meter) {
            meter.failed(&format!("udp {to} from port {from}"), &error);
        }
    }
    meter.finish()
}

fn send_from(port: u16, to: SocketAddr, meter: &mut Meter) -> io::Result<()> {
    let any: IpAddr = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = socket::udp(to)?;
    rustix::net::bind(&socket, &SocketAddr::new(any, port))?;
    let begun = Instant::now();
    meter.opened();
    connect(&socket, &to)?;
    let socket = UdpSocket::from(socket);
    socket.send(b"?")?;
    socket.recv(&mut [0])?;
    meter.answered(begun);
    Ok(())
}
