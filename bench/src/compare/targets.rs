//! What the ratios have to show, by the worse end of their interval.

use serde::Serialize;

use super::report::Compared;
use crate::load::Workload;
use crate::mode::Mode;

/// A bound of a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};
use Mode::{Conntrack, Hybrid, HybridCold, Nfqueue};
use Workload::{TcpCrr, TcpCrr64, TcpRr, TcpStream, UdpRr};

const TARGETS: [(Workload, Mode, Mode, &str, Bound); 8] = [
    (TcpCrr, Hybrid, Conntrack, "p50_us", AtMost(1.05)),
    (TcpRr, Hybrid, Conntrack, "p50_us", AtMost(1.02)),
    (UdpRr, Hybrid, Conntrack, "p50_us", AtMost(1.02)),
    (TcpStream, Hybrid, Conntrack, "gbit_s", AtLeast(0.98)),
    (TcpCrr, Nfqueue, Hybrid, "p50_us", AtLeast(1.25)),
    (TcpCrr, Nfqueue, Hybrid, "machine_us", AtLeast(1.5)),
    (TcpCrr64, Hybrid, Nfqueue, "per_second", AtLeast(1.5)),
    (TcpCrr, HybridCold, Nfqueue, "p50_us", AtMost(1.05)),
];

/// A target, and whether it was met.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// What was sent.
    pub workload: Workload,
    /// The ratio is `a` ÷ `b`.
    pub a: Mode,
    /// See `a`.
    pub b: Mode,
    /// Of which figure.
    pub stat: &'static str,
    /// `at most N` or `at least N`.
    pub bound: String,
    /// The worse end of the interval.
    pub worst: f64,
    /// Whether that is within the bound.
    pub met: bool,
}

/// The targets that `compared` can be judged by.
pub(super) fn judge(compared: &[Compared]) -> Vec<Target> {
    TARGETS
        .iter()
        .filter_map(|it| judged(compared, it))
        .collect()
}

fn judged(
    compared: &[Compared],
    &(workload, a, b, stat, bound): &(Workload, Mode, Mode, &'static str, Bound),
) -> Option<Target> {
    let of_workload = compared.iter().find(|it| it.name == workload)?;
    let interval = |a, b| {
        let mut ratios = of_workload.ratios.iter();
        let found = ratios.find(|it| (it.a, it.b, it.stat) == (a, b, stat))?;
        Some(found.ratio.ci)
    };
    let the_other_way_round = || {
        let [low, high] = interval(b, a)?;
        Some([1.0 / high, 1.0 / low])
    };
    let [low, high] = interval(a, b).or_else(the_other_way_round)?;
    let (worst, met, bound) = match bound {
        AtMost(most) => (high, high <= most, format!("at most {most}")),
        AtLeast(least) => (low, low >= least, format!("at least {least}")),
    };
    Some(Target {
        workload,
        a,
        b,
        stat,
        bound,
        worst,
        met,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compare::report::Between;
    use crate::stats::Ratio;

    fn compared(a: Mode, b: Mode, stat: &'static str, ci: [f64; 2]) -> Vec<Compared> {
        let ratio = Ratio {
            ratio: f64::midpoint(ci[0], ci[1]),
            ci,
            rounds: 30,
        };
        let workload = if stat == "per_second" {
            TcpCrr64
        } else {
            TcpCrr
        };
        vec![Compared {
            name: workload,
            modes: BTreeMap::new(),
            ratios: vec![Between { a, b, stat, ratio }],
        }]
    }

    #[test]
    fn the_worse_end_decides() {
        for (a, b, stat, ci, met) in [
            (Hybrid, Conntrack, "p50_us", [0.9, 1.05], true),
            (Hybrid, Conntrack, "p50_us", [0.9, 1.06], false),
            (Nfqueue, Hybrid, "p50_us", [1.25, 1.4], true),
            (Nfqueue, Hybrid, "p50_us", [1.24, 1.9], false),
            (Nfqueue, Hybrid, "per_second", [0.5, 0.66], true),
            (Nfqueue, Hybrid, "per_second", [0.5, 0.68], false),
        ] {
            let judged = judge(&compared(a, b, stat, ci));
            assert_eq!(judged.len(), 1, "{stat}");
            assert_eq!(judged[0].met, met, "{judged:?}");
        }
    }

    #[test]
    fn what_was_not_compared_is_not_judged() {
        assert!(judge(&compared(Mode::Linear, Hybrid, "p50_us", [1.0, 1.1])).is_empty());
    }
}
