//! Habits that make a repository rot: unfinished code, tests that do not run, tests that wait instead of awaiting.
//!
//! Each is allowed with a comment `// reason: …` on its line or the one above.

use std::path::Path;

use super::rust::{self, Token};
use super::tree::{Finding, Tree};

/// A run of tokens, where it matters, and what is wrong with it.
struct Habit {
    tokens: &'static [&'static str],
    tests_only: bool,
    message: &'static str,
}

const HABITS: &[Habit] = &[
    Habit {
        tokens: &["todo", "!"],
        tests_only: false,
        message: "`todo!`: unfinished",
    },
    Habit {
        tokens: &["unimplemented", "!"],
        tests_only: false,
        message: "`unimplemented!`: unfinished",
    },
    Habit {
        tokens: &["#", "[", "ignore"],
        tests_only: false,
        message: "`#[ignore]`: a test that does not run",
    },
    Habit {
        tokens: &["thread", "::", "sleep"],
        tests_only: true,
        message: "`thread::sleep` in a test: await the condition instead",
    },
    Habit {
        tokens: &["time", "::", "sleep"],
        tests_only: true,
        message: "`time::sleep` in a test: await the condition instead",
    },
];

/// Bad habits without a reason.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .flat_map(|(path, text)| in_file(path, text))
        .collect()
}

fn in_file(path: &str, text: &str) -> Vec<Finding> {
    let tokens = rust::tokens(text);
    let lines: Vec<_> = text.lines().collect();
    let tests = if is_test_file(path) {
        vec![(0, usize::MAX)]
    } else {
        rust::test_modules(&tokens)
    };
    let in_tests = |line: usize| {
        tests
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&line))
    };
    let mut findings = Vec::new();
    for habit in HABITS {
        let lines_with =
            occurrences(&tokens, habit.tokens).filter(|line| !has_reason(&lines, *line));
        let lines_with = lines_with.filter(|line| !habit.tests_only || in_tests(*line));
        findings.extend(lines_with.map(|line| Finding::at(path, line, habit.message)));
    }
    findings
}

fn occurrences<'a>(tokens: &'a [Token], run: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    let windows = tokens.windows(run.len());
    windows
        .filter(|window| {
            window
                .iter()
                .map(|token| token.text.as_str())
                .eq(run.iter().copied())
        })
        .map(|it| it[0].line)
}

fn has_reason(lines: &[&str], line: usize) -> bool {
    let said = |number: usize| {
        lines
            .get(number)
            .is_some_and(|text| text.contains("// reason: "))
    };
    said(line - 1) || (line >= 2 && said(line - 2))
}

fn is_test_file(path: &str) -> bool {
    Path::new(path)
        .components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

#[cfg(test)]
mod tests {
    use super::in_file;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        in_file(path, text)
            .into_iter()
            .filter_map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn unfinished_code_is_found_everywhere() {
        assert_eq!(
            lines(
                "src/a.rs",
                "fn f() {\n    todo!()\n}\nfn g() { unimplemented!(\"x\") }"
            ),
            [2, 4]
        );
        assert!(lines("src/a.rs", "// todo!()\nlet todo = \"todo!()\";").is_empty());
    }

    #[test]
    fn ignored_tests_are_found() {
        assert_eq!(
            lines("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"),
            [2]
        );
    }

    #[test]
    fn sleeping_is_found_in_tests_only() {
        let source = "fn f() { std::thread::sleep(d) }\n#[cfg(test)]\nmod tests {\n    fn g() { thread::sleep(d) }\n}\n";
        assert_eq!(lines("src/a.rs", source), [4]);
        assert_eq!(lines("tests/a.rs", source), [1, 4]);
        assert_eq!(
            lines(
                "src/a/tests.rs",
                "async fn f() { tokio::time::sleep(d).await }"
            ),
            [1]
        );
    }

    #[test]
    fn a_reason_excuses() {
        assert!(
            lines(
                "tests/a.rs",
                "// reason: the lease has to expire\nthread::sleep(d);"
            )
            .is_empty()
        );
        assert!(
            lines(
                "tests/a.rs",
                "thread::sleep(d); // reason: the lease has to expire"
            )
            .is_empty()
        );
        assert_eq!(
            lines("tests/a.rs", "// reason: far away\n\nthread::sleep(d);"),
            [3]
        );
    }
}
