//! Where a value has its place, and which values are written beside an axis. Pure.

/// From values to places.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// What it counts, with its unit.
    pub(super) title: String,
    scale: Scale,
    /// The values at either end.
    ends: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Linear,
    Log,
    /// Zero has a place of its own, half a decade below the least value above it.
    LogWithZero,
}

/// How many values are written at most, more or less.
const TICKS: f64 = 6.0;
/// From zero to the least value above it, on an axis that has both.
const GAP: f64 = 0.5;

impl Axis {
    /// From 0 to the largest of `values`.
    pub(super) fn linear(title: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let most = values.into_iter().fold(0.0, f64::max);
        Self::new(title, Scale::Linear, (0.0, most.max(1e-9) * 1.05))
    }

    /// Around all of `values`, which are above 0; others are left out.
    pub(super) fn log(title: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (least, most) = extent(values);
        Self::new(title, Scale::Log, (least * 0.92, most * 1.08))
    }

    /// The same, and 0.
    pub(super) fn log_with_zero(title: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (least, most) = extent(values);
        Self::new(title, Scale::LogWithZero, (least, most * 1.3))
    }

    fn new(title: &str, scale: Scale, ends: (f64, f64)) -> Self {
        Self {
            title: title.to_owned(),
            scale,
            ends,
        }
    }

    /// Where a value lies between the ends, from 0 to 1; one beyond an end lies there.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (from, to) = (self.at(self.first()), self.at(self.ends.1));
        ((self.at(value) - from) / (to - from)).clamp(0.0, 1.0)
    }

    const fn first(&self) -> f64 {
        match self.scale {
            Scale::Linear | Scale::Log => self.ends.0,
            Scale::LogWithZero => 0.0,
        }
    }

    fn at(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::LogWithZero if value <= 0.0 => self.ends.0.log10() - GAP,
            Scale::Log | Scale::LogWithZero => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    /// The values that are written, as they are.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let (least, most) = self.ends;
        let mut values = match self.scale {
            Scale::Linear => round(least, most),
            Scale::Log | Scale::LogWithZero => of_decades(least, most),
        };
        if self.scale == Scale::LogWithZero {
            values.insert(0, 0.0);
        }
        values.into_iter().map(|it| (it, written(it))).collect()
    }
}

/// The least and the largest of those above 0.
fn extent(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let above = values.into_iter().filter(|it| *it > 0.0);
    let (least, most) = above.fold((f64::MAX, 0.0_f64), |(least, most), it| {
        (least.min(it), most.max(it))
    });
    if most > 0.0 {
        (least, most)
    } else {
        (1.0, 10.0)
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn round(least: f64, most: f64) -> Vec<f64> {
    let rough = (most - least) / TICKS;
    let power = 10.0_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|it| it * power);
    let step = steps
        .into_iter()
        .find(|it| *it >= rough)
        .unwrap_or(steps[3]);
    let first = (least / step).ceil();
    let all = (0..32).map(|number| (first + f64::from(number)) * step);
    all.take_while(|it| *it <= most).collect()
}

/// Powers of ten, with some times them where there are few; round numbers where there is none.
fn of_decades(least: f64, most: f64) -> Vec<f64> {
    let factors: &[f64] = match (most / least).log10() {
        decades if decades < 0.35 => return round(least, most),
        decades if decades < 1.3 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
        decades if decades < 3.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let first = least.log10().floor();
    let powers = (0..32).map(|number| 10.0_f64.powf(first + f64::from(number)));
    let all = powers.flat_map(|power| factors.iter().map(move |factor| factor * power));
    all.take_while(|it| *it <= most * 1.000_001)
        .filter(|it| *it >= least * 0.999_999)
        .collect()
}

/// Without more digits than it needs.
fn written(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1e6 {
        format!("{} M", shortest(value / 1e6))
    } else if magnitude >= 1e4 {
        format!("{} k", shortest(value / 1e3))
    } else {
        shortest(value)
    }
}

fn shortest(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn what_is_written_is_round() {
        for (axis, expected) in [
            (Axis::linear("", [95.0]), &["0", "20", "40", "60", "80"][..]),
            (
                Axis::linear("", [1.0]),
                &["0", "0.2", "0.4", "0.6", "0.8", "1"],
            ),
            (
                Axis::log("", [0.95, 1.3]),
                &["0.9", "1", "1.1", "1.2", "1.3", "1.4"],
            ),
            (Axis::log("", [20.0, 90.0]), &["20", "30", "40", "50", "70"]),
            (Axis::log("", [1.0, 40.0]), &["1", "2", "5", "10", "20"]),
            (
                Axis::log("", [1.0, 1e5]),
                &["1", "10", "100", "1000", "10 k", "100 k"],
            ),
            (
                Axis::log_with_zero("", [10.0, 1e4, 0.0]),
                &["0", "10", "100", "1000", "10 k"],
            ),
        ] {
            assert_eq!(texts(&axis), expected, "{axis:?}");
        }
    }

    #[test]
    fn values_have_their_places() {
        let linear = Axis::linear("", [100.0]);
        assert!((linear.place(52.5) - 0.5).abs() < 1e-9);
        assert!((linear.place(-1.0), linear.place(1e9)) == (0.0, 1.0));
        let zero = Axis::log_with_zero("", [10.0, 1000.0]);
        assert!(zero.place(0.0).abs() < 1e-9);
        assert!(zero.place(10.0) > 0.1 && zero.place(1000.0) > zero.place(100.0));
        assert!(
            Axis::log("", []).place(3.0) > 0.0,
            "of nothing is an axis too"
        );
    }
}
