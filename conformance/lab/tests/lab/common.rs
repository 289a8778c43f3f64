//! What the lab's tests share.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_lab::expect::expectations;
use sluice_lab::judge::judge;
use sluice_lab::{
    Agent, AgentOptions, Cell, Family, Lab, Manifests, Mode, Options, Outcome, Port, Target,
};
use sluice_netlink::Netns;
use sluice_policy::{PodName, Protocol};

/// What the agent is told to hand packets from link to link.
pub(crate) const REDIRECT: &str = "--redirect-established";

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

/// The address that a pod has in a family.
pub(crate) fn address(lab: &Lab, name: &str, family: Family) -> IpAddr {
    let plan = lab.plan();
    let pod = plan.pod(&pod(name)).unwrap();
    let mut addresses = plan.pods[pod].addresses.iter();
    *addresses
        .find(|address| Family::of(**address) == family)
        .unwrap()
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

/// What the counters of a chain, `FAMILY TABLE CHAIN`, add up to.
pub(crate) fn nft_list(netns: &Netns, chain: &str) -> u64 {
    let mut nft = Command::new("nft");
    nft.args(["list", "chain"]).args(chain.split(' '));
    let listed = netns.enter(|| nft.output().unwrap()).unwrap();
    assert!(listed.status.success(), "nft list chain {chain}");
    let text = String::from_utf8(listed.stdout).unwrap();
    let counters = text.split("counter packets ").skip(1);
    counters
        .map(|rest| rest.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// The agent's binary beside the test's; none where it is not built, which is said.
pub(crate) fn agent_binary() -> Option<PathBuf> {
    let lab = PathBuf::from(env!("CARGO_BIN_EXE_sluice-lab"));
    let agent = lab.with_file_name("sluice");
    if agent.is_file() {
        return Some(agent);
    }
    println!(
        "skipped: no agent at {} (cargo build -p sluice)",
        agent.display()
    );
    None
}

/// A lab with an agent in `mode` on every node.
pub(crate) fn under_agents(manifests: &Manifests, families: &[Family], mode: Mode) -> Option<Lab> {
    under_agents_told(manifests, families, mode, &[])
}

/// The same with more arguments of the agent.
pub(crate) fn under_agents_told(
    manifests: &Manifests,
    families: &[Family],
    mode: Mode,
    arguments: &[&str],
) -> Option<Lab> {
    if skipped() {
        return None;
    }
    let options = AgentOptions {
        binary: agent_binary()?,
        mode,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        environment: Vec::new(),
    };
    let mut lab = Lab::up(
        manifests,
        &Options {
            families: families.to_vec(),
            ..Options::default()
        },
    )
    .unwrap();
    if arguments.contains(&REDIRECT) {
        lab.let_agents_redirect().unwrap();
    }
    lab.start_agents(&options).unwrap();
    Some(lab)
}

/// Sends every probe of the lab and compares with the oracle's reading of the manifests as they are now.
#[track_caller]
pub(crate) fn assert_all_right(lab: &Lab) {
    let cells = lab.plan().cells();
    let expected = expectations(lab.plan(), lab.world(), &cells);
    let judged = judge(lab, &cells, &expected).unwrap();
    let wrong: Vec<_> = (0..cells.len())
        .filter(|number| !judged.right[*number])
        .map(|number| {
            format!(
                "{}: expected {}, got {:?}",
                cells[number],
                expected[number].name(),
                judged.replies[number]
            )
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} wrong:\n{}",
        wrong.len(),
        cells.len(),
        wrong.join("\n")
    );
}

/// Sends probes, of which these outcomes are expected. One that ought to be answered and was not is repeated: packets do
/// get lost on a busy machine. One that got through although it must not is not: a leak is a leak.
#[track_caller]
pub(crate) fn assert_outcomes(lab: &Lab, cells: &[Cell], expected: &[Outcome]) {
    let mut outcomes = lab.probe(cells).unwrap();
    let last = Instant::now() + Duration::from_secs(30);
    loop {
        let is_lost =
            |at: &usize| expected[*at] == Outcome::Allowed && outcomes[*at] == Outcome::Denied;
        let missing: Vec<usize> = (0..cells.len()).filter(is_lost).collect();
        if missing.is_empty() || Instant::now() > last {
            break;
        }
        let again: Vec<Cell> = missing.iter().map(|at| cells[*at].clone()).collect();
        for (at, outcome) in missing.into_iter().zip(lab.probe(&again).unwrap()) {
            outcomes[at] = outcome;
        }
    }
    let all = cells.iter().zip(outcomes.iter().zip(expected));
    let wrong = all.filter(|(_, (outcome, expected))| outcome != expected);
    let wrong: Vec<String> = wrong
        .map(|(cell, (outcome, expected))| format!("{cell}: {outcome:?}, not {expected:?}"))
        .collect();
    let (count, all) = (wrong.len(), cells.len());
    assert!(wrong.is_empty(), "{count} of {all}:\n{}", wrong.join("\n"));
}

/// The same, all of which ought to be answered.
#[track_caller]
pub(crate) fn assert_allowed(lab: &Lab, cells: &[Cell]) {
    assert_outcomes(lab, cells, &vec![Outcome::Allowed; cells.len()]);
}

/// Tries until `condition` holds, which it must within a minute.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < limit, "never: {what}");
        // reason: from one look to the next; the processor is left to what is waited for
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Unix time, as the agent's status tells it.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Whether every agent says that what the manifests were at that time, or later, is enforced.
pub(crate) fn enforced_since(lab: &Lab, then: Duration) -> bool {
    // A busy agent may not answer in time: asked again, it does.
    let enforced = |agent: &Agent| {
        let status = agent.status().unwrap_or_default();
        status["agent"]["enforced_as_of"].as_f64() > Some(then.as_secs_f64())
    };
    lab.agents().iter().all(enforced)
}

/// Writes a manifest, and waits until it is enforced.
pub(crate) fn enforce(lab: &Lab, file: &str, text: &str) {
    let before = now();
    lab.manifests().write(file, text).unwrap();
    eventually("the change is enforced", || enforced_since(lab, before));
}
