//! Which ports a rule of an admin policy is about: v1alpha1's `ports` and v1alpha2's `protocols`.

use std::sync::Arc;

use sluice_policy::{AdminKind, AdminPort, AdminPorts, Port, PortMatch, Protocol};

use super::{Direction, Grammar, required};
use crate::field::{Checked, Field};
use crate::pod::protocol;

/// The fields of an entry that name a port.
const NAMES: [&str; 2] = ["namedPort", "destinationNamedPort"];
/// The peers without named ports.
const NAMELESS: [&str; 3] = ["nodes", "networks", "domainNames"];

/// `ports` or `protocols`, all entries or none.
pub(super) fn ports(
    rule: &Field<'_>,
    grammar: &Grammar,
    direction: Direction,
) -> Checked<AdminPorts> {
    let Some(field) = rule.once(grammar.ports)? else {
        return Ok(AdminPorts::Any);
    };
    let items = field.some_items(grammar.most)?;
    let read = match grammar.kind {
        AdminKind::ClusterNetworkPolicy => protocol_port,
        AdminKind::AdminNetworkPolicy | AdminKind::BaselineAdminNetworkPolicy => port,
    };
    // Every entry is looked at, so that all problems show.
    let read: Vec<Checked<AdminPort>> = items.iter().map(read).collect();
    let names_fit = check_names(rule, &items, direction);
    let ports = read.into_iter().collect::<Checked<_>>()?;
    names_fit.map(|()| AdminPorts::Of(ports))
}

/// Nodes and networks have no named ports, so a rule may not have both.
fn check_names(rule: &Field<'_>, ports: &[Field<'_>], direction: Direction) -> Checked<()> {
    let peers = rule.get(direction.peers());
    let peers = peers.filter(Field::is_list).map(|field| field.items());
    let mut peers = peers.into_iter().flatten().flatten();
    let is_nameless = |peer: Field<'_>| NAMELESS.iter().any(|key| peer.get(key).is_some());
    let named = ports
        .iter()
        .find_map(|port| NAMES.iter().find_map(|key| port.get(key)));
    match named {
        Some(named) if peers.any(is_nameless) => Err(named.wrong(format!(
            "excludes peers of the kinds {}",
            NAMELESS.join(", ")
        ))),
        _ => Ok(()),
    }
}

/// An entry of v1alpha1.
fn port(field: &Field<'_>) -> Checked<AdminPort> {
    match field.one_of(&["portNumber", "namedPort", "portRange"])? {
        ("portNumber", field) => {
            let known = field.only(&["protocol", "port"]);
            let (protocol, port) = (protocol(&field), number(&field, "port"));
            known?;
            let port = port?;
            Ok(numbered(protocol?, (port, port)))
        }
        ("portRange", field) => {
            let known = field.only(&["protocol", "start", "end"]);
            let (protocol, range) = (protocol(&field), range(&field, 0));
            known?;
            Ok(numbered(protocol?, range?))
        }
        (_, field) => name(&field),
    }
}

/// An entry of v1alpha2.
fn protocol_port(field: &Field<'_>) -> Checked<AdminPort> {
    let (protocol, field) = match field.one_of(&["tcp", "udp", "sctp", "destinationNamedPort"])? {
        ("tcp", field) => (Protocol::Tcp, field),
        ("udp", field) => (Protocol::Udp, field),
        ("sctp", field) => (Protocol::Sctp, field),
        (_, field) => return name(&field),
    };
    let (_, field) = field.one_of(&["destinationPort"])?;
    match field.one_of(&["number", "range"])? {
        ("number", field) => {
            let port = field.port()?;
            Ok(numbered(protocol, (port, port)))
        }
        (_, field) => {
            field.only(&["start", "end"])?;
            Ok(numbered(protocol, range(&field, 1)?))
        }
    }
}

const fn numbered(protocol: Protocol, (first, last): (u16, u16)) -> AdminPort {
    AdminPort::Numbered(PortMatch {
        protocol,
        port: Port::Range(first, last),
    })
}

fn number(field: &Field<'_>, key: &str) -> Checked<u16> {
    required(field, key)?.port()
}

/// `start` and `end`, which must be greater by that much at least.
fn range(field: &Field<'_>, least: u16) -> Checked<(u16, u16)> {
    let (start, end) = (number(field, "start"), number(field, "end"));
    let (start, end) = (start?, end?);
    if end.checked_sub(start).is_some_and(|more| more >= least) {
        return Ok((start, end));
    }
    let wanted = if least == 0 {
        "must not be less than"
    } else {
        "must be greater than"
    };
    let place = field.get("end").unwrap_or_else(|| field.clone());
    Err(place.wrong(format!("{wanted} start {start}, got {end}")))
}

/// The name of a port. The API takes any, and one that no pod can have matches none.
fn name(field: &Field<'_>) -> Checked<AdminPort> {
    match field.text()? {
        "" => Err(field.wrong("must not be empty")),
        text => Ok(AdminPort::Named(Arc::from(text))),
    }
}
