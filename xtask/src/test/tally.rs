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
    pub failures: Vec<String>,
    /// What was skipped and why.
    pub skips: Vec<String>,
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
            failures: vec![format!("{what}: {reason}")],
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

    /// Names what did not pass, on stderr.
    pub(super) fn explain(&self) {
        for skip in &self.skips {
            eprintln!("skipped: {skip}");
        }
        for failure in &self.failures {
            eprintln!("failed: {failure}");
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
    use super::Tally;

    #[test]
    fn sums_keep_numbers_and_names() {
        let mut sum = Tally {
            passed: 2,
            ..Tally::default()
        };
        sum.add(&Tally::fail("unit", "does not compile"));
        sum.add(&Tally::skip("lab", "needs root"));
        assert_eq!(sum.to_string(), "2 passed, 1 failed, 1 skipped");
        assert_eq!(sum.failures, ["unit: does not compile"]);
        assert_eq!(sum.skips, ["lab: needs root"]);
    }
}
