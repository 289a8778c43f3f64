//! A resolver's two questions, A and AAAA, sent at once from one socket: both are queued before either has made a
//! connection, and both must be answered (netfilter bug 1766). Runs on any kernel.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sluice_lab::{AgentOptions, Counters, Family, Lab, Manifests, Mode, Options, ServiceName};

use crate::common::{agent_binary, eventually, pod, skipped, under_agents};
use crate::hostile::{FAMILIES, MODES, address};

/// Sockets in all, and of those so many at once: servers have a buffer to overflow.
const SOCKETS: usize = 512;
const AT_ONCE: usize = 16;
/// Where all of that would take longer, as in an emulated machine, so much is enough, but never less than some rounds.
const LONG_ENOUGH: Duration = Duration::from_secs(20);
const ROUNDS: usize = 4;
/// What an answer may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_mins(1);

/// The client's policy, with a port that nobody uses: every change makes its leases stale, and allows the same.
fn client(unused: u16) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: client, namespace: n}}
spec:
  podSelector:
    matchLabels: {{app: client}}
  policyTypes: [Ingress, Egress]
  egress:
    - to:
        - podSelector:
            matchLabels: {{app: dns}}
      ports:
        - {{port: 5353, protocol: UDP}}
        - {{port: {unused}, protocol: UDP}}
"
    )
}

fn world() -> Manifests {
    let text = include_str!("resolver.yaml").to_owned();
    Manifests::Texts(vec![
        ("world.yaml".into(), text),
        ("client.yaml".into(), client(1)),
    ])
}

/// Asks twice from each of some fresh sockets; how many answers are lost.
fn ask(source: SocketAddr, to: SocketAddr) -> io::Result<usize> {
    let sockets = (0..AT_ONCE).map(|_| {
        let socket = UdpSocket::bind(source)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send_to(b"A", to)?;
        socket.send_to(b"AAAA", to)?;
        Ok(socket)
    });
    let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
    let mut lost = 0;
    for socket in sockets {
        for _ in 0..2 {
            match socket.recv_from(&mut [0; 512]) {
                Ok((_, from)) => assert_eq!(from, to),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => lost += 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(lost)
}

/// Asks from many sockets while the policy changes all the time, if it is to.
fn ask_all(lab: &Lab, to: SocketAddr, cold: bool) -> usize {
    let family = Family::of(to.ip());
    let source = SocketAddr::new(address(lab, "n/client", family), 0);
    let (client_netns, done) = (
        lab.pod_netns(&pod("n/client")).unwrap(),
        AtomicBool::new(false),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for unused in (1..5000).cycle() {
                if !cold || done.load(Ordering::Relaxed) {
                    break;
                }
                lab.manifests()
                    .write("client.yaml", &client(unused))
                    .unwrap();
                // reason: the agent is to read it before the next one
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        // one lost answer is enough, and each takes its time
        let ask = || {
            let started = Instant::now();
            let goes_on = |round: &usize| *round < ROUNDS || started.elapsed() < LONG_ENOUGH;
            let rounds = (0..SOCKETS / AT_ONCE).take_while(goes_on);
            let mut lost = rounds.map(|_| ask(source, to).unwrap());
            lost.find(|lost| *lost > 0).unwrap_or(0)
        };
        let lost = client_netns.enter(ask);
        done.store(true, Ordering::Relaxed);
        lost.unwrap()
    })
}

fn counters(lab: &Lab) -> Counters {
    lab.agents()[0].counters().unwrap()
}

/// A lab whose agent judges datagrams early or late, whatever the kernel needs, or as it needs it.
fn under_agent(mode: Mode, early: Option<bool>) -> Option<Lab> {
    let Some(early) = early else {
        return under_agents(&world(), &FAMILIES, mode);
    };
    if skipped() {
        return None;
    }
    let options = AgentOptions {
        binary: agent_binary()?,
        mode,
        arguments: vec![format!("--netfilter-bug-1766-fix={early}")],
        environment: Vec::new(),
    };
    let families = FAMILIES.to_vec();
    let options_of_lab = Options {
        families,
        ..Options::default()
    };
    let mut lab = Lab::up(&world(), &options_of_lab).unwrap();
    lab.start_agents(&options).unwrap();
    Some(lab)
}

#[track_caller]
fn check(cold: bool, early: Option<bool>, to: impl Fn(&Lab, Family) -> SocketAddr) {
    for mode in MODES {
        let Some(lab) = under_agent(mode, early) else {
            return;
        };
        for family in FAMILIES {
            let before = counters(&lab);
            let queues = cold || mode == Mode::Nfqueue;
            // the race has to be there to be lost: the agent must see both questions of many sockets
            eventually("many questions are queued", || {
                let lost = ask_all(&lab, to(&lab, family), cold);
                assert_eq!(lost, 0, "{mode:?} {family}: answers are lost");
                !queues || counters(&lab).since(before).allowed > 64
            });
        }
    }
}

fn direct(lab: &Lab, family: Family) -> SocketAddr {
    SocketAddr::new(address(lab, "n/dns-1", family), 5353)
}

fn service(lab: &Lab, family: Family) -> SocketAddr {
    let name = ServiceName {
        namespace: "n".into(),
        name: "dns".into(),
    };
    let service = lab.plan().service(&name).unwrap();
    SocketAddr::new(service.address(family).unwrap(), 53)
}

#[test]
fn both_questions_of_a_socket_are_answered() {
    check(false, None, direct);
}

#[test]
fn both_questions_of_a_socket_are_answered_through_a_service() {
    check(false, None, service);
}

#[test]
fn both_are_answered_while_leases_end_all_the_time() {
    check(true, None, direct);
}

#[test]
fn both_are_answered_through_a_service_while_leases_end_all_the_time() {
    check(true, None, service);
}

#[test]
fn both_are_answered_through_a_service_where_they_are_judged_before_they_are_routed() {
    check(false, Some(true), service);
    check(true, Some(true), service);
}
