//! What came of a run, and whether it is as it should be.

use std::time::Duration;

use serde::Serialize;

use super::super::timing::{Closed, Opened, percentile};
use super::churn::Churned;
use super::kind::{Bounds, Kind};
use super::{Enforcer, Plan, What, table};
use crate::env::Env;

/// The share of a run that the hypervisor may have given to others for its targets to be judged.
const STEAL: f64 = 0.05;

/// One change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) took: Duration,
    pub(super) said: Duration,
    pub(super) lost: u64,
    pub(super) leaked: u64,
    pub(super) late: u64,
    pub(super) passed: u64,
}

/// All changes of a kind.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Which.
    pub kind: Kind,
    /// How long each took, in milliseconds, in their order.
    pub samples_ms: Vec<f64>,
    /// How long until the agent had said that it is done, each, in milliseconds; it is asked all the time.
    pub said_ms: Vec<f64>,
    /// Connections that did not get through although they were tried after the agent had said that it is done.
    pub lost: u64,
    /// Connections that got through although they were tried after the agent had said that it is done.
    pub leaked: u64,
    /// Connections that were tried before the agent said that it is done, and arrived after that.
    pub late: u64,
    /// All connections that got through after a change that denies.
    pub passed: u64,
}

/// A figure in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The median, in milliseconds; so are the others.
    pub p50_ms: f64,
    /// 90 of 100.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// The median of when the agent had said that it is done.
    pub said_p50_ms: f64,
}

/// A figure of an enforcer.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Whose.
    pub mode: Enforcer,
    /// In numbers; none where there are no samples.
    #[serde(flatten)]
    pub summary: Option<Summary>,
    /// What it is to be, where that is said.
    pub target: Option<Bounds>,
    /// Whether it is; none where that is not judged.
    pub met: Option<bool>,
    /// The figure.
    #[serde(flatten)]
    pub figure: Figure,
}

/// What came of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What changes.
    pub what: What,
    /// Other policies of the client.
    pub policies: usize,
    /// Policies of a burst; 0 where there were none.
    pub burst: usize,
    /// Pods that came in a second while policies changed, and as many went, in the mean of all that time; none where none
    /// were to.
    pub churn_per_second: Option<f64>,
    /// From one connection that was tried to the next, in milliseconds: what a latency may be off by.
    pub interval_ms: f64,
    /// The share of the run that the hypervisor gave to others, of 1.
    pub stolen: f64,
    /// Whether targets were judged.
    pub judged: bool,
    /// By enforcer and kind.
    pub rows: Vec<Row>,
    /// What the figures depend on.
    pub env: Env,
    #[serde(skip)]
    was_to_be_judged: bool,
}

/// What is to be said of it all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is as it should be.
    Holds,
    /// A target is missed, or something got through that should not have.
    Wrong(Vec<String>),
    /// The machine was too noisy to tell.
    Untold(String),
}

impl From<Opened> for Sample {
    fn from(opened: Opened) -> Self {
        Self {
            took: opened.took,
            said: opened.said,
            lost: opened.lost,
            ..Self::default()
        }
    }
}

impl From<Closed> for Sample {
    fn from(closed: Closed) -> Self {
        Self {
            took: closed.took,
            said: closed.said,
            leaked: closed.leaked,
            late: closed.late,
            passed: closed.passed,
            ..Self::default()
        }
    }
}

impl Figure {
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            samples_ms: Vec::new(),
            said_ms: Vec::new(),
            lost: 0,
            leaked: 0,
            late: 0,
            passed: 0,
        }
    }

    fn summary(&self) -> Option<Summary> {
        let sorted = sorted(&self.samples_ms);
        Some(Summary {
            said_p50_ms: percentile(&self::sorted(&self.said_ms), 0.5)?,
            p50_ms: percentile(&sorted, 0.5)?,
            p90_ms: percentile(&sorted, 0.9)?,
            p99_ms: percentile(&sorted, 0.99)?,
            max_ms: percentile(&sorted, 1.0)?,
        })
    }
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Adds a sample to the figure of its kind.
pub(super) fn note(figures: &mut [Figure], kind: Kind, sample: Sample) {
    let Some(figure) = figures.iter_mut().find(|figure| figure.kind == kind) else {
        return;
    };
    figure.samples_ms.push(sample.took.as_secs_f64() * 1e3);
    figure.said_ms.push(sample.said.as_secs_f64() * 1e3);
    figure.lost += sample.lost;
    figure.leaked += sample.leaked;
    figure.late += sample.late;
    figure.passed += sample.passed;
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        modes: Vec<(Enforcer, Vec<Figure>)>,
        stolen: f64,
        churned: Churned,
    ) -> Self {
        let was_to_be_judged = !plan.quick && !plan.noisy;
        let judged = was_to_be_judged && stolen <= STEAL;
        let row = |mode, figure: Figure| {
            let (summary, target) = (figure.summary(), figure.kind.target());
            let met = summary.zip(target).filter(|_| judged);
            Row {
                mode,
                summary,
                target,
                met: met.map(|(it, most)| it.p50_ms <= most.p50 && it.p99_ms <= most.p99),
                figure,
            }
        };
        let rows = modes.into_iter().flat_map(|(mode, figures)| {
            let rows = figures.into_iter().map(move |figure| (mode, figure));
            rows.map(|(mode, figure)| row(mode, figure))
                .collect::<Vec<_>>()
        });
        Self {
            what: plan.what,
            policies: plan.policies,
            burst: if plan.bursts() { plan.burst } else { 0 },
            churn_per_second: churned.per_second(),
            interval_ms: plan.interval.as_secs_f64() * 1e3,
            stolen,
            judged,
            rows: rows.collect(),
            env: Env::read(),
            was_to_be_judged,
        }
    }

    /// What is to be said of it all. What leaks is wrong whatever the machine does besides.
    pub fn verdict(&self) -> Verdict {
        let wrong: Vec<String> = self.rows.iter().filter_map(Row::wrong).collect();
        if !wrong.is_empty() {
            return Verdict::Wrong(wrong);
        }
        if self.was_to_be_judged && !self.judged {
            let percent = self.stolen * 100.0;
            return Verdict::Untold(format!("{percent:.0} % of the time was stolen"));
        }
        Verdict::Holds
    }

    /// For people.
    pub fn table(&self) -> String {
        table::table(self)
    }
}

impl Row {
    fn wrong(&self) -> Option<String> {
        let (mode, kind) = (self.mode.name(), self.figure.kind.title());
        let Figure { lost, leaked, .. } = self.figure;
        if leaked > 0 {
            return Some(format!(
                "{mode}: {kind}: {leaked} leaked after it was enforced"
            ));
        }
        if lost > 0 {
            return Some(format!(
                "{mode}: {kind}: {lost} were lost after it was enforced"
            ));
        }
        let missed = self.met == Some(false);
        let bounds = self.target.filter(|_| missed)?;
        Some(format!("{mode}: {kind}: not {bounds}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(quick: bool, noisy: bool) -> Plan {
        Plan {
            what: What::Policy,
            enforcers: vec![Enforcer::Hybrid],
            repetitions: 1,
            policies: 0,
            burst: 3,
            churn: 0,
            interval: Duration::from_micros(250),
            agent: "sluice".into(),
            noisy,
            quick,
        }
    }

    fn report(plan: &Plan, milliseconds: &[u64], leaked: u64, stolen: f64) -> Report {
        let mut figures = plan.figures();
        for took in milliseconds {
            let sample = Sample {
                took: Duration::from_millis(*took),
                said: Duration::from_millis(2 * took),
                leaked,
                ..Sample::default()
            };
            note(&mut figures, Kind::Deny, sample);
        }
        let modes = vec![(Enforcer::Hybrid, figures)];
        Report::new(plan, modes, stolen, Churned::default())
    }

    #[test]
    fn a_run_holds_is_wrong_or_cannot_be_told() {
        let whole = plan(false, false);
        let holds = report(&whole, &[1, 1, 2], 0, 0.0).verdict();
        assert_eq!(holds, Verdict::Holds);
        let deny = "hybrid: policy deleted: no new connection does: ";
        for (plan, milliseconds, leaked, expected) in [
            (
                &whole,
                &[3, 3, 3][..],
                0,
                "not p50 at most 2 ms, p99 at most 20 ms",
            ),
            (
                &whole,
                &[1, 1, 30],
                0,
                "not p50 at most 2 ms, p99 at most 20 ms",
            ),
            (
                &plan(true, false),
                &[1],
                1,
                "1 leaked after it was enforced",
            ),
        ] {
            let verdict = report(plan, milliseconds, leaked, 0.0).verdict();
            assert_eq!(verdict, Verdict::Wrong(vec![format!("{deny}{expected}")]));
        }
        for plan in [plan(true, false), plan(false, true)] {
            let verdict = report(&plan, &[30], 0, 0.5).verdict();
            assert_eq!(verdict, Verdict::Holds);
        }
        let untold = report(&whole, &[1], 0, 0.2).verdict();
        let why = "20 % of the time was stolen".to_owned();
        assert_eq!(untold, Verdict::Untold(why));
    }

    #[test]
    fn a_figure_is_its_percentiles() {
        let milliseconds: Vec<u64> = (1..=101).collect();
        let report = report(&plan(true, false), &milliseconds, 0, 0.0);
        let row = report.rows.iter().find(|row| row.figure.kind == Kind::Deny);
        let expected = Summary {
            p50_ms: 51.0,
            p90_ms: 91.0,
            p99_ms: 100.0,
            max_ms: 101.0,
            said_p50_ms: 102.0,
        };
        assert_eq!(row.unwrap().summary, Some(expected));
        let json = serde_json::to_value(&report).unwrap();
        let row = &json["rows"][1];
        for (field, expected) in [("mode", "hybrid"), ("kind", "deny")] {
            assert_eq!(row[field], expected);
        }
        assert_eq!(row["p50_ms"], 51.0);
        assert_eq!(row["samples_ms"][100], 101.0);
        assert_eq!(row["target"]["p99"], 20.0);
        assert_eq!(
            (&json["burst"], &json["churn_per_second"]),
            (&3.into(), &().into())
        );
    }
}
