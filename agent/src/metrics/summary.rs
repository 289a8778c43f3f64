//! A Prometheus summary: the client library has the wire type and no recorder for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto;

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];
/// Values above are counted as this: 100 s in microseconds.
const CEILING: u64 = 100_000_000;

/// Quantiles of everything observed since the start, to three significant digits.
#[derive(Clone)]
pub(super) struct Summary {
    desc: Arc<Desc>,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    histogram: Histogram<u64>,
    sum: f64,
}

impl Summary {
    pub(super) fn new(name: &str, help: &str) -> prometheus::Result<Self> {
        let histogram = Histogram::new_with_max(CEILING, 3)
            .map_err(|error| prometheus::Error::Msg(format!("summary {name}: {error}")))?;
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self {
            desc: Arc::new(desc),
            seen: Arc::new(Mutex::new(Seen {
                histogram,
                sum: 0.0,
            })),
        })
    }

    pub(super) fn observe(&self, value: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded, and saturated by the cast"
        )]
        let whole = value.round() as u64;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.histogram.saturating_record(whole);
        seen.sum += value;
    }
}

impl Collector for Summary {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let quantiles = QUANTILES.map(|rank| {
            let mut quantile = proto::Quantile::default();
            quantile.set_quantile(rank);
            #[expect(clippy::cast_precision_loss, reason = "bounded by the ceiling")]
            quantile.set_value(seen.histogram.value_at_quantile(rank) as f64);
            quantile
        });
        let mut summary = proto::Summary::default();
        summary.set_sample_count(seen.histogram.len());
        summary.set_sample_sum(seen.sum);
        summary.set_quantile(quantiles.to_vec());
        let mut metric = proto::Metric::default();
        metric.set_summary(summary);
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::SUMMARY);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
