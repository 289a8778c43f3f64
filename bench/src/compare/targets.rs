//! What the ratios have to show, by the worse end of their interval.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::report::Compared;
use super::within::Within;
use crate::load::Workload;
use crate::mode::Mode;
use Bound::{AtLeast, AtMost};
use Mode::{Conntrack, Hybrid, HybridCold, HybridRedirect, Nfqueue, NfqueueN};
use Workload::{Flood, TcpCrr, TcpCrr64, TcpCrrService, TcpRr, TcpStream, UdpRr};

/// A bound of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The upper end of the interval is at most this.
    AtMost(f64),
    /// The lower end of the interval is at least this.
    AtLeast(f64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtMost(most) => write!(f, "at most {most}"),
            AtLeast(least) => write!(f, "at least {least}"),
        }
    }
}

impl Bound {
    /// The end of an interval that it is about, if there is one.
    fn worst(self, interval: Option<[f64; 2]>) -> Option<f64> {
        let [low, high] = interval?;
        Some(match self {
            AtMost(_) => high,
            AtLeast(_) => low,
        })
    }

    /// Whether that is within it.
    fn met(self, interval: Option<[f64; 2]>) -> Option<bool> {
        let worst = self.worst(interval)?;
        Some(match self {
            AtMost(most) => worst <= most,
            AtLeast(least) => worst >= least,
        })
    }
}

/// The modes in which every pair is known to the kernel before.
const WARM: [Mode; 2] = [Hybrid, HybridRedirect];

/// Of each of them, ÷ a mode.
const WARM_OVER: [(Workload, Mode, &str, Bound); 6] = [
    (TcpCrr, Conntrack, "p50", AtMost(1.05)),
    (TcpRr, Conntrack, "p50", AtMost(1.02)),
    (UdpRr, Conntrack, "p50", AtMost(1.02)),
    (TcpStream, Conntrack, "gbit_s", AtLeast(0.98)),
    (TcpCrr64, Nfqueue, "per_second", AtLeast(1.5)),
    (TcpCrr64, NfqueueN, "per_second", AtLeast(1.5)),
];

/// Of a mode ÷ each of them.
const OVER_WARM: [(Workload, Mode, &str, Bound); 4] = [
    (TcpCrr, Nfqueue, "p50", AtLeast(1.25)),
    (TcpCrr, NfqueueN, "p50", AtLeast(1.25)),
    (TcpCrr, Nfqueue, "machine", AtLeast(1.5)),
    (TcpCrr, NfqueueN, "machine", AtLeast(1.5)),
];

const COLD: [(Workload, Mode, Mode, &str, Bound); 2] = [
    (TcpCrr, HybridCold, Nfqueue, "p50", AtMost(1.05)),
    (TcpCrr, HybridCold, NfqueueN, "p50", AtMost(1.05)),
];

/// All of them: a workload, `a` ÷ `b`, of which figure, and what it is to be.
fn targets() -> impl Iterator<Item = (Workload, Mode, Mode, &'static str, Bound)> {
    let of_warm = WARM.iter().flat_map(|&warm| {
        let over = WARM_OVER.map(|(of, mode, stat, bound)| (of, warm, mode, stat, bound));
        let under = OVER_WARM.map(|(of, mode, stat, bound)| (of, mode, warm, stat, bound));
        over.into_iter().chain(under)
    });
    of_warm.chain(COLD)
}

/// Of a workload ÷ its reference, within `Hybrid`: itself, or ÷ the same of the mode named.
const WITHIN: [(Workload, Mode, &str, Bound); 2] = [
    (Flood, Hybrid, "p99", AtMost(1.2)),
    (TcpCrrService, Conntrack, "p50", AtMost(1.03)),
];

/// A target, and whether it was met.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// What was sent.
    pub workload: Workload,
    /// The ratio is `a` ÷ `b`. Where both are one it is the workload ÷ `against` in this mode.
    pub a: Mode,
    /// See `a`.
    pub b: Mode,
    /// The ratio is of figures that are ÷ this workload's in their own mode.
    pub against: Option<Workload>,
    /// Of which figure.
    pub stat: &'static str,
    /// What it is to be.
    pub bound: Bound,
    /// The worse end of the interval; none where too few slices count.
    pub worst: Option<f64>,
    /// Whether that is within the bound; none where it cannot be told.
    pub met: Option<bool>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b, stat, workload) = (
            self.a.name(),
            self.b.name(),
            self.stat,
            self.workload.name(),
        );
        match self.against {
            None => write!(f, "{a} ÷ {b}, {stat} of {workload}"),
            Some(against) => {
                write!(f, "{a}, {stat} of {workload} ÷ {}", against.name())?;
                if self.a == self.b {
                    Ok(())
                } else {
                    write!(f, " ÷ the same of {b}")
                }
            }
        }
    }
}

/// The targets of what `plan` compares.
pub(super) fn judge(plan: &Plan, compared: &[Compared], within: &[Within]) -> Vec<Target> {
    if plan.quick || plan.noisy {
        return Vec::new();
    }
    let of_plan = targets().filter(|(workload, a, b, ..)| {
        plan.workloads.contains(workload) && [a, b].iter().all(|mode| plan.modes.contains(mode))
    });
    let judged = of_plan.map(|(workload, a, b, stat, bound)| {
        let interval = interval(plan, compared, (workload, a, b, stat));
        Target {
            workload,
            a,
            b,
            against: None,
            stat,
            bound,
            worst: bound.worst(interval),
            met: bound.met(interval),
        }
    });
    let of_references = WITHIN.iter().filter(|(workload, b, ..)| {
        let reference = workload.reference();
        plan.workloads.contains(workload)
            && reference.is_some_and(|it| plan.workloads.contains(&it))
            && [&Hybrid, b].iter().all(|mode| plan.modes.contains(mode))
    });
    let beside = of_references.map(|&(workload, b, stat, bound)| {
        let interval = interval_within(plan, compared, within, (workload, b, stat));
        Target {
            workload,
            a: Hybrid,
            b,
            against: workload.reference(),
            stat,
            bound,
            worst: bound.worst(interval),
            met: bound.met(interval),
        }
    });
    judged.chain(beside).collect()
}

/// The interval of a workload ÷ its reference in mode `hybrid`, or of that ÷ the same of mode `b`; none as in [`interval`].
fn interval_within(
    plan: &Plan,
    compared: &[Compared],
    within: &[Within],
    (workload, b, stat): (Workload, Mode, &str),
) -> Option<[f64; 2]> {
    let tells_equals_apart = |name| {
        let mut workloads = compared.iter();
        workloads.any(|it| it.name == name && it.tells_equals_apart(stat))
    };
    // Within one mode, the two need not be as quiet as modes that are compared.
    let is_unfit = workload.reference().is_some_and(tells_equals_apart)
        || (b != Hybrid && tells_equals_apart(workload));
    if is_unfit {
        return None;
    }
    let mut found = within.iter();
    let found = found.find(|it| (it.workload, it.mode, it.stat) == (workload, Hybrid, stat))?;
    let ratio = if b == Hybrid {
        found.ratio
    } else {
        found.against_conntrack?
    };
    (ratio.rounds * 2 >= plan.rounds).then_some(ratio.ci)
}

/// The interval of a ratio, whichever way round it was made; none where over half of the rounds are missing, or where the
/// machine cannot tell two equal modes to be equal.
fn interval(
    plan: &Plan,
    compared: &[Compared],
    (workload, a, b, stat): (Workload, Mode, Mode, &str),
) -> Option<[f64; 2]> {
    let of_workload = compared.iter().find(|it| it.name == workload)?;
    if of_workload.tells_equals_apart(stat) {
        return None;
    }
    let found = |a, b| {
        let mut ratios = of_workload.ratios.iter();
        let between = ratios.find(|it| (it.a, it.b, it.stat) == (a, b, stat))?;
        (between.ratio.rounds * 2 >= plan.rounds).then_some(between.ratio.ci)
    };
    let the_other_way_round = || {
        let [low, high] = found(b, a)?;
        Some([1.0 / high, 1.0 / low])
    };
    found(a, b).or_else(the_other_way_round)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::slice;

    use super::*;
    use crate::compare::report::Between;
    use crate::compare::tests::plan;
    use crate::stats::Ratio;
    use Workload::FloodQuiet;

    fn compared(a: Mode, b: Mode, stat: &'static str, ci: [f64; 2], rounds: usize) -> Compared {
        let ratio = Ratio {
            ratio: f64::midpoint(ci[0], ci[1]),
            ci,
            rounds,
        };
        Compared {
            name: if stat == "per_second" {
                TcpCrr64
            } else {
                TcpCrr
            },
            modes: BTreeMap::new(),
            ecdf_us: BTreeMap::new(),
            ratios: vec![Between { a, b, stat, ratio }],
            equal: None,
        }
    }

    #[test]
    fn the_worse_end_decides() {
        for (a, b, stat, ci, met) in [
            (Hybrid, Conntrack, "p50", [0.9, 1.05], true),
            (Hybrid, Conntrack, "p50", [0.9, 1.06], false),
            (Nfqueue, Hybrid, "p50", [1.25, 1.4], true),
            (Nfqueue, Hybrid, "p50", [1.24, 1.9], false),
            (Nfqueue, Hybrid, "per_second", [0.5, 0.66], true),
            (Nfqueue, Hybrid, "per_second", [0.5, 0.68], false),
        ] {
            let judged = judge(&plan(), &[compared(a, b, stat, ci, 30)], &[]);
            let told: Vec<_> = judged.iter().filter_map(|it| it.met).collect();
            assert_eq!(told, [met], "{a:?} {b:?} {stat} {ci:?}: {judged:?}");
        }
    }

    #[test]
    fn what_too_few_slices_say_or_a_machine_that_tells_equals_apart_is_not_judged() {
        let good = compared(Hybrid, Conntrack, "p50", [0.99, 1.01], 30);
        let met = |compared: Compared| judge(&plan(), &[compared], &[])[0].met;
        assert_eq!(met(good.clone()), Some(true));
        assert_eq!(
            met(compared(Hybrid, Conntrack, "p50", [0.99, 1.01], 14)),
            None
        );
        let unfit = Compared {
            equal: Some(false),
            ..good
        };
        assert_eq!(met(unfit), None);
        assert_eq!(
            judge(&plan(), &[], &[])[0].met,
            None,
            "all of its slices are void"
        );
    }

    #[test]
    fn what_has_a_reference_is_judged_within_its_mode() {
        let within = |workload: Workload, mode, stat, ci: [f64; 2], rounds| {
            let ratio = |ci: [f64; 2]| Ratio {
                ratio: ci[0],
                ci,
                rounds,
            };
            Within {
                workload,
                against: workload.reference().unwrap(),
                mode,
                stat,
                ratio: ratio(ci),
                against_conntrack: Some(ratio([ci[0] / 1.1, ci[1] / 1.1])),
            }
        };
        let flood = |mode, ci, rounds| within(Flood, mode, "p99", ci, rounds);
        let service = |ci, rounds| within(TcpCrrService, Hybrid, "p50", ci, rounds);
        for (within, met) in [
            (flood(Hybrid, [1.0, 1.2], 30), Some(true)),
            (flood(Hybrid, [1.0, 1.21], 30), Some(false)),
            (flood(Hybrid, [1.0, 1.1], 14), None),
            (flood(Conntrack, [1.0, 1.1], 30), None),
            // It is what it costs there in conntrack, too.
            (service([1.1, 1.13], 30), Some(true)),
            (service([1.1, 1.14], 30), Some(false)),
            (service([1.1, 1.1], 14), None),
        ] {
            assert_eq!(met_within(within, &[]), met, "{within:?}");
        }
        // Of which workload two equal modes differ, and what cannot be told for that.
        let (flood, service) = (flood(Hybrid, [1.0, 1.1], 30), service([1.1, 1.1], 30));
        for (unfit, of_flood, of_service) in [
            (TcpCrr, Some(true), None),
            (TcpCrrService, Some(true), None),
            (FloodQuiet, None, Some(true)),
            (Flood, Some(true), Some(true)),
        ] {
            let unfit = Compared {
                name: unfit,
                equal: Some(false),
                ..compared(Hybrid, Conntrack, "p50", [1.0, 1.0], 30)
            };
            assert_eq!(
                met_within(flood, slice::from_ref(&unfit)),
                of_flood,
                "{unfit:?}"
            );
            assert_eq!(
                met_within(service, slice::from_ref(&unfit)),
                of_service,
                "{unfit:?}"
            );
        }
    }

    /// Whether the target of a workload within its mode is met.
    fn met_within(within: Within, compared: &[Compared]) -> Option<bool> {
        let judged = judge(&plan(), compared, &[within]);
        let mut targets = judged.iter();
        let target = targets.find(|it| it.workload == within.workload && it.against.is_some());
        target.unwrap().met
    }

    #[test]
    fn without_its_reference_nothing_is_judged_within_a_mode() {
        let plan = Plan {
            workloads: vec![TcpCrrService, Flood],
            ..plan()
        };
        let judged = judge(&plan, &[], &[]);
        assert!(judged.iter().all(|it| it.against.is_none()), "{judged:?}");
    }

    #[test]
    fn a_quick_or_noisy_run_judges_nothing() {
        let good = [compared(Hybrid, Conntrack, "p50", [0.99, 1.01], 30)];
        for (quick, noisy) in [(true, false), (false, true)] {
            let plan = Plan {
                noisy,
                quick,
                ..plan()
            };
            assert!(judge(&plan, &good, &[]).is_empty());
        }
    }
}
