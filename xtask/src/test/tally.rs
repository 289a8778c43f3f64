//! Counting: what passed, failed and was skipped, with the names behind the numbers.

use std::fmt;

/// The outcome of tests. Adding up loses no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Tests that ran and held.
    pub passed: usize,
    /// Tests that did not hold, and binaries that broke off.
    pub failed: usize,
    /// Tests that could not run here.
    pub skipped: usize,
    /// What failed, for the end of a long log.
    pub failures: Vec<Failure>,
    /// What was skipped and why.
    pub skips: Vec<String>,
}

/// A test that did not hold, or a thing that broke off as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whose it is, and which.
    pub what: String,
    /// What it printed, a line each, of which the last [`Failure::SHOWN`] are repeated.
    pub output: Vec<String>,
}

impl Failure {
    /// Lines of its output that are repeated at the end: a panic with a table of reachability fits.
    const SHOWN: usize = 40;

    /// One without output.
    pub(super) fn of(what: String) -> Self {
        let output = Vec::new();
        Self { what, output }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed: {}", self.what)?;
        let cut = self.output.len().saturating_sub(Self::SHOWN);
        if cut > 0 {
            write!(f, "\n  ({cut} lines before)")?;
        }
        self.output[cut..]
            .iter()
            .try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Tally {
    /// One thing that held.
    pub(super) fn pass() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    /// One thing that could not be run.
    pub(super) fn skip(what: &str, reason: &str) -> Self {
        Self {
            skipped: 1,
            skips: vec![format!("{what}: {reason}")],
            ..Self::default()
        }
    }

    /// One thing that failed as a whole, such as a compilation.
    pub(super) fn fail(what: &str, reason: &str) -> Self {
        Self {
            failed: 1,
            failures: vec![Failure::of(format!("{what}: {reason}"))],
            ..Self::default()
        }
    }

    /// Adds another one.
    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend_from_slice(&other.failures);
        self.skips.extend_from_slice(&other.skips);
    }

    /// Names what did not pass, on stderr: what failed last, with what it printed, since hours may lie between.
    pub(super) fn explain(&self) {
        for skip in &self.skips {
            eprintln!("skipped: {skip}");
        }
        for failure in &self.failures {
            eprintln!("{failure}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Tally};

    #[test]
    fn sums_keep_numbers_and_names() {
        let mut sum = Tally {
            passed: 2,
            ..Tally::default()
        };
        sum.add(&Tally::fail("unit", "does not compile"));
        sum.add(&Tally::skip("lab", "needs root"));
        assert_eq!(sum.to_string(), "2 passed, 1 failed, 1 skipped");
        assert_eq!(
            sum.failures,
            [Failure::of("unit: does not compile".to_owned())]
        );
        assert_eq!(sum.skips, ["lab: needs root"]);
    }

    #[test]
    fn a_failure_ends_with_the_last_of_what_it_printed() {
        let mut failure = Failure::of("p: a".to_owned());
        assert_eq!(failure.to_string(), "failed: p: a");
        failure.output = (0..Failure::SHOWN).map(|line| line.to_string()).collect();
        assert!(failure.to_string().starts_with("failed: p: a\n  0\n  1\n"));
        failure.output.push("the end".to_owned());
        let shown = failure.to_string();
        assert!(
            shown.starts_with("failed: p: a\n  (1 lines before)\n  1\n"),
            "{shown}"
        );
        assert!(shown.ends_with("\n  the end"), "{shown}");
    }
}
