//! Whether established connections can be redirected here: what conntrack has to be told for that.
//!
//! It sees few packets of such a connection. By default it takes what comes after those that it has not seen for invalid,
//! a reset as well, and forgets a connection whose last packet was not acknowledged, as far as it knows, within minutes:
//! who opened it would be unknown then.

use std::io;

use sluice_netlink::conntrack_sysctl;
use tracing::warn;

const LIBERAL: &str = "nf_conntrack_tcp_be_liberal";
const RESETS: &str = "nf_conntrack_tcp_ignore_invalid_rst";
const UNACKNOWLEDGED: &str = "nf_conntrack_tcp_timeout_unacknowledged";
const ESTABLISHED: &str = "nf_conntrack_tcp_timeout_established";

/// Whether everything is set for it; says what is not.
pub(crate) fn is_possible() -> bool {
    let missing = match missing(conntrack_sysctl) {
        Ok(missing) => missing,
        Err(error) => {
            warn!(%error, "--redirect-established: nothing is redirected, as conntrack's settings cannot be read");
            return false;
        }
    };
    if !missing.is_empty() {
        let missing = missing.join(", ");
        warn!(
            missing,
            "--redirect-established: nothing is redirected until these are set and the agent is started again"
        );
    }
    missing.is_empty()
}

/// The settings that are missing, as `sysctl -w` takes them. Times are in seconds.
fn missing(read: impl Fn(&str) -> io::Result<u32>) -> io::Result<Vec<String>> {
    let established = read(ESTABLISHED)?;
    let mut missing = Vec::new();
    for (name, at_least) in [(LIBERAL, 1), (RESETS, 1), (UNACKNOWLEDGED, established)] {
        if read(name)? < at_least {
            missing.push(format!("net.netfilter.{name}={at_least}"));
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_as_it_is_to_be_set() {
        let of = |liberal, resets, unacknowledged| {
            missing(move |name| {
                Ok(match name {
                    LIBERAL => liberal,
                    RESETS => resets,
                    UNACKNOWLEDGED => unacknowledged,
                    _ => 86_400,
                })
            })
            .unwrap()
        };
        assert_eq!(of(1, 1, 86_400), Vec::<String>::new());
        assert_eq!(of(1, 1, 432_000), Vec::<String>::new());
        assert_eq!(
            of(0, 0, 300),
            [
                "net.netfilter.nf_conntrack_tcp_be_liberal=1",
                "net.netfilter.nf_conntrack_tcp_ignore_invalid_rst=1",
                "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged=86400"
            ]
        );
        let absent = missing(|_| Err(io::ErrorKind::NotFound.into()));
        assert!(absent.is_err(), "an older kernel");
    }
}
