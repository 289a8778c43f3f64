//! Pages of any size over HTTP/1.0, one connection each: what a client of the web does, and no more of the protocol than
//! that.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{SocketFlags, connect};
use sluice_netlink::Netns;

use super::background::{Background, Stop};
use super::{Meter, PATIENCE, Sent, socket};
use crate::world::HTTP;

/// What is written and read at a time.
const CHUNK: usize = 64 * 1024;
/// The longest request that is read.
const REQUEST: usize = 1_024;
/// What ends the head of a request, and of an answer.
const BLANK: &[u8] = b"\r\n\r\n";

/// A server of pages; it ends with this value.
#[derive(Debug)]
pub struct Pages {
    _thread: Background,
}

impl Pages {
    /// Serves from a thread of its own.
    pub fn start(netns: &Netns) -> Result<Self> {
        let at = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), HTTP);
        let listener = netns.enter(|| TcpListener::bind(at))?;
        let listener = listener.with_context(|| format!("listening on {at}"))?;
        let thread = Background::start("pages", |stop| Ok(move || serve(&listener, &stop)))?;
        Ok(Self { _thread: thread })
    }
}

fn serve(listener: &TcpListener, stop: &Stop) {
    let chunk = vec![b'.'; CHUNK];
    loop {
        let mut waited = [
            PollFd::new(stop, PollFlags::IN),
            PollFd::new(listener, PollFlags::IN),
        ];
        if poll(&mut waited, None).is_err() {
            continue;
        }
        if !waited[0].revents().is_empty() {
            return;
        }
        if let Ok((client, _from)) = listener.accept() {
            // Whatever a client does wrong ends its connection and nothing else.
            drop(answer(client, &chunk));
        }
    }
}

fn answer(mut client: TcpStream, chunk: &[u8]) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    client.set_nodelay(true)?;
    let mut request = [0; REQUEST];
    let mut length = 0;
    while !request[..length].ends_with(BLANK) {
        match client.read(&mut request[length..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
    }
    let Some(mut left) = asked(&request[..length]) else {
        return client.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
    };
    client.write_all(format!("HTTP/1.0 200 OK\r\nContent-Length: {left}\r\n\r\n").as_bytes())?;
    while left > 0 {
        let part = left.min(chunk.len());
        client.write_all(&chunk[..part])?;
        left -= part;
    }
    Ok(())
}

/// The size of the page that a request is for: `GET /SIZE HTTP/1.0`.
fn asked(request: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(request).ok()?;
    let path = text.strip_prefix("GET /")?.split(' ').next()?;
    path.parse().ok()
}

/// Fetches pages of `size` bytes, one after another.
pub(super) fn fetch(mut meter: Meter, to: SocketAddr, size: usize) -> Sent {
    let request = format!("GET /{size} HTTP/1.0\r\nHost: {to}\r\n\r\n");
    let mut buffer = vec![0; CHUNK];
    while meter.goes_on() {
        if let Err(error) = fetch_one(to, &request, size, &mut buffer, &mut meter) {
            meter.failed(&format!("http {to}"), &error);
        }
    }
    meter.finish()
}

fn fetch_one(
    to: SocketAddr,
    request: &str,
    size: usize,
    buffer: &mut [u8],
    meter: &mut Meter,
) -> io::Result<()> {
    let socket = socket::tcp(to, SocketFlags::empty())?;
    let begun = Instant::now();
    meter.opened();
    connect(&socket, &to)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(request.as_bytes())?;
    let mut body = None;
    while body.is_none_or(|body| body < size) {
        let length = stream.read(buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        body = match body {
            Some(body) => Some(body + length),
            // The head is short, and comes in one piece.
            None => after_head(&buffer[..length]),
        };
    }
    meter.answered(begun);
    Ok(())
}

/// How much of the body comes with the head.
fn after_head(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(BLANK.len()).position(|it| it == BLANK)?;
    answer
        .starts_with(b"HTTP/1.0 200 ")
        .then(|| answer.len() - head - BLANK.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_size() {
        for (request, expected) in [
            ("GET /512 HTTP/1.0\r\n\r\n", Some(512)),
            ("GET /0 HTTP/1.1\r\nHost: x\r\n\r\n", Some(0)),
            ("GET / HTTP/1.0\r\n\r\n", None),
            ("GET /-1 HTTP/1.0\r\n\r\n", None),
            ("POST /1 HTTP/1.0\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(asked(request.as_bytes()), expected, "{request}");
        }
    }

    #[test]
    fn what_comes_behind_the_head_counts() {
        assert_eq!(after_head(b"HTTP/1.0 200 OK\r\n\r\nabc"), Some(3));
        assert_eq!(after_head(b"HTTP/1.0 200 OK\r\n"), None);
        assert_eq!(after_head(b"HTTP/1.0 400 Bad Request\r\n\r\n"), None);
    }
}
