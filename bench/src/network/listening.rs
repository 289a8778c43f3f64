//! Whether a server listens, by the kernel's own account: asking it by a connection would count as its first client.

use std::{fs, io};

/// The sockets of TCP in the network namespace of a process, below its directory of proc(5).
const TABLES: [&str; 2] = ["net/tcp", "net/tcp6"];
/// `TCP_LISTEN` in `include/net/tcp_states.h` of Linux.
const LISTEN: &str = "0A";

/// Whether something listens on a port of TCP in this process's network namespace.
pub(crate) fn is_listening(port: u16) -> io::Result<bool> {
    is_listening_beside("self", port)
}

/// The same in the network namespace of another process.
pub(crate) fn is_listening_beside(process: &str, port: u16) -> io::Result<bool> {
    for table in TABLES {
        match fs::read_to_string(format!("/proc/{process}/{table}")) {
            Ok(table) if listens(&table, port) => return Ok(true),
            // A kernel without IPv6 has no second one.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(false)
}

fn listens(table: &str, port: u16) -> bool {
    let ending = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|it| it.ends_with(&ending));
        local && fields.nth(1) == Some(LISTEN)
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1451 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3417 1
   1: 0100007F:9C4A 0100007F:1452 01 00000000:00000000 00:00000000 00000000     0        0 3418 1
";

    #[test]
    fn only_listening_sockets_count() {
        for (port, expected) in [
            (0x1451, true),
            (0x9C4A, false),
            (0x1452, false),
            (0x0A, false),
        ] {
            assert_eq!(listens(TABLE, port), expected, "{port:x}");
        }
        assert!(!listens("", 80));
    }

    #[test]
    fn a_listener_of_this_process_is_seen() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(is_listening(port).unwrap(), "{address}");
        }
    }
}
