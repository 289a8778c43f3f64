//! A case as data: policies, and which connections they leave open.

use sluice_kubernetes::{Loaded, load_text};
use sluice_policy::{Pod, Protocol};

/// What one test of the suite does, one step after another.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Unique, and the same in all releases.
    pub id: &'static str,
    /// What is tested.
    pub title: &'static str,
    /// States of the cluster, each with what is expected of it.
    pub steps: &'static [Step],
}

/// A state of the cluster.
///
/// It always has the namespaces x, y and z, each with the pods a, b and c in it, in this order, and so with addresses
/// from 10.244.0.1 and `fd00:10:244::1` on. Namespaces have the label `ns`, pods the label `pod`, both with their name. All pods
/// have the ports 80 and 81 in TCP, UDP and SCTP, under names such as `serve-80-tcp`.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Policies: `NAMESPACE/NAME` and the fields of their spec.
    pub policies: &'static [(&'static str, &'static str)],
    /// Labels in addition to the usual ones: pod or namespace, and `KEY: VALUE`.
    pub labels: &'static [(&'static str, &'static str)],
    /// What is probed, and what comes out.
    pub expect: &'static [Expectation],
}

/// What is expected of one port.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// The port of the pods.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Where it differs from everything being allowed: `X FROM > TO` for denied and `. FROM > TO` for allowed, separated
    /// by `;`, later ones win. Pods are `x/a`, `x/*` or `*`. The diagonal is always allowed.
    pub except: &'static str,
}

impl Step {
    /// This state as manifests.
    pub fn manifests(&self) -> String {
        let mut text = String::new();
        for namespace in ["x", "y", "z"] {
            let labels = self.extra_labels(namespace);
            text.extend([format!(
                "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, labels: {{ns: {namespace}{labels}}}}}}}\n"
            )]);
            for pod in ["a", "b", "c"] {
                let labels = self.extra_labels(&format!("{namespace}/{pod}"));
                let metadata = format!(
                    "{{name: {pod}, namespace: {namespace}, labels: {{pod: {pod}{labels}}}}}"
                );
                text.extend([format!(
                    "---\n{{apiVersion: v1, kind: Pod, metadata: {metadata}, spec: {{containers: [{{ports: [{}]}}]}}}}\n",
                    ports()
                )]);
            }
        }
        for (name, spec) in self.policies {
            let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
            text.extend([format!(
                "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{{spec}}}}}\n"
            )]);
        }
        text
    }

    /// This state as it is read.
    pub fn load(&self) -> Loaded {
        load_text("case", &self.manifests())
    }

    fn extra_labels(&self, of: &str) -> String {
        let labels = self.labels.iter().filter(|(name, _)| *name == of);
        labels.flat_map(|(_, label)| [", ", label]).collect()
    }
}

/// The ports of every pod, in flow style.
fn ports() -> String {
    let mut ports = Vec::new();
    for port in [80, 81] {
        for protocol in ["TCP", "UDP", "SCTP"] {
            let name = format!("serve-{port}-{}", protocol.to_lowercase());
            ports.push(format!(
                "{{name: {name}, containerPort: {port}, protocol: {protocol}}}"
            ));
        }
    }
    ports.join(", ")
}

impl Expectation {
    /// Whether a connection between two pods is expected to be denied.
    pub fn is_denied(&self, source: &Pod, destination: &Pod) -> bool {
        let mut denied = false;
        for clause in self
            .except
            .split(';')
            .map(str::trim)
            .filter(|clause| !clause.is_empty())
        {
            let words: Vec<&str> = clause.split_whitespace().collect();
            let [mark @ ("X" | "."), from, ">", to] = words.as_slice() else {
                panic!("an expectation that cannot be read: {clause}");
            };
            if covers(from, source) && covers(to, destination) {
                denied = *mark == "X";
            }
        }
        denied && source.name != destination.name
    }
}

/// Whether `x/a`, `x/*` or `*` means a pod.
fn covers(pattern: &str, pod: &Pod) -> bool {
    match pattern.split_once('/') {
        None => pattern == "*",
        Some((namespace, name)) => {
            *pod.name.namespace == *namespace && (name == "*" || *pod.name.name == *name)
        }
    }
}
