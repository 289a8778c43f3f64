//! What the tests of `compare` have in common.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// What came of a call.
pub(crate) fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-bench"));
    command
        .args(arguments)
        .output()
        .expect("sluice-bench starts")
}

/// Whether the test cannot run here; says so.
pub(crate) fn skipped() -> bool {
    let agent = Path::new(env!("CARGO_BIN_EXE_sluice-bench")).with_file_name("sluice");
    let lacks = if !rustix::process::geteuid().is_root() {
        Some("network namespaces need root".to_owned())
    } else if !agent.is_file() {
        Some(format!(
            "no agent at {} (cargo build -p sluice)",
            agent.display()
        ))
    } else {
        None
    };
    lacks
        .inspect(|lacks| println!("skipped: {lacks}"))
        .is_some()
}

/// The document of a short run.
pub(crate) fn compare(arguments: &str) -> Value {
    let line = format!("compare --noisy --rounds 5 --slice 40 {arguments} -o json");
    let output = bench(&line.split(' ').collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stderr);
    // What the machine does besides is not the test's to judge, and so no target is.
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

/// Of each workload and mode most slices went the way of the mode: a few may have lost a packet.
pub(crate) fn assert_proven(report: &Value, slices: usize) {
    let rows = report["rows"].as_array().expect("rows");
    let mut proven: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in rows {
        let of = [&row["workload"], &row["mode"]].map(|it| it.as_str().expect("a name"));
        *proven.entry(of.into()).or_default() += usize::from(row["void"].is_null());
    }
    let void = &report["void_reasons"];
    assert_eq!(proven.len() * 5, slices, "{proven:?}");
    assert_eq!(rows.len(), slices);
    for (of, proven) in proven {
        assert!(proven >= 3, "{of:?}: {proven} of 5 count; {void:#}");
    }
}
