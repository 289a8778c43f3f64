//! `sluice cleanup` at any moment of an agent's life.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use rustix::process::Signal;
use sluice_lab::stream::{Direction, Lost};
use sluice_lab::{Family, Lab, Mode, Outcome};
use sluice_netlink::{Conntrack, Entry, Filter, Gate};
use sluice_policy::Protocol;

use super::restart::allow;
use super::stopped::queues;
use super::{EITHER, How, Load, PACE, agent, pair};
use crate::common::{assert_allowed, eventually};

const MODES: [Mode; 2] = [Mode::Hybrid, Mode::Nfqueue];

/// What is left in the kernel: tables, programs on interfaces, pins.
fn left(lab: &mut Lab) -> Vec<String> {
    let look = |pins: &Path| {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let tables = said("nft", &["list", "tables"]);
        let filters = said("bpftool", &["net", "show"]);
        let lines = tables.lines().chain(filters.lines());
        let ours = lines.filter(|line| line.contains("sluice"));
        let interfaces = sluice_netlink::links::list().unwrap();
        let programs = interfaces.iter().filter(|link| has_programs(link.index));
        let programs = programs.map(|link| format!("TCX on {}", link.name));
        let pinned = pins.exists().then(|| pins.display().to_string());
        let left = ours.map(str::to_owned).chain(programs).chain(pinned);
        left.collect()
    };
    agent(lab).visit(look).unwrap()
}

/// Whether a connection has a mark of Sluice's.
fn marked() -> bool {
    let mut found = false;
    let mut conntrack = Conntrack::open().unwrap();
    let look = |entry: Entry| found |= entry.mark & 0x70 != 0;
    conntrack.dump(&Filter::default(), look).unwrap();
    found
}

/// Whether there are TCX programs at the ingress of an interface, by `BPF_PROG_QUERY` of bpf(2); kernels without TCX
/// refuse.
fn has_programs(ifindex: u32) -> bool {
    const PROG_QUERY: libc::c_int = 16;
    const TCX_INGRESS: u32 = 46;
    const COUNT: usize = 6;
    // the interface, the kind, flags, and no room for programs: the kernel says how many there are
    let mut attributes = [0_u32; 16];
    attributes[..2].copy_from_slice(&[ifindex, TCX_INGRESS]);
    let size = u32::try_from(size_of_val(&attributes)).unwrap();
    // SAFETY: the kernel reads and writes `size` bytes of what lives until it returns.
    let outcome = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut attributes, size) };
    outcome == 0 && attributes[COUNT] > 0
}

#[track_caller]
fn assert_cleans(lab: &mut Lab) {
    let said = agent(lab).cleanup().unwrap();
    assert!(said.contains("removed "), "{said}");
    assert_eq!(left(lab), [""; 0], "{said}");
    assert!(!agent(lab).visit(|_| marked()).unwrap(), "{said}");
    assert_eq!(agent(lab).cleanup().unwrap(), "nothing to remove\n");
    let socket = agent(lab).socket().to_owned();
    assert!(!socket.exists() && !socket.with_extension("sock.lock").exists());
}

#[test]
fn nothing_is_left_of_an_agent_that_was_killed_under_load_and_nothing_is_cut() {
    for mode in MODES {
        let Some(mut lab) = (How {
            mode,
            fail_open: false,
        })
        .up() else {
            return;
        };
        let mut load = Load::start(&lab);
        let there = left(&mut lab);
        let kinds = |what: &str| there.iter().filter(|it| it.contains(what)).count();
        assert!(kinds("inet sluice") == 1, "{there:?}");
        let on_interfaces = kinds("TCX") + kinds("clsact");
        assert_eq!(on_interfaces >= 7, mode == Mode::Hybrid, "{there:?}");
        agent(&mut lab).kill().unwrap();
        assert_eq!(load.passed(), 0);
        assert_cleans(&mut lab);
        eventually("nobody denies any more", || load.passed() > 0);
        // and the next one finds nothing that it stumbles over
        agent(&mut lab).restart().unwrap();
        let ready = Instant::now();
        let tolls = load.end(|sent, _| sent >= ready);
        assert_eq!((tolls.lost, tolls.leaked), (0, 0), "{mode:?}");
        agent(&mut lab).stop().unwrap();
        assert_cleans(&mut lab);
    }
}

#[test]
fn nothing_is_left_of_an_agent_that_was_killed_while_it_started() {
    for mode in MODES {
        let Some(mut lab) = (How {
            mode,
            fail_open: false,
        })
        .up() else {
            return;
        };
        let started = Instant::now();
        agent(&mut lab).kill().unwrap();
        agent(&mut lab).restart().unwrap();
        let start = started.elapsed();
        for part in 0..16 {
            agent(&mut lab).kill().unwrap();
            agent(&mut lab).cleanup().unwrap();
            agent(&mut lab).start_again().unwrap();
            // reason: not a condition but the case itself: a start that gets so far
            thread::sleep(start * part / 16);
            agent(&mut lab).kill().unwrap();
            agent(&mut lab).cleanup().unwrap();
            assert_eq!(left(&mut lab), [""; 0], "{mode:?} {part}");
        }
    }
}

#[test]
fn cleanup_leaves_an_agent_that_runs_or_is_stopped_alone_and_says_so() {
    for mode in MODES {
        let Some(mut lab) = (How {
            mode,
            fail_open: false,
        })
        .up() else {
            return;
        };
        let mut load = Load::start(&lab);
        for stopped in [false, true] {
            if stopped {
                agent(&mut lab).signal(Signal::STOP).unwrap();
            }
            let refused = agent(&mut lab).cleanup().unwrap_err().to_string();
            assert!(
                refused.contains("an agent runs") && refused.contains('3'),
                "{refused}"
            );
            let is_there = lab.node_netns("node-1").unwrap().enter(Gate::is_installed);
            assert!(is_there.unwrap().unwrap());
        }
        agent(&mut lab).signal(Signal::CONT).unwrap();
        let tolls = load.end(|_, _| true);
        assert_eq!((tolls.lost, tolls.leaked), (0, 0), "{mode:?}");
        let late = pair("late", "server", Protocol::Tcp, Family::Ipv4);
        assert_allowed(&lab, &[late]);
    }
}

#[test]
fn what_was_revoked_before_a_cleanup_is_not_cut_by_the_next_agent() {
    for mode in MODES {
        let Some(mut lab) = (How {
            mode,
            fail_open: false,
        })
        .up() else {
            return;
        };
        let open = |protocol| {
            let cell = pair("client", "server", protocol, Family::Ipv4);
            lab.stream(&cell, PACE).unwrap()
        };
        let mut streams = EITHER.map(open);
        allow(&lab, "late");
        let revoked = "live connections judged again";
        eventually("they are revoked", || {
            agent(&mut lab).log().contains(revoked)
        });
        agent(&mut lab).kill().unwrap();
        agent(&mut lab).cleanup().unwrap();
        let flow = |number: usize| streams[number].delivered(Direction::Backward);
        let before = [flow(0), flow(1)];
        eventually("they go on", || (0..2).all(|it| flow(it) > before[it] + 20));
        let lost = streams.each_ref().map(sluice_lab::stream::Stream::lost);
        allow(&lab, "late, client");
        agent(&mut lab).restart().unwrap();
        let before = [flow(0), flow(1)];
        eventually("they go on", || (0..2).all(|it| flow(it) > before[it] + 20));
        for (stream, lost) in streams.iter_mut().zip(lost) {
            stream.stop();
            let more = stream.lost();
            assert_eq!(more, lost, "{mode:?}");
            assert_ne!(more, Lost::default(), "it was never revoked");
        }
    }
}

#[test]
fn an_agent_that_is_cleaned_up_after_all_the_same_puts_everything_back() {
    for mode in MODES {
        let how = How {
            mode,
            fail_open: false,
        };
        let Some(mut lab) = how.up() else {
            return;
        };
        let mut load = Load::start(&lab);
        let before = left(&mut lab);
        let pins = agent(&mut lab).visit(Path::to_path_buf).unwrap();
        let elsewhere = "/nonexistent/agent.sock";
        let arguments = ["cleanup", "--socket", elsewhere, "--bpffs"].map(OsStr::new);
        let arguments = [&arguments[..], &[pins.as_os_str()]].concat();
        let output = agent(&mut lab).run(&arguments).unwrap();
        assert!(output.status.success(), "{output:?}");
        eventually("all is back", || left(&mut lab) == before);
        let denied = pair("stranger", "server", Protocol::Udp, Family::Ipv4);
        assert_eq!(lab.probe(&[denied]).unwrap(), [Outcome::Denied]);
        let tolls = load.end(|_, _| false);
        // all connections are under review at once: on a machine that is busy, their packets may overflow the queues
        let [_, overflowed] = queues(&lab);
        let log = agent(&mut lab).log();
        assert!(tolls.lost <= overflowed, "{mode:?}: {tolls:?}: {log}");
        agent(&mut lab).stop().unwrap();
        assert_cleans(&mut lab);
    }
}
