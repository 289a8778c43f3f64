//! TCP games: flags in every combination, resets that are not the sender's to send, and servers that would rather open
//! connections than answer them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sluice_lab::{Family, Mode};

use crate::common::{eventually, nft, pod};
use crate::craft::{ACK, FIN, PSH, RST, SYN, Segment, TCP, UDP, Way};
use crate::hostile::Fate::{Arrives, Dropped};
use crate::hostile::{Case, DENIED, FAMILIES, FRIEND, Fate, Field, MODES, SERVER, WEB, check};

const ALLOWED: u16 = 80;
const FORBIDDEN: u16 = 81;
/// Below the ephemeral ports, and no port that is probed.
const CLIENT: u16 = 5000;

fn segment(way: Way, ports: (u16, u16), flags: u8) -> Vec<u8> {
    let segment = Segment {
        ports,
        sequence: 1000,
        acknowledgement: 2000,
        flags,
    };
    way.ip(TCP, &way.tcp(segment, b"games"))
}

fn every_flag(port: u16, by_web: Fate) -> Vec<Case> {
    let case = |flags: u8| {
        let name = format!("flags {flags:#04x} to {port}");
        Case::new(name, (Arrives, by_web), move |way: Way, from| {
            vec![segment(way, (from, port), flags)]
        })
    };
    (0..=255).map(case).collect()
}

#[test]
fn segments_with_any_flags_follow_the_port() {
    check(|_: Family| every_flag(ALLOWED, Arrives));
    check(|_: Family| every_flag(FORBIDDEN, Dropped));
}

/// Sends from the server to a client, who lets nobody in, and says which of the packets arrived.
fn backwards(field: &mut Field, to: &str, packets: Vec<(Way, String, Vec<u8>)>) -> Vec<String> {
    let mut sent = Vec::new();
    for (way, name, packet) in packets {
        field.send(SERVER, &[packet]);
        sent.push((way, name));
        if sent.len() % 128 == 0 {
            field.settle();
        }
    }
    field.settle();
    let arrived = |(way, name)| (field.arrived(to, way) > 0).then_some(name);
    sent.into_iter().filter_map(arrived).collect()
}

/// Segments with all flags from a port of the server to as many ports of the web, of which it has connected from none.
fn all_flags_backwards(field: &mut Field, family: Family, from: u16) -> Vec<String> {
    let packets = (0..=255).map(|flags: u8| {
        let way = field.way(SERVER, WEB, family);
        let ports = (from, 20_000 + u16::from(flags));
        (way, format!("{flags:#04x}"), segment(way, ports, flags))
    });
    let packets = packets.collect();
    backwards(field, WEB, packets)
}

#[test]
fn a_server_opens_nothing_from_the_port_that_it_answers_from() {
    for mode in MODES {
        let Some(mut field) = Field::up(mode) else {
            return;
        };
        for heat in ["cold", "warm"] {
            for family in FAMILIES {
                let at = format!("{mode:?} {family} {heat}");
                let none: [&str; 0] = [];
                assert_eq!(
                    all_flags_backwards(&mut field, family, FORBIDDEN),
                    none,
                    "{at}"
                );
                // the middle of an answer, as far as anybody can tell: it opens nothing
                let arrived = all_flags_backwards(&mut field, family, ALLOWED);
                let midstream = |name: &String| {
                    let flags = u8::from_str_radix(&name[2..], 16).unwrap();
                    flags & ACK != 0 && flags & (SYN | RST | FIN) == 0
                };
                assert!(arrived.iter().all(midstream), "{at}: {arrived:?}");
            }
            field.warm();
        }
    }
}

/// A TCP connection of a pod, from a port of its choice.
fn connect(field: &Field, from: &str, port: u16, family: Family) -> std::io::Result<TcpStream> {
    let source = SocketAddr::new(field.address(from, family), port);
    let to = SocketAddr::new(field.address(SERVER, family), ALLOWED);
    let open = || {
        let family = if source.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &source)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        rustix::net::connect(&stream, &to)?;
        Ok(stream)
    };
    field
        .lab
        .pod_netns(&pod(from))
        .unwrap()
        .enter(open)
        .unwrap()
}

/// What a connection may take on a machine that does other things as well: some retransmissions.
const PATIENCE: Duration = Duration::from_mins(1);

/// Reads the server's greeting, or its echo of `word`.
fn exchange(stream: &mut TcpStream, word: &[u8]) -> Vec<u8> {
    stream.write_all(word).unwrap();
    let mut answer = vec![0; word.len()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn greeted(mut stream: TcpStream) -> TcpStream {
    let mut name = [0; SERVER.len() + 1];
    stream.read_exact(&mut name).unwrap();
    assert_eq!(name.strip_suffix(b"\n"), Some(SERVER.as_bytes()));
    stream
}

/// What a server could try on a client that has connected to it: none of it is an answer on that connection.
fn attempts(field: &mut Field, family: Family) -> Vec<(Way, String, Vec<u8>)> {
    let mut attempts = Vec::new();
    let tcp = [
        ("SYN to the client's port", (ALLOWED, CLIENT), SYN),
        ("SYN with data", (ALLOWED, CLIENT), SYN | PSH),
        ("SYN with FIN", (ALLOWED, CLIENT), SYN | FIN),
        ("SYN with RST", (ALLOWED, CLIENT), SYN | RST),
        ("SYN to another port", (ALLOWED, CLIENT + 1), SYN),
        (
            "SYN and ACK to another port",
            (ALLOWED, CLIENT + 1),
            SYN | ACK,
        ),
        ("SYN from another port", (FORBIDDEN, CLIENT), SYN),
        (
            "SYN and ACK from another port",
            (FORBIDDEN, CLIENT),
            SYN | ACK,
        ),
        ("ACK from another port", (FORBIDDEN, CLIENT), ACK),
        ("data from another port", (FORBIDDEN, CLIENT), PSH | ACK),
    ];
    for (name, ports, flags) in tcp {
        let way = field.way(SERVER, WEB, family);
        attempts.push((way, name.to_owned(), segment(way, ports, flags)));
    }
    for (name, ports) in [
        ("UDP to the port", (ALLOWED, CLIENT)),
        ("UDP to another port", (ALLOWED, CLIENT + 1)),
    ] {
        let way = field.way(SERVER, WEB, family);
        attempts.push((way, name.to_owned(), way.ip(UDP, &way.udp(ports, b"games"))));
    }
    attempts
}

#[test]
fn a_server_does_not_connect_back_through_a_connection_that_it_answers() {
    for mode in MODES {
        let Some(mut field) = Field::up(mode) else {
            return;
        };
        for heat in ["cold", "warm"] {
            for family in FAMILIES {
                let at = format!("{mode:?} {family} {heat}");
                let mut stream = greeted(connect_again(&field, family));
                let tried = attempts(&mut field, family);
                let none: [&str; 0] = [];
                assert_eq!(backwards(&mut field, WEB, tried), none, "{at}");
                assert_eq!(exchange(&mut stream, b"still"), b"still", "{at}");
                abort(stream);
            }
            field.warm();
        }
    }
}

/// Ends a connection with RST, so that neither end lingers.
fn abort(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// What conntrack remembers of a connection, and would take a SYN of its server for.
#[derive(Clone, Copy, Debug)]
enum Memory {
    /// Asked for, not yet answered: a SYN from the server would be a simultaneous open.
    Asked,
    /// Closed by both: a SYN from the server would open it anew, with other parts.
    Closed,
    /// Reset by the client.
    Reset,
}

fn remember(field: &mut Field, memory: Memory, family: Family) {
    match memory {
        Memory::Asked => {
            let way = field.way(WEB, SERVER, family);
            field.send(WEB, &[segment(way, (CLIENT, ALLOWED), SYN)]);
        }
        Memory::Closed => {
            let mut stream = greeted(connect_again(field, family));
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
        Memory::Reset => abort(greeted(connect_again(field, family))),
    }
}

fn try_to_reopen(mode: Mode, memory: Memory) {
    let Some(mut field) = Field::up(mode) else {
        return;
    };
    for heat in ["cold", "warm"] {
        if heat == "warm" {
            field.warm();
        }
        let server = field.lab.pod_netns(&pod(SERVER)).unwrap();
        if matches!(memory, Memory::Asked) {
            // the server's kernel keeps out of it
            let rules = "table inet mute { chain c { type filter hook input priority 0; tcp sport 5000 drop; }; }";
            nft(server, rules);
        }
        let mut tried = Vec::new();
        for family in FAMILIES {
            remember(&mut field, memory, family);
            for flags in [SYN, SYN | PSH] {
                let way = field.way(SERVER, WEB, family);
                let name = format!("{family} {flags:#04x}");
                tried.push((way, name, segment(way, (ALLOWED, CLIENT), flags)));
            }
        }
        let none: [&str; 0] = [];
        let arrived = backwards(&mut field, WEB, tried);
        assert_eq!(arrived, none, "{mode:?} {memory:?} {heat}");
        if matches!(memory, Memory::Asked) {
            nft(field.lab.pod_netns(&pod(SERVER)).unwrap(), "flush ruleset");
        }
    }
}

#[test]
fn a_server_does_not_reopen_what_its_client_has_closed_reset_or_only_asked_for() {
    for mode in MODES {
        for memory in [Memory::Asked, Memory::Closed, Memory::Reset] {
            try_to_reopen(mode, memory);
        }
    }
}

#[test]
fn nobody_resets_or_closes_the_connection_of_another() {
    for mode in MODES {
        let Some(mut field) = Field::up(mode) else {
            return;
        };
        field.warm();
        for family in FAMILIES {
            let mut stream = greeted(connect_again(&field, family));
            let mut forged = Vec::new();
            for from in DENIED.into_iter().chain([FRIEND]) {
                for flags in [RST, RST | ACK, FIN, FIN | ACK, SYN, ACK] {
                    for (to, ports) in [(WEB, (ALLOWED, CLIENT)), (SERVER, (CLIENT, ALLOWED))] {
                        let way = field.way(from, to, family);
                        field.send(from, &[segment(way, ports, flags)]);
                        forged.push((from, to, way));
                    }
                }
            }
            field.settle();
            // the friend may connect to the server, and no more
            forged.retain(|(from, to, _)| (*from, *to) != (FRIEND, SERVER));
            for (from, to, way) in forged {
                let arrived = field.arrived(to, way);
                assert_eq!(arrived, 0, "{mode:?} {family}: {from} to {to}");
            }
            assert_eq!(
                exchange(&mut stream, b"alive"),
                b"alive",
                "{mode:?} {family}"
            );
            abort(stream);
        }
    }
}

#[test]
fn a_reset_that_the_client_does_not_take_cuts_nothing() {
    for mode in MODES {
        let Some(mut field) = Field::up(mode) else {
            return;
        };
        field.warm();
        for family in FAMILIES {
            let mut stream = greeted(connect_again(&field, family));
            // of the server, and of the client: both far out of the window
            for (from, to, ports) in [
                (SERVER, WEB, (ALLOWED, CLIENT)),
                (WEB, SERVER, (CLIENT, ALLOWED)),
            ] {
                let way = field.way(from, to, family);
                field.send(from, &[segment(way, ports, RST)]);
            }
            field.settle();
            for _ in 0..3 {
                assert_eq!(
                    exchange(&mut stream, b"alive"),
                    b"alive",
                    "{mode:?} {family}"
                );
            }
            abort(stream);
        }
    }
}

/// Connects as soon as the client's kernel has closed the former connection, which on a busy machine takes a moment.
fn connect_again(field: &Field, family: Family) -> TcpStream {
    let mut opened = None;
    eventually("the client's port is free", || {
        match connect(field, WEB, CLIENT, family) {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => false,
            other => {
                opened = Some(other.unwrap());
                true
            }
        }
    });
    opened.unwrap()
}

#[test]
fn a_source_port_is_used_again_at_once() {
    for mode in MODES {
        let Some(field) = Field::up(mode) else {
            return;
        };
        // the client keeps nothing of a connection that it has closed
        let client = field.lab.pod_netns(&pod(WEB)).unwrap();
        client.set_sysctl("ipv4/tcp_max_tw_buckets", "0").unwrap();
        for family in FAMILIES {
            for round in 0..40 {
                let mut stream = greeted(connect_again(&field, family));
                assert_eq!(
                    exchange(&mut stream, b"again"),
                    b"again",
                    "{mode:?} {round}"
                );
                if round % 2 == 0 {
                    abort(stream);
                } else {
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                }
            }
        }
    }
}
