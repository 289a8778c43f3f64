//! `NetworkPolicy` objects: what is valid as it is meant, and what is not failed closed.
//!
//! Failing closed means that a policy isolates whatever it may have meant to select, and that of its rules only those
//! parts allow that could be read: an unreadable `podSelector` selects the whole namespace, and the policy then allows
//! nothing, as others may isolate those pods; unreadable `policyTypes` are both, an unreadable peer or port matches
//! nothing, and a rule with an unknown field matches nothing. An unknown field of the spec may have been any of these.

use std::sync::Arc;

use ipnet::IpNet;
use sluice_policy::{
    Namespaces, NetworkPolicy, Peer, Peers, Port, PortMatch, Ports, Rule, Selector,
};

use crate::field::{Checked, Field, Reported};
use crate::labels::selector;
use crate::pod::protocol;
use crate::syntax::{self, is_port_name};

/// Reads `spec` of a whole object.
pub(crate) fn network_policy(
    object: &Field<'_>,
    namespace: Arc<str>,
    name: Arc<str>,
) -> NetworkPolicy {
    // `status` was part of the kind for some releases; what else is wrong out there leaves the spec as it is.
    let known = object.only(&["apiVersion", "kind", "metadata", "spec", "status"]);
    match object.once("spec") {
        Ok(Some(spec)) => read_spec(&spec, namespace, name),
        // Without a spec it selects everything, for ingress; misspelled or twice there, it may mean anything.
        outcome => NetworkPolicy {
            namespace,
            name,
            pods: Selector::default(),
            ingress: Some(Vec::new()),
            egress: (outcome.is_err() || known.is_err()).then(Vec::new),
        },
    }
}

fn read_spec(spec: &Field<'_>, namespace: Arc<str>, name: Arc<str>) -> NetworkPolicy {
    let known = spec.only(&["podSelector", "ingress", "egress", "policyTypes"]);
    let pods = match spec.once("podSelector") {
        Ok(Some(field)) => selector(&field),
        Ok(None) => Ok(Selector::default()),
        Err(reported) => Err(reported),
    };
    let ingress = rules(spec, "ingress", "from");
    let egress = rules(spec, "egress", "to");
    let types = match spec.once("policyTypes") {
        Ok(Some(field)) if !field.is_empty_list() => policy_types(&field),
        // A field with a name that nobody knows may have been meant for policyTypes or egress.
        Ok(_) => match (known, &egress) {
            (Ok(()), Ok(egress)) => Ok(Types {
                ingress: true,
                egress: !egress.is_empty(),
            }),
            _ => Err(Reported),
        },
        Err(reported) => Err(reported),
    };
    let types = types.unwrap_or(Types {
        ingress: true,
        egress: true,
    });
    let is_certain = known.is_ok() && pods.is_ok();
    let rules = |rules: Checked<Vec<Rule>>| rules.ok().filter(|_| is_certain).unwrap_or_default();
    NetworkPolicy {
        namespace,
        name,
        ingress: types.ingress.then(|| rules(ingress)),
        egress: types.egress.then(|| rules(egress)),
        pods: pods.unwrap_or_default(),
    }
}

/// `policyTypes`, or what they default to.
#[derive(Clone, Copy)]
struct Types {
    ingress: bool,
    egress: bool,
}

fn policy_types(field: &Field<'_>) -> Checked<Types> {
    let items = field.items()?;
    let mut types = Types {
        ingress: false,
        egress: false,
    };
    let mut outcome = Ok(());
    for item in &items {
        match item.text() {
            Ok("Ingress") => types.ingress = true,
            Ok("Egress") => types.egress = true,
            Ok(_) => {
                let message = format!("must be Ingress or Egress, got {}", item.shown());
                outcome = Err(item.wrong(message));
            }
            Err(reported) => outcome = Err(reported),
        }
    }
    if items.len() > 2 {
        outcome = Err(field.wrong(format!("must be no more than two, got {}", items.len())));
    }
    outcome.map(|()| types)
}

/// The rules of one direction; none where there is no such field.
fn rules(spec: &Field<'_>, direction: &str, peers: &str) -> Checked<Vec<Rule>> {
    let Some(field) = spec.once(direction)? else {
        return Ok(Vec::new());
    };
    Ok(field
        .items()?
        .iter()
        .map(|item| rule(item, peers))
        .collect())
}

/// One rule; it keeps its place in the list, whatever is wrong with it.
fn rule(field: &Field<'_>, peers_key: &str) -> Rule {
    let known = field.only(&[peers_key, "ports"]);
    let peers = match entries(field, peers_key, peer) {
        Some(some) => Peers::Of(some),
        None => Peers::Any,
    };
    let ports = match entries(field, "ports", port) {
        Some(some) => Ports::Of(some),
        None => Ports::Any,
    };
    match known {
        Ok(()) => Rule { peers, ports },
        Err(Reported) => Rule {
            peers: Peers::Of(Vec::new()),
            ports: Ports::Of(Vec::new()),
        },
    }
}

/// The valid entries of a list; none where the list is missing or empty, so that everything is meant.
fn entries<T>(rule: &Field<'_>, key: &str, read: fn(&Field<'_>) -> Checked<T>) -> Option<Vec<T>> {
    let field = rule.get(key)?;
    match field.items() {
        Ok(items) if items.is_empty() => None,
        Ok(items) => Some(items.iter().filter_map(|item| read(item).ok()).collect()),
        Err(Reported) => Some(Vec::new()),
    }
}

fn peer(field: &Field<'_>) -> Checked<Peer> {
    field.only(&["podSelector", "namespaceSelector", "ipBlock"])?;
    let (pods, namespaces, block) = (
        field.get("podSelector"),
        field.get("namespaceSelector"),
        field.get("ipBlock"),
    );
    if let Some(block) = block {
        let read = ip_block(&block);
        if pods.is_some() || namespaces.is_some() {
            return Err(
                field.wrong("ipBlock cannot be combined with podSelector or namespaceSelector")
            );
        }
        return read;
    }
    if pods.is_none() && namespaces.is_none() {
        return Err(field.wrong("needs a podSelector, a namespaceSelector or an ipBlock"));
    }
    let pods = pods.map_or(Ok(Selector::default()), |field| selector(&field));
    let namespaces = match namespaces {
        Some(field) => selector(&field).map(Namespaces::Matching),
        None => Ok(Namespaces::Own),
    };
    Ok(Peer::Pods {
        namespaces: namespaces?,
        pods: pods?,
    })
}

fn ip_block(field: &Field<'_>) -> Checked<Peer> {
    field.only(&["cidr", "except"])?;
    let cidr = network(&field.get("cidr").ok_or_else(|| field.missing("cidr"))?);
    let mut except = Vec::new();
    let mut outcome = Ok(());
    let items = field
        .get("except")
        .map_or(Ok(Vec::new()), |field| field.items())?;
    for item in items {
        match network(&item).and_then(|part| within(&item, part, cidr)) {
            Ok(part) => except.push(part),
            Err(reported) => outcome = Err(reported),
        }
    }
    outcome?;
    Ok(Peer::Block {
        cidr: cidr?,
        except,
    })
}

/// A network. One that is only written badly is reported, and means what a cluster that let it in takes it for.
pub(crate) fn network(field: &Field<'_>) -> Checked<IpNet> {
    let text = field.text()?;
    let Some(read) = syntax::cidr(text) else {
        return Err(field.wrong(format!(
            "must be a network such as 10.0.0.0/8 or fd00::/8, got {}",
            field.shown()
        )));
    };
    if let Some(fault) = read.fault {
        field.remark(format!("{text} {fault}"));
    }
    Ok(read.network)
}

fn within(field: &Field<'_>, part: IpNet, whole: Checked<IpNet>) -> Checked<IpNet> {
    match whole {
        Ok(whole) if !(whole.contains(&part) && whole.prefix_len() < part.prefix_len()) => {
            Err(field.wrong(format!("{part} must be a strict part of cidr {whole}")))
        }
        _ => Ok(part),
    }
}

fn port(field: &Field<'_>) -> Checked<PortMatch> {
    let known = field.only(&["protocol", "port", "endPort"]);
    let protocol = protocol(field);
    let port = ports(field);
    known?;
    Ok(PortMatch {
        protocol: protocol?,
        port: port?,
    })
}

fn ports(field: &Field<'_>) -> Checked<Port> {
    let end = field.get("endPort");
    let end_port = end.as_ref().map(Field::port).transpose();
    let wrong_end = |message: &str| Err(end.as_ref().map_or(Reported, |end| end.wrong(message)));
    let Some(port) = field.get("port") else {
        return if end.is_some() {
            wrong_end("needs port")
        } else {
            Ok(Port::Any)
        };
    };
    if !port.is_number() {
        let name = port_name(&port)?;
        return if end.is_some() {
            wrong_end("needs port to be a number")
        } else {
            Ok(Port::Named(name))
        };
    }
    let first = port.port()?;
    match end_port? {
        Some(last) if last < first => {
            wrong_end(&format!("must not be less than port {first}, got {last}"))
        }
        last => Ok(Port::Range(first, last.unwrap_or(first))),
    }
}

/// The name of a port.
pub(crate) fn port_name(field: &Field<'_>) -> Checked<Arc<str>> {
    let text = field.text()?;
    if is_port_name(text) {
        return Ok(text.into());
    }
    Err(field.wrong(format!(
        "must be a port number, or a name of up to 15 lowercase letters, digits and single '-' with a letter in it, got {}",
        field.shown()
    )))
}
