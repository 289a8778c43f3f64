//! Pods, and the pod templates of workloads.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use sluice_policy::{ContainerPort, Labels, Protocol};

use crate::field::{Checked, Field};
use crate::labels::labels;
use crate::policy::port_name;
use crate::syntax;

/// A pod before it has a node and addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodDraft {
    pub(crate) labels: Labels,
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) host_network: bool,
    pub(crate) node: Option<Arc<str>>,
    /// Those of `status`, and where they stand is where the pod does.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether `status` has addresses, readable or not: then none are assigned.
    pub(crate) has_addresses: bool,
    /// Succeeded or Failed.
    pub(crate) ended: bool,
    /// Seconds since 1970.
    pub(crate) created: i64,
}

/// Reads a Pod, or the template of a workload.
pub(crate) fn pod(object: &Field<'_>) -> PodDraft {
    let mut draft = PodDraft::default();
    if let Some(metadata) = object.get("metadata") {
        draft.labels = metadata
            .get("labels")
            .map(|field| labels(&field))
            .unwrap_or_default();
        draft.created = metadata
            .get("creationTimestamp")
            .and_then(|field| timestamp(&field).ok())
            .unwrap_or_default();
    }
    if let Some(spec) = object.get("spec") {
        read_spec(&spec, &mut draft);
    }
    if let Some(status) = object.get("status") {
        read_status(&status, &mut draft);
    }
    draft
}

fn read_spec(spec: &Field<'_>, draft: &mut PodDraft) {
    let _ = spec.at_least(&["containers", "initContainers", "hostNetwork", "nodeName"]);
    draft.host_network = spec
        .get("hostNetwork")
        .and_then(|field| field.boolean().ok())
        .unwrap_or_default();
    draft.node = spec
        .get("nodeName")
        .and_then(|field| node_name(&field).ok());
    for container in containers(spec, "containers") {
        draft.ports.extend(container_ports(&container));
    }
    for container in containers(spec, "initContainers") {
        let ports = container_ports(&container);
        // Only a sidecar is still there when the pod is reached.
        if container
            .get("restartPolicy")
            .and_then(|field| field.text().ok())
            == Some("Always")
        {
            draft.ports.extend(ports);
        }
    }
}

fn node_name(field: &Field<'_>) -> Checked<Arc<str>> {
    let text = field.text()?;
    if syntax::is_dns_subdomain(text) {
        return Ok(text.into());
    }
    Err(field.wrong(format!("must be a DNS subdomain, got {}", field.shown())))
}

fn containers<'d>(spec: &Field<'d>, key: &str) -> Vec<Field<'d>> {
    spec.get(key)
        .and_then(|field| field.items().ok())
        .unwrap_or_default()
}

fn container_ports(container: &Field<'_>) -> Vec<ContainerPort> {
    let known = container.at_least(&["name", "ports", "image", "restartPolicy"]);
    let Some(field) = known.ok().and_then(|()| container.get("ports")) else {
        return Vec::new();
    };
    let mut ports: Vec<ContainerPort> = Vec::new();
    for item in field.items().unwrap_or_default() {
        let Ok(port) = container_port(&item) else {
            continue;
        };
        if let Some(name) = port
            .name
            .as_deref()
            .filter(|name| ports.iter().any(|port| port.name.as_deref() == Some(name)))
        {
            item.wrong(format!("the container has two ports named {name}"));
            continue;
        }
        ports.push(port);
    }
    ports
}

fn container_port(field: &Field<'_>) -> Checked<ContainerPort> {
    let known = field.only(&["name", "protocol", "containerPort", "hostPort", "hostIP"]);
    let name = field
        .get("name")
        .filter(|field| field.text() != Ok(""))
        .map(|field| port_name(&field))
        .transpose();
    let protocol = protocol(field);
    let port = field
        .get("containerPort")
        .ok_or_else(|| field.missing("containerPort"))?
        .port();
    known?;
    Ok(ContainerPort {
        name: name?,
        protocol: protocol?,
        port: port?,
    })
}

/// `protocol`, TCP where it is missing.
pub(crate) fn protocol(field: &Field<'_>) -> Checked<Protocol> {
    let Some(field) = field.get("protocol") else {
        return Ok(Protocol::Tcp);
    };
    match field.text()? {
        "TCP" => Ok(Protocol::Tcp),
        "UDP" => Ok(Protocol::Udp),
        "SCTP" => Ok(Protocol::Sctp),
        _ => Err(field.wrong(format!("must be TCP, UDP or SCTP, got {}", field.shown()))),
    }
}

fn read_status(status: &Field<'_>, draft: &mut PodDraft) {
    let _ = status.at_least(&["podIP", "podIPs", "phase", "hostIP", "hostIPs"]);
    draft.ended = match status.get("phase").map(|field| (field.text(), field)) {
        Some((Ok("Succeeded" | "Failed"), _)) => true,
        None | Some((Err(_) | Ok("Pending" | "Running" | "Unknown"), _)) => false,
        Some((Ok(_), field)) => {
            field.wrong(format!(
                "must be Pending, Running, Succeeded, Failed or Unknown, got {}",
                field.shown()
            ));
            false
        }
    };
    let places: Vec<Field<'_>> = match status.get("podIPs") {
        Some(field) => field
            .items()
            .unwrap_or_default()
            .iter()
            .map(|item| item.get("ip").unwrap_or_else(|| item.clone()))
            .collect(),
        None => status
            .get("podIP")
            .filter(|field| field.text() != Ok(""))
            .into_iter()
            .collect(),
    };
    draft.has_addresses = !places.is_empty();
    draft.addresses = places
        .iter()
        .filter_map(|field| address(field).ok())
        .collect();
    draft.addresses.dedup();
}

/// An IP address.
pub(crate) fn address(field: &Field<'_>) -> Checked<IpAddr> {
    let text = field.text()?;
    syntax::address(text)
        .ok_or_else(|| field.wrong(format!("must be an IP address, got {}", field.shown())))
}

fn timestamp(field: &Field<'_>) -> Checked<i64> {
    let text = field.text()?;
    text.parse::<Timestamp>()
        .map(Timestamp::as_second)
        .map_err(|_no_detail| {
            field.wrong(format!(
                "must be a time such as 2006-01-02T15:04:05Z, got {}",
                field.shown()
            ))
        })
}
