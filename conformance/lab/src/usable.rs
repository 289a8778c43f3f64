//! When links and addresses that were just made can be used: the kernel goes on with both after it has said that they are
//! there, and a busy one takes its time. What they are for is not known here.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sluice_netlink::Rtnetlink;

/// A kernel that takes longer will not do it.
const LIMIT: Duration = Duration::from_secs(20);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(2);
/// `RTF_LOCAL` of `linux/ipv6_route.h`.
const LOCAL: u32 = 0x8000_0000;

/// Waits until a link of the calling thread's namespace carries packets: once the kernel has got round to noticing its
/// carrier, up to a second later, or, where it is new enough, at once when somebody asks for the link
/// (`linkwatch_sync_dev` in `rtnl_getlink`).
pub(crate) fn link(name: &str) -> Result<()> {
    let mut netlink = Rtnetlink::open()?;
    until(&format!("link {name} has no carrier"), || {
        Ok(netlink.is_running(name)?)
    })
}

/// Waits until the kernel answers for the IPv6 addresses of the calling thread's namespace: it joins their groups and
/// routes them to itself in the background, also where it looks for no duplicates.
pub(crate) fn addresses() -> Result<()> {
    until("an IPv6 address has no route", || {
        let (there, routed) = (read("if_inet6")?, read("ipv6_route")?);
        Ok(all(&there).is_subset(&local(&routed)))
    })
}

fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    while !is_so()? {
        ensure!(Instant::now() < limit, "{what}");
        thread::sleep(LOOK);
    }
    Ok(())
}

/// A table of the calling thread's namespace; empty where the kernel has no IPv6.
fn read(table: &str) -> Result<String> {
    let path = format!("/proc/thread-self/net/{table}");
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| path),
    }
}

/// Address and link of each line of `if_inet6`.
fn all(table: &str) -> BTreeSet<(&str, &str)> {
    let lines = table.lines().map(|line| line.split_whitespace());
    lines
        .filter_map(|mut fields| Some((fields.next()?, fields.next_back()?)))
        .collect()
}

/// Destination and link of each route of `ipv6_route` to an address of the namespace's own.
fn local(table: &str) -> BTreeSet<(&str, &str)> {
    table.lines().filter_map(local_one).collect()
}

fn local_one(row: &str) -> Option<(&str, &str)> {
    let mut fields = row.split_whitespace();
    let destination = fields.next()?;
    let (link, flags) = (fields.next_back()?, fields.next_back()?);
    let flags = u32::from_str_radix(flags, 16).ok()?;
    (flags & LOCAL != 0).then_some((destination, link))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "fd00001002440001000000000000000a";

    #[test]
    fn an_address_is_usable_with_a_route_of_its_own_link() {
        let addresses = format!("{A} 02 80 00 82     eth0\n");
        let wanted = all(&addresses);
        assert_eq!(wanted, BTreeSet::from([(A, "eth0")]));
        let none = "00000000000000000000000000000000";
        for (flags, link, usable) in [
            ("80200001", "eth0", true),
            ("80200001", "eth1", false),
            ("00000001", "eth0", false),
        ] {
            let routes =
                format!("{A} 80 {none} 00 {none} 00000000 00000001 00000000 {flags}     {link}\n");
            assert_eq!(wanted.is_subset(&local(&routes)), usable, "{flags} {link}");
        }
    }
}
