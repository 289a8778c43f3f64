//! The agent with the rights that SECURITY.md says it needs, and no others: the capabilities of its mode, and the
//! chart's seccomp profile, under which a call that is not listed ends it.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketType};
use rustix::process::Signal;
use rustix::thread::UnshareFlags;
use sluice_lab::{Agent, AgentOptions, Confinement, Family, Lab, Mode, Options, Outcome, builtin};
use sluice_policy::Protocol;

use crate::common::{agent_binary, assert_all_right, cell, eventually, skipped};

const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

fn confined(mode: Mode) -> Option<Lab> {
    if skipped() {
        return None;
    }
    let agent = AgentOptions {
        binary: agent_binary()?,
        mode,
        arguments: Vec::new(),
        environment: Vec::new(),
    };
    let options = Options {
        families: BOTH.to_vec(),
        confined: true,
        ..Options::default()
    };
    let mut lab = Lab::up(&builtin::default_world(), &options).unwrap();
    lab.start_agents(&agent).unwrap();
    Some(lab)
}

/// A field of an agent's `/proc/PID/status`.
fn field(agent: &Agent, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value
        .unwrap_or_else(|| panic!("{name}: {status}"))
        .trim()
        .to_owned()
}

fn check(mode: Mode, capabilities: &str) {
    let Some(mut lab) = confined(mode) else {
        return;
    };
    for name in ["CapBnd:", "CapEff:", "CapPrm:"] {
        assert_eq!(field(&lab.agents()[0], name), capabilities, "{name}");
    }
    assert_eq!(field(&lab.agents()[0], "NoNewPrivs:"), "1");
    let filters = field(&lab.agents()[0], "Seccomp_filters:");
    assert_eq!(
        filters, "2",
        "the profile, and what the agent gives up itself"
    );
    assert_all_right(&lab);

    let narrowed = cell("x/b", "x/a", 80, Protocol::Tcp, Family::Ipv4);
    let mut open = lab.connect(&narrowed).unwrap();
    let text = lab.manifests().read("policies-x.yaml").unwrap();
    let edited = text.replace("port: http", "port: admin");
    lab.manifests().write("policies-x.yaml", &edited).unwrap();
    lab.reload().unwrap();
    eventually("a new connection is denied", || {
        lab.probe(std::slice::from_ref(&narrowed)).unwrap() == [Outcome::Denied]
    });
    eventually("an open connection is cut", || !lab.is_alive(&mut open));

    let agent = lab.agent("node-1").unwrap();
    agent.kill().unwrap();
    agent.restart().unwrap();
    agent.stop().unwrap();
    agent.restart().unwrap();
    assert_all_right(&lab);
    let agent = lab.agent("node-1").unwrap();
    agent.stop().unwrap();
    assert!(
        agent
            .cleanup()
            .unwrap()
            .contains("removed table inet sluice")
    );
    assert_eq!(agent.cleanup().unwrap(), "nothing to remove\n");
}

#[test]
fn a_confined_agent_does_all_its_work_in_hybrid_mode() {
    // CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF: bits 12, 38 and 39.
    check(Mode::Hybrid, "000000c000001000");
}

#[test]
fn a_confined_agent_does_all_its_work_in_nfqueue_mode() {
    check(Mode::Nfqueue, "0000000000001000");
}

/// A system call that a process makes before it becomes a program.
type Call = fn() -> io::Result<()>;

/// What nobody should do who has taken an agent over, and which the profile does not list.
const FORBIDDEN: [(&str, Call); 7] = [
    ("look into a process", trace),
    ("make a namespace", || {
        // SAFETY: the child that calls it ends here.
        Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?)
    }),
    ("mount", || {
        Ok(rustix::mount::mount_change(
            "/",
            rustix::mount::MountPropagationFlags::PRIVATE,
        )?)
    }),
    ("change the root", || Ok(rustix::process::chroot("/")?)),
    ("load a module", || {
        Ok(rustix::system::init_module(&[], c"")?)
    }),
    ("become somebody", || {
        Ok(rustix::thread::set_thread_uid(rustix::process::getuid())?)
    }),
    ("write packets by hand", || {
        let socket = rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, None);
        Ok(socket.map(drop)?)
    }),
];

fn trace() -> io::Result<()> {
    // SAFETY: it takes no memory of ours, and the child that calls it ends here.
    match unsafe { libc::ptrace(libc::PTRACE_TRACEME) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The signal that ends a process whose last call before its program is `last`, confined or not.
fn end_of(last: Call, confinement: Option<&Confinement>) -> Option<i32> {
    let mut command = Command::new("true");
    command.stdin(Stdio::null());
    if let Some(confinement) = confinement {
        confinement.impose(&mut command);
    }
    // SAFETY: single system calls, between fork and exec.
    unsafe { command.pre_exec(last) };
    // One that is killed before it is a program has started all the same.
    command.spawn().unwrap().wait().unwrap().signal()
}

#[test]
fn what_the_profile_does_not_list_ends_the_process() {
    if skipped() {
        return;
    }
    let confinement = Confinement::of(Mode::Hybrid).unwrap();
    assert_eq!(
        end_of(|| Ok(()), Some(&confinement)),
        None,
        "a program runs"
    );
    for (what, last) in FORBIDDEN {
        let signal = end_of(last, Some(&confinement));
        assert_eq!(signal, Some(Signal::SYS.as_raw()), "{what}");
    }
}
