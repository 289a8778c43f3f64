//! Numbered traffic without an agent: what is dropped on purpose is what is counted, and nothing else is.

use std::time::Duration;

use sluice_lab::stream::{Direction, Lost, Pace, Stream};
use sluice_lab::{Cell, Family, Lab, Options, Port, ServiceName, Target, builtin};
use sluice_policy::Protocol;

use crate::common::{assert_allowed, cell, eventually, example, nft, pod, skipped};

const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];
const EITHER: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
const PACE: Pace = Pace {
    interval: Duration::from_millis(1),
    answered: true,
};

fn up() -> Lab {
    let options = Options {
        families: BOTH.to_vec(),
        ..Options::default()
    };
    Lab::up(&builtin::default_world(), &options).unwrap()
}

fn sends(stream: &Stream, more: u64) {
    let upto = stream.sent() + more;
    eventually("enough is sent", || stream.sent() >= upto);
}

#[test]
fn nothing_is_lost_on_a_quiet_link() {
    if skipped() {
        return;
    }
    let lab = up();
    let cells = BOTH.map(|family| EITHER.map(|protocol| cell("x/a", "x/b", 80, protocol, family)));
    // Of what is sent before a neighbour is known, the kernel drops what is too much.
    assert_allowed(&lab, cells.as_flattened());
    let open = |cell: &Cell| lab.stream(cell, PACE).unwrap();
    let mut streams: Vec<_> = cells.as_flattened().iter().map(open).collect();
    for (stream, cell) in streams.iter_mut().zip(cells.as_flattened()) {
        sends(stream, 200);
        assert!(stream.stop(), "{cell}");
        let delivered = [Direction::Forward, Direction::Backward].map(|way| stream.delivered(way));
        assert_eq!(delivered, [stream.sent(); 2], "{cell}");
        assert_eq!(
            (stream.lost(), stream.broken()),
            (Lost::default(), None),
            "{cell}"
        );
    }
}

#[test]
fn numbers_that_are_dropped_are_the_ones_that_are_lost() {
    if skipped() {
        return;
    }
    let lab = up();
    assert_allowed(
        &lab,
        &BOTH.map(|family| cell("x/a", "x/b", 80, Protocol::Udp, family)),
    );
    let at_input = |name: &str, rule: &str| {
        let hook = "type filter hook input priority 0;";
        let rules = format!("table inet t {{ chain c {{ {hook} {rule} }}; }}");
        nft(lab.pod_netns(&pod(name)).unwrap(), &rules);
    };
    // the first payload bytes of a datagram: the number, below the mark of the messages
    let numbers = "0xa55a000000000064, 0xa55a000000000065, 0xa55a00000000006b";
    at_input(
        "x/b",
        &format!("udp dport 80 @th,64,64 {{ {numbers} }} drop;"),
    );
    at_input("x/a", "udp sport 80 @th,64,64 0xa55a000000000032 drop;");
    for family in BOTH {
        let ask = cell("x/a", "x/b", 80, Protocol::Udp, family);
        let mut stream = lab.stream(&ask, PACE).unwrap();
        sends(&stream, 200);
        assert!(stream.stop());
        let lost = Lost {
            forward: 3,
            backward: 1,
        };
        assert_eq!(stream.lost(), lost);
        let deliveries = stream.deliveries(Direction::Forward);
        assert!(deliveries.iter().all(|it| it.sent <= it.arrived));
        let arrived = |number| deliveries.iter().any(|it| it.number == number);
        assert!(arrived(99) && !arrived(100) && !arrived(101) && !arrived(107));
    }
}

#[test]
fn segments_that_are_dropped_are_counted_although_tcp_sends_them_again() {
    if skipped() {
        return;
    }
    let lab = up();
    for (name, side) in [("x/b", "dport"), ("x/a", "sport")] {
        // a pure acknowledgment has 52 bytes, and its loss is none
        let rule = format!("tcp {side} 80 meta length 60 numgen inc mod 100000 100 drop;");
        let hook = "type filter hook input priority 0;";
        let rules = format!("table ip t {{ chain c {{ {hook} {rule} }}; }}");
        nft(lab.pod_netns(&pod(name)).unwrap(), &rules);
    }
    let ask = cell("x/a", "x/b", 80, Protocol::Tcp, Family::Ipv4);
    let mut stream = lab.stream(&ask, PACE).unwrap();
    sends(&stream, 300);
    assert!(stream.stop());
    assert_eq!(stream.delivered(Direction::Backward), stream.sent());
    let lost = Lost {
        forward: 1,
        backward: 1,
    };
    assert_eq!(stream.lost(), lost);
}

#[test]
fn what_a_cut_stream_still_sends_is_lost_once_it_has_settled() {
    if skipped() {
        return;
    }
    let lab = up();
    let ask = cell("x/a", "x/b", 80, Protocol::Udp, Family::Ipv4);
    let mut stream = lab.stream(&ask, PACE).unwrap();
    sends(&stream, 100);
    let rules = "table ip t { chain c { type filter hook forward priority 0; drop; }; }";
    nft(lab.node_netns("node-1").unwrap(), rules);
    sends(&stream, 100);
    assert_eq!(stream.lost(), Lost::default(), "it may be under way");
    assert!(!stream.stop());
    let delivered = stream.delivered(Direction::Forward);
    assert_eq!(stream.lost().forward, stream.sent() - delivered);
    assert!(stream.lost().forward >= 100);
    let last = stream
        .deliveries(Direction::Forward)
        .last()
        .unwrap()
        .arrived;
    assert_eq!(stream.last_delivery(Direction::Forward), Some(last));
}

#[test]
fn a_stream_through_a_service_is_counted_at_its_backends() {
    if skipped() {
        return;
    }
    let lab = Lab::up(&example("two-nodes"), &Options::default()).unwrap();
    let service = |name: &str, number, protocol| Cell {
        from: pod("shop/client-1"),
        to: Target::Service(ServiceName {
            namespace: "shop".into(),
            name: name.into(),
        }),
        port: Port { number, protocol },
        family: Family::Ipv4,
    };
    for cell in [
        service("web", 80, Protocol::Tcp),
        service("web", 90, Protocol::Udp),
    ] {
        let mut stream = lab.stream(&cell, PACE).unwrap();
        sends(&stream, 50);
        assert!(stream.stop(), "{cell}");
        assert_eq!(
            stream.delivered(Direction::Backward),
            stream.sent(),
            "{cell}"
        );
    }
}

#[test]
fn new_connections_are_counted_by_what_arrives_of_them() {
    if skipped() {
        return;
    }
    let lab = up();
    let every_fourth = "table inet t { chain c { type filter hook forward priority 0; \
                        tcp dport 80 tcp flags & (syn | ack) == syn numgen inc mod 4 0 drop; \
                        udp dport 80 numgen inc mod 4 0 drop; }; }";
    for (family, protocol) in BOTH
        .into_iter()
        .flat_map(|it| EITHER.map(|other| (it, other)))
    {
        nft(lab.node_netns("node-1").unwrap(), every_fourth);
        let ask = cell("x/a", "x/b", 80, protocol, family);
        let mut hammer = lab.hammer(&ask, Duration::from_millis(1)).unwrap();
        eventually("enough is opened", || hammer.sent() >= 200);
        hammer.stop();
        let expected = hammer.sent() - hammer.sent().div_ceil(4);
        eventually("all others arrive", || hammer.delivered() >= expected);
        assert_eq!(hammer.delivered(), expected, "{ask}");
        let dropped = |number: u64| number.is_multiple_of(4);
        let deliveries = hammer.deliveries();
        assert!(!deliveries.iter().any(|it| dropped(it.number)), "{ask}");
        nft(lab.node_netns("node-1").unwrap(), "flush ruleset");
    }
}

#[test]
fn servers_answer_others_beside_a_stream() {
    if skipped() {
        return;
    }
    let lab = up();
    for protocol in EITHER {
        let ask = cell("x/a", "x/b", 80, protocol, Family::Ipv4);
        let stream = lab.stream(&ask, PACE).unwrap();
        let hammer = lab.hammer(&ask, Duration::from_millis(1)).unwrap();
        sends(&stream, 20);
        eventually("something is opened", || hammer.sent() >= 20);
        let other = cell("y/a", "x/b", 80, protocol, Family::Ipv4);
        assert_allowed(&lab, &[ask, other]);
    }
}
