//! Services, as far as they translate addresses.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_policy::Labels;

use crate::field::{Checked, Field};
use crate::labels::labels;
use crate::pod::{address, protocol};
use crate::policy::port_name;
use crate::world::{ServicePort, TargetPort};

/// A Service before it has addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceDraft {
    pub(crate) selector: Labels,
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) addresses: Addresses,
}

/// Where a Service's addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// They are given; none for a headless Service, or one that is but a name.
    Given(Vec<IpAddr>),
    /// They are assigned.
    Assigned { ipv4: bool, ipv6: bool },
}

impl Default for Addresses {
    fn default() -> Self {
        Self::Assigned {
            ipv4: true,
            ipv6: true,
        }
    }
}

/// Reads a Service.
pub(crate) fn service(object: &Field<'_>) -> ServiceDraft {
    let Some(spec) = object.get("spec") else {
        return ServiceDraft::default();
    };
    let _ = spec.at_least(&[
        "selector",
        "ports",
        "clusterIP",
        "clusterIPs",
        "ipFamilies",
        "type",
    ]);
    ServiceDraft {
        selector: spec
            .get("selector")
            .map_or_else(Labels::new, |field| labels(&field)),
        ports: ports(&spec),
        addresses: addresses(&spec).unwrap_or(Addresses::Given(Vec::new())),
    }
}

fn addresses(spec: &Field<'_>) -> Checked<Addresses> {
    if spec.get("type").map(|field| field.text()).transpose()? == Some("ExternalName") {
        return Ok(Addresses::Given(Vec::new()));
    }
    let places = match spec.get("clusterIPs") {
        Some(field) => field.items()?,
        None => spec
            .get("clusterIP")
            .filter(|field| field.text() != Ok(""))
            .into_iter()
            .collect(),
    };
    match places.as_slice() {
        [] => families(spec),
        [only] if only.text() == Ok("None") => Ok(Addresses::Given(Vec::new())),
        some => Ok(Addresses::Given(
            some.iter()
                .filter_map(|field| address(field).ok())
                .collect(),
        )),
    }
}

fn families(spec: &Field<'_>) -> Checked<Addresses> {
    let Some(field) = spec.get("ipFamilies") else {
        return Ok(Addresses::default());
    };
    let (mut ipv4, mut ipv6) = (false, false);
    for item in field.items()? {
        match item.text()? {
            "IPv4" => ipv4 = true,
            "IPv6" => ipv6 = true,
            _ => return Err(item.wrong(format!("must be IPv4 or IPv6, got {}", item.shown()))),
        }
    }
    Ok(Addresses::Assigned { ipv4, ipv6 })
}

fn ports(spec: &Field<'_>) -> Vec<ServicePort> {
    let items = spec
        .get("ports")
        .and_then(|field| field.items().ok())
        .unwrap_or_default();
    let mut ports: Vec<ServicePort> = Vec::new();
    for item in &items {
        let Ok(port) = port(item) else { continue };
        if ports
            .iter()
            .any(|other| (other.port, other.protocol) == (port.port, port.protocol))
        {
            item.wrong(format!(
                "the Service has port {}/{} twice",
                port.port, port.protocol
            ));
            continue;
        }
        ports.push(port);
    }
    ports
}

fn port(field: &Field<'_>) -> Checked<ServicePort> {
    let known = field.at_least(&[
        "name",
        "protocol",
        "port",
        "targetPort",
        "nodePort",
        "appProtocol",
    ]);
    let name = field.get("name").map(|field| field.text()).transpose();
    let protocol = protocol(field);
    let target = field
        .get("targetPort")
        .map(|field| target(&field))
        .transpose();
    let port = field
        .get("port")
        .ok_or_else(|| field.missing("port"))?
        .port()?;
    known?;
    Ok(ServicePort {
        name: name?.filter(|name| !name.is_empty()).map(Arc::from),
        protocol: protocol?,
        port,
        target: target?.unwrap_or(TargetPort::Number(port)),
    })
}

fn target(field: &Field<'_>) -> Checked<TargetPort> {
    if field.is_number() {
        field.port().map(TargetPort::Number)
    } else {
        port_name(field).map(TargetPort::Name)
    }
}
