//! What is in the kernel, as opposed to what was put there.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::net::IpAddr;

use netlink_bindings::nftables::{self, ExprOps, IterableExprListAttrs, SetelemListElemAttrs};
use rustix::io::Errno;

use super::Count;
use super::transaction::{USERDATA_COMMENT, header};
use crate::Error;
use crate::socket::{Ended, Socket};

/// Whether the table exists.
pub(crate) fn table_exists(socket: &mut Socket, table: &CStr) -> Result<bool, Error> {
    let mut request = nftables::Request::new().op_gettable_do(&header());
    drop(request.encode().push_name(table));
    match socket.request("look a table up", &request, |_| ()) {
        Ok(_) => Ok(true),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The number of the ruleset's generation: another one after every change by anybody.
pub(crate) fn generation(socket: &mut Socket) -> Result<u32, Error> {
    let request = nftables::Request::new().op_getgen_do(&header());
    let mut generation = None;
    let _one_answer = socket.request("read the ruleset's generation", &request, |(_, reply)| {
        generation = reply.get_id().ok();
    })?;
    // A kernel that does not say is asked about everything each time.
    Ok(generation.unwrap_or_default())
}

/// The comments of all rules of the table, empty where there is none, in the order of the rules.
pub(crate) fn rules(socket: &mut Socket, table: &CStr) -> Result<Vec<String>, Error> {
    let mut request = nftables::Request::new().op_getrule_dump(&header());
    drop(request.encode().push_table(table));
    loop {
        let mut names = Vec::new();
        let ended = socket.request("read the rules", &request, |(_, rule)| {
            let name = rule.get_userdata().ok().and_then(comment);
            names.push(name.unwrap_or_default());
        })?;
        if ended == Ended::Complete {
            return Ok(names);
        }
    }
}

/// The addresses in a set.
pub(crate) fn elements(
    socket: &mut Socket,
    table: &CStr,
    set: &CStr,
) -> Result<BTreeSet<IpAddr>, Error> {
    let mut request = nftables::Request::new().op_getsetelem_dump(&header());
    drop(request.encode().push_table(table).push_set(set));
    loop {
        let mut addresses = BTreeSet::new();
        let ended = socket.request("read a set", &request, |(_, list)| {
            for element in list.get_elements().into_iter().flatten().flatten() {
                let SetelemListElemAttrs::Elem(element) = element;
                let value = element.get_key().and_then(|key| key.get_value());
                addresses.extend(value.ok().and_then(address));
            }
        })?;
        if ended == Ended::Complete {
            return Ok(addresses);
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// The counters of all rules of the table that have one and a comment, in the order of the rules.
pub(crate) fn counters(socket: &mut Socket, table: &CStr) -> Result<Vec<Count>, Error> {
    let mut request = nftables::Request::new().op_getrule_dump(&header());
    drop(request.encode().push_table(table));
    loop {
        let mut counts = Vec::new();
        let ended = socket.request("read the counters", &request, |(_, rule)| {
            let name = rule.get_userdata().ok().and_then(comment);
            let packets = rule.get_expressions().ok().and_then(packets);
            counts.extend(
                name.zip(packets)
                    .map(|(rule, packets)| Count { rule, packets }),
            );
        })?;
        if ended == Ended::Complete {
            return Ok(counts);
        }
    }
}

fn packets(expressions: IterableExprListAttrs<'_>) -> Option<u64> {
    expressions
        .get_elem()
        .find_map(|expression| match expression.get_data() {
            Ok(ExprOps::Counter(counter)) => counter.get_packets().ok(),
            _ => None,
        })
}

fn comment(userdata: &[u8]) -> Option<String> {
    let mut rest = userdata;
    while let [kind, length, tail @ ..] = rest {
        let value = tail.get(..usize::from(*length))?;
        if *kind == USERDATA_COMMENT {
            return Some(
                String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned(),
            );
        }
        rest = &tail[value.len()..];
    }
    None
}
