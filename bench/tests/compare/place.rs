//! What the tests of `compare` have in common.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::{bench, said};

/// The document of a short run.
pub(crate) fn compare(arguments: &str) -> Value {
    let line = format!("compare --noisy --rounds 5 --slice 40 {arguments} -o json");
    let output = bench(&line);
    let said = said(&output);
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
