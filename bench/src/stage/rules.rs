//! The rules that a node has without any agent.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use sluice_lab::{Family, Lab};
use sluice_netlink::Netns;

use super::setup;
use crate::world;

/// What kube-proxy has in the way of forwarded packets, beside the translation of the addresses of Services.
pub(super) const TRACKING: &str = "\
table inet tracking {
  chain forward { type filter hook forward priority filter; policy accept; ct state invalid drop; }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; \
    meta mark & 0x4000 == 0x4000 masquerade; }
}";

/// A chain as long as there would be policies.
pub(super) fn chain(lab: &Lab, rules: usize) -> Result<String> {
    let address = |pod| setup::address(lab, pod, Family::Ipv4);
    let rules = world::linear(rules, address("client")?, address("server")?);
    Ok(format!(
        "table inet linear {{\nchain forward {{ type filter hook forward priority filter; policy drop;\n\
         ct state established,related accept\n{rules}}}\n}}"
    ))
}

/// Has `nft` read `rules` in a network namespace.
pub(super) fn nft(netns: &Netns, rules: &str) -> Result<()> {
    let run = || -> Result<()> {
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .context("nft (Debian's package nftables)")?;
        let mut input = nft.stdin.take().context("nft without an input")?;
        // Where nft gives up reading, its exit status tells more.
        let written = input.write_all(rules.as_bytes());
        drop(input);
        let status = nft.wait()?;
        ensure!(status.success(), "nft: {status}");
        written.context("nft")
    };
    netns.enter(run)?
}
