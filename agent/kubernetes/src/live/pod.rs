//! Pods as the API serves them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluice_policy::{ContainerPort, Event, Labels, Pod, PodName, Protocol};

use super::{Live, Metadata, labels};
use crate::syntax;

/// What the last pod that was read may have in common with the next.
#[derive(Debug, Default)]
pub(super) struct Template {
    namespace: Arc<str>,
    /// The labels as they were written, and as they were read.
    written: String,
    labels: Labels,
    ports: Arc<[ContainerPort]>,
}

#[derive(Deserialize)]
struct PodObject<'j> {
    #[serde(borrow)]
    metadata: Metadata<'j>,
    #[serde(borrow)]
    spec: PodSpec<'j>,
    #[serde(borrow, default)]
    status: PodStatus<'j>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec<'j> {
    node_name: Option<Arc<str>>,
    #[serde(default)]
    host_network: bool,
    #[serde(borrow)]
    containers: Option<Vec<Container<'j>>>,
    #[serde(borrow)]
    init_containers: Option<Vec<Container<'j>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container<'j> {
    #[serde(borrow, default)]
    restart_policy: Cow<'j, str>,
    #[serde(borrow)]
    ports: Option<Vec<DeclaredPort<'j>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeclaredPort<'j> {
    #[serde(borrow)]
    name: Option<Cow<'j, str>>,
    #[serde(borrow, default)]
    protocol: Cow<'j, str>,
    container_port: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus<'j> {
    #[serde(borrow, default)]
    phase: Cow<'j, str>,
    #[serde(borrow, default, rename = "podIP")]
    pod_ip: Cow<'j, str>,
    #[serde(borrow, rename = "podIPs")]
    pod_ips: Option<Vec<PodIp<'j>>>,
}

#[derive(Deserialize)]
struct PodIp<'j> {
    #[serde(borrow, default)]
    ip: Cow<'j, str>,
}

/// Reads a pod.
pub(super) fn read(json: &str, template: &mut Template) -> Result<Live, serde_json::Error> {
    let PodObject {
        metadata,
        spec,
        status,
    } = serde_json::from_str(json)?;
    let namespace = template.namespace(metadata.namespace.as_deref().unwrap_or_default());
    let name = PodName {
        namespace: Arc::clone(&namespace),
        name: Arc::clone(&metadata.name),
    };
    let pod = Pod {
        name,
        labels: template.labels(metadata.labels)?,
        addresses: status.addresses(),
        ports: template.ports(&spec),
        host_network: spec.host_network,
        node: spec.node_name.filter(|name| !name.is_empty()),
        created: metadata.created(),
    };
    let mut live = metadata.live(Event::Pod(pod));
    live.name.namespace = namespace;
    Ok(live)
}

impl Template {
    fn namespace(&mut self, name: &str) -> Arc<str> {
        if *self.namespace != *name {
            self.namespace = name.into();
        }
        Arc::clone(&self.namespace)
    }

    fn labels(&mut self, written: Option<&RawValue>) -> Result<Labels, serde_json::Error> {
        let Some(written) = written else {
            return Ok(Labels::new());
        };
        if self.written != written.get() {
            self.labels = labels(written)?;
            written.get().clone_into(&mut self.written);
        }
        Ok(self.labels.clone())
    }

    fn ports(&mut self, spec: &PodSpec<'_>) -> Arc<[ContainerPort]> {
        let known = self.ports.iter();
        let known = known.map(|it| (it.name.as_deref(), it.protocol, it.port));
        if !spec.ports().eq(known) {
            let ports = spec.ports();
            let ports = ports.map(|(name, protocol, port)| ContainerPort {
                name: name.map(Arc::from),
                protocol,
                port,
            });
            self.ports = ports.collect();
        }
        Arc::clone(&self.ports)
    }
}

impl PodSpec<'_> {
    /// Those of containers that run while the pod can be reached: of the initial ones, only sidecars.
    fn ports(&self) -> impl Iterator<Item = (Option<&str>, Protocol, u16)> {
        let containers = self.containers.iter().flatten();
        let initial = self.init_containers.iter().flatten();
        let sidecars = initial.filter(|container| container.restart_policy == "Always");
        let declared = containers.chain(sidecars).flat_map(|it| &it.ports);
        declared.flatten().filter_map(DeclaredPort::port)
    }
}

impl DeclaredPort<'_> {
    fn port(&self) -> Option<(Option<&str>, Protocol, u16)> {
        let protocol = match &*self.protocol {
            "" | "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => return None,
        };
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        Some((name, protocol, self.container_port))
    }
}

impl PodStatus<'_> {
    /// A pod that has ended has none: they may be another's by now.
    fn addresses(&self) -> Vec<IpAddr> {
        if matches!(&*self.phase, "Succeeded" | "Failed") {
            return Vec::new();
        }
        let all = self.pod_ips.iter().flatten().map(|pod_ip| &*pod_ip.ip);
        let mut addresses: Vec<IpAddr> = all.filter_map(syntax::address).collect();
        if addresses.is_empty() {
            addresses.extend(syntax::address(&self.pod_ip));
        }
        addresses.dedup();
        addresses
    }
}
