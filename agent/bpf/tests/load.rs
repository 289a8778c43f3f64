//! Loading, pinning, adopting and removing, in mounts and interfaces of each test's own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::IpAddr;

use sluice_bpf::{Config, Fastpath, PodIsolation, Sizes, peek, remove_pins};
use sluice_ebpf::{Addr, Verdict, names};
use support::{ACK, Frame, Ground, Programs, SYN, TCP, lease};

#[test]
fn a_first_open_pins_all_and_assumes_isolation() {
    let Some(ground) = Ground::new("a_first_open_pins_all_and_assumes_isolation") else {
        return;
    };
    let fastpath = open(&ground.config());
    let (pass, deny) = fastpath.gate_programs();
    assert!(pass.exists() && deny.exists());
    assert!(fastpath.epochs().unwrap().iter().all(|epoch| *epoch == 0));
    assert_eq!(fastpath.epochs().unwrap().len(), 65_536);
    assert_eq!(fastpath.pods().unwrap(), []);
    assert_eq!(fastpath.attached(), []);
    let packet = Frame::new("10.0.0.1", "10.0.0.2", TCP, (1, 2), SYN).bytes();
    assert_eq!(
        Programs::open(&ground.pins()).gate_pass(&packet, 1).value,
        0
    );
}

#[test]
fn nothing_is_hidden_by_a_bpffs() {
    let Some(ground) = Ground::new("nothing_is_hidden_by_a_bpffs") else {
        return;
    };
    let pins = ground.pins();
    let parent = pins.parent().unwrap();
    std::fs::create_dir(parent).unwrap();
    std::fs::write(parent.join("file"), "text").unwrap();
    let error = Fastpath::open(&ground.config()).err().unwrap().to_string();
    let said = format!("{} is not empty", parent.display());
    assert!(error.contains(&said), "{error}");
    assert_eq!(std::fs::read(parent.join("file")).unwrap(), b"text");
    assert!(!pins.exists());

    std::fs::remove_file(parent.join("file")).unwrap();
    assert!(open(&ground.config()).gate_programs().0.exists());
}

#[test]
fn a_second_open_finds_what_the_first_left() {
    let Some(ground) = Ground::new("a_second_open_finds_what_the_first_left") else {
        return;
    };
    let packet = Frame::new("10.0.0.1", "10.0.0.2", TCP, (1, 2), ACK);
    let isolated = PodIsolation {
        ingress: true,
        egress: false,
    };
    let mut first = open(&ground.config());
    first.set_pod(packet.destination, isolated).unwrap();
    first.assume_isolated(false).unwrap();
    first.raise([(packet.slots().0, 7)]).unwrap();
    lease(&first, &packet, Verdict::Allow);
    drop(first);

    let second = open(&ground.config());
    assert_eq!(second.pods().unwrap(), [(packet.destination, isolated)]);
    assert_eq!(second.epochs().unwrap()[packet.slots().0 as usize], 7);
    let kept = second
        .leases()
        .get(&packet.lease_key())
        .unwrap()
        .expect("the lease");
    assert_eq!(kept.verdict(&packet.lease_key()), Some(Verdict::Allow));
    assert_eq!(
        Programs::open(&ground.pins())
            .gate_pass(&packet.bytes(), 1)
            .value,
        1
    );
    assert_eq!(second.counters().unwrap().gate_lease_hits, 1);
    assert_eq!(second.usage().unwrap().leases.entries, 1);
}

#[test]
fn a_map_of_another_layout_is_replaced_with_all_it_means_something_to() {
    let Some(ground) =
        Ground::new("a_map_of_another_layout_is_replaced_with_all_it_means_something_to")
    else {
        return;
    };
    let packet = Frame::new("10.0.0.1", "10.0.0.2", TCP, (1, 2), ACK);
    let mut first = open(&ground.config());
    first
        .set_pod(packet.source, PodIsolation::default())
        .unwrap();
    first.raise([(packet.slots().0, 7)]).unwrap();
    lease(&first, &packet, Verdict::Allow);
    drop(first);

    let sizes = Sizes {
        leases: 1024,
        ..Sizes::default()
    };
    let second = open(&Config {
        sizes,
        ..ground.config()
    });
    assert_eq!(second.leases().entries().unwrap(), []);
    assert_eq!(
        second.epochs().unwrap()[packet.slots().0 as usize],
        0,
        "no lease may outlive its epochs"
    );
    assert_eq!(second.usage().unwrap().leases.max, 1024);
    assert_eq!(
        second.pods().unwrap().len(),
        1,
        "pods do not depend on leases"
    );
}

#[test]
fn pods_without_their_slots_are_forgotten_and_isolation_is_assumed() {
    let Some(ground) =
        Ground::new("pods_without_their_slots_are_forgotten_and_isolation_is_assumed")
    else {
        return;
    };
    let packet = Frame::new("10.0.0.1", "10.0.0.2", TCP, (1, 2), ACK);
    let mut first = open(&ground.config());
    first
        .set_pod(packet.destination, PodIsolation::default())
        .unwrap();
    first.assume_isolated(false).unwrap();
    assert_eq!(
        Programs::open(&ground.pins())
            .gate_pass(&packet.bytes(), 1)
            .value,
        1
    );
    drop(first);
    std::fs::remove_file(ground.pins().join(names::SLOTS)).unwrap();

    let second = open(&ground.config());
    assert_eq!(second.pods().unwrap(), []);
    assert_eq!(
        Programs::open(&ground.pins())
            .gate_pass(&packet.bytes(), 1)
            .value,
        0
    );
}

#[test]
fn pods_come_change_and_go() {
    let Some(ground) = Ground::new("pods_come_change_and_go") else {
        return;
    };
    let mut fastpath = open(&ground.config());
    let four: IpAddr = "10.244.0.1".parse().unwrap();
    let six: IpAddr = "fd00:10:244::1".parse().unwrap();
    let both = PodIsolation {
        ingress: true,
        egress: true,
    };
    fastpath.set_pod(four, both).unwrap();
    fastpath.set_pod(six, PodIsolation::default()).unwrap();
    fastpath
        .set_pod(
            four,
            PodIsolation {
                ingress: false,
                ..both
            },
        )
        .unwrap();
    let mut pods = fastpath.pods().unwrap();
    pods.sort_by_key(|(address, _)| *address);
    assert_eq!(
        pods,
        [
            (
                four,
                PodIsolation {
                    ingress: false,
                    egress: true
                }
            ),
            (six, PodIsolation::default())
        ]
    );
    assert!(fastpath.remove_pod(four).unwrap());
    assert!(!fastpath.remove_pod(four).unwrap());
    assert_eq!(fastpath.pods().unwrap(), [(six, PodIsolation::default())]);
}

#[test]
fn many_epochs_are_raised_at_once() {
    let Some(ground) = Ground::new("many_epochs_are_raised_at_once") else {
        return;
    };
    let mut fastpath = open(&ground.config());
    fastpath
        .raise((0..65_536).map(|slot| (slot, slot + 1)))
        .unwrap();
    fastpath.raise([]).unwrap();
    assert!(
        fastpath
            .epochs()
            .unwrap()
            .iter()
            .zip(1..)
            .all(|(epoch, expected)| *epoch == expected)
    );
}

#[test]
fn leases_are_listed_and_removed() {
    let Some(ground) = Ground::new("leases_are_listed_and_removed") else {
        return;
    };
    let fastpath = open(&ground.config());
    let packets: Vec<Frame> = (1..=5000)
        .map(|port| Frame::new("10.0.0.1", "10.0.0.2", TCP, (1, port), ACK))
        .collect();
    for packet in &packets {
        lease_at_zero(&fastpath, packet);
    }
    let leases = fastpath.leases();
    let mut listed: Vec<u16> = leases
        .entries()
        .unwrap()
        .iter()
        .map(|(key, _)| key.port)
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, (1..=5000).collect::<Vec<_>>());
    assert_eq!(fastpath.usage().unwrap().leases.entries, 5000);
    assert!(leases.remove(&packets[0].lease_key()).unwrap());
    assert!(!leases.remove(&packets[0].lease_key()).unwrap());
    assert_eq!(leases.get(&packets[0].lease_key()).unwrap(), None);
}

#[test]
fn pins_tell_their_state_without_an_agent_and_go_without_a_trace() {
    let Some(ground) = Ground::new("pins_tell_their_state_without_an_agent_and_go_without_a_trace")
    else {
        return;
    };
    assert_eq!(peek(&ground.pins()), None);
    assert_eq!(remove_pins(&ground.pins()).unwrap(), Vec::<String>::new());
    let mut fastpath = open(&ground.config());
    let packet = Frame::new("10.0.0.1", "10.0.0.2", TCP, (1, 2), ACK);
    fastpath
        .set_pod(
            packet.destination,
            PodIsolation {
                ingress: true,
                egress: false,
            },
        )
        .unwrap();
    fastpath
        .set_pod(packet.source, PodIsolation::default())
        .unwrap();
    lease(&fastpath, &packet, Verdict::Allow);
    assert_eq!(
        Programs::open(&ground.pins())
            .gate_pass(&packet.bytes(), 3)
            .value,
        1
    );
    drop(fastpath);

    let state = peek(&ground.pins()).expect("pins");
    assert_eq!(state.counters.gate_lease_hits, 3);
    assert_eq!(state.usage.leases.entries, 1);
    assert_eq!(state.pods, (2, 1));
    let removed = remove_pins(&ground.pins()).unwrap();
    assert!(
        removed.iter().any(|line| line.contains("gate_pass")),
        "{removed:?}"
    );
    assert!(!ground.pins().exists());
    assert_eq!(remove_pins(&ground.pins()).unwrap(), Vec::<String>::new());
}

#[test]
fn addresses_of_one_slot_do_not_isolate_each_other() {
    let Some(ground) = Ground::new("addresses_of_one_slot_do_not_isolate_each_other") else {
        return;
    };
    let mut fastpath = open(&ground.config());
    fastpath.assume_isolated(false).unwrap();
    let isolated: IpAddr = "10.244.0.1".parse().unwrap();
    let slot = Addr::from(isolated).slot();
    let twin = (0..=u16::MAX)
        .map(|host| IpAddr::from([192, 168, host.to_be_bytes()[0], host.to_be_bytes()[1]]))
        .find(|address| Addr::from(*address).slot() == slot)
        .expect("a /16 has every slot");
    fastpath
        .set_pod(
            isolated,
            PodIsolation {
                ingress: true,
                egress: true,
            },
        )
        .unwrap();
    fastpath.set_pod(twin, PodIsolation::default()).unwrap();
    let to = |destination: IpAddr| {
        let frame = Frame::new("203.0.113.9", "203.0.113.8", TCP, (1, 2), ACK);
        Frame {
            destination,
            ..frame
        }
        .bytes()
    };
    let programs = Programs::open(&ground.pins());
    assert_eq!(programs.gate_pass(&to(twin), 1).value, 1);
    assert_eq!(programs.tc(&to(twin), 0, 1).mark, 0x20);
    assert_eq!(programs.gate_pass(&to(isolated), 1).value, 0);
    assert_eq!(programs.tc(&to(isolated), 0, 1).mark, 0);
    fastpath.remove_pod(twin).unwrap();
    assert_eq!(
        programs.tc(&to(twin), 0, 1).mark,
        0,
        "no local pod any more"
    );
    assert_eq!(programs.tc(&to(isolated), 0, 1).mark, 0);
}

#[test]
#[cfg(feature = "log")]
fn the_programs_write_debug_lines() {
    use std::os::fd::AsFd as _;

    use rustix::event::{PollFd, PollFlags, poll};

    let Some(ground) = Ground::new("the_programs_write_debug_lines") else {
        return;
    };
    let mut fastpath = open(&ground.config());
    let mut log = fastpath.log().unwrap();
    let readable = |log: &sluice_bpf::ProgramLog| {
        let now = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut [PollFd::new(&log.as_fd(), PollFlags::IN)], Some(&now)).unwrap() > 0
    };
    assert!(!readable(&log));
    let packet = Frame::new("10.0.0.1", "10.0.0.2", TCP, (1, 2), SYN).bytes();
    Programs::open(&ground.pins()).gate_pass(&packet, 1);
    assert!(readable(&log));
    log.flush();
    assert!(!readable(&log));
}

#[test]
fn the_clock_is_the_programs_clock() {
    let before = sluice_bpf::now_ns();
    let after = sluice_bpf::now_ns();
    assert!(before > 0 && before <= after);
}

fn open(config: &Config) -> Fastpath {
    Fastpath::open(config).unwrap_or_else(|error| panic!("{error:#?}"))
}

fn lease_at_zero(fastpath: &Fastpath, frame: &Frame) {
    use sluice_ebpf::{Epochs, Lease};
    let key = frame.lease_key();
    fastpath
        .leases()
        .insert(
            &key,
            &Lease::new(&key, Verdict::Allow, Epochs::default(), 0),
        )
        .unwrap();
}
