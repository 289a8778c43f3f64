//! What the `NetworkPolicy` objects say to a mutant.

use std::net::IpAddr;

use sluice_policy::{Pod, Protocol};

use super::fault::Fault;
use super::mutant::{Asked, Direction, End, Mutant, has_port};
use super::policy::{Number, Peer, Policy, Port, Rule};
use super::selector::{Network, Selector};

impl Mutant {
    /// None where no policy isolates the subject.
    pub(super) fn network_policy(&self, asked: &Asked<'_>) -> Option<bool> {
        let End { pod, address } = asked.subject;
        let is_host = pod.host_network && !self.faulty.has(Fault::HostsIsolated);
        let is_late = self.memory.late_pods.contains(&pod.name);
        if is_host || is_late || !self.knows(pod, address) {
            return None;
        }
        let policies = self.memory.policies.iter();
        let isolating: Vec<(&Policy, &[Rule])> = policies
            .filter_map(|policy| Some((policy, self.rules_for(policy, asked)?)))
            .collect();
        let mut said = isolating
            .iter()
            .map(|(policy, rules)| self.allowed_by(policy, rules, asked));
        let excepts = || {
            let mut rules = isolating.iter().flat_map(|(_, rules)| *rules);
            rules.any(|rule| self.excepts(rule, asked))
        };
        let is_undone = self.faulty.has(Fault::EvenPolicies) && isolating.len().is_multiple_of(2);
        if isolating.is_empty() || is_undone {
            return None;
        }
        match self.faulty.0 {
            Some(Fault::FirstPolicy) => said.next(),
            Some(Fault::LastPolicy) => said.next_back(),
            Some(Fault::EveryPolicy) => Some(said.all(|allowed| allowed)),
            Some(Fault::ExceptDeniesPolicies) => Some(said.any(|allowed| allowed) && !excepts()),
            _ => Some(said.any(|allowed| allowed)),
        }
    }

    /// Whether an address is one that the pod is known by.
    fn knows(&self, pod: &Pod, address: IpAddr) -> bool {
        !self.faulty.has(Fault::SecondAddressUnknown) || pod.addresses.first() == Some(&address)
    }

    /// The rules of a policy that isolates the subject.
    fn rules_for<'p>(&self, policy: &'p Policy, asked: &Asked<'_>) -> Option<&'p [Rule]> {
        let pod = asked.subject.pod;
        let is_of_namespace =
            *policy.namespace == *pod.name.namespace || self.faulty.has(Fault::OtherNamespaces);
        let is_selected =
            self.faulty.has(Fault::SubjectIgnored) || policy.pods.matches(&pod.labels, self.faulty);
        let rules = match asked.direction {
            Direction::Ingress => &policy.ingress,
            Direction::Egress => &policy.egress,
        };
        rules.as_deref().filter(|_| is_of_namespace && is_selected)
    }

    fn allowed_by(&self, policy: &Policy, rules: &[Rule], asked: &Asked<'_>) -> bool {
        if rules.is_empty() {
            return self.faulty.has(Fault::NoRulesAllowAll);
        }
        let rules = if self.faulty.has(Fault::FirstRule) {
            &rules[..1]
        } else {
            rules
        };
        let longest = self.longest(rules, asked);
        let peers = |rule: &Rule| self.has_peer(policy, rule, asked, longest);
        let ports = |rule: &Rule| self.has_port(rule, asked);
        if self.faulty.has(Fault::RulesCrossed) {
            return rules.iter().any(peers) && rules.iter().any(ports);
        }
        let is_nothing = |rule: &Rule| {
            self.faulty.has(Fault::EmptyRuleNothing) && rule.peers.is_none() && rule.ports.is_none()
        };
        let excepts = self.faulty.has(Fault::ExceptDeniesRules)
            && rules.iter().any(|rule| self.excepts(rule, asked));
        let mut rules = rules.iter().filter(|rule| !is_nothing(rule));
        !excepts && rules.any(|rule| peers(rule) && ports(rule))
    }

    /// Whether a block of a rule has the peer among its exceptions.
    fn excepts(&self, rule: &Rule, asked: &Asked<'_>) -> bool {
        let mut peers = rule.peers.iter().flatten();
        peers.any(|peer| peer.excepts(asked.peer.address, self.faulty))
    }

    /// The bits of the longest block with the peer, where others do not count.
    fn longest(&self, rules: &[Rule], asked: &Asked<'_>) -> Option<u32> {
        if !self.faulty.has(Fault::LongestBlock) {
            return None;
        }
        let peers = rules.iter().flat_map(|rule| rule.peers.iter().flatten());
        let bits = peers.filter_map(|peer| match peer {
            Peer::Block(network, except) => self
                .is_in_block(network, except, asked)
                .then_some(network.bits()),
            Peer::Pods { .. } => None,
        });
        bits.max()
    }

    fn has_peer(
        &self,
        policy: &Policy,
        rule: &Rule,
        asked: &Asked<'_>,
        longest: Option<u32>,
    ) -> bool {
        let Some(peers) = &rule.peers else {
            return !self.faulty.has(Fault::PeersMissingNobody);
        };
        let is_peer = |peer: &Peer| match peer {
            Peer::Block(network, except) => {
                longest.is_none_or(|longest| longest == network.bits())
                    && self.is_in_block(network, except, asked)
            }
            Peer::Pods { namespaces, pods } => {
                self.is_selected(policy, namespaces.as_ref(), pods.as_ref(), asked.peer)
            }
        };
        match self.faulty.0 {
            Some(Fault::FirstPeer) => peers.first().is_some_and(is_peer),
            Some(Fault::EveryPeer) => peers.iter().all(is_peer),
            Some(Fault::ExceptDeniesPeers) => {
                peers.iter().any(is_peer) && !self.excepts(rule, asked)
            }
            _ => peers.iter().any(is_peer),
        }
    }

    fn is_in_block(&self, network: &Network, except: &[Network], asked: &Asked<'_>) -> bool {
        let End { pod, address } = asked.peer;
        let is_in = |network: &Network| network.contains(address, self.faulty);
        let begins = |network: &Network| network.begins_with(address);
        let is_excepted = match self.faulty.0 {
            Some(Fault::ExceptIgnored) => false,
            Some(Fault::ExceptFirst) => except.first().is_some_and(is_in),
            Some(Fault::ExceptOneAddress) => except.iter().any(begins),
            _ => except.iter().any(is_in),
        };
        let is_block = match self.faulty.0 {
            Some(Fault::BlocksNotPods) => pod.host_network && is_in(network),
            Some(Fault::BlocksOneAddress) => begins(network),
            _ => is_in(network),
        };
        is_block && !is_excepted
    }

    fn is_selected(
        &self,
        policy: &Policy,
        namespaces: Option<&Selector>,
        pods: Option<&Selector>,
        peer: End<'_>,
    ) -> bool {
        let is_host = peer.pod.host_network && !self.faulty.has(Fault::HostsSelected);
        if is_host || !self.knows(peer.pod, peer.address) {
            return false;
        }
        let is_own = *policy.namespace == *peer.pod.name.namespace;
        let in_namespace = self.in_namespaces(namespaces, pods.is_some(), is_own, peer.pod);
        let is_pod = |selector: &Selector| selector.matches(&peer.pod.labels, self.faulty);
        match pods {
            None => in_namespace && !self.faulty.has(Fault::NamespaceAloneNobody),
            Some(pods) if self.faulty.has(Fault::OrForAnd) && namespaces.is_some() => {
                in_namespace || (is_own && is_pod(pods))
            }
            Some(pods) => in_namespace && is_pod(pods),
        }
    }

    fn in_namespaces(
        &self,
        namespaces: Option<&Selector>,
        has_pods: bool,
        is_own: bool,
        pod: &Pod,
    ) -> bool {
        let Some(selector) = namespaces else {
            return is_own || self.faulty.has(Fault::NamespaceAbsentAll);
        };
        let matches = || {
            let labels = self.namespace_labels(&pod.name.namespace);
            labels.is_some_and(|labels| selector.matches(labels, self.faulty))
        };
        match self.faulty.0 {
            Some(Fault::NamespaceEmptyOwn) if selector.is_empty() => is_own,
            Some(Fault::NamespaceIgnored) if has_pods => is_own,
            Some(Fault::NamespaceNotOwn) => !is_own && matches(),
            _ => matches(),
        }
    }

    fn has_port(&self, rule: &Rule, asked: &Asked<'_>) -> bool {
        let has_blocks_alone = || {
            let mut peers = rule.peers.iter().flatten();
            rule.peers.is_some() && peers.all(|peer| matches!(peer, Peer::Block(..)))
        };
        let is_port = |port: &Port| {
            let is_missed = self.faulty.has(Fault::NameNotInBlocks)
                && matches!(port.number, Number::Name(_))
                && has_blocks_alone();
            !is_missed && self.is_port(port, asked)
        };
        match &rule.ports {
            None if self.faulty.has(Fault::PortsMissingTcp) => asked.port.protocol == Protocol::Tcp,
            None => true,
            Some(ports) if self.faulty.has(Fault::FirstPort) => ports.first().is_some_and(is_port),
            Some(ports) => ports.iter().any(is_port),
        }
    }

    fn is_port(&self, port: &Port, asked: &Asked<'_>) -> bool {
        match &port.number {
            Number::Any => {
                self.is_protocol(port.protocol, asked)
                    && !self.faulty.has(Fault::NumberMissingNothing)
            }
            Number::Range(first, last) => {
                self.is_protocol(port.protocol, asked) && self.in_range(*first, *last, asked)
            }
            Number::Name(name) => self.is_name(name, port.protocol, asked),
        }
    }

    fn is_protocol(&self, written: Option<Protocol>, asked: &Asked<'_>) -> bool {
        let wanted = written.unwrap_or(Protocol::Tcp);
        let own = asked.port.protocol;
        let not_udp = |it: Protocol| it != Protocol::Udp;
        match self.faulty.0 {
            Some(Fault::ProtocolIgnored) => true,
            Some(Fault::ProtocolDefaultAny) => written.is_none_or(|it| it == own),
            Some(Fault::UdpOpensTcp) => {
                wanted == own || (wanted == Protocol::Udp && own == Protocol::Tcp)
            }
            Some(Fault::SctpAsTcp) => not_udp(wanted) == not_udp(own),
            _ => wanted == own,
        }
    }

    fn in_range(&self, first: u16, last: u16, asked: &Asked<'_>) -> bool {
        let own = asked.port;
        let is_range = first < last;
        let is_declared = || {
            let mut ports = asked.destination().ports.iter();
            ports.any(|it| (it.protocol, it.port) == (own.protocol, own.number))
        };
        let is_in = (first..=last).contains(&own.number);
        match self.faulty.0 {
            Some(Fault::EndIgnored) => own.number == first,
            Some(Fault::EndExclusive) if is_range => is_in && own.number != last,
            Some(Fault::EndOpen) if is_range => own.number >= first,
            Some(Fault::StartExclusive) if is_range => is_in && own.number != first,
            Some(Fault::UndeclaredClosed) => is_in && is_declared(),
            _ => is_in,
        }
    }

    fn is_name(&self, name: &str, written: Option<Protocol>, asked: &Asked<'_>) -> bool {
        let own = asked.port;
        let protocol = written.unwrap_or(Protocol::Tcp);
        let destination = asked.destination();
        let has = |pod: &Pod| has_port(pod, name, protocol, own.number);
        let is_named = |it: &&sluice_policy::ContainerPort| it.name.as_deref() == Some(name);
        let find = |pod: &Pod| {
            let mut ports = pod.ports.iter().filter(is_named);
            ports.find(|it| it.protocol == protocol).map(|it| it.port)
        };
        if destination.host_network && !self.faulty.has(Fault::HostsSelected) {
            return false;
        }
        if self.faulty.has(Fault::NameWithoutProtocol) {
            let mut ports = destination.ports.iter().filter(is_named);
            return ports.any(|it| it.port == own.number);
        }
        let mut pods = self.memory.pods.values();
        protocol == own.protocol
            && match self.faulty.0 {
                Some(Fault::NameNothing) => false,
                Some(Fault::NameOneNumber) => pods.find_map(find) == Some(own.number),
                Some(Fault::NameEveryNumber) => pods.any(has),
                Some(Fault::NameOfSubject) => has(asked.subject.pod),
                Some(Fault::NameOfSource) => has(asked.source()),
                Some(Fault::NameMissingAny) => find(destination).is_none() || has(destination),
                _ => has(destination),
            }
    }
}
