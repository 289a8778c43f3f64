//! What tests that run the program have in common.
#![allow(dead_code, reason = "each test uses its own part")]

use std::path::Path;
use std::process::{Command, Output};

/// The program.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sluice-bench"))
}

/// What came of a call with the words of a line.
pub(crate) fn bench(line: &str) -> Output {
    output(command().args(line.split(' ')))
}

/// What came of a command.
pub(crate) fn output(command: &mut Command) -> Output {
    command.output().expect("sluice-bench starts")
}

/// What it said beside its document.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the test cannot run here; says so.
pub(crate) fn skipped() -> bool {
    let agent = Path::new(env!("CARGO_BIN_EXE_sluice-bench")).with_file_name("sluice");
    let lacks = if !rustix::process::geteuid().is_root() {
        "network namespaces need root".to_owned()
    } else if !agent.is_file() {
        let agent = agent.display();
        format!("no agent at {agent} (cargo build -p sluice)")
    } else {
        return false;
    };
    println!("skipped: {lacks}");
    true
}

/// A call of `line` came to this exit code, and said this.
pub(crate) fn assert_said(line: &str, output: &Output, (code, expected): (i32, &str)) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{line}: {said}");
    assert!(said.contains(expected), "{line}: {said}");
}
