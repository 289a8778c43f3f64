//! Ports that are not those of the pods.

use sluice_kubernetes::{Service, ServicePort};
use sluice_policy::{AdminAction, AdminTier, Pod, Protocol};

use super::scene::{Direction, Policy, PortKind, PortOf, Rule, Scene};
use super::{Remark, covers};

/// The port of DNS.
const DNS: u16 = 53;

pub(super) fn dns_forgotten(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for policy in &scene.policies {
        let allows_something = policy.of(Direction::Egress).next().is_some();
        if policy.isolates_egress && allows_something && !is_served(scene, policy) {
            let message = "port 53 is allowed to nobody, so its pods resolve no names: allow UDP and TCP 53 to the cluster's DNS";
            remarks.push(Remark::new(policy, "spec.egress", message));
        }
    }
    remarks
}

/// Whether it, or another policy about all of its pods, allows DNS.
fn is_served(scene: &Scene<'_>, policy: &Policy<'_>) -> bool {
    scene.rules().any(|(other, rule)| {
        let has_a_say = other
            .admin
            .is_none_or(|it| it.tier == AdminTier::Admin && rule.action == AdminAction::Allow);
        rule.direction == Direction::Egress
            && has_a_say
            && allows_dns(rule)
            && covers::pods(scene, &other.subject, &policy.subject)
    })
}

fn allows_dns(rule: &Rule<'_>) -> bool {
    let Some(ports) = &rule.ports else {
        return true;
    };
    ports.iter().any(|port| match port.kind {
        PortKind::Any => port.protocol != Some(Protocol::Sctp),
        PortKind::Range(first, last) => {
            port.protocol != Some(Protocol::Sctp) && (first..=last).contains(&DNS)
        }
        PortKind::Named(name) => name.contains("dns") || name.contains("domain"),
    })
}

pub(super) fn service_port(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, rule) in scene.rules() {
        let receivers = scene.receivers(policy, rule);
        for port in rule.ports.iter().flatten() {
            let PortKind::Range(number, last) = port.kind else {
                continue;
            };
            if number != last || declares(&receivers, number, port.protocol) {
                continue;
            }
            if let Some((service, behind)) = service_of(scene, &receivers, number, port.protocol) {
                let message = format!(
                    "{number} is the port of Service {}/{}, and policies see its pods, where it is {behind}",
                    service.namespace, service.name
                );
                remarks.push(Remark::new(policy, port.field.as_str(), message));
            }
        }
    }
    remarks
}

fn declares(pods: &[&Pod], number: u16, protocol: Option<Protocol>) -> bool {
    let mut ports = pods.iter().flat_map(|pod| pod.ports.iter());
    ports.any(|it| it.port == number && Some(it.protocol) == protocol)
}

/// A Service with that port, in front of one of these pods at another port.
fn service_of<'s>(
    scene: &'s Scene<'_>,
    pods: &[&Pod],
    number: u16,
    protocol: Option<Protocol>,
) -> Option<(&'s Service, u16)> {
    scene.world.services.iter().find_map(|service| {
        let is_it = |it: &&ServicePort| it.port == number && Some(it.protocol) == protocol;
        let port = service.ports.iter().find(is_it)?;
        let behind = scene.world.endpoints(service).into_iter();
        behind
            .filter(|pod| pods.iter().any(|it| it.name == pod.name))
            .filter_map(|pod| port.target_on(pod))
            .find(|target| *target != number)
            .map(|target| (service, target))
    })
}

pub(super) fn unknown_name(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, rule) in scene.rules() {
        let receivers = scene.receivers(policy, rule);
        if receivers.is_empty() {
            continue;
        }
        for port in rule.ports.iter().flatten() {
            let PortKind::Named(name) = port.kind else {
                continue;
            };
            if !receivers.iter().any(|pod| has_port(pod, name, port)) {
                let message = format!(
                    "no pod at the receiving end has a port named {name}{}",
                    of(port)
                );
                remarks.push(Remark::new(policy, port.field.as_str(), message));
            }
        }
    }
    remarks
}

fn has_port(pod: &Pod, name: &str, port: &PortOf<'_>) -> bool {
    pod.ports.iter().any(|it| {
        it.name.as_deref() == Some(name) && port.protocol.is_none_or(|own| own == it.protocol)
    })
}

fn of(port: &PortOf<'_>) -> String {
    let protocol = port.protocol.map(|it| format!(" of {it}"));
    protocol.unwrap_or_default()
}
