//! Traffic that conntrack is told to leave alone, as a cache of name servers on the node has it: nobody knows what is a
//! reply, but what was asked for is answered, and nothing else is let in.

use sluice_lab::{Cell, Outcome};
use sluice_policy::Protocol;

use crate::common::{assert_outcomes, cell, nft};
use crate::craft::{ACK, SYN, Segment, TCP, UDP};
use crate::hostile::{DENIED, FAMILIES, FRIEND, Field, MODES, SERVER, WEB};

const RULES: &str = "table inet untracked { \
    chain in { type filter hook prerouting priority -300; meta l4proto {tcp, udp} th dport 80 notrack; meta l4proto {tcp, udp} th sport 80 notrack; }; \
    chain out { type filter hook output priority -300; meta l4proto {tcp, udp} th dport 80 notrack; meta l4proto {tcp, udp} th sport 80 notrack; }; }";

fn cells(from: &[&str]) -> Vec<Cell> {
    let protocols = [Protocol::Tcp, Protocol::Udp];
    let each = from
        .iter()
        .flat_map(|from| protocols.map(|protocol| (*from, protocol)));
    each.flat_map(|(from, protocol)| {
        FAMILIES.map(|family| cell(from, SERVER, 80, protocol, family))
    })
    .collect()
}

#[test]
fn what_is_allowed_is_answered_without_conntrack_and_what_is_not_is_not() {
    for mode in MODES {
        let Some(field) = Field::up(mode) else { return };
        nft(field.lab.node_netns("node-1").unwrap(), RULES);
        for heat in ["cold", "warm"] {
            for (from, expected) in [
                (vec![FRIEND, WEB], Outcome::Allowed),
                (DENIED.to_vec(), Outcome::Denied),
            ] {
                let cells = cells(&from);
                println!("{mode:?} {heat}");
                assert_outcomes(&field.lab, &cells, &vec![expected; cells.len()]);
            }
        }
    }
}

#[test]
fn a_server_sends_nothing_unasked_without_conntrack() {
    for mode in MODES {
        let Some(mut field) = Field::up(mode) else {
            return;
        };
        nft(field.lab.node_netns("node-1").unwrap(), RULES);
        for heat in ["cold", "warm"] {
            let mut sent = Vec::new();
            for family in FAMILIES {
                for flags in [SYN, SYN | ACK, ACK] {
                    let way = field.way(SERVER, WEB, family);
                    let segment = Segment {
                        ports: (80, 4000),
                        flags,
                        ..Segment::default()
                    };
                    field.send(SERVER, &[way.ip(TCP, &way.tcp(segment, b"unasked"))]);
                    sent.push((flags, way));
                }
                let way = field.way(SERVER, WEB, family);
                field.send(SERVER, &[way.ip(UDP, &way.udp((80, 4000), b"unasked"))]);
                sent.push((0, way));
            }
            field.settle();
            for (flags, way) in sent {
                assert_eq!(
                    field.arrived(WEB, way),
                    0,
                    "{mode:?} {heat}: {flags:#04x} {way:?}"
                );
            }
            field.lab.probe(&cells(&[WEB])).unwrap();
        }
    }
}
