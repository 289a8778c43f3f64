//! What can happen in a sequence: the vocabulary, how it is drawn, and how it reads as a script.

use std::fmt::{self, Write as _};

use proptest::prelude::*;
use sluice_lab::Family;

/// Addresses that pods can have, and that packets run between, whoever has them.
pub(crate) const HOSTS: usize = 6;
/// Pods that there can be; even ones are in namespace x, odd ones in y.
pub(crate) const PODS: usize = 4;
/// Policies that there can be at once.
pub(crate) const POLICIES: usize = 3;
/// The names of the namespaces.
pub(crate) const NAMESPACES: [&str; 2] = ["x", "y"];

/// One step of a sequence. Numbers of connections count those that are open, and go round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A policy is added, or edited where there is one of that number.
    Policy(usize, Policy),
    /// A policy is deleted.
    NoPolicy(usize),
    /// A pod is added at an address, or moves there; whoever has it gets the pod's own in exchange.
    Pod(usize, usize),
    /// A pod is deleted.
    NoPod(usize),
    /// A pod gets another label.
    Role(usize, Role),
    /// A namespace gets another label.
    Team(usize, Team),
    /// The agent is stopped, if it runs, and started.
    Restart,
    /// SIGKILL.
    Kill,
    /// A connection is opened.
    Connect(Path),
    /// Another one, from and to where an open one is.
    Again(usize),
    /// A packet on an open connection, from its server if `back`, and an answer.
    Send { connection: usize, back: bool },
    /// Both ends of a connection are closed.
    Close(usize),
    /// All edits so far are waited for; an agent that was killed is started.
    Settle,
}

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) family: Family,
    pub(crate) wire: Wire,
    pub(crate) port: u16,
}

impl Path {
    /// Between the same two, the other way.
    pub(crate) fn reversed(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
            ..self
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wire {
    Tcp,
    Udp,
}

/// The value of a pod's label `role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Web,
    Db,
}

/// The value of a namespace's label `team`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Team {
    Red,
    Blue,
}

/// A policy: one rule in one direction, or in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) namespace: usize,
    /// Of which pods; none: of all.
    pub(crate) selects: Option<Role>,
    pub(crate) ingress: bool,
    pub(crate) egress: bool,
    pub(crate) peers: Peers,
    pub(crate) ports: Ports,
}

/// Who the other end may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    Nobody,
    Anybody,
    /// Pods of the policy's own namespace.
    Role(Role),
    /// Pods of namespaces.
    Team(Team),
    /// Some pods of some namespaces.
    Both(Team, Role),
    /// An address.
    Host(usize),
    /// All addresses but one.
    AllBut(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    All,
    /// Both protocols.
    Number(u16),
    /// The pods' port 80 by its names.
    Named,
    /// 80 to 81, TCP.
    Range,
}

pub(crate) fn sequence(length: usize) -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(), length)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        60 => path().prop_map(Event::Connect),
        20 => (0..8_usize).prop_map(Event::Again),
        50 => (0..8_usize, any::<bool>())
            .prop_map(|(connection, back)| Event::Send { connection, back }),
        30 => Just(Event::Settle),
        20 => (0..POLICIES, policy()).prop_map(|(slot, policy)| Event::Policy(slot, policy)),
        6 => (0..POLICIES).prop_map(Event::NoPolicy),
        8 => (0..PODS, 0..HOSTS).prop_map(|(pod, host)| Event::Pod(pod, host)),
        3 => (0..PODS).prop_map(Event::NoPod),
        6 => (0..PODS, role()).prop_map(|(pod, role)| Event::Role(pod, role)),
        4 => (0..NAMESPACES.len(), team()).prop_map(|(namespace, team)| Event::Team(namespace, team)),
        4 => (0..8_usize).prop_map(Event::Close),
        1 => Just(Event::Restart),
        1 => Just(Event::Kill),
    ]
}

fn path() -> impl Strategy<Value = Path> {
    // Mostly between the hosts that have a pod at first.
    let ends =
        |hosts| (0..hosts, 1..hosts).prop_map(move |(from, step)| (from, (from + step) % hosts));
    let ends = prop_oneof![2 => ends(PODS), 1 => ends(HOSTS)];
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    let wire = prop_oneof![Just(Wire::Tcp), Just(Wire::Udp)];
    (ends, family, wire, port()).prop_map(|((from, to), family, wire, port)| Path {
        from,
        to,
        family,
        wire,
        port,
    })
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![Just(80), Just(81)]
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Web), Just(Role::Db)]
}

fn team() -> impl Strategy<Value = Team> {
    prop_oneof![Just(Team::Red), Just(Team::Blue)]
}

fn policy() -> impl Strategy<Value = Policy> {
    let peers = prop_oneof![
        2 => Just(Peers::Nobody),
        1 => Just(Peers::Anybody),
        2 => role().prop_map(Peers::Role),
        1 => team().prop_map(Peers::Team),
        1 => (team(), role()).prop_map(|(team, role)| Peers::Both(team, role)),
        1 => (0..HOSTS).prop_map(Peers::Host),
        1 => (0..HOSTS).prop_map(Peers::AllBut),
    ];
    let ports = prop_oneof![
        3 => Just(Ports::All),
        1 => port().prop_map(Ports::Number),
        1 => Just(Ports::Named),
        1 => Just(Ports::Range),
    ];
    let types = prop_oneof![
        1 => Just((true, false)),
        1 => Just((false, true)),
        1 => Just((true, true)),
    ];
    let selects = proptest::option::weighted(0.3, role());
    (0..NAMESPACES.len(), selects, types, peers, ports).prop_map(
        |(namespace, selects, (ingress, egress), peers, ports)| Policy {
            namespace,
            selects,
            ingress,
            egress,
            peers,
            ports,
        },
    )
}

/// The script of a sequence.
pub(crate) fn script(events: &[Event]) -> String {
    let mut text = String::new();
    for (number, event) in events.iter().enumerate() {
        let _infallible = writeln!(text, "{:>4}  {event}", number + 1);
    }
    text
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(slot, policy) => write!(f, "policy {slot}: {policy}"),
            Self::NoPolicy(slot) => write!(f, "policy {slot}: deleted"),
            Self::Pod(pod, host) => write!(f, "pod {}: at host {host}", pod_name(*pod)),
            Self::NoPod(pod) => write!(f, "pod {}: deleted", pod_name(*pod)),
            Self::Role(pod, role) => write!(f, "pod {}: role {role:?}", pod_name(*pod)),
            Self::Team(at, team) => write!(f, "namespace {}: team {team:?}", NAMESPACES[*at]),
            Self::Restart => f.write_str("agent: started, stopped before if it runs"),
            Self::Kill => f.write_str("agent: killed"),
            Self::Connect(path) => write!(f, "connect {path}"),
            Self::Again(connection) => write!(f, "connect as connection {connection} did"),
            Self::Send { connection, back } => {
                let way = if *back {
                    "by the server"
                } else {
                    "by the client"
                };
                write!(f, "send on connection {connection} {way}")
            }
            Self::Close(connection) => write!(f, "close connection {connection}"),
            Self::Settle => f.write_str("wait until all edits are enforced"),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            family,
            wire,
            port,
        } = self;
        write!(f, "host {from} > host {to} {port}/{wire:?} {family}")
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = match (self.ingress, self.egress) {
            (true, true) => "ingress and egress",
            (true, false) => "ingress",
            (false, _) => "egress",
        };
        let of = self
            .selects
            .map_or("all".to_owned(), |role| format!("{role:?}"));
        let (peers, ports) = (self.peers, self.ports);
        write!(
            f,
            "{types} of {of} in {}: {peers:?}, ports {ports:?}",
            NAMESPACES[self.namespace]
        )
    }
}

/// `NAMESPACE/NAME`.
pub(crate) fn pod_name(pod: usize) -> String {
    format!("{}/p{pod}", NAMESPACES[pod % NAMESPACES.len()])
}
