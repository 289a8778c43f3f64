//! Hostile shapes as tables: each packet is sent by those who may and by those who may not, cold and warm, and the
//! server's link is asked what arrived.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sluice_lab::{AgentOptions, Cell, Family, Lab, Manifests, Mode, Options};
use sluice_policy::Protocol;

use crate::common::{agent_binary, assert_allowed, cell, eventually, pod, skipped};
use crate::craft::Way;
use crate::raw::{Injector, Tap};

pub(crate) const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];
pub(crate) const MODES: [Mode; 2] = [Mode::Hybrid, Mode::Nfqueue];
pub(crate) const SERVER: &str = "n/server";
/// May do anything.
pub(crate) const FRIEND: &str = "n/friend";
/// May do what the ports say.
pub(crate) const WEB: &str = "n/web";
/// May do nothing: the server does not let the one in, the other is not let out.
pub(crate) const DENIED: [&str; 2] = ["n/enemy", "n/captive"];

/// What is to become of a packet that is sent by one who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Delivered: it is legal.
    Arrives,
    /// Not delivered: a router or a policy refuses it.
    Dropped,
    /// Either: it is of no use to anybody.
    Either,
}

/// One shape.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The packets of one sender; the port is its source port, and no other case's.
    pub(crate) packets: Box<dyn Fn(Way, u16) -> Vec<Vec<u8>>>,
    /// Sent by one who may do anything.
    pub(crate) by_friend: Fate,
    /// Sent by one who may connect to port 80.
    pub(crate) by_web: Fate,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        (by_friend, by_web): (Fate, Fate),
        packets: impl Fn(Way, u16) -> Vec<Vec<u8>> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            packets: Box::new(packets),
            by_friend,
            by_web,
        }
    }
}

/// The world of `hostile.yaml` under one agent, with a tap at every pod.
pub(crate) struct Field {
    pub(crate) lab: Lab,
    taps: BTreeMap<String, Tap>,
    injectors: BTreeMap<String, Injector>,
    identification: u16,
}

impl Field {
    pub(crate) fn up(mode: Mode) -> Option<Self> {
        if skipped() {
            return None;
        }
        // one queue: what comes after in it is judged after
        let options = AgentOptions {
            binary: agent_binary()?,
            mode,
            arguments: vec!["--queues".into(), "1".into()],
            environment: Vec::new(),
        };
        let text = include_str!("hostile.yaml").to_owned();
        let manifests = Manifests::Texts(vec![("world.yaml".into(), text)]);
        let families = FAMILIES.to_vec();
        let mut lab = Lab::up(
            &manifests,
            &Options {
                families,
                ..Options::default()
            },
        )
        .unwrap();
        lab.start_agents(&options).unwrap();
        let names = lab.plan().pods.iter().map(|pod| pod.name.to_string());
        let taps = names
            .map(|name| (name.clone(), Tap::of(&lab, &name)))
            .collect();
        Some(Self {
            lab,
            taps,
            injectors: BTreeMap::new(),
            identification: 0,
        })
    }

    pub(crate) fn address(&self, name: &str, family: Family) -> IpAddr {
        address(&self.lab, name, family)
    }

    /// A way that no other packet has.
    pub(crate) fn way(&mut self, from: &str, to: &str, family: Family) -> Way {
        self.identification += 1;
        Way {
            source: self.address(from, family),
            destination: self.address(to, family),
            identification: self.identification,
        }
    }

    /// Sends packets from a pod's link.
    pub(crate) fn send(&mut self, from: &str, packets: &[Vec<u8>]) {
        let lab = &self.lab;
        let injector = self
            .injectors
            .entry(from.to_owned())
            .or_insert_with(|| Injector::of(lab, from));
        for packet in packets {
            injector.send(packet).unwrap();
        }
    }

    /// How many packets of a way have arrived at a pod.
    pub(crate) fn arrived(&mut self, at: &str, way: Way) -> usize {
        let tap = self.taps.get_mut(at).unwrap();
        tap.count(way.source, way.identification)
    }

    /// Returns when all that was sent before is judged: an echo request is never leased, so it stands in the queue
    /// behind what was queued before.
    pub(crate) fn settle(&mut self) {
        for family in FAMILIES {
            let way = self.way(FRIEND, SERVER, family);
            self.send(FRIEND, &[way.echo(way.identification)]);
            eventually("an echo request arrives behind the others", || {
                self.arrived(SERVER, way) > 0
            });
        }
    }

    /// Makes leases of all pairs that may have one.
    pub(crate) fn warm(&self) {
        let cells: Vec<Cell> = [FRIEND, WEB]
            .into_iter()
            .flat_map(|from| {
                [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|protocol| (from, protocol))
            })
            .flat_map(|(from, protocol)| {
                FAMILIES.map(|family| cell(from, SERVER, 80, protocol, family))
            })
            .collect();
        // twice: the second is leased
        for _ in 0..2 {
            assert_allowed(&self.lab, &cells);
        }
    }
}

pub(crate) fn address(lab: &Lab, name: &str, family: Family) -> IpAddr {
    let plan = lab.plan();
    plan.pods[plan.pod(&pod(name)).unwrap()]
        .address(family)
        .unwrap()
}

/// Sends every shape in both modes and families, cold and then warm.
#[track_caller]
pub(crate) fn check(cases: impl Fn(Family) -> Vec<Case>) {
    for mode in MODES {
        let Some(mut field) = Field::up(mode) else {
            return;
        };
        let mut wrong = Vec::new();
        let mut port = 10_000;
        for heat in ["cold", "warm"] {
            for family in FAMILIES {
                let at = format!("{} {family} {heat}", mode.name());
                wrong.extend(
                    round(&mut field, &cases(family), family, &mut port)
                        .iter()
                        .map(|wrong| format!("{at}: {wrong}")),
                );
            }
            field.warm();
        }
        assert!(
            wrong.is_empty(),
            "{} wrong:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
}

fn round(field: &mut Field, cases: &[Case], family: Family, port: &mut u16) -> Vec<String> {
    let mut sent = Vec::new();
    for case in cases {
        *port += 1;
        let senders = [(FRIEND, case.by_friend), (WEB, case.by_web)]
            .into_iter()
            .chain(DENIED.map(|from| (from, Fate::Dropped)));
        for (from, fate) in senders {
            let way = field.way(from, SERVER, family);
            let packets = (case.packets)(way, *port);
            field.send(from, &packets);
            sent.push((way, fate, format!("{} of {from}", case.name)));
        }
        // the queue and the tap hold only so many
        if sent.len() % 128 == 0 {
            field.settle();
        }
    }
    field.settle();
    let mut judge = |(way, fate, name): (Way, Fate, String)| {
        let count = field.arrived(SERVER, way);
        match (fate, count) {
            (Fate::Arrives, 0) => Some(format!("cut: {name}")),
            (Fate::Dropped, 1..) => Some(format!("leak: {name}")),
            _ => None,
        }
    };
    sent.into_iter().filter_map(&mut judge).collect()
}
