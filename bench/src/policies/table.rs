//! A report for people, in the layout of the table that made the comparison known, which comes first.

use std::fmt::Write as _;

use super::{Report, SIZES, Table};
use crate::stats::Slope;

/// The comparison that made the subject known ("High performance network policies in Kubernetes clusters", Kubernetes blog,
/// 2016, of Romana): policies, and the mean of 2,000 fetches of each of [`SIZES`] in milliseconds, on its own hardware.
pub const KNOWN: [(usize, [f64; 5]); 5] = [
    (0, [0.732, 0.738, 1.077, 2.532, 10.487]),
    (10, [0.744, 0.742, 1.084, 2.570, 10.556]),
    (50, [0.745, 0.755, 1.086, 2.580, 10.566]),
    (100, [0.762, 0.770, 1.104, 2.640, 10.597]),
    (200, [0.783, 0.783, 1.147, 2.652, 10.677]),
];
/// What they are called in tables and plots.
pub const KNOWN_AS: &str = "Romana 2016, its hardware";

impl Report {
    /// For people: a table in the layout of the one that made this comparison known, for each mode.
    pub fn table(&self) -> String {
        let mut text = format!(
            "The mean of {} fetches in milliseconds, each on a connection of its own, by size and number of policies\n",
            self.fetches
        );
        head(KNOWN_AS, &mut text);
        for (policies, means) in KNOWN {
            row(policies, means.map(Some), &mut text);
        }
        for (mode, table) in &self.modes {
            table.write(&mode.name(), &mut text);
        }
        if self.void_slices > 0 {
            let (void, all) = (self.void_slices, self.slices);
            let _infallible = writeln!(text, "\n{void} of {all} slices do not count:");
        }
        for (reason, slices) in &self.void_reasons {
            let _infallible = writeln!(text, "  {slices:>5}  {reason}");
        }
        if self.is_judged() {
            let met = match self.flat {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "untold",
            };
            let _infallible = writeln!(
                text,
                "\n{met}: under hybrid the most policies add at most 2 % to the median fetch of {}, and more add no more",
                SIZES[0].0
            );
        }
        text
    }
}

/// The head of a table in the layout of [`KNOWN`]'s.
fn head(of: &str, text: &mut String) {
    let _infallible = write!(text, "\n{of}\n|Policies |");
    for (size, _) in SIZES {
        let _infallible = write!(text, "{size} |");
    }
    text.push_str("\n|---|---|---|---|---|---|\n");
}

fn row(policies: usize, means: [Option<f64>; 5], text: &mut String) {
    let _infallible = write!(text, "|{policies} |");
    for mean in means {
        let mean = mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}"));
        let _infallible = write!(text, "{mean} |");
    }
    text.push('\n');
}

impl Table {
    fn write(&self, mode: &str, text: &mut String) {
        head(mode, text);
        for (policies, means) in &self.mean_ms {
            let means = SIZES.map(|(size, _)| means.get(size).copied());
            row(*policies, means, text);
        }
        for (policies, ratios) in &self.against_fewest {
            let _infallible = write!(text, "{policies} policies against the fewest:");
            for (size, ratio) in SIZES
                .iter()
                .filter_map(|(size, _)| ratios.get_key_value(size))
            {
                let [low, high] = ratio.ci;
                let _infallible = write!(text, "  {size} {:.3} [{low:.3}, {high:.3}]", ratio.ratio);
            }
            text.push('\n');
        }
        if let Some(Slope {
            slope,
            ci: [low, high],
        }) = self.slope_us
        {
            let _infallible = writeln!(
                text,
                "a thousand policies add {slope:.2} µs [{low:.2}, {high:.2}] to the median fetch of {}",
                SIZES[0].0
            );
        }
    }
}
