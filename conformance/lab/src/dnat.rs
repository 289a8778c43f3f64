//! Services of a plan as destination translations of a node. How they are written is `sluice-netlink`'s.

use anyhow::{Context as _, Result};
use sluice_netlink::dnat::{self, DnatRule};

use crate::Family;
use crate::plan::Plan;

/// Translates the addresses of all Services, in the network namespace of the calling thread.
pub(crate) fn install(plan: &Plan) -> Result<()> {
    let rules = rules(plan);
    if rules.is_empty() {
        Ok(())
    } else {
        dnat::install(&rules).context("translate Service addresses")
    }
}

fn rules(plan: &Plan) -> Vec<DnatRule> {
    let mut rules = Vec::new();
    for service in &plan.services {
        for port in &service.ports {
            for vip in &service.addresses {
                let address = |pod: usize| plan.pods[pod].address(Family::of(*vip));
                let backends = port
                    .backends
                    .iter()
                    .filter_map(|(pod, number)| Some((address(*pod)?, *number)));
                rules.push(DnatRule {
                    vip: *vip,
                    protocol: port.port.protocol.number(),
                    port: port.port.number,
                    backends: backends.collect(),
                });
            }
        }
    }
    rules
}
