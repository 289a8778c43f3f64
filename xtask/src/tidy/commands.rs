//! Commands that the documents show: each has to be one that our own command lines take.
//!
//! `cargo xtask` lines are parsed by its real parser. Of our other binaries the subcommand is checked, against the
//! `Subcommand` enums in their sources. A word in capitals, in brackets or with an ellipsis is a placeholder.

use std::path::Path;

use clap::CommandFactory as _;

use super::markdown;
use super::rust::{self, Token};
use super::tree::{Finding, Tree, is_below};
use crate::cli::Cli;

/// Our binaries, and where their command lines are written.
const BINARIES: [(&str, &str); 3] = [
    ("sluice", "agent/src"),
    ("sluice-cluster", "conformance/cluster/src"),
    ("sluice-lab", "conformance/lab/src"),
];

/// What continuous integration runs.
const CI: &str = ".ci/run";

const README: &str = "README.md";

/// Commands that do not exist, and a CI script that runs something else than what the README says.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let known: Vec<_> = BINARIES
        .iter()
        .map(|(name, sources)| (*name, subcommands(tree, sources)))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in tree
        .files()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|it| it == "md"))
    {
        for code in markdown::code(text) {
            let wrong = commands(code.text)
                .iter()
                .filter_map(|words| error(words, &known))
                .collect::<Vec<_>>();
            findings.extend(
                wrong
                    .into_iter()
                    .map(|message| Finding::at(path, code.line, message)),
            );
        }
    }
    findings.extend(ci(tree));
    findings
}

/// The single commands of a line of shell: prompt, `sudo`, environment and comment taken off.
fn commands(line: &str) -> Vec<Vec<&str>> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    let line = line
        .strip_prefix("$ ")
        .or_else(|| line.strip_prefix("# "))
        .unwrap_or(line);
    let parts = line
        .split("&&")
        .flat_map(|part| part.split(['|', ';', '>']));
    parts
        .map(|part| {
            let words = part.split_whitespace();
            let prefix =
                |word: &&str| matches!(*word, "sudo" | "-E" | "env" | "exec") || word.contains('=');
            words.skip_while(prefix).collect()
        })
        .collect()
}

/// Why this is no command of ours; none where it is one, or none of ours at all.
fn error(words: &[&str], known: &[(&str, Vec<String>)]) -> Option<String> {
    let first = *words.first()?;
    if let ["cargo", "xtask", rest @ ..] = words {
        return if rest.iter().any(|word| is_placeholder(word)) {
            None
        } else {
            xtask_error(rest)
        };
    }
    let (name, subcommands) = known
        .iter()
        .find(|(name, _)| first == *name || first.ends_with(&format!("/{name}")))?;
    let subcommand = words
        .get(1)
        .filter(|word| !word.starts_with('-') && !is_placeholder(word))?;
    let exists = subcommands.iter().any(|known| known == subcommand);
    (!exists).then(|| {
        format!(
            "`{name} {subcommand}`: there is no such command; there are {}",
            subcommands.join(", ")
        )
    })
}

fn xtask_error(words: &[&str]) -> Option<String> {
    if words.is_empty() {
        return None;
    }
    let error = Cli::command()
        .try_get_matches_from([&["cargo xtask"], words].concat())
        .err()?;
    let wrong = error.exit_code() != 0;
    let text = error.to_string();
    let reason = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    wrong.then(|| format!("`cargo xtask {}`: {reason}", words.join(" ")))
}

fn is_placeholder(word: &str) -> bool {
    let capitals = word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    capitals || word.starts_with(['[', '<', '(']) || word.contains('…') || word.contains("...")
}

/// The names in the enums below `sources` that derive `Subcommand`.
fn subcommands(tree: &Tree, sources: &str) -> Vec<String> {
    let files = tree.rust().filter(|(path, _)| is_below(path, sources));
    files
        .flat_map(|(_, text)| variants(&rust::tokens(text)))
        .collect()
}

fn variants(tokens: &[Token]) -> Vec<String> {
    let enums = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.text == "enum")
        .map(|(at, _)| at);
    let enums = enums.filter(|at| {
        let item = tokens[..*at]
            .iter()
            .rev()
            .take_while(|token| !matches!(token.text.as_str(), "}" | ";"));
        item.into_iter().any(|token| token.text == "Subcommand")
            && tokens.get(at + 2).is_some_and(|it| it.text == "{")
    });
    enums.flat_map(|at| variants_of(tokens, at + 2)).collect()
}

/// The variants between the braces at `open`, as they are typed.
fn variants_of(tokens: &[Token], open: usize) -> Vec<String> {
    let end = rust::closing(tokens, open);
    let mut found = Vec::new();
    let mut at = open + 1;
    while at < end {
        match tokens[at].text.as_str() {
            "{" | "(" | "[" => at = rust::closing(tokens, at),
            "#" | "," => {}
            name => found.push(kebab(name)),
        }
        at += 1;
    }
    found
}

fn kebab(name: &str) -> String {
    let mut word = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.extend(c.to_lowercase());
    }
    word
}

/// CI runs what the README tells people to run.
fn ci(tree: &Tree) -> Option<Finding> {
    let Some(script) = tree.get(CI) else {
        return Some(Finding::in_file(CI, "missing"));
    };
    let Some(readme) = tree.get(README) else {
        return Some(Finding::in_file(README, "missing"));
    };
    let shown: Vec<_> = markdown::code(readme)
        .iter()
        .flat_map(|code| commands(code.text))
        .map(|it| it.join(" "))
        .collect();
    let run = script
        .lines()
        .flat_map(commands)
        .filter(|words| words.starts_with(&["cargo"]))
        .map(|it| it.join(" "));
    let run: Vec<_> = run
        .map(|command| command.trim_end_matches('<').trim().to_owned())
        .collect();
    match run.iter().find(|command| !shown.contains(command)) {
        _ if run.is_empty() => Some(Finding::in_file(CI, "runs no cargo command")),
        Some(command) => Some(Finding::in_file(
            CI,
            format!("runs `{command}`, which README.md does not show"),
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{check, commands};

    const AGENT: (&str, &str) = (
        "agent/src/cli.rs",
        "#[derive(Debug, Subcommand)]\nenum Command {\n/// Runs.\n#[command(visible_alias = \"x\")]\nAgent(Box<Args>), \
         Matrix { port: u16 }, CleanUp,\n}\nenum Other { Not }",
    );

    fn found(readme: &str) -> Vec<String> {
        let readme = format!("{readme}\n```\ncargo xtask test\n```\n");
        let files = [
            AGENT,
            ("README.md", readme.as_str()),
            (".ci/run", "#!/bin/sh\ncargo xtask test\n"),
        ];
        check(&Tree::of(&files))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn commands_are_taken_out_of_shell() {
        assert_eq!(
            commands("$ sudo A=b cargo xtask demo # shows"),
            [["cargo", "xtask", "demo"]]
        );
        assert_eq!(
            commands("a b && c d | e f"),
            [["a", "b"], ["c", "d"], ["e", "f"]]
        );
    }

    #[test]
    fn verbs_flags_and_values_have_to_exist() {
        let good = "`cargo xtask demo --family 6 -o json`, `cargo xtask VERB`, `cargo xtask build-ebpf [--release]`, \
                    `cargo xtask --help`, `cargo xtask demo --manifests DIR`";
        assert_eq!(found(good), Vec::<String>::new());
        assert!(found("`cargo xtask tset`")[0].starts_with("README.md:1: `cargo xtask tset`: "));
        for bad in [
            "cargo xtask demo --fast",
            "cargo xtask test nowhere",
            "cargo xtask demo --family 5",
        ] {
            assert_eq!(found(&format!("```sh\n$ {bad}\n```")).len(), 1, "{bad}");
        }
    }

    #[test]
    fn subcommands_of_the_agent_have_to_exist() {
        let good = "`sluice agent --mode nfqueue`, `sluice clean-up`, `target/debug/sluice matrix`, `sluice --version`, \
                    `sluice SUB`, `sluice`, `inet sluice`";
        assert_eq!(found(good), Vec::<String>::new());
        let bad = found("`sluice not`");
        assert_eq!(
            bad,
            [
                "README.md:1: `sluice not`: there is no such command; there are agent, matrix, clean-up"
            ]
        );
    }

    #[test]
    fn ci_runs_what_the_readme_shows() {
        let files = [
            AGENT,
            ("README.md", "`cargo xtask test`"),
            (".ci/run", "exec cargo test --workspace\n"),
        ];
        let findings = check(&Tree::of(&files));
        assert_eq!(
            findings[0].to_string(),
            ".ci/run: runs `cargo test --workspace`, which README.md does not show"
        );
        assert_eq!(check(&Tree::of(&[(".ci/run", "")])).len(), 1, "no README");
        assert_eq!(
            check(&Tree::of(&[("README.md", ""), (".ci/run", "true")])).len(),
            1,
            "runs nothing"
        );
    }
}
