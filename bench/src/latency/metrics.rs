//! The histograms of the clients: those of perf-tests by the letter, and beside each a precise one.

use std::time::Duration;

use jiff::SignedDuration;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, Registry, Result, TextEncoder,
};
use serde::Serialize;

use super::config::Test;

/// In seconds, of perf-tests' histograms.
const BUCKETS: [f64; 12] = [
    0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0,
];
/// The first bucket of the precise ones, in seconds; each is twice the one before.
const FIRST: f64 = 0.000_25;
/// How many there are: the last one is 8.192 s.
const PRECISE: usize = 16;

/// The registry and the handles of one client.
pub struct Metrics {
    registry: Registry,
    kind: Kind,
}

enum Kind {
    Pod {
        assigned: Pair,
        reached: Pair,
    },
    Policy {
        enforced: Pair,
        transitions: HistogramVec,
    },
}

/// The same question, asked in both ways.
struct Pair {
    compatible: Histogram,
    precise: Histogram,
}

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Took {
    /// From a timestamp of the API server, which has whole seconds.
    pub compatible: SignedDuration,
    /// From when this client had it from the API, where it had, by its monotonic clock.
    pub precise: Option<Duration>,
}

/// What the policy client does to its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// Makes it.
    Allow,
    /// Deletes it.
    Deny,
}

impl Transition {
    /// As its label and documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl Metrics {
    /// What the client of `test` registers.
    pub fn new(test: &Test) -> Result<Self> {
        let registry = Registry::new();
        let kind = match test {
            Test::PodCreation => Kind::Pod {
                assigned: Pair::new(&registry, &ASSIGNED)?,
                reached: Pair::new(&registry, &REACHED)?,
            },
            Test::PolicyCreation { .. } => Kind::Policy {
                enforced: Pair::new(&registry, &ENFORCED)?,
                transitions: transitions(&registry)?,
            },
        };
        Ok(Self { registry, kind })
    }

    /// A pod has its address; for the pod client alone.
    pub fn assigned(&self, took: Took) {
        if let Kind::Pod { assigned, .. } = &self.kind {
            assigned.observe(took);
        }
    }

    /// A target answered for the first time: since its address was known, or since the policy was made.
    pub fn reached(&self, took: Took) {
        match &self.kind {
            Kind::Pod { reached, .. } => reached.observe(took),
            Kind::Policy { enforced, .. } => enforced.observe(took),
        }
    }

    /// The policy was made or deleted by this client itself, and that is enforced; for the policy client alone.
    pub fn changed(&self, transition: Transition, took: Duration) {
        if let Kind::Policy { transitions, .. } = &self.kind {
            let of = transitions.with_label_values(&[transition.name()]);
            of.observe(took.as_secs_f64());
        }
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Name and help of perf-tests' histogram, and of the precise one.
struct Names {
    compatible: [&'static str; 2],
    precise: [&'static str; 2],
}

const ASSIGNED: Names = Names {
    compatible: [
        "pod_ip_address_assigned_latency_seconds",
        "Latency (in seconds) for IP address to be assigned to a pod, after pod creation",
    ],
    precise: [
        "pod_ip_address_assigned_precise_seconds",
        "From the event of a pod's creation to the one of its IP address, by this client's monotonic clock (seconds)",
    ],
};
const REACHED: Names = Names {
    compatible: [
        "pod_creation_reachability_latency_seconds",
        "Latency (in seconds) for network policy to be enforced for new pods",
    ],
    precise: [
        "pod_creation_reachability_precise_seconds",
        "From the event of a pod's IP address to the first handshake with it, by this client's monotonic clock (seconds)",
    ],
};
const ENFORCED: Names = Names {
    compatible: [
        "policy_enforcement_latency_policy_creation_seconds",
        "Latency (in seconds) for new network policy to be enforced for new network policies",
    ],
    precise: [
        "policy_enforcement_policy_creation_precise_seconds",
        "From the event of a policy's creation to the first handshake with a pod, by this client's monotonic clock (seconds)",
    ],
};

fn transitions(registry: &Registry) -> Result<HistogramVec> {
    let help = "From the API's answer that a policy is made or deleted to the first handshake, or the last (seconds)";
    let opts = HistogramOpts::new("policy_enforcement_transition_seconds", help);
    let buckets = prometheus::exponential_buckets(FIRST, 2.0, PRECISE)?;
    let histograms = HistogramVec::new(opts.buckets(buckets), &["transition"])?;
    registry.register(Box::new(histograms.clone()))?;
    Ok(histograms)
}

impl Pair {
    fn new(registry: &Registry, names: &Names) -> Result<Self> {
        let histogram = |[name, help]: [&str; 2], buckets: Vec<f64>| -> Result<Histogram> {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        Ok(Self {
            compatible: histogram(names.compatible, BUCKETS.to_vec())?,
            precise: histogram(
                names.precise,
                prometheus::exponential_buckets(FIRST, 2.0, PRECISE)?,
            )?,
        })
    }

    fn observe(&self, took: Took) {
        self.compatible.observe(took.compatible.as_secs_f64());
        if let Some(precise) = took.precise {
            self.precise.observe(precise.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Test {
        Test::PolicyCreation {
            allow_policy: "a".to_owned(),
            transitions: 0,
        }
    }

    fn took(milliseconds: i64, precise: Option<u64>) -> Took {
        Took {
            compatible: SignedDuration::from_millis(milliseconds),
            precise: precise.map(Duration::from_micros),
        }
    }

    const OF_POLICIES: &str = "\
# HELP policy_enforcement_latency_policy_creation_seconds Latency (in seconds) for new network policy to be enforced for new network policies
# TYPE policy_enforcement_latency_policy_creation_seconds histogram
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"0.1\"} 0
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"0.5\"} 0
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"1\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"3\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"5\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"10\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"30\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"60\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"300\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"600\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"1800\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"3600\"} 1
policy_enforcement_latency_policy_creation_seconds_bucket{le=\"+Inf\"} 1
policy_enforcement_latency_policy_creation_seconds_sum 0.673
policy_enforcement_latency_policy_creation_seconds_count 1
";

    #[test]
    fn the_page_of_the_policy_client_is_known() {
        let metrics = Metrics::new(&policy()).unwrap();
        metrics.reached(took(673, None));
        metrics.assigned(took(1, Some(1)));
        let page = metrics.render().unwrap();
        assert!(page.starts_with(OF_POLICIES), "{page}");
        let precise = "policy_enforcement_policy_creation_precise_seconds";
        assert!(page.contains(&format!("{precise}_count 0\n")), "{page}");
        assert!(!page.contains("pod_"), "{page}");
    }

    #[test]
    fn the_pod_client_has_two_questions_and_each_a_precise_answer() {
        let metrics = Metrics::new(&Test::PodCreation).unwrap();
        metrics.assigned(took(6_337, None));
        metrics.reached(took(10, Some(700)));
        let page = metrics.render().unwrap();
        let histograms = page.lines().filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            assert_eq!(kind, "histogram");
            Some(name)
        });
        assert_eq!(
            histograms.collect::<Vec<_>>(),
            [
                "pod_creation_reachability_latency_seconds",
                "pod_creation_reachability_precise_seconds",
                "pod_ip_address_assigned_latency_seconds",
                "pod_ip_address_assigned_precise_seconds",
            ]
        );
        for line in [
            "# HELP pod_ip_address_assigned_latency_seconds Latency (in seconds) for IP address to be assigned to a pod, after pod creation",
            "# HELP pod_creation_reachability_latency_seconds Latency (in seconds) for network policy to be enforced for new pods",
            "pod_ip_address_assigned_latency_seconds_bucket{le=\"5\"} 0",
            "pod_ip_address_assigned_latency_seconds_bucket{le=\"10\"} 1",
            "pod_ip_address_assigned_precise_seconds_count 0",
            "pod_creation_reachability_latency_seconds_bucket{le=\"0.1\"} 1",
            "pod_creation_reachability_precise_seconds_bucket{le=\"0.0005\"} 0",
            "pod_creation_reachability_precise_seconds_bucket{le=\"0.001\"} 1",
            "pod_creation_reachability_precise_seconds_bucket{le=\"8.192\"} 1",
        ] {
            assert!(page.lines().any(|it| it == line), "{line} in {page}");
        }
    }
}
