//! Cost against the number of policies: fetches of pages of several sizes, a fresh connection each, under more and more
//! policies of which the last one matches.

mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::env::Env;
use crate::interrupt::{Progress, go_on};
use crate::load::{Span, Workload};
use crate::mode::Mode;
use crate::noise;
use crate::proof::{self, Doubt};
use crate::schedule;
use crate::stage::{Slice, Stage, StageOptions};
use crate::stats::{self, Ratio, Slope};
use crate::void;
use crate::world::Nodes;

pub use self::table::{KNOWN, KNOWN_AS};

/// Sizes of pages by the names that they have in the table.
pub const SIZES: [(&str, usize); 5] = [
    (".5k", 500),
    ("1k", 1_000),
    ("10k", 10_000),
    ("100k", 100_000),
    ("1M", 1_000_000),
];
/// Fetches at the beginning of a slice that are not counted.
const WARM_UP: u64 = 20;
/// What as many policies as there are may add to the median fetch of the smallest page under Sluice.
const FLAT: f64 = 1.02;
/// The longest that the fetches of one slice may take.
const LONGEST: Duration = Duration::from_secs(20);

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Each once.
    pub modes: Vec<Mode>,
    /// Numbers of policies, from few to many.
    pub policies: Vec<usize>,
    /// Fetches of each size under each number, over the whole run.
    pub fetches: u64,
    /// Slices that they are shared out among.
    pub rounds: usize,
    /// Of the orders and the intervals.
    pub seed: u64,
    /// The `sluice` binary.
    pub agent: PathBuf,
    /// Slices count on a machine that is not quiet too, and no target is judged.
    pub noisy: bool,
    /// No target is judged: the intervals are too wide.
    pub quick: bool,
}

/// One slice: `fetches` ÷ `rounds` pages of one size.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// From 0.
    pub round: usize,
    /// What was between the pods.
    pub mode: Mode,
    /// How many policies there were.
    pub policies: usize,
    /// The name of the size.
    pub size: &'static str,
    /// Why it does not count.
    pub void: Option<String>,
    /// From connecting to the last byte, the mean, in milliseconds.
    pub mean_ms: f64,
    /// The same, the median.
    pub p50_ms: f64,
}

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// By mode.
    pub modes: BTreeMap<Mode, Table>,
    /// Slices that do not count.
    pub void_slices: usize,
    /// Slices in all.
    pub slices: usize,
    /// Why slices do not count, and how many for each reason; of the other reasons of its kind the numbers are different.
    pub void_reasons: BTreeMap<String, usize>,
    /// Whether the most policies add at most 2 % to the median fetch of the smallest page under Sluice with its fast path,
    /// by the upper end of the interval, and the interval of the slope contains 0. None where it was not to be judged, or
    /// cannot be told.
    pub flat: Option<bool>,
    /// Whether it was a quick one.
    pub quick: bool,
    /// Whether slices of a machine that is not quiet count.
    pub noisy: bool,
    /// Fetches of each size under each number of policies.
    pub fetches: u64,
    /// What it was measured on.
    pub env: Env,
    /// Every slice.
    pub rows: Vec<Row>,
}

/// One mode.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// By number of policies, then by size: the mean of a fetch in milliseconds, the median of the rounds'.
    pub mean_ms: BTreeMap<usize, BTreeMap<&'static str, f64>>,
    /// By number of policies, then by size: the median fetch against the one with the fewest policies.
    pub against_fewest: BTreeMap<usize, BTreeMap<&'static str, Ratio>>,
    /// What a thousand policies add to the median fetch of the smallest page, in microseconds.
    pub slope_us: Option<Slope>,
}

/// The modes that pages are fetched in.
pub const MODES: [Mode; 6] = [
    Mode::None,
    Mode::Conntrack,
    Mode::Nfqueue,
    Mode::NfqueueN,
    Mode::Hybrid,
    Mode::Linear,
];

impl Plan {
    /// How many slices there will be.
    pub fn slices(&self) -> usize {
        self.modes.len() * self.policies.len() * SIZES.len() * self.rounds
    }
}

/// Runs `plan`.
///
/// # Errors
/// [`crate::stage::NotInForce`] where policies are not in force before or after, [`crate::interrupt::Interrupted`] where
/// `progress` says so; any other where a mode cannot be set up.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Report> {
    let total = plan.slices();
    let mut stages = up(plan, || go_on(progress(0, total)).map_err(Into::into))?;
    let each = plan.fetches.div_ceil(plan.rounds.max(1) as u64);
    let span = Span {
        warm_up: Duration::ZERO,
        warm_connections: WARM_UP,
        counted: LONGEST,
        limit: Some(WARM_UP + each),
        rate: 0.0,
    };
    for (_, stage) in &mut stages {
        stage.warm(Workload::Http)?;
    }
    let slices = stages.len() * SIZES.len();
    let mut rows = Vec::with_capacity(total);
    for (round, order) in schedule::rounds(slices, plan.rounds, plan.seed)
        .into_iter()
        .enumerate()
    {
        let mut slices = Vec::with_capacity(order.len());
        for number in order {
            go_on(progress(rows.len() + slices.len(), total))?;
            let (policies, stage) = &mut stages[number / SIZES.len()];
            let (size, bytes) = SIZES[number % SIZES.len()];
            let slice = stage.pages(bytes, &span);
            let slice = slice.with_context(|| stage.mode().name())?;
            slices.push((stage.mode(), *policies, size, slice));
        }
        let usual = noise::usual(slices.iter().map(|(.., slice)| slice.spins));
        rows.extend(slices.into_iter().map(|(mode, policies, size, slice)| Row {
            round,
            mode,
            policies,
            size,
            void: void::why(&slice, proven(mode, policies, &slice), usual, plan.noisy),
            mean_ms: slice.sent.latency.mean() / 1e6,
            p50_ms: millis(slice.sent.latency.value_at_quantile(0.5)),
        }));
    }
    for (_, stage) in &mut stages {
        stage.check().context("after the run")?;
    }
    Ok(report(plan, rows))
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a fetch")]
fn millis(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// A stage for each mode and number of policies.
fn up(plan: &Plan, mut before: impl FnMut() -> Result<()>) -> Result<Vec<(usize, Stage)>> {
    let mut stages = Vec::new();
    for mode in &plan.modes {
        for policies in &plan.policies {
            let options = StageOptions {
                agent: plan.agent.clone(),
                policies: *policies,
                every_port: false,
                nodes: Nodes::One,
                external: None,
            };
            before()?;
            let stage = Stage::up(*mode, &options)
                .with_context(|| format!("{} with {policies} policies", mode.name()))?;
            stages.push((*policies, stage));
        }
    }
    Ok(stages)
}

/// Without policies nobody is isolated.
fn proven(mode: Mode, policies: usize, slice: &Slice) -> std::result::Result<(), Doubt> {
    if policies > 0 {
        proof::prove(mode, &slice.seen)
    } else {
        proof::prove_open(mode, &slice.seen)
    }
}

fn report(plan: &Plan, rows: Vec<Row>) -> Report {
    let valid: Vec<_> = rows.iter().filter(|row| row.void.is_none()).collect();
    let modes = plan.modes.iter().map(|mode| {
        let of_mode: Vec<&Row> = valid
            .iter()
            .filter(|row| row.mode == *mode)
            .copied()
            .collect();
        (*mode, table(plan, &of_mode))
    });
    let modes: BTreeMap<_, _> = modes.collect();
    Report {
        flat: flat(plan, &modes),
        modes,
        quick: plan.quick,
        noisy: plan.noisy,
        void_reasons: void_reasons(&rows),
        void_slices: rows.len() - valid.len(),
        slices: rows.len(),
        fetches: plan.fetches,
        env: Env::read(),
        rows,
    }
}

fn void_reasons(rows: &[Row]) -> BTreeMap<String, usize> {
    let mut kinds: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for row in rows {
        if let Some(reason) = &row.void {
            let reason = format!("{}: {reason}", row.mode.name());
            kinds.entry(void::kind(&reason)).or_insert((reason, 0)).1 += 1;
        }
    }
    kinds.into_values().collect()
}

fn flat(plan: &Plan, modes: &BTreeMap<Mode, Table>) -> Option<bool> {
    if plan.quick || plan.noisy {
        return None;
    }
    let most = plan.policies.iter().max()?;
    let hybrid = modes.get(&Mode::Hybrid)?;
    let ratio = hybrid.against_fewest.get(most)?.get(SIZES[0].0)?;
    let is_flat = ratio.ci[1] <= FLAT && hybrid.slope_us?.contains(0.0);
    (ratio.rounds * 2 >= plan.rounds).then_some(is_flat)
}

fn table(plan: &Plan, rows: &[&Row]) -> Table {
    let fewest = plan.policies.iter().min().copied().unwrap_or_default();
    let mut table = Table {
        mean_ms: BTreeMap::new(),
        against_fewest: BTreeMap::new(),
        slope_us: slope(rows, plan.seed),
    };
    for policies in &plan.policies {
        for (size, _) in SIZES {
            let of = |policies: usize| {
                rows.iter()
                    .filter(move |row| row.policies == policies && row.size == size)
            };
            let means: Vec<f64> = of(*policies).map(|row| row.mean_ms).collect();
            let pairs: Vec<_> = of(*policies)
                .filter_map(|row| {
                    let other = of(fewest).find(|other| other.round == row.round)?;
                    Some((row.p50_ms, other.p50_ms))
                })
                .collect();
            if let Some(mean) = stats::median(&means) {
                table
                    .mean_ms
                    .entry(*policies)
                    .or_default()
                    .insert(size, mean);
            }
            if *policies != fewest
                && let Some(ratio) = stats::ratio(&pairs, plan.seed)
            {
                let of_policies = table.against_fewest.entry(*policies).or_default();
                of_policies.insert(size, ratio);
            }
        }
    }
    table
}

/// Of the rounds' own slopes, so that what a round had to bear as a whole tilts none.
#[expect(clippy::cast_precision_loss, reason = "numbers of policies")]
fn slope(rows: &[&Row], seed: u64) -> Option<Slope> {
    let mut rounds: BTreeMap<usize, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.size == SIZES[0].0) {
        let point = (row.policies as f64 / 1e3, row.p50_ms * 1e3);
        rounds.entry(row.round).or_default().push(point);
    }
    let rounds: Vec<_> = rounds.into_values().collect();
    stats::slope(&rounds, seed)
}

impl Report {
    /// Whether the machine was too noisy for the run to say anything, or what was to be judged; a quick one says what little
    /// counts.
    #[expect(clippy::cast_precision_loss, reason = "slices of a run")]
    pub fn is_untold(&self) -> bool {
        let share = self.void_slices as f64 / self.slices.max(1) as f64;
        let is_noisy = share > void::MOST && !self.quick;
        is_noisy || self.void_slices == self.slices || (self.is_judged() && self.flat.is_none())
    }

    /// Whether how flat it is was to be judged.
    fn is_judged(&self) -> bool {
        let hybrid = self.modes.get(&Mode::Hybrid);
        let grows = hybrid.is_some_and(|it| it.mean_ms.len() > 1);
        grows && !self.quick && !self.noisy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetches that get slower by 10 µs for each 100 policies, in rounds that differ by much more than that.
    #[test]
    fn a_cost_that_grows_is_found_and_one_that_does_not_is_flat() {
        let plan = Plan {
            modes: vec![Mode::Linear, Mode::Hybrid],
            policies: vec![0, 100, 200],
            fetches: 1,
            rounds: 9,
            seed: 1,
            agent: PathBuf::new(),
            noisy: false,
            quick: false,
        };
        let mut rows = Vec::new();
        for round in 0..9_u32 {
            for (mode, each) in [(Mode::Linear, 0.01), (Mode::Hybrid, 0.0)] {
                for (step, policies) in [(0.0, 0), (1.0, 100), (2.0, 200)] {
                    let millis = 1.0 + f64::from(round) + step * each;
                    rows.push(Row {
                        round: round.try_into().unwrap(),
                        mode,
                        policies,
                        size: ".5k",
                        void: (round == 8).then(|| "noise".to_owned()),
                        mean_ms: millis,
                        p50_ms: millis,
                    });
                }
            }
        }
        let report = report(&plan, rows);
        assert_eq!((report.void_slices, report.slices), (6, 54));
        let slope = |mode| report.modes[&mode].slope_us.unwrap();
        assert!(
            (slope(Mode::Linear).slope - 100.0).abs() < 1e-6,
            "{report:?}"
        );
        assert!(slope(Mode::Hybrid).slope.abs() < 1e-9, "{report:?}");
        let flat = report.modes[&Mode::Hybrid].against_fewest[&200][".5k"];
        assert_eq!((flat.ratio, flat.rounds), (1.0, 8));
        let text = report.table();
        assert!(
            text.contains("|Policies |.5k |1k |10k |100k |1M |"),
            "{text}"
        );
        assert!(text.contains("|100 |4.510 |- |"), "{text}");
        assert!(
            text.contains("|200 |0.783 |0.783 |1.147 |2.652 |10.677 |"),
            "{text}"
        );
        assert_eq!((report.flat, report.is_untold()), (Some(true), false));
        assert!(text.contains("\nmet: under hybrid"), "{text}");
    }

    /// What `each` policy adds, in milliseconds, to a fetch of one; rounds before `void` count.
    fn judged(each: f64, void: usize) -> (Option<bool>, bool) {
        let report = of_hybrid(
            each,
            |round, policies| round >= void && policies == 100,
            false,
        );
        (report.flat, report.is_untold())
    }

    fn of_hybrid(each: f64, is_void: impl Fn(usize, usize) -> bool, quick: bool) -> Report {
        let plan = Plan {
            modes: vec![Mode::Hybrid],
            policies: vec![0, 10, 100],
            fetches: 1,
            rounds: 9,
            seed: 1,
            agent: PathBuf::new(),
            noisy: false,
            quick,
        };
        let row = |round, policies: usize| {
            let millis = 1.0 + each * f64::from(u32::try_from(policies).unwrap());
            Row {
                round,
                mode: Mode::Hybrid,
                policies,
                size: ".5k",
                void: is_void(round, policies).then(|| "noise".to_owned()),
                mean_ms: millis,
                p50_ms: millis,
            }
        };
        let rows = (0..9).flat_map(|round| [0, 10, 100].map(|policies| row(round, policies)));
        report(&plan, rows.collect())
    }

    #[test]
    fn a_quick_run_is_untold_only_where_nothing_counts() {
        for (counts, quick, untold) in [(1, true, false), (0, true, true), (1, false, true)] {
            let report = of_hybrid(0.0, |round, _| round >= counts, quick);
            assert_eq!(report.is_untold(), untold, "{counts} {quick}");
        }
    }

    #[test]
    fn what_grows_slowly_is_not_flat_and_what_too_few_rounds_tell_is_untold() {
        for (each, void, expected) in [
            (0.0, 9, (Some(true), false)),
            // A hundred add 1 %, which is little, and more would add more.
            (0.0001, 9, (Some(false), false)),
            (0.001, 9, (Some(false), false)),
            (0.0, 4, (None, true)),
        ] {
            assert_eq!(judged(each, void), expected, "{each} {void}");
        }
    }
}
