//! What the lab's tests share.
#![expect(dead_code, reason = "each test binary uses a part of it")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sluice_lab::{Cell, Family, Manifests, Port, Target};
use sluice_netlink::Netns;
use sluice_policy::{PodName, Protocol};

/// Whether the test cannot run here; says so.
pub(crate) fn skipped() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: network namespaces need root");
    }
    !is_root
}

/// The manifests below `manifests/NAME`.
pub(crate) fn example(name: &str) -> Manifests {
    Manifests::path(
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("manifests")
            .join(name),
    )
}

/// A pod's name from `NAMESPACE/NAME`.
pub(crate) fn pod(name: &str) -> PodName {
    let (namespace, name) = name.split_once('/').unwrap();
    PodName {
        namespace: namespace.into(),
        name: name.into(),
    }
}

/// A probe from pod to pod.
pub(crate) fn cell(from: &str, to: &str, port: u16, protocol: Protocol, family: Family) -> Cell {
    Cell {
        from: pod(from),
        to: Target::Pod(pod(to)),
        port: Port {
            number: port,
            protocol,
        },
        family,
    }
}

/// Runs `nft` in a namespace, with `rules` as its input.
pub(crate) fn nft(netns: &Netns, rules: &str) {
    let run = || {
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        nft.stdin
            .take()
            .unwrap()
            .write_all(rules.as_bytes())
            .unwrap();
        assert!(nft.wait().unwrap().success(), "nft: {rules}");
    };
    netns.enter(run).unwrap();
}
