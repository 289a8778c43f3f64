//! Medians, ratios of pairs, and how far they may be off.

use serde::Serialize;

/// Samples that a bootstrap draws.
const RESAMPLES: usize = 10_000;
/// The share of a bootstrap's medians below the interval, and above it: 95 % lie within.
const TAIL: f64 = 0.025;
/// Pairs below which no interval is given: the bootstrap of a few says nothing.
pub const FEWEST_PAIRS: usize = 5;

/// The ratio of two modes over the rounds of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The median of the rounds' ratios.
    pub ratio: f64,
    /// Its 95 % interval: percentiles of a bootstrap over rounds.
    pub ci: [f64; 2],
    /// The rounds that both modes have a valid slice in.
    pub rounds: usize,
}

/// A figure over the rounds of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Middle {
    /// The median of the rounds' figures.
    pub median: f64,
    /// Its 95 % interval: percentiles of a bootstrap over rounds. None of fewer than [`FEWEST_PAIRS`].
    pub ci: Option<[f64; 2]>,
}

/// How much something grows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slope {
    /// Per unit of x: the median of the rounds' slopes.
    pub slope: f64,
    /// Its 95 % interval: percentiles of a bootstrap over rounds.
    pub ci: [f64; 2],
}

impl Ratio {
    /// Whether the interval contains `value`.
    pub fn contains(&self, value: f64) -> bool {
        self.ci[0] <= value && value <= self.ci[1]
    }
}

impl Slope {
    /// Whether the interval contains `value`.
    pub fn contains(&self, value: f64) -> bool {
        self.ci[0] <= value && value <= self.ci[1]
    }
}

/// The middle one of `values`, or the mean of the two in the middle; none of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sort(&mut sorted);
    median_of_sorted(&sorted)
}

/// What `values` of one round each come to; none of nothing. The same `seed` gives the same interval.
pub fn middle(values: &[f64], seed: u64) -> Option<Middle> {
    let is_enough = values.len() >= FEWEST_PAIRS;
    Some(Middle {
        median: median(values)?,
        ci: is_enough.then(|| interval(values, seed)).flatten(),
    })
}

/// What `pairs` of one round each, `(a, b)`, say of a ÷ b. None where there are fewer than [`FEWEST_PAIRS`], or where
/// some b is not above 0. The same `seed` gives the same interval.
pub fn ratio(pairs: &[(f64, f64)], seed: u64) -> Option<Ratio> {
    if pairs.len() < FEWEST_PAIRS || pairs.iter().any(|(_, b)| *b <= 0.0) {
        return None;
    }
    let ratios: Vec<f64> = pairs.iter().map(|(a, b)| a / b).collect();
    Some(Ratio {
        ratio: median(&ratios)?,
        ci: interval(&ratios, seed)?,
        rounds: ratios.len(),
    })
}

/// How y grows with x, by the points `(x, y)` of each round: the median of the rounds' slopes, each of which is that of
/// the least squares. None where fewer than [`FEWEST_PAIRS`] rounds have points of different x.
pub fn slope(rounds: &[Vec<(f64, f64)>], seed: u64) -> Option<Slope> {
    let slopes: Vec<f64> = rounds
        .iter()
        .filter_map(|points| least_squares(points))
        .collect();
    if slopes.len() < FEWEST_PAIRS {
        return None;
    }
    Some(Slope {
        slope: median(&slopes)?,
        ci: interval(&slopes, seed)?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "points of a round")]
fn least_squares(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let common: f64 = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    (spread > 0.0).then(|| common / spread)
}

/// The 95 % interval of the median of `values`.
fn interval(values: &[f64], seed: u64) -> Option<[f64; 2]> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sample = vec![0.0; values.len()];
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        sample.fill_with(|| values[random.usize(..values.len())]);
        sort(&mut sample);
        medians.push(median_of_sorted(&sample)?);
    }
    sort(&mut medians);
    Some([quantile(&medians, TAIL), quantile(&medians, 1.0 - TAIL)])
}

fn sort(values: &mut [f64]) {
    values.sort_unstable_by(f64::total_cmp);
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// The value below which a `share` of `sorted` lies; `sorted` is not empty.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "an index below 2^52, rounded"
)]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0][..], Some(3.0)),
            (&[3.0, 1.0][..], Some(2.0)),
            (&[9.0, 1.0, 2.0][..], Some(2.0)),
            (&[4.0, 1.0, 2.0, 9.0][..], Some(3.0)),
        ] {
            assert_eq!(median(values), expected, "{values:?}");
        }
    }

    /// Ten rounds whose ratios are 1.1 to 2.0: the median is known, and the exact percentiles of its bootstrap lie
    /// between the ratios next to it.
    #[test]
    fn a_ratio_of_known_rounds_is_known() {
        let pairs: Vec<_> = (1..=10)
            .map(|number| (10.0 + f64::from(number), 10.0))
            .collect();
        let found = ratio(&pairs, 1).unwrap();
        assert!((found.ratio - 1.55).abs() < 1e-9, "{found:?}");
        assert!(found.ci[0] >= 1.2 && found.ci[0] <= 1.4, "{found:?}");
        assert!(found.ci[1] >= 1.7 && found.ci[1] <= 1.9, "{found:?}");
        assert_eq!(found.rounds, 10);
        assert_eq!(ratio(&pairs, 1), Some(found), "the same seed");
    }

    #[test]
    fn a_figure_of_few_rounds_has_no_interval() {
        let few = middle(&[1.0, 2.0, 9.0, 3.0], 1);
        let expected = Middle {
            median: 2.5,
            ci: None,
        };
        assert_eq!(few, Some(expected));
        assert_eq!(middle(&[7.0; 5], 1).and_then(|it| it.ci), Some([7.0; 2]));
        assert_eq!(middle(&[], 1), None);
    }

    #[test]
    fn rounds_that_do_not_differ_have_no_spread() {
        let found = ratio(&[(3.0, 2.0); 30], 7).unwrap();
        assert_eq!((found.ratio, found.ci), (1.5, [1.5, 1.5]));
        assert!(found.contains(1.5) && !found.contains(1.0));
    }

    /// What a whole round bears tilts nothing, and a round that is tilted is one of many.
    #[test]
    fn a_slope_is_that_of_most_rounds() {
        let round = |number: u32| {
            let tilt = if number == 0 { 50.0 } else { 3.0 };
            let base = f64::from(number) * 100.0;
            (0..4)
                .map(|x| (f64::from(x), base + f64::from(x) * tilt))
                .collect()
        };
        let rounds: Vec<Vec<_>> = (0..7).map(round).collect();
        let found = slope(&rounds, 1).unwrap();
        assert!((found.slope - 3.0).abs() < 1e-9, "{found:?}");
        assert!(
            found.ci[0] <= 3.0 + 1e-9 && found.ci[1] >= 3.0 - 1e-9,
            "{found:?}"
        );
        assert_eq!(slope(&rounds[..4], 1), None, "too few");
        let flat = vec![vec![(1.0, 1.0), (1.0, 2.0)]; 9];
        assert_eq!(slope(&flat, 1), None, "nothing grows without x");
    }

    #[test]
    fn too_little_is_no_ratio() {
        assert_eq!(ratio(&[(1.0, 1.0); 4], 1), None);
        assert_eq!(
            ratio(&[(1.0, 0.0); 30], 1),
            None,
            "nothing is divided by nothing"
        );
    }

    /// Noise that a round's two slices share is not seen; noise of 10 % that they do not share leaves the true ratio
    /// within the interval nearly always: 95 of 100 by its definition, 85 for the few draws here.
    #[test]
    fn the_interval_holds_the_truth() {
        let mut random = fastrand::Rng::with_seed(11);
        let held = (0..100).filter(|seed| {
            let mut round = || {
                let shared = 1.0 + 4.0 * random.f64();
                let mut own = || 0.95 + 0.1 * random.f64();
                (shared * own() * 1.3, shared * own())
            };
            let pairs: Vec<_> = (0..30).map(|_| round()).collect();
            ratio(&pairs, *seed).unwrap().contains(1.3)
        });
        assert!(held.count() >= 85);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn an_interval_lies_around_its_median(pairs in prop::collection::vec((0.1..10.0_f64, 0.1..10.0_f64), 5..40)) {
            let found = ratio(&pairs, 3).unwrap();
            prop_assert!(found.ci[0] <= found.ratio && found.ratio <= found.ci[1], "{found:?}");
        }
    }
}
