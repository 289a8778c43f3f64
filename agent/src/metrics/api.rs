//! The Kubernetes API as the source: since when it is silent, and how new each kind is.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, GaugeVec, IntCounterVec, Opts};
use sluice_api::Report;

use super::catalogue::Catalogue;
use super::replace;

/// What is asked for to know which admin kinds are served, in place of a resource.
const DISCOVERY: &str = "apis";

/// Handles; without the API as source they stay at nothing.
pub(crate) struct ApiMetrics {
    disconnected: Gauge,
    objects: GaugeVec,
    synced: GaugeVec,
    heard: GaugeVec,
    forbidden: GaugeVec,
    refused: IntCounterVec,
}

impl ApiMetrics {
    pub(super) fn new(catalogue: &mut Catalogue) -> prometheus::Result<Self> {
        let disconnected = catalogue.add(disconnected())?;
        let refused = catalogue.add(refused())?;
        let mut by_resource = |name: &str, help: &str| {
            catalogue.add(GaugeVec::new(Opts::new(name, help), &["resource"]))
        };
        Ok(Self {
            disconnected,
            refused,
            objects: by_resource("sluice_api_objects", "Objects known, by resource")?,
            synced: by_resource(
                "sluice_api_synced",
                "1 once all objects of the resource were read",
            )?,
            heard: by_resource(
                "sluice_api_heard_timestamp_seconds",
                "Unix time when the API last said anything of the resource (seconds)",
            )?,
            forbidden: by_resource(
                "sluice_api_forbidden",
                "1 while RBAC does not let the agent read the resource",
            )?,
        })
    }

    /// Takes over how the source stands.
    pub(crate) fn refresh(&self, report: &Report) {
        let silent = report.disconnected.and_then(|since| since.elapsed().ok());
        self.disconnected
            .set(silent.unwrap_or_default().as_secs_f64());
        self.forbidden
            .with_label_values(&[DISCOVERY])
            .set(one_if(report.discovery_forbidden));
        for it in &report.refused {
            let labels = [it.resource, &it.code.to_string()];
            replace(&self.refused.with_label_values(&labels), it.count);
        }
        for it in &report.kinds {
            let resource = [it.kind.resource()];
            if !it.served {
                for gauges in [&self.objects, &self.synced, &self.heard, &self.forbidden] {
                    // It is not there where the resource was never served.
                    let _removed = gauges.remove_label_values(&resource);
                }
                continue;
            }
            let number = u32::try_from(it.objects).unwrap_or(u32::MAX);
            self.objects.with_label_values(&resource).set(number.into());
            let synced = self.synced.with_label_values(&resource);
            synced.set(one_if(it.synced));
            let forbidden = self.forbidden.with_label_values(&resource);
            forbidden.set(one_if(it.forbidden));
            self.heard
                .with_label_values(&resource)
                .set(it.heard.map_or(0.0, unix_seconds));
        }
    }
}

fn one_if(so: bool) -> f64 {
    f64::from(u8::from(so))
}

fn disconnected() -> prometheus::Result<Gauge> {
    let help =
        "How long the Kubernetes API has not answered as it should (seconds); 0 while it does";
    Gauge::new("sluice_api_disconnected_seconds", help)
}

fn refused() -> prometheus::Result<IntCounterVec> {
    let help = "Lists, watches and questions what is served that the Kubernetes API refused with an error of its own \
                (429, 500 and up), by resource and code";
    IntCounterVec::new(
        Opts::new("sluice_api_refused_total", help),
        &["resource", "code"],
    )
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
