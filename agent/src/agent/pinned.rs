//! What the pins tell of the kernel half, with or without an agent.

use std::collections::HashMap;
use std::path::Path;

use sluice_bpf::Attach;
use sluice_netlink::links;

use crate::status::{CounterStates, MapState, MapStates, PodCounts, TcState};

/// What the pins tell without an agent.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    attached: Vec<(u32, Attach)>,
    pub(crate) pods: PodCounts,
    pub(crate) maps: MapStates,
    pub(crate) counters: CounterStates,
}

impl Pinned {
    /// Where the program is, by the names that the interfaces have now.
    pub(crate) fn tc(&self) -> TcState {
        let links = links::list().unwrap_or_default();
        let names: HashMap<u32, String> = links
            .into_iter()
            .map(|link| (link.index, link.name))
            .collect();
        let name = |index: u32| {
            names
                .get(&index)
                .cloned()
                .unwrap_or_else(|| index.to_string())
        };
        tc_state(
            self.attached
                .iter()
                .map(|&(index, attach)| (name(index), attach)),
        )
    }
}

/// Reads the pins; none where there are none.
pub(crate) fn peek(pins: &Path) -> Option<Pinned> {
    let sluice_bpf::PinnedState {
        counters: c,
        usage,
        attached,
        pods,
    } = sluice_bpf::peek(pins)?;
    let fill = |fill: sluice_bpf::Fill| MapState {
        entries: fill.entries,
        max: fill.max,
    };
    Some(Pinned {
        attached,
        pods: PodCounts {
            local: pods.0,
            isolated: pods.1,
        },
        maps: MapStates {
            leases: fill(usage.leases),
            denials: fill(usage.denials),
            flows: fill(usage.flows),
            redirects: fill(usage.redirects),
            guards: fill(usage.guards),
        },
        counters: CounterStates {
            lease_hits: c.lease_hits,
            flow_hits: c.flow_hits + c.gate_flow_hits,
            unmatched: c.unmatched + c.gate_unmatched,
            gate_lease_hits: c.gate_lease_hits,
            deny_lease_hits: c.deny_lease_hits,
            spoofed: c.spoofed,
            redirected: c.redirected,
            ..CounterStates::default()
        },
    })
}

/// How and where the program is attached: by the older means if anywhere by that.
pub(super) fn tc_state(attached: impl Iterator<Item = (String, Attach)>) -> TcState {
    let mut state = TcState::default();
    for (name, attach) in attached {
        match attach {
            Attach::Clsact => state.attach = "clsact".into(),
            Attach::Tcx if state.interfaces.is_empty() => state.attach = "tcx".into(),
            Attach::Tcx => {}
        }
        state.interfaces.push(name);
    }
    state.interfaces.sort_unstable();
    state
}
