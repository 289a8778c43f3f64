//! `sluice status`: what the agent reports of itself, and what the pins tell where none answers.

mod source;
mod text;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sluice_netlink::Gate;

use crate::cli::{Output, StatusArgs};
use crate::exit::Failure;
use crate::socket::{self, Request};
pub use source::{ResourceState, SourceState};
use text::Text;

/// The whole report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The agent that answered; none where only pins were found.
    pub agent: Option<AgentState>,
    /// Where policies and pods come from; none where only pins were found.
    #[serde(default)]
    pub source: Option<SourceState>,
    /// The netfilter half.
    pub gate: GateState,
    /// The TC half.
    pub tc: TcState,
    /// Local pods.
    pub pods: PodCounts,
    /// Policies known.
    pub policies: PolicyCounts,
    /// The BPF maps.
    pub maps: MapStates,
    /// What became of packets.
    pub counters: CounterStates,
    /// Objects that are invalid, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid: Vec<Invalid>,
}

/// The process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentState {
    /// The gate is in place and the first snapshot enforced.
    pub ready: bool,
    /// Why it is not, as `/readyz` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// The package's version.
    pub version: String,
    /// `hybrid` or `nfqueue`.
    pub mode: String,
    /// Since the agent started.
    pub uptime_seconds: f64,
    /// Whose pods are local.
    pub node: String,
    /// Unix time in seconds: what the source said then is enforced, on open connections too. It moves when the source
    /// is read again, which is when it changes; 0 before the agent is ready.
    #[serde(default)]
    pub enforced_as_of: f64,
}

/// How the kernel half is set up.
#[derive(Clone, Debug, Default)]
pub struct KernelState {
    /// `nft` or `xt`.
    pub queue_verb: Option<&'static str>,
    /// `bpf` or `set`.
    pub matcher: Option<&'static str>,
    /// How the TC program is attached, and where.
    pub tc: TcState,
}

/// The netfilter half.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GateState {
    /// Whether the table is in the kernel; none where that cannot be asked.
    #[serde(default)]
    pub installed: Option<bool>,
    /// `nft` (native queue) or `xt` (NFQUEUE target).
    pub queue_verb: Option<String>,
    /// `bpf` (the gate program) or `set` (sets of addresses).
    pub matcher: Option<String>,
    /// The queues that have a listener.
    pub queues: Vec<QueueState>,
}

/// One queue; counts are since it was bound.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueState {
    /// Its number.
    pub num: u16,
    /// Packets waiting for a verdict.
    pub waiting: u64,
    /// Packets that found the queue full.
    pub dropped: u64,
    /// Packets that found the socket's buffer full.
    pub user_dropped: u64,
}

/// The TC half.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TcState {
    /// `tcx`, `clsact` or `none`.
    pub attach: String,
    /// Names of the interfaces with the program.
    pub interfaces: Vec<String>,
    /// Whether established connections between local pods are redirected; false where no agent answers.
    #[serde(default)]
    pub redirects: bool,
}

impl Default for TcState {
    fn default() -> Self {
        Self {
            attach: "none".into(),
            interfaces: Vec::new(),
            redirects: false,
        }
    }
}

/// Local pods with an address.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PodCounts {
    /// All of them.
    pub local: usize,
    /// Those to or from which a policy may deny something.
    pub isolated: usize,
}

/// Policies by kind.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyCounts {
    /// `networking.k8s.io/v1`.
    pub network_policy: usize,
    /// `policy.networking.k8s.io/v1alpha1`.
    pub admin_network_policy: usize,
    /// `policy.networking.k8s.io/v1alpha1`.
    pub baseline_admin_network_policy: usize,
    /// `policy.networking.k8s.io/v1alpha2`.
    pub cluster_network_policy: usize,
    /// Objects of the source that are invalid.
    #[serde(rename = "invalid")]
    pub invalid: usize,
}

impl PolicyCounts {
    /// The valid ones, by the name of their kind.
    pub(crate) const fn by_kind(self) -> [(&'static str, usize); 4] {
        [
            ("NetworkPolicy", self.network_policy),
            ("AdminNetworkPolicy", self.admin_network_policy),
            (
                "BaselineAdminNetworkPolicy",
                self.baseline_admin_network_policy,
            ),
            ("ClusterNetworkPolicy", self.cluster_network_policy),
        ]
    }
}

/// The BPF maps that fill up.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct MapStates {
    /// Remembered verdicts.
    pub leases: MapState,
    /// Remembered denials.
    #[serde(default)]
    pub denials: MapState,
    /// Replies of leased connections.
    pub flows: MapState,
    /// Directions of established connections that are redirected.
    #[serde(default)]
    pub redirects: MapState,
    /// Interfaces whose addresses are known.
    #[serde(default)]
    pub guards: MapState,
}

/// How full a map is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct MapState {
    /// Entries now.
    pub entries: u32,
    /// Entries at most.
    pub max: u32,
}

/// Packets, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterStates {
    /// TC found a live lease.
    pub lease_hits: u64,
    /// TC or the gate found a live flow entry.
    pub flow_hits: u64,
    /// TC or the gate found that neither end is isolated.
    pub unmatched: u64,
    /// The gate found a live lease.
    pub gate_lease_hits: u64,
    /// A live deny lease: dropped in the kernel.
    pub deny_lease_hits: u64,
    /// A source that is not behind the interface it came in by.
    #[serde(default)]
    pub spoofed: u64,
    /// Of an established connection between two local pods, handed from link to link.
    #[serde(default)]
    pub redirected: u64,
    /// Given to the agent.
    pub queued: u64,
    /// Of those, accepted.
    pub allowed: u64,
    /// Of those, denied by policy.
    pub denied: u64,
    /// Live connections that a change of policy ended.
    pub revoked: u64,
    /// Packets that the agent could not read.
    pub parse_errors: u64,
}

/// Something of the source that is not enforced as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Invalid {
    /// File and line.
    pub origin: String,
    /// Kind, namespace and name, where known.
    pub object: Option<String>,
    /// The field, where one is meant.
    pub field: Option<String>,
    /// What is wrong with it.
    pub message: String,
}

/// How many objects these problems are of; what is no object counts by where it stands.
pub(crate) fn objects(invalid: &[Invalid]) -> usize {
    let named = |it: &Invalid| it.object.clone().unwrap_or_else(|| it.origin.clone());
    let objects: HashSet<String> = invalid.iter().map(named).collect();
    objects.len()
}

/// Prints the status of the agent, or of the pins.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let status = match socket::ask(&args.socket, &Request::Status) {
        Ok(status) => status,
        Err(error) if error.nobody_answers() => from_kernel(&args.bpffs).ok_or_else(|| {
            Failure::unable(format!(
                "no agent answers at {} ({error}), there is no gate, and nothing is pinned at {}",
                args.socket.display(),
                args.bpffs.display()
            ))
        })?,
        Err(error) => {
            return Err(Failure::unable(format!(
                "{}: {error}",
                args.socket.display()
            )));
        }
    };
    match args.output {
        Output::Text => {
            let now = SystemTime::now();
            let status = &status;
            crate::print(format_args!("{}", Text { status, now }));
        }
        Output::Json => crate::print_json(&status),
    }
    Ok(())
}

/// What the kernel holds without an agent; none where that is nothing.
fn from_kernel(pins: &Path) -> Option<Status> {
    let installed = Gate::is_installed().ok();
    let pinned = crate::agent::pinned::peek(pins);
    if pinned.is_none() && installed != Some(true) {
        return None;
    }
    let pinned = pinned.unwrap_or_default();
    Some(Status {
        gate: GateState {
            installed,
            ..GateState::default()
        },
        tc: pinned.tc(),
        pods: pinned.pods,
        maps: pinned.maps,
        counters: pinned.counters,
        ..Status::default()
    })
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin,
            object,
            field,
            message,
        } = self;
        write!(f, "{origin}: ")?;
        for part in [object, field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_counts_once_however_much_is_wrong_with_it() {
        let problem = |object: Option<&str>, field: &str, line| Invalid {
            origin: format!("a.yaml:{line}"),
            object: object.map(ToOwned::to_owned),
            field: Some(field.to_owned()),
            message: String::new(),
        };
        let invalid = [
            problem(Some("NetworkPolicy x/a"), "spec.ingress", 3),
            problem(Some("NetworkPolicy x/a"), "spec.egress", 7),
            problem(Some("NetworkPolicy x/b"), "spec.egress", 17),
            problem(None, "kind", 20),
            problem(None, "kind", 30),
        ];
        assert_eq!(objects(&invalid), 4);
        assert_eq!(objects(&[]), 0);
    }

    #[test]
    fn the_json_has_the_names_that_scripts_hold_on_to() {
        let status = Status {
            agent: Some(AgentState {
                ready: false,
                not_ready: Some("w".into()),
                version: "1".into(),
                mode: "hybrid".into(),
                uptime_seconds: 1.5,
                node: "n".into(),
                enforced_as_of: 1e9,
            }),
            ..Status::default()
        };
        let json = serde_json::to_value(&status).unwrap();
        for pointer in [
            "/agent/ready",
            "/agent/not_ready",
            "/agent/uptime_seconds",
            "/agent/enforced_as_of",
            "/gate/queue_verb",
            "/gate/matcher",
            "/gate/queues",
            "/tc/attach",
            "/tc/interfaces",
            "/pods/local",
            "/pods/isolated",
            "/policies/NetworkPolicy",
            "/policies/AdminNetworkPolicy",
            "/policies/BaselineAdminNetworkPolicy",
            "/policies/ClusterNetworkPolicy",
            "/policies/invalid",
            "/maps/leases/entries",
            "/maps/flows/max",
            "/counters/lease_hits",
            "/counters/flow_hits",
            "/counters/unmatched",
            "/counters/gate_lease_hits",
            "/counters/deny_lease_hits",
            "/counters/spoofed",
            "/counters/redirected",
            "/tc/redirects",
            "/maps/redirects/entries",
            "/maps/denials/entries",
            "/maps/guards/entries",
            "/counters/queued",
            "/counters/allowed",
            "/counters/denied",
            "/counters/revoked",
            "/counters/parse_errors",
        ] {
            assert!(json.pointer(pointer).is_some(), "{pointer} in {json}");
        }
    }
}
