//! The document that `fortio load -json -` prints. Times are in seconds.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    ERRORS, Figure, LATENCY_MEAN, LATENCY_P50, LATENCY_P90, LATENCY_P99, LATENCY_STDDEV,
    TRANSACTIONS, Unreadable, figures,
};

const TOOL: &str = "fortio";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(rename = "ActualQPS")]
    actual_qps: f64,
    duration_histogram: Histogram,
    #[serde(default)]
    ret_codes: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Histogram {
    avg: f64,
    std_dev: f64,
    #[serde(default)]
    percentiles: Vec<Percentile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Percentile {
    percentile: f64,
    value: f64,
}

/// `fine` is the code of an answer as it should be.
pub(super) fn read(output: &str, fine: &str) -> Result<Vec<Figure>, Unreadable> {
    // It may tell something before it.
    let start = output.find('{').unwrap_or(0);
    let document: Option<Document> = serde_json::from_str(&output[start..]).ok();
    let document = document.ok_or(Unreadable::Lacks("JSON document", TOOL))?;
    let histogram = &document.duration_histogram;
    let at = |wanted: f64, name| {
        let mut all = histogram.percentiles.iter();
        let found = all.find(|it| (it.percentile - wanted).abs() < f64::EPSILON);
        found
            .map(|it| it.value)
            .ok_or(Unreadable::Lacks(name, TOOL))
    };
    let codes = document.ret_codes.iter();
    let mut errors = codes.filter(|(code, _)| *code != fine);
    if !document.ret_codes.contains_key(fine) {
        // It exits with 0 all the same.
        let why = errors.next().map_or("no answer", |(code, _)| code);
        return Err(Unreadable::Told(TOOL, why.to_owned()));
    }
    let errors = errors.fold(0.0, |sum, (_, count)| sum + count);
    Ok(figures([
        (TRANSACTIONS, document.actual_qps),
        (ERRORS, errors),
        (LATENCY_MEAN, histogram.avg),
        (LATENCY_STDDEV, histogram.std_dev),
        (LATENCY_P50, at(50.0, "median")?),
        (LATENCY_P90, at(90.0, "90th percentile")?),
        (LATENCY_P99, at(99.0, "99th percentile")?),
    ]))
}
