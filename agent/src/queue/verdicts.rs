//! The log of verdicts: a line for each denied connection, and on demand for allowed ones, within a bound. What the
//! kernel decides by leases is not in it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sluice_policy::{Action, Decision, Direction, PodName, Snapshot, Verdict};
use tracing::field::{DisplayValue, display};
use tracing::info;

use super::allowance::{Allowance, Line, Unwritten};
use super::judge::Judgement;
use super::packet::Packet;
use crate::cli::Verdicts;

/// The workers' log of verdicts.
pub(crate) struct VerdictLog {
    node: String,
    /// None where denials are not logged.
    denied: Option<Mutex<Allowance>>,
    /// None where allowed connections are not logged.
    allowed: Option<Sample>,
}

/// Some of the allowed connections. They have an allowance of their own: they push no denial out of the log.
struct Sample {
    one_in: u64,
    seen: AtomicU64,
    allowance: Mutex<Allowance>,
}

/// A line about a connection: who it is between, `$why` it is allowed or denied, and where.
macro_rules! line {
    ($log:expr, $snapshot:expr, $judgement:expr, $unwritten:expr, $message:literal, {$($why:tt)*}) => {
        info!(
            source = %$judgement.tuple.source,
            source_pod = pod($snapshot, $judgement.tuple.source),
            destination = %$judgement.tuple.destination,
            destination_pod = pod($snapshot, $judgement.tuple.destination),
            protocol = %$judgement.tuple.protocol,
            port = $judgement.tuple.port,
            $($why)*
            node = %$log.node,
            suppressed = some($unwritten.suppressed),
            repeats = some($unwritten.repeats),
            $message
        )
    };
}

impl VerdictLog {
    /// A log of `which` verdicts, and of one in `sample` allowed ones (at least 1).
    pub(crate) fn new(node: &str, which: Verdicts, sample: u32, now: Instant) -> Self {
        let allowance = || Mutex::new(Allowance::new(now));
        let sample = || Sample {
            one_in: u64::from(sample.max(1)),
            seen: AtomicU64::new(0),
            allowance: allowance(),
        };
        Self {
            node: node.to_owned(),
            denied: (which != Verdicts::None).then(allowance),
            allowed: (which == Verdicts::All).then(sample),
        }
    }

    /// Logs a judged packet, unless that is not wanted, its connection was logged, or too much is.
    pub(crate) fn log(
        &self,
        snapshot: &Snapshot,
        judgement: &Judgement<'_>,
        packet: &Packet,
        now: Instant,
    ) {
        let allowance = match judgement.action() {
            Action::Deny => self.denied.as_ref(),
            Action::Allow => self.allowed.as_ref().and_then(Sample::next),
        };
        let Some(allowance) = allowance else {
            return;
        };
        let mut allowance = allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let line = allowance.admit(judgement.tuple, packet.source_port, now);
        drop(allowance);
        if let Line::Written(unwritten) = line {
            self.write(snapshot, judgement, unwritten);
        }
    }

    fn write(&self, snapshot: &Snapshot, judgement: &Judgement<'_>, unwritten: Unwritten) {
        match judgement.denial() {
            Some(denial) => self.write_denied(snapshot, judgement, denial, unwritten),
            None => self.write_allowed(snapshot, judgement, unwritten),
        }
    }

    fn write_denied(
        &self,
        snapshot: &Snapshot,
        judgement: &Judgement<'_>,
        (direction, decision): (Direction, Decision<'_>),
        unwritten: Unwritten,
    ) {
        line!(self, snapshot, judgement, unwritten, "connection denied", {
            direction = %name(direction),
            tier = ?decision.tier,
            policy = decision.policy.map(display),
            rule = decision.rule,
        });
    }

    fn write_allowed(&self, snapshot: &Snapshot, judgement: &Judgement<'_>, unwritten: Unwritten) {
        let Verdict { egress, ingress } = judgement.verdict;
        line!(self, snapshot, judgement, unwritten, "connection allowed", {
            egress_tier = ?egress.tier,
            egress_policy = egress.policy.map(display),
            egress_rule = egress.rule,
            ingress_tier = ?ingress.tier,
            ingress_policy = ingress.policy.map(display),
            ingress_rule = ingress.rule,
        });
    }
}

impl Sample {
    /// The allowance, if it is the turn of this connection.
    fn next(&self) -> Option<&Mutex<Allowance>> {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        seen.is_multiple_of(self.one_in).then_some(&self.allowance)
    }
}

/// The name of the pod that has an address, if a pod has it.
fn pod(snapshot: &Snapshot, address: IpAddr) -> Option<DisplayValue<&PodName>> {
    snapshot.pod_at(address).map(|pod| display(&pod.name))
}

const fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// A field that is left out where it would say nothing.
fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use serde_json::{Value, json};
    use sluice_policy::{Event, Index, NetworkPolicy, Pod, Protocol, Scope, Selector};

    use super::*;
    use crate::queue::allocations;
    use crate::queue::judge::{Hints, judge};

    const A: [u8; 4] = [10, 0, 0, 1];
    const B: [u8; 4] = [10, 0, 0, 2];

    /// Pod x/a, which nothing may reach.
    fn snapshot() -> Arc<Snapshot> {
        let pod = Pod {
            name: PodName {
                namespace: "x".into(),
                name: "a".into(),
            },
            node: None,
            labels: [].into(),
            addresses: vec![A.into()],
            ports: [].into(),
            host_network: false,
            created: 0,
        };
        let policy = NetworkPolicy {
            namespace: "x".into(),
            name: "deny".into(),
            pods: Selector::default(),
            ingress: Some(Vec::new()),
            egress: None,
        };
        let mut index = Index::new(Scope::Cluster);
        let _changes = index.apply([Event::Pod(pod), Event::NetworkPolicy(policy)]);
        index.snapshot()
    }

    fn packet(source: [u8; 4], destination: [u8; 4], source_port: u16) -> Packet {
        Packet {
            source: source.into(),
            destination: destination.into(),
            protocol: Protocol::Tcp,
            source_port,
            destination_port: 80,
            midstream: false,
            opens: true,
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log's lines about these packets, without their times.
    fn lines(log: &VerdictLog, packets: &[Packet]) -> Vec<Value> {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_target(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            for packet in packets {
                say(log, packet);
            }
        });
        let written = written.0.lock().unwrap();
        let text = std::str::from_utf8(&written).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    fn say(log: &VerdictLog, packet: &Packet) {
        let snapshot = snapshot();
        let judgement = judge(&snapshot, packet, Hints::default(), || false);
        log.log(&snapshot, &judgement, packet, Instant::now());
    }

    fn log(which: Verdicts, sample: u32) -> VerdictLog {
        VerdictLog::new("node-1", which, sample, Instant::now())
    }

    #[test]
    fn a_denial_names_pods_direction_tier_policy_and_node_and_tells_of_repeats() {
        let denied = packet(B, A, 4000);
        let lines = lines(
            &log(Verdicts::Denied, 1),
            &[denied, denied, denied, packet(B, A, 4001)],
        );
        let line = json!({
            "level": "INFO", "message": "connection denied",
            "source": "10.0.0.2", "destination": "10.0.0.1", "destination_pod": "x/a",
            "protocol": "TCP", "port": 80, "direction": "ingress",
            "tier": "NetworkPolicy", "policy": "x/deny", "node": "node-1",
        });
        let mut next = line.clone();
        next["repeats"] = 2.into();
        assert_eq!(lines, [line, next]);
    }

    #[test]
    fn an_allowed_connection_names_what_allowed_it_either_way() {
        let lines = lines(&log(Verdicts::All, 1), &[packet(A, B, 4000)]);
        let line = json!({
            "level": "INFO", "message": "connection allowed",
            "source": "10.0.0.1", "source_pod": "x/a", "destination": "10.0.0.2",
            "protocol": "TCP", "port": 80,
            "egress_tier": "Default", "ingress_tier": "Default", "node": "node-1",
        });
        assert_eq!(lines, [line]);
    }

    #[test]
    fn what_is_logged_is_what_was_asked_for() {
        let packets: Vec<_> = (0..10)
            .flat_map(|port| [packet(A, B, port), packet(B, A, port)])
            .collect();
        for (which, sample, allowed, denied) in [
            (Verdicts::None, 1, 0, 0),
            (Verdicts::Denied, 1, 0, 10),
            (Verdicts::All, 1, 10, 10),
            (Verdicts::All, 4, 3, 10),
        ] {
            let lines = lines(&log(which, sample), &packets);
            let count = |message: &str| lines.iter().filter(|it| it["message"] == message).count();
            let counts = (count("connection allowed"), count("connection denied"));
            assert_eq!(counts, (allowed, denied), "{which:?}, one in {sample}");
        }
    }

    #[test]
    fn allowed_connections_push_no_denial_out_of_the_log() {
        let packets: Vec<_> = (0..1000)
            .map(|port| packet(A, B, port))
            .chain([packet(B, A, 1)])
            .collect();
        let lines = lines(&log(Verdicts::All, 1), &packets);
        assert_eq!(lines.last().unwrap()["message"], "connection denied");
    }

    #[test]
    fn what_is_not_logged_allocates_nothing() {
        let snapshot = snapshot();
        let judged = |packet: &Packet| judge(&snapshot, packet, Hints::default(), || false);
        let logs = [
            (log(Verdicts::None, 1), packet(B, A, 1), 0),
            (log(Verdicts::None, 1), packet(A, B, 1), 0),
            (log(Verdicts::Denied, 1), packet(A, B, 1), 0),
            // the second of two in a sample of one in two
            (log(Verdicts::All, 2), packet(A, B, 1), 1),
            // a repeat of what is logged
            (log(Verdicts::Denied, 1), packet(B, A, 1), 1),
        ];
        for (log, packet, before) in logs {
            let now = Instant::now();
            for _ in 0..before {
                log.log(&snapshot, &judged(&packet), &packet, now);
            }
            let made = allocations::of(|| log.log(&snapshot, &judged(&packet), &packet, now));
            assert_eq!(made, 0, "{packet:?}");
        }
        let counted = allocations::of(|| drop(std::hint::black_box(vec![1_u8])));
        assert_eq!(counted, 1, "the counter counts");
    }
}
