//! What a stage is made of before anybody enforces: namespaces, rules, and how agents are started.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use sluice_lab::{AgentOptions, Family, Lab, Options};

use super::{StageOptions, rules};
use crate::mode::{AgentFlags, Mode};
use crate::world;

/// The pods, without agents.
pub(super) fn lab(mode: Mode, options: &StageOptions) -> Result<Lab> {
    let manifests = world::manifests(options.policies, mode.tracks(), options.nodes);
    let lab = Lab::up(
        &manifests,
        &Options {
            families: vec![Family::Ipv4, Family::Ipv6],
            unserved: world::ports().chain([world::IPERF3]).collect(),
            ..Options::default()
        },
    );
    Ok(lab?)
}

/// The address of a pod of the world.
pub(super) fn address(lab: &Lab, pod: &str, family: Family) -> Result<IpAddr> {
    let plan = lab.plan();
    let found = plan.pod(&world::pod(pod));
    let found = found.with_context(|| format!("no pod {pod}"))?;
    let address = plan.pods[found].address(family);
    address.with_context(|| format!("{pod} has no address"))
}

/// What nodes have in the way without any agent.
pub(super) fn write_rules(mode: Mode, options: &StageOptions, lab: &Lab) -> Result<()> {
    if mode.tracks() {
        for node in options.nodes.names() {
            rules::nft(lab.node_netns(node)?, rules::TRACKING)?;
        }
    }
    if mode == Mode::HybridRedirect {
        lab.let_agents_redirect()?;
    }
    if mode == Mode::Linear && options.policies > 0 {
        let chain = rules::chain(lab, options.policies)?;
        rules::nft(lab.node_netns(options.nodes.of_server())?, &chain)?;
    }
    Ok(())
}

/// How the agents of a mode are started.
pub(super) fn agent_options(flags: AgentFlags, options: &StageOptions) -> AgentOptions {
    let queues = flags.queues.map(|queues| format!("--queues={queues}"));
    let redirect = flags.redirect.then(|| "--redirect-established".to_owned());
    AgentOptions {
        binary: options.agent.clone(),
        mode: flags.mode,
        arguments: queues.into_iter().chain(redirect).collect(),
        environment: Vec::new(),
    }
}
