//! What the agent says of itself: status and metrics, gathered when asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_kubernetes::live::Kind;
use sluice_netlink::Conntrack;

use super::pinned;
use super::shared::{Facts, Shared};
use crate::cli::Mode;
use crate::config::Source;
use crate::metrics::Reading;
use crate::queue::proc::{self, QueueStat};
use crate::status::{
    AgentState, CounterStates, GateState, MapStates, PodCounts, PolicyCounts, QueueState,
    SourceState, Status, objects,
};

/// The status document.
pub(crate) fn status(shared: &Arc<Shared>) -> Status {
    let Facts {
        kernel,
        invalid,
        node_problem,
        versions,
    } = shared.facts();
    let ready = shared.ready();
    let (pods, policies) = pods_and_policies(shared, objects(&invalid));
    let (maps, counters) = maps_and_counters(shared);
    Status {
        agent: Some(AgentState {
            ready,
            not_ready: (!ready).then(|| shared.why_not_ready()),
            version: env!("CARGO_PKG_VERSION").into(),
            mode: shared.config.mode.name().into(),
            uptime_seconds: shared.started.elapsed().as_secs_f64(),
            node: shared.config.node_name.clone(),
            enforced_as_of: shared.metrics.enforced_as_of.get(),
        }),
        source: Some(source(shared, &versions).with_trouble(node_problem)),
        gate: GateState {
            installed: sluice_netlink::Gate::is_installed().ok(),
            queue_verb: kernel.queue_verb.map(Into::into),
            matcher: kernel.matcher.map(Into::into),
            queues: queues(shared).into_iter().map(queue_state).collect(),
        },
        tc: kernel.tc,
        pods,
        policies,
        maps,
        counters,
        invalid,
    }
}

fn source(shared: &Shared, versions: &BTreeMap<Kind, String>) -> SourceState {
    match shared.api() {
        Some(report) => SourceState::of_api(&report, versions),
        None if matches!(shared.config.source, Source::Kubernetes { .. }) => {
            SourceState::of_no_api()
        }
        None => SourceState::of_manifests(shared.ready()),
    }
}

/// The metrics page. Counts that are kept elsewhere are taken over in two steps, so one page is made after the other: HTTP
/// has a single thread, and this waits for nothing on the way.
pub(crate) fn metrics(shared: &Arc<Shared>) -> prometheus::Result<String> {
    let (maps, counters) = maps_and_counters(shared);
    let (pods, policies) = pods_and_policies(shared, objects(&shared.facts().invalid));
    if let Some(report) = shared.api() {
        shared.metrics.api.refresh(&report);
        shared.metrics.reporter.refresh(&shared.reporter());
    }
    let conntrack = Conntrack::open().and_then(|mut conntrack| conntrack.statistics());
    shared.metrics.render(&Reading {
        ready: shared.ready(),
        queues: &queues(shared),
        maps,
        counters,
        pods,
        policies,
        conntrack: conntrack.ok(),
    })
}

fn pods_and_policies(shared: &Shared, invalid: usize) -> (PodCounts, PolicyCounts) {
    let counts = shared.snapshot().map(|snapshot| snapshot.counts());
    let counts = counts.unwrap_or_default();
    let pods = PodCounts {
        local: counts.local,
        isolated: counts.isolated,
    };
    let policies = PolicyCounts {
        network_policy: counts.network_policies,
        admin_network_policy: counts.admin_network_policies,
        baseline_admin_network_policy: counts.baseline_admin_network_policies,
        cluster_network_policy: counts.cluster_network_policies,
        invalid,
    };
    (pods, policies)
}

fn queues(shared: &Shared) -> Vec<QueueStat> {
    proc::read(shared.config.queue_num, shared.config.queues)
}

fn queue_state(stat: QueueStat) -> QueueState {
    let QueueStat {
        num,
        waiting,
        dropped,
        user_dropped,
        packet_id: _,
    } = stat;
    QueueState {
        num,
        waiting,
        dropped,
        user_dropped,
    }
}

fn maps_and_counters(shared: &Shared) -> (MapStates, CounterStates) {
    let pinned = match shared.config.mode {
        Mode::Hybrid => pinned::peek(&shared.config.bpffs),
        Mode::Nfqueue => None,
    };
    let pinned::Pinned {
        maps,
        counters: kernel,
        ..
    } = pinned.unwrap_or_default();
    let tally = &shared.metrics.tally;
    let counters = CounterStates {
        queued: tally.queued.load(Ordering::Relaxed),
        allowed: tally.allowed.load(Ordering::Relaxed),
        denied: tally.denied.load(Ordering::Relaxed),
        revoked: tally.revoked.load(Ordering::Relaxed),
        parse_errors: tally.parse_errors.load(Ordering::Relaxed),
        ..kernel
    };
    (maps, counters)
}
