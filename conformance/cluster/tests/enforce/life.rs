//! Agents that go and come under load, and nodes that are drained.

use anyhow::{Result, ensure};
use sluice_lab::stream::{Direction, Hammer, Lost, Stream};
use sluice_policy::Protocol;

use crate::agents::{NAMESPACE, SELECTOR};
use crate::confinement;
use crate::probe::Via;
use crate::shared::case;
use crate::truth::{every_cell, quick_cells};
use crate::world::{World, soon};

/// b reaches a, on the port of streams and that of connections; nobody else does.
pub(crate) const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b-to-a, namespace: x}
spec:
  podSelector: {matchLabels: {pod: a}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]
";
/// Nobody listens there.
const PORT: u16 = 7000;
/// How many numbers each stream sends before and after what happens.
const WARM: u64 = 300;

#[test]
fn agents_that_are_deleted_under_load_cut_nothing_and_let_nothing_pass() -> Result<()> {
    case(|world| {
        under_load(world, "agents deleted", |world| {
            let former = world.all_ready()?;
            world.kubectl(&[
                "delete",
                "pods",
                "--namespace",
                NAMESPACE,
                "--selector",
                SELECTOR,
            ])?;
            let latter = world.rolled_out()?;
            ensure!(
                former
                    .iter()
                    .all(|it| latter.iter().all(|other| other.name != it.name)),
                "the same pods"
            );
            Ok(())
        })
    })
}

#[test]
fn an_upgrade_to_the_charts_own_seccomp_profile_under_load_cuts_nothing_and_lets_nothing_pass()
-> Result<()> {
    case(|world| {
        confinement::give_profile(world)?;
        under_load(world, "chart upgraded", |world| {
            world.install(&["securityContext.seccomp=Localhost"])
        })?;
        confinement::is_the_profiles(world)?;
        let cells = every_cell(&[Via::Pod]);
        world.enforces(POLICY, &cells).map(drop)
    })
}

/// What runs while something happens.
struct Load {
    /// Open connections that are allowed, over TCP and UDP, across nodes and not.
    streams: Vec<Stream>,
    /// New connections that are allowed.
    allowed: Vec<Hammer>,
    /// New connections that are denied.
    denied: Vec<Hammer>,
}

impl Load {
    fn start(world: &World) -> Result<Self> {
        Ok(Self {
            streams: vec![
                world.stream("x/b", "x/a", Protocol::Tcp, PORT)?,
                world.stream("x/b", "x/a", Protocol::Udp, PORT)?,
            ],
            allowed: vec![world.hammer("x/b", "x/a", Protocol::Udp, 80)?],
            denied: vec![
                world.hammer("x/c", "x/a", Protocol::Udp, 80)?,
                world.hammer("y/b", "x/a", Protocol::Tcp, 80)?,
                world.hammer("x/a", "z/b", Protocol::Udp, 80)?,
            ],
        })
    }

    /// Waits until every stream has gone on for a while.
    fn go_on(&self) -> Result<()> {
        let goal: Vec<_> = self
            .streams
            .iter()
            .map(|it| it.delivered(Direction::Backward) + WARM)
            .collect();
        soon("streams that go on", || {
            let mut streams = self.streams.iter().zip(&goal);
            let all = streams.all(|(it, goal)| it.delivered(Direction::Backward) >= *goal);
            if let Some(why) = self.streams.iter().find_map(Stream::broken) {
                anyhow::bail!("a stream is broken: {why}");
            }
            Ok(all.then_some(()))
        })
    }

    /// Ends it, counts, and says what was counted.
    fn counted(mut self, what: &str) -> Result<()> {
        for stream in &mut self.streams {
            ensure!(stream.stop(), "what was sent last has not arrived");
        }
        self.allowed
            .iter_mut()
            .chain(&mut self.denied)
            .for_each(Hammer::stop);
        let carried: u64 = self.streams.iter().map(Stream::sent).sum();
        let lost: Vec<_> = self.streams.iter().map(Stream::lost).collect();
        let tried: u64 = self.denied.iter().map(Hammer::sent).sum();
        let leaked: u64 = self.denied.iter().map(Hammer::delivered).sum();
        let (opened, arrived) = self.allowed.iter().fold((0, 0), |(sent, there), it| {
            (sent + it.sent(), there + it.delivered())
        });
        println!(
            "{what}: open connections lost {lost:?} of {carried} packets and their answers; {leaked} of {tried} denied connections passed; \
             of {opened} new connections that are allowed {} did not arrive",
            opened - arrived
        );
        assert!(lost.iter().all(|lost| *lost == Lost::default()), "{lost:?}");
        assert_eq!(leaked, 0);
        ensure!(
            carried > 4 * WARM && tried > WARM && arrived > 0,
            "hardly any traffic"
        );
        Ok(())
    }
}

fn under_load(
    world: &mut World,
    what: &str,
    happens: impl FnOnce(&mut World) -> Result<()>,
) -> Result<()> {
    let cells: Vec<_> = quick_cells()
        .into_iter()
        .filter(|cell| cell.from == "x/a" || cell.to == "x/a")
        .collect();
    world.enforces(POLICY, &cells)?;
    let load = Load::start(world)?;
    load.go_on()?;
    happens(world)?;
    load.go_on()?;
    load.counted(what)
}

#[test]
fn a_node_that_is_drained_and_comes_back_enforces() -> Result<()> {
    case(|world| {
        let cells = every_cell(&[Via::Pod]);
        world.enforces(POLICY, &cells)?;
        world.kubectl(&[
            "drain",
            "node-2",
            "--ignore-daemonsets",
            "--force",
            "--delete-emptydir-data",
            "--timeout=90s",
        ])?;
        let left: Vec<_> = world
            .list("pods")?
            .into_iter()
            .filter(|pod| {
                pod["metadata"]["namespace"] == "x" && pod["spec"]["nodeName"] == "node-2"
            })
            .collect();
        ensure!(left.is_empty(), "{} pods are left on node-2", left.len());
        world.status_is(2, "no local pod", |status| status["pods"]["local"] == 0)?;
        world.kubectl(&["uncordon", "node-2"])?;
        world.restore()?;
        world.enforces(POLICY, &cells).map(drop)
    })
}
