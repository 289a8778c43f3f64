//! Running a program to its end, and what came of it as text or as an error that repeats what it said.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::wait;

/// Runs `command` with `input`; both of its outputs are kept.
pub(crate) fn run(command: &mut Command, input: Option<&str>) -> Result<Output> {
    let line = shown(command);
    command
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("running {line}"))?;
    // From a thread of its own: a long input and a long output must not wait for one another.
    let writer = child.stdin.take().zip(input.map(str::to_owned));
    let writer =
        writer.map(|(mut pipe, text)| thread::spawn(move || pipe.write_all(text.as_bytes())));
    let output = child
        .wait_with_output()
        .with_context(|| format!("running {line}"))?;
    // A program that does not read all of its input says by its exit code whether it minds.
    let _written = writer.is_none_or(|writer| writer.join().is_ok());
    wait::go_on()?;
    Ok(output)
}

/// What it printed.
///
/// # Errors
/// What it said where it failed.
pub(crate) fn text(command: &mut Command, input: Option<&str>) -> Result<String> {
    let output = run(command, input)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", shown(command), output.status, said.trim());
    }
    String::from_utf8(output.stdout).context("what it printed is no text")
}

/// What was asked for, without the way into the namespaces.
fn shown(command: &Command) -> String {
    let words: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect();
    let own = words.iter().position(|word| word.starts_with("LANG="));
    let program = command.get_program().to_string_lossy();
    match own {
        Some(at) => words[at + 1..].join(" "),
        None => format!("{program} {}", words.join(" ")),
    }
}
