//! Reading what a test binary prints (libtest's human format, run with `--show-output`).
//!
//! Three things are taken from it: the result line, the names of failed tests with what they printed, and which of the
//! passed tests said that they were skipped. All else is only shown.

use super::tally::{Failure, Tally};

/// What has been read so far of one test binary, or of all doc tests.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    label: String,
    tally: Tally,
    results: usize,
    /// Inside of the output of passed tests, which is shown by `--show-output` only for our sake.
    in_successes: bool,
    /// Whose captured output we are in, until it has said that it was skipped.
    test: Option<String>,
    /// Inside of the captured output of which failure.
    failure: Option<usize>,
    /// Tests that have said to take long, and are under way.
    slow: Vec<String>,
}

/// The line that a test prints when it cannot run.
const SKIPPED: &str = "skipped: ";

impl Transcript {
    /// `label` says whose output it is, in what is shown and counted.
    pub(super) fn new(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            ..Self::default()
        }
    }

    /// Takes the next line; returns what to show of it.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        if let Some(counts) = counts(line) {
            self.count(counts);
            self.in_successes = false;
            self.failure = None;
            return Some(line.to_owned());
        }
        match line {
            "successes:" => self.in_successes = true,
            // Printed twice: above what the failed tests printed, and above their names.
            "failures:" => (self.in_successes, self.failure) = (false, None),
            _ => {}
        }
        if self.in_successes {
            return self.success(line);
        }
        if let Some(about) = line.strip_prefix("test ") {
            self.progress(about);
        }
        self.failed(line);
        Some(line.to_owned())
    }

    /// A test's name and what is said of it.
    fn progress(&mut self, about: &str) {
        if let Some((name, _seconds)) = about.split_once(" has been running for over ") {
            self.slow.push(name.to_owned());
        } else if let Some((name, outcome)) = about.split_once(" ... ") {
            self.slow.retain(|slow| slow != name);
            if outcome == "FAILED" {
                self.name(name);
            }
        }
    }

    /// The tests that are under way for more than a minute, as far as they are known.
    pub(super) fn slow(&self) -> &[String] {
        &self.slow
    }

    /// Notes a failure by its name.
    fn name(&mut self, name: &str) {
        let what = format!("{}: {name}", self.label);
        self.tally.failures.push(Failure::of(what));
    }

    /// A line that may be of what a failed test printed.
    fn failed(&mut self, line: &str) {
        if let Some(name) = owner(line) {
            let what = format!("{}: {name}", self.label);
            let mut failures = self.tally.failures.iter();
            self.failure = failures.position(|failure| failure.what == what);
        } else if let Some(failure) = self.failure
            && !line.is_empty()
        {
            self.tally.failures[failure].output.push(line.to_owned());
        }
    }

    /// The counts, `success` being the exit status. A binary that broke off is a failure, whatever it printed.
    pub(super) fn finish(mut self, success: bool) -> Tally {
        if self.results == 0 {
            self.fail("ended without a result");
        } else if !success && self.tally.failed == 0 {
            self.fail("exited with a failure that no test reported");
        }
        self.tally.skipped += self.tally.skips.len();
        self.tally.passed = self.tally.passed.saturating_sub(self.tally.skips.len());
        self.tally
    }

    /// Counts a failure that no test stands for.
    pub(super) fn fail(&mut self, how: &str) {
        self.tally.failed += 1;
        self.name(how);
    }

    /// A line of what passed tests printed: shown only where it says that the test was skipped.
    fn success(&mut self, line: &str) -> Option<String> {
        if let Some(name) = owner(line) {
            self.test = Some(name.to_owned());
            return None;
        }
        let reason = line.strip_prefix(SKIPPED)?;
        let skip = format!("{}: {}: {reason}", self.label, self.test.take()?);
        self.tally.skips.push(skip.clone());
        Some(format!("{SKIPPED}{skip}"))
    }

    fn count(&mut self, [passed, failed, ignored]: [usize; 3]) {
        self.results += 1;
        self.tally.passed += passed;
        self.tally.failed += failed;
        self.tally.skipped += ignored;
    }
}

/// The test whose captured output begins here.
fn owner(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// Passed, failed and ignored of a result line; what a child process printed before it on the same line is skipped.
fn counts(line: &str) -> Option<[usize; 3]> {
    let start = line.find("test result: ")?;
    let (_verdict, counts) = line[start..].split_once(". ")?;
    let mut parts = counts.split("; ");
    let mut number = |word: &str| parts.next()?.strip_suffix(word)?.trim_end().parse().ok();
    Some([number("passed")?, number("failed")?, number("ignored")?])
}

#[cfg(test)]
mod tests {
    use super::{Tally, Transcript, counts};

    fn read(text: &str, success: bool) -> (Tally, String) {
        let mut transcript = Transcript::new("p");
        let shown: Vec<_> = text
            .lines()
            .filter_map(|line| transcript.line(line))
            .collect();
        (transcript.finish(success), shown.join("\n"))
    }

    const RESULT: &str = "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";

    #[test]
    fn result_lines_are_counted() {
        assert_eq!(counts(RESULT), Some([2, 0, 1]));
        assert_eq!(
            counts("test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured"),
            Some([1, 3, 0])
        );
        assert_eq!(
            counts(&format!("a child's prompt> {RESULT}")),
            Some([2, 0, 1])
        );
        assert_eq!(counts("test result: nonsense"), None);
        assert_eq!(counts("test result::tests::it ... ok"), None);
    }

    #[test]
    fn a_skipped_test_is_not_a_passed_one() {
        let text = format!(
            "running 3 tests\ntest a ... ok\ntest b ... ok\ntest c ... ignored\n\nsuccesses:\n\n---- a stdout ----\n\
             chatter\nskipped: no bpffs\nskipped: said twice\n\n\nsuccesses:\n    a\n    b\n\n{RESULT}"
        );
        let (tally, shown) = read(&text, true);
        assert_eq!(
            tally.to_string(),
            "1 passed, 0 failed, 2 skipped",
            "one that says so, one ignored"
        );
        assert_eq!(tally.skips, ["p: a: no bpffs"]);
        assert!(
            shown.contains("test a ... ok\ntest b ... ok")
                && shown.contains("skipped: p: a: no bpffs"),
            "{shown}"
        );
        assert!(
            !shown.contains("chatter") && !shown.contains("successes"),
            "{shown}"
        );
    }

    /// A test without an API server says so past the capture as well, whatever is being printed then.
    #[test]
    fn a_test_that_says_beside_its_output_that_it_is_not_run_is_skipped_once() {
        let result = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured";
        let why = "etcd: not built yet; run cargo xtask cluster build";
        let text = format!(
            "running 1 test\ntest events::a ... not run: events::a: {why}\nok\n\nsuccesses:\n\n\
             ---- events::a stdout ----\nskipped: {why}\n\n\nsuccesses:\n    events::a\n\n{result}"
        );
        let (tally, _) = read(&text, true);
        assert_eq!(tally.to_string(), "0 passed, 0 failed, 1 skipped");
        assert_eq!(tally.skips, [format!("p: events::a: {why}")]);
    }

    #[test]
    fn a_failed_test_that_prints_skipped_stays_failed() {
        let text = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nskipped: not really\n\nfailures:\n    a\n\n\
                    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        let (tally, shown) = read(text, false);
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 0 skipped");
        let [failure] = &tally.failures[..] else {
            panic!("{tally:?}");
        };
        assert_eq!(failure.to_string(), "failed: p: a\n  skipped: not really");
        assert!(
            shown.contains("skipped: not really"),
            "a failed test's output is shown as it is: {shown}"
        );
    }

    #[test]
    fn a_binary_that_breaks_off_has_failed() {
        let (tally, _) = read("running 2 tests\ntest a ... ok", false);
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 0 skipped");
        let (tally, _) = read(RESULT, false);
        assert_eq!(
            tally.to_string(),
            "2 passed, 1 failed, 1 skipped",
            "all passed, then it crashed"
        );
        assert_eq!(read("", true).0.failed, 1, "no test harness at all");
    }

    #[test]
    fn doc_tests_of_several_crates_are_summed() {
        let (tally, _) = read(&format!("{RESULT}\n{RESULT}"), true);
        assert_eq!(tally.to_string(), "4 passed, 0 failed, 2 skipped");
    }
}
