//! Reading back what `compare -o json` and `policies -o json` print.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// A document, by the command that printed it.
#[derive(Clone, Debug)]
pub enum Document {
    /// Of `compare`.
    Compare(Compare),
    /// Of `policies`.
    Policies(Policies),
}

/// What is used of a document of `compare`.
#[derive(Clone, Debug, Deserialize)]
pub struct Compare {
    pub(super) workloads: Vec<Workload>,
    pub(super) void_slices: usize,
    pub(super) slices: usize,
    pub(super) rounds: usize,
    pub(super) slice_ms: u64,
    pub(super) policies: usize,
    pub(super) seed: u64,
    pub(super) targets: Vec<Target>,
    pub(super) env: Env,
    pub(super) rows: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) modes: BTreeMap<String, BTreeMap<String, f64>>,
    pub(super) ratios: Vec<Ratio>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Ratio {
    pub(super) a: String,
    pub(super) b: String,
    pub(super) stat: String,
    #[serde(rename = "ratio")]
    pub(super) value: f64,
    pub(super) ci: [f64; 2],
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Target {
    pub(super) workload: String,
    pub(super) a: String,
    pub(super) b: String,
    pub(super) stat: String,
    pub(super) bound: BTreeMap<String, f64>,
    pub(super) worst: Option<f64>,
    pub(super) met: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Env {
    pub(super) kernel: String,
    pub(super) cpu: String,
    pub(super) processors: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) round: usize,
    pub(super) workload: String,
    pub(super) mode: String,
    pub(super) void: Option<String>,
    pub(super) figures: BTreeMap<String, f64>,
}

/// What is used of a document of `policies`.
#[derive(Clone, Debug, Deserialize)]
pub struct Policies {
    pub(super) modes: BTreeMap<String, Table>,
    pub(super) fetches: u64,
    pub(super) void_slices: usize,
    pub(super) slices: usize,
    pub(super) env: Env,
    pub(super) rows: Vec<PoliciesRow>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Table {
    pub(super) mean_ms: BTreeMap<usize, BTreeMap<String, f64>>,
    pub(super) slope_us: Option<Slope>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Slope {
    pub(super) slope: f64,
    pub(super) ci: [f64; 2],
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PoliciesRow {
    round: usize,
    mode: String,
    policies: usize,
    size: String,
    void: Option<String>,
    mean_ms: f64,
    p50_ms: f64,
}

/// Reads a document.
///
/// # Errors
/// What it lacks to be one, by field.
pub fn read(text: &str) -> Result<Document> {
    let value: Value = serde_json::from_str(text).context("no JSON document")?;
    if value.get("workloads").is_some() {
        let compare = Compare::deserialize(&value).context("of compare")?;
        Ok(Document::Compare(compare))
    } else if value.get("fetches").is_some() {
        let policies = Policies::deserialize(&value).context("of policies")?;
        Ok(Document::Policies(policies))
    } else {
        bail!("neither of compare (`workloads`) nor of policies (`fetches`)")
    }
}

/// A line for each slice.
pub(super) fn csv(document: &Document) -> String {
    match document {
        Document::Compare(compare) => of_slices(&compare.rows),
        Document::Policies(policies) => of_fetches(&policies.rows),
    }
}

fn of_slices(rows: &[Row]) -> String {
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.figures.keys()).collect();
    let mut text = "round,workload,mode,void".to_owned();
    for name in &names {
        let _infallible = write!(text, ",{name}");
    }
    text.push('\n');
    for row in rows {
        let void = quoted(row.void.as_deref());
        let _infallible = write!(text, "{},{},{},{void}", row.round, row.workload, row.mode);
        for name in &names {
            let value = row.figures.get(*name);
            let value = value.map_or_else(String::new, f64::to_string);
            let _infallible = write!(text, ",{value}");
        }
        text.push('\n');
    }
    text
}

fn of_fetches(rows: &[PoliciesRow]) -> String {
    let mut text = "round,mode,policies,size,void,mean_ms,p50_ms\n".to_owned();
    for row in rows {
        let _infallible = writeln!(
            text,
            "{},{},{},{},{},{},{}",
            row.round,
            row.mode,
            row.policies,
            row.size,
            quoted(row.void.as_deref()),
            row.mean_ms,
            row.p50_ms
        );
    }
    text
}

/// As RFC 4180 has it.
fn quoted(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| {
        format!("\"{}\"", text.replace('"', "\"\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_document_says_why() {
        for (text, said) in [
            ("{", "no JSON document"),
            ("{}", "neither of compare"),
            (r#"{"workloads": []}"#, "missing field `void_slices`"),
            (r#"{"fetches": "many"}"#, "of policies"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_reason_with_quotes_and_commas_stays_one_field() {
        assert_eq!(quoted(Some("so, \"slow\"")), "\"so, \"\"slow\"\"\"");
        assert_eq!(quoted(None), "");
    }
}
