//! Modes against each other: every workload, in rounds in which each mode has one slice.

mod figures;
mod latencies;
mod report;
mod run;
mod table;
mod targets;
mod voids;
mod within;

use std::path::PathBuf;
use std::time::Duration;

use self::figures::Figures;
pub use self::report::{Report, Verdict};
pub use self::run::run;
pub use self::targets::{Bound, Target};
pub use self::voids::Void;
pub use self::within::Within;
use crate::load::Workload;
use crate::mode::Mode;
use crate::stage::CommandLine;

/// What is compared, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Each once.
    pub modes: Vec<Mode>,
    /// Each once.
    pub workloads: Vec<Workload>,
    /// Slices of each mode and workload.
    pub rounds: usize,
    /// What is counted of each.
    pub slice: Duration,
    /// Of the orders and the intervals.
    pub seed: u64,
    /// Policies of the server.
    pub policies: usize,
    /// The `sluice` binary.
    pub agent: PathBuf,
    /// What enforces in mode external.
    pub external: Option<CommandLine>,
    /// Packets per second of a flood.
    pub flood: u32,
    /// Slices count on a machine that is not quiet too, and no target is judged.
    pub noisy: bool,
    /// No target is judged: the intervals are too wide.
    pub quick: bool,
}

impl Plan {
    /// What of it makes no sense, if anything does.
    ///
    /// # Errors
    /// Says what.
    pub fn check(&self) -> Result<(), String> {
        if self.slices() == 0 {
            return Err("none of the workloads can be sent in any of the modes".to_owned());
        }
        let is_open = self.workloads.iter().any(|it| it.share().is_some());
        if is_open && !self.modes.contains(&Mode::Conntrack) {
            return Err(
                "tcp_open_*: their rate is a share of what mode conntrack can do, which is not among the modes"
                    .to_owned(),
            );
        }
        if self.modes.contains(&Mode::External) != self.external.is_some() {
            return Err("mode external and --external COMMAND belong together".to_owned());
        }
        Ok(())
    }

    /// How many slices there will be.
    pub fn slices(&self) -> usize {
        let pairs = self.modes.iter().flat_map(|mode| {
            let workloads = self.workloads.iter();
            workloads.filter(|workload| mode.has(**workload))
        });
        pairs.count() * self.rounds
    }
}

/// One slice, as it is reported.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// From 0.
    pub round: usize,
    /// What was sent.
    pub workload: Workload,
    /// What was between the pods.
    pub mode: Mode,
    /// Why it does not count.
    pub void: Option<String>,
    /// What it came to.
    pub figures: Figures,
}

/// `workloads` with what some of them are compared with: a flood with the same without one, right before it.
pub fn with_references(workloads: &[Workload]) -> Vec<Workload> {
    let is_lone =
        workloads.contains(&Workload::Flood) && !workloads.contains(&Workload::FloodQuiet);
    let with_reference = |workload: &Workload| match workload {
        Workload::Flood if is_lone => vec![Workload::FloodQuiet, Workload::Flood],
        workload => vec![*workload],
    };
    workloads.iter().flat_map(with_reference).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// A plan of everything.
    pub(crate) fn plan() -> Plan {
        Plan {
            modes: Mode::value_variants().to_vec(),
            workloads: Workload::value_variants().to_vec(),
            rounds: 30,
            slice: Duration::from_millis(200),
            seed: 1,
            policies: 10,
            agent: PathBuf::new(),
            external: CommandLine::new(&["enforce".to_owned()]),
            flood: 20_000,
            noisy: false,
            quick: false,
        }
    }

    #[test]
    fn a_plan_says_what_makes_no_sense() {
        for (modes, workloads, said) in [
            (&[Mode::Hybrid][..], &[Workload::TcpCrr][..], None),
            (
                &[Mode::None],
                &[Workload::TcpCrrService],
                Some("none of the workloads"),
            ),
            (
                &[Mode::HybridCold],
                &[Workload::TcpRr, Workload::Http],
                Some("none of the workloads"),
            ),
            (
                &[Mode::HybridStopped],
                &[Workload::TcpOpen50],
                Some("not among the modes"),
            ),
            (&[Mode::External], &[Workload::TcpCrr], Some("--external")),
        ] {
            let plan = Plan {
                external: None,
                modes: modes.to_vec(),
                workloads: workloads.to_vec(),
                ..plan()
            };
            let found = plan.check().err();
            let fits = found
                .as_deref()
                .unwrap_or_default()
                .contains(said.unwrap_or_default());
            assert!(found.is_some() == said.is_some() && fits, "{found:?}");
        }
    }

    #[test]
    fn only_slices_that_can_be_are_counted() {
        // Cold: neither Service, page, questions on one connection, streams nor floods; redirected: neither Service, one
        // datagram there and back, nor other nodes; the chain no IPv6, routing no Service.
        assert_eq!(plan().slices(), 30 * (11 * 19 - 10 - 4 - 1 - 1));
    }

    #[test]
    fn a_flood_is_beside_the_same_without_one() {
        use Workload::{Flood, FloodQuiet, TcpCrr, TcpRr};
        for (asked, sent) in [
            (
                &[TcpCrr, Flood, TcpRr][..],
                &[TcpCrr, FloodQuiet, Flood, TcpRr][..],
            ),
            (&[Flood, FloodQuiet], &[Flood, FloodQuiet]),
            (&[TcpRr], &[TcpRr]),
        ] {
            assert_eq!(with_references(asked), sent);
        }
    }
}
