//! The report against what it is to look like.

use super::*;
use crate::status::{Invalid, PodCounts, PolicyCounts, QueueState, ResourceState, TcState};

const NOW: u64 = 1_800_000_000;

fn at(ago: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let now = NOW as f64;
    now - ago
}

fn text(status: &Status) -> String {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    Text { status, now }.to_string()
}

fn resource(kind: &str, objects: usize, synced: bool) -> ResourceState {
    ResourceState {
        kind: kind.into(),
        served: true,
        synced,
        resource_version: None,
        objects,
        trouble: None,
    }
}

fn queue(num: u16) -> QueueState {
    QueueState {
        num,
        waiting: 0,
        dropped: 0,
        user_dropped: 0,
    }
}

fn counters() -> CounterStates {
    CounterStates {
        lease_hits: 81_234,
        gate_lease_hits: 1_204,
        flow_hits: 79_960,
        deny_lease_hits: 512,
        unmatched: 1_234_567,
        spoofed: 0,
        redirected: 90_000,
        queued: 3_120,
        allowed: 2_801,
        denied: 319,
        revoked: 4,
        parse_errors: 0,
    }
}

fn maps() -> MapStates {
    MapStates {
        leases: MapState {
            entries: 2_790,
            max: 65_536,
        },
        denials: MapState {
            entries: 12,
            max: 8_192,
        },
        flows: MapState {
            entries: 1_877,
            max: 65_536,
        },
        redirects: MapState {
            entries: 8,
            max: 65_536,
        },
        guards: MapState {
            entries: 9,
            max: 1_024,
        },
    }
}

fn healthy() -> Status {
    Status {
        agent: Some(AgentState {
            ready: true,
            not_ready: None,
            version: "0.1.0".into(),
            mode: "hybrid".into(),
            uptime_seconds: 11_530.0,
            node: "worker-3".into(),
            enforced_as_of: at(4.2),
        }),
        source: Some(SourceState {
            kind: "kubernetes".into(),
            server: Some("https://10.96.0.1:443".into()),
            synced: true,
            connected: true,
            disconnected_since: None,
            troubles: Vec::new(),
            resources: vec![
                resource("Pod", 1_042, true),
                resource("Namespace", 17, true),
                resource("NetworkPolicy", 31, true),
            ],
        }),
        gate: GateState {
            installed: Some(true),
            queue_verb: Some("nft".into()),
            matcher: Some("bpf".into()),
            queues: vec![queue(100), queue(101)],
        },
        tc: TcState {
            attach: "tcx".into(),
            interfaces: vec!["eth0".into(), "veth1a2b".into(), "veth3c4d".into()],
            redirects: true,
        },
        pods: PodCounts {
            local: 23,
            isolated: 14,
        },
        policies: PolicyCounts {
            network_policy: 31,
            cluster_network_policy: 2,
            ..PolicyCounts::default()
        },
        maps: maps(),
        counters: counters(),
        invalid: Vec::new(),
    }
}

const HEALTHY: &str = "\
worker-3: ready, enforcing, hybrid mode, up 3 h 12 min (sluice 0.1.0)

source     kubernetes at https://10.96.0.1:443, in force as of 4 s ago
           1,042 Pod, 17 Namespace, 31 NetworkPolicy
policies   31 NetworkPolicy, 2 ClusterNetworkPolicy
pods       23 local, 14 isolated
packets    166,030 under policies, 98.1 % of them decided in the kernel
           allowed by a lease           82,438  (1,204 of them at the gate)
           replies                      79,960
           denied by a lease               512
           judged by the agent           3,120  (2,801 allowed, 319 denied, 0 unreadable)
           besides, 1,234,567 under no policy, 0 spoofed, 90,000 redirected; 4 open connections revoked
gate       in place, queue by nft, isolation by bpf
queues     waiting: 0 in 100, 0 in 101
tc         tcx on eth0 veth1a2b veth3c4d; established connections between local pods are redirected
maps       leases 2,790 of 65,536 (4.2 %), denials 12 of 8,192 (0.1 %), flows 1,877 of 65,536 (2.8 %), redirects 8 of 65,536 (0.0 %); 9 interfaces guarded

no problems";

#[test]
fn an_agent_that_is_well_says_so_at_a_glance() {
    assert_eq!(text(&healthy()), HEALTHY);
}

const IN_TROUBLE: &str = "\
worker-3: NOT READY, hybrid mode, up 40 s (sluice 0.1.0)

not ready  the Kubernetes API at https://10.96.0.1:443: pods is forbidden
source     kubernetes at https://10.96.0.1:443, NOT connected, not in force yet
           1,042 Pod (still being read)
policies   0 NetworkPolicy
pods       23 local, 14 isolated
packets    0 under policies, none of them decided in the kernel
           allowed by a lease                0
           replies                           0
           denied by a lease                 0
           judged by the agent               0  (0 allowed, 0 denied, 0 unreadable)
           besides, 0 under no policy, 0 spoofed; 0 open connections revoked
gate       NOT in place
queues     waiting: 4,096 in 100
tc         on no interface
maps       leases 2,790 of 65,536 (4.2 %), denials 12 of 8,192 (0.1 %), flows 60,000 of 65,536 (91.5 %), redirects 8 of 65,536 (0.0 %); 9 interfaces guarded

6 PROBLEMS
  the gate is not in place: nothing is enforced
  the source has not answered for 2 min 5 s: what it said last stays in force
  pods is forbidden: the service account may not list them
  queue 100 was full: 1,300 packets lost
  the map of flows is nearly full: replies may have to be judged
  policy.yaml:3: NetworkPolicy x/deny: spec.podSelector: unknown operator Is";

#[test]
fn what_is_wrong_is_said_last_and_counted() {
    let mut status = healthy();
    let agent = status.agent.as_mut().unwrap();
    (agent.ready, agent.uptime_seconds, agent.enforced_as_of) = (false, 40.0, 0.0);
    let why = "the Kubernetes API at https://10.96.0.1:443: pods is forbidden";
    agent.not_ready = Some(why.into());
    let source = status.source.as_mut().unwrap();
    source.connected = false;
    source.disconnected_since = Some(at(125.0));
    source.troubles = vec!["pods is forbidden: the service account may not list them".into()];
    source.resources = vec![resource("Pod", 1_042, false)];
    status.gate = GateState {
        installed: Some(false),
        queues: vec![QueueState {
            waiting: 4_096,
            dropped: 1_000,
            user_dropped: 300,
            ..queue(100)
        }],
        ..GateState::default()
    };
    status.tc = TcState::default();
    status.policies = PolicyCounts::default();
    status.counters = CounterStates::default();
    status.maps.flows.entries = 60_000;
    status.invalid = vec![Invalid {
        origin: "policy.yaml:3".into(),
        object: Some("NetworkPolicy x/deny".into()),
        field: Some("spec.podSelector".into()),
        message: "unknown operator Is".into(),
    }];
    assert_eq!(text(&status), IN_TROUBLE);
}

#[test]
fn an_agent_that_has_no_way_to_the_api_yet_says_why_first_and_what_that_means_last() {
    let why = "--kubeconfig /etc/sluice/kubeconfig: No such file or directory (os error 2)";
    let mut status = Status {
        source: Some(SourceState {
            disconnected_since: Some(at(3.0)),
            troubles: vec![why.into()],
            ..SourceState::of_no_api()
        }),
        ..healthy()
    };
    let agent = status.agent.as_mut().unwrap();
    (agent.ready, agent.enforced_as_of) = (false, 0.0);
    agent.not_ready = Some(format!("the Kubernetes API: {why}"));
    let text = text(&status);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("worker-3: NOT READY"), "{text}");
    let said = [
        format!("not ready  the Kubernetes API: {why}"),
        "source     kubernetes, NOT connected, not in force yet".to_owned(),
    ];
    assert_eq!(lines[2..4], said);
    let meanwhile = "nothing new is in force, and what an earlier agent left stays";
    let problems = [
        "2 PROBLEMS".to_owned(),
        format!("  the source has not answered for 3 s: {meanwhile}"),
        format!("  {why}"),
    ];
    assert_eq!(lines[lines.len() - 3..], problems);
}

const WITHOUT_AN_AGENT: &str = "\
no agent answers: this is what the kernel holds

pods       23 local, 14 isolated
packets    162,910 under policies decided in the kernel
           allowed by a lease           82,438  (1,204 of them at the gate)
           replies                      79,960
           denied by a lease               512
           besides, 1,234,567 under no policy, 0 spoofed, 90,000 redirected
gate       in place
tc         tcx on eth0 veth1a2b veth3c4d
maps       leases 2,790 of 65,536 (4.2 %), denials 12 of 8,192 (0.1 %), flows 1,877 of 65,536 (2.8 %), redirects 8 of 65,536 (0.0 %); 9 interfaces guarded

1 PROBLEM
  no agent runs on this node: what needs a verdict is dropped, or passes where agents fail open";

#[test]
fn without_an_agent_the_pins_are_told_of_and_that_is_a_problem() {
    let status = Status {
        agent: None,
        source: None,
        gate: GateState {
            installed: Some(true),
            ..GateState::default()
        },
        tc: TcState {
            redirects: false,
            ..healthy().tc
        },
        policies: PolicyCounts::default(),
        ..healthy()
    };
    assert_eq!(text(&status), WITHOUT_AN_AGENT);
}

#[test]
fn durations_are_told_in_their_two_largest_units() {
    for (seconds, expected) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3_600, "1 h"),
        (3_661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 30, "30 d"),
    ] {
        assert_eq!(told(Duration::from_secs(seconds)), expected);
    }
}
