//! A cluster as the sequence has left it, its manifests, and what the oracle says of it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;

use sluice_kubernetes::{World, load_text};
use sluice_lab::Family;
use sluice_oracle::Oracle;
use sluice_policy::{Pod, PodName, Protocol};

use crate::event::{
    Event, HOSTS, NAMESPACES, PODS, POLICIES, Path, Peers, Policy, Ports, Role, Team, Wire,
    pod_name,
};

/// Two more hosts, whose packets always go through a queue, and are allowed.
pub(crate) const CANARIES: [usize; 2] = [HOSTS, HOSTS + 1];
/// They are isolated, and may reach each other.
const CANARY_POLICY: &str = "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: only, namespace: canary}, \
                             spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}}\n";

/// What the manifests say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    teams: [Team; NAMESPACES.len()],
    /// Host and label of each pod that there is.
    pods: [Option<(usize, Role)>; PODS],
    policies: [Option<Policy>; POLICIES],
}

/// A cluster and its world, which the oracle reads.
pub(crate) struct State {
    pub(crate) cluster: Cluster,
    world: World,
}

impl Cluster {
    /// Every sequence starts here: all pods, and one policy. In y there is none.
    pub(crate) const FIRST: Self = Self {
        teams: [Team::Red, Team::Blue],
        pods: [
            Some((0, Role::Web)),
            Some((1, Role::Web)),
            Some((2, Role::Db)),
            Some((3, Role::Db)),
        ],
        policies: [
            Some(Policy {
                namespace: 0,
                selects: None,
                ingress: true,
                egress: false,
                peers: Peers::Role(Role::Web),
                ports: Ports::All,
            }),
            None,
            None,
        ],
    };

    /// The cluster after an edit; as it was where the event is none.
    pub(crate) fn after(mut self, event: Event) -> Self {
        match event {
            Event::Policy(slot, policy) => self.policies[slot] = Some(policy),
            Event::NoPolicy(slot) => self.policies[slot] = None,
            Event::Pod(pod, host) => self.place(pod, host),
            Event::NoPod(pod) => self.pods[pod] = None,
            Event::Role(pod, role) => {
                self.pods[pod] = self.pods[pod].map(|(host, _)| (host, role));
            }
            Event::Team(namespace, team) => self.teams[namespace] = team,
            Event::Restart
            | Event::Kill
            | Event::Connect(_)
            | Event::Again(_)
            | Event::Send { .. }
            | Event::Close(_)
            | Event::Settle => {}
        }
        self
    }

    fn place(&mut self, pod: usize, host: usize) {
        let (own, role) = self.pods[pod].map_or((None, Role::Web), |(own, role)| (Some(own), role));
        for other in &mut self.pods {
            if let Some((at, role)) = *other
                && at == host
            {
                *other = own.map(|own| (own, role));
            }
        }
        self.pods[pod] = Some((host, role));
    }

    pub(crate) fn manifests(&self) -> String {
        let mut text = String::from(CANARY_POLICY);
        for (name, team) in NAMESPACES.iter().zip(self.teams) {
            let _infallible = writeln!(
                text,
                "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{team: {team:?}}}}}}}"
            );
        }
        for (pod, (host, role)) in self.existing() {
            text += &pod_manifest(&pod_name(pod), &format!("{role:?}"), host);
        }
        for host in CANARIES {
            text += &pod_manifest(&format!("canary/c{host}"), "canary", host);
        }
        for (slot, policy) in self.policies.iter().enumerate() {
            if let Some(policy) = policy {
                text += &policy_manifest(slot, policy);
            }
        }
        text
    }

    fn existing(&self) -> impl Iterator<Item = (usize, (usize, Role))> + '_ {
        let pods = self.pods.iter().enumerate();
        pods.filter_map(|(pod, place)| Some((pod, (*place)?)))
    }

    /// Whether a policy isolates either end of a path in its direction.
    pub(crate) fn isolates(&self, path: &Path) -> bool {
        let is_selected = |policy: &Policy, host: usize| {
            self.existing().any(|(pod, (at, role))| {
                at == host
                    && pod % NAMESPACES.len() == policy.namespace
                    && policy.selects.is_none_or(|selected| selected == role)
            })
        };
        self.policies.iter().flatten().any(|policy| {
            (policy.ingress && is_selected(policy, path.to))
                || (policy.egress && is_selected(policy, path.from))
        })
    }
}

impl State {
    pub(crate) fn of(cluster: Cluster) -> Rc<Self> {
        let loaded = load_text("model.yaml", &cluster.manifests());
        assert_eq!(loaded.problems, [], "{}", cluster.manifests());
        Rc::new(Self {
            cluster,
            world: loaded.world,
        })
    }

    /// Whether the spec allows a connection.
    pub(crate) fn allows(&self, path: &Path) -> bool {
        let protocol = match path.wire {
            Wire::Tcp => Protocol::Tcp,
            Wire::Udp => Protocol::Udp,
        };
        Oracle::new(&self.world).allowed(
            &self.at(path.from),
            &self.at(path.to),
            path.family,
            protocol,
            path.port,
        )
    }

    /// The pod at a host; where there is none, a stranger, whom policies know by the address alone.
    fn at(&self, host: usize) -> Pod {
        let addresses = [Family::Ipv4, Family::Ipv6].map(|family| address(host, family));
        let mut pods = self.world.pods.iter().map(|facts| &facts.pod);
        let found = pods.find(|pod| pod.addresses.contains(&addresses[0]));
        found.cloned().unwrap_or_else(|| Pod {
            name: PodName {
                namespace: "nowhere".into(),
                name: format!("host-{host}").into(),
            },
            node: None,
            labels: [].into(),
            addresses: addresses.to_vec(),
            ports: [].into(),
            host_network: false,
            created: 0,
        })
    }
}

/// The address of a host.
pub(crate) fn address(host: usize, family: Family) -> IpAddr {
    let text = match family {
        Family::Ipv4 => format!("10.244.1.{}", host + 10),
        Family::Ipv6 => format!("fd00:10:244:1::{}", host + 10),
    };
    text.parse().unwrap()
}

/// Pods for all hosts, so that a lab has them all: what is at a host later is another matter. Its own servers are on a
/// port that is not used.
pub(crate) fn placeholders() -> String {
    let pod = |host| {
        let manifest = pod_manifest(&format!("lab/h{host}"), "none", host);
        manifest.replace("containerPort: 80", "containerPort: 9")
    };
    (0..HOSTS + CANARIES.len()).map(pod).collect()
}

fn pod_manifest(name: &str, role: &str, host: usize) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    let ips = [Family::Ipv4, Family::Ipv6].map(|family| address(host, family));
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, labels: {{role: {role}}}}}, \
         spec: {{nodeName: node-1, containers: [{{name: c, image: i, ports: [\
         {{name: web, containerPort: 80}}, {{name: dns, containerPort: 80, protocol: UDP}}]}}]}}, \
         status: {{podIPs: [{{ip: '{}'}}, {{ip: '{}'}}]}}}}\n",
        ips[0], ips[1]
    )
}

fn policy_manifest(slot: usize, policy: &Policy) -> String {
    let selector = policy.selects.map_or(String::new(), labelled);
    let mut types = Vec::new();
    let mut rules = String::new();
    for (is_meant, name, field, other) in [
        (policy.ingress, "Ingress", "ingress", "from"),
        (policy.egress, "Egress", "egress", "to"),
    ] {
        if is_meant {
            types.push(name);
            let rule = rule(policy, other);
            let _infallible = write!(rules, ", {field}: [{rule}]");
        }
    }
    let types = types.join(", ");
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{slot}, namespace: {}}}, \
         spec: {{podSelector: {{{selector}}}, policyTypes: [{types}]{rules}}}}}\n",
        NAMESPACES[policy.namespace]
    )
}

fn rule(policy: &Policy, other: &str) -> String {
    let pods = |role| format!("podSelector: {{{}}}", labelled(role));
    let namespaces = |team| format!("namespaceSelector: {{matchLabels: {{team: {team:?}}}}}");
    let blocks = |block: &dyn Fn(IpAddr, &str, u8) -> String, host| {
        let v4 = block(address(host, Family::Ipv4), "0.0.0.0/0", 32);
        let v6 = block(address(host, Family::Ipv6), "::/0", 128);
        format!("{v4}}}, {{{v6}")
    };
    let peers = match policy.peers {
        Peers::Nobody => return String::new(),
        Peers::Anybody => None,
        Peers::Role(role) => Some(pods(role)),
        Peers::Team(team) => Some(namespaces(team)),
        Peers::Both(team, role) => Some(format!("{}, {}", namespaces(team), pods(role))),
        Peers::Host(host) => Some(blocks(
            &|ip, _, length| format!("ipBlock: {{cidr: '{ip}/{length}'}}"),
            host,
        )),
        Peers::AllBut(host) => Some(blocks(
            &|ip, all, length| format!("ipBlock: {{cidr: '{all}', except: ['{ip}/{length}']}}"),
            host,
        )),
    };
    let ports = match policy.ports {
        Ports::All => None,
        Ports::Number(port) => Some(format!("{{port: {port}}}, {{port: {port}, protocol: UDP}}")),
        Ports::Named => Some("{port: web}, {port: dns, protocol: UDP}".to_owned()),
        Ports::Range => Some("{port: 80, endPort: 81}".to_owned()),
    };
    let peers = peers.map(|peers| format!("{other}: [{{{peers}}}]"));
    let ports = ports.map(|ports| format!("ports: [{ports}]"));
    let both: Vec<_> = peers.into_iter().chain(ports).collect();
    format!("{{{}}}", both.join(", "))
}

fn labelled(role: Role) -> String {
    format!("matchLabels: {{role: {role:?}}}")
}
