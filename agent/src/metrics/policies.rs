//! Verdicts by policy, where that is wanted: it costs series by the number of policies.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use prometheus::core::{Collector, Desc};
use prometheus::{Result as Outcome, proto};
use sluice_policy::{Action, Decision, Direction, Event, PolicyId};

use super::catalogue::Catalogue;

const NAME: &str = "sluice_policy_verdicts_total";
const HELP: &str = "Verdicts of the agent that rest on the policy, by direction and outcome";
/// Policies that are counted at most; further ones are not.
const MOST: usize = 4096;

/// The counters; none where they are not wanted.
pub(crate) struct PolicyVerdicts(Option<Counts>);

#[derive(Clone)]
struct Counts {
    desc: Arc<Desc>,
    entries: Arc<RwLock<HashMap<PolicyId, Entry>>>,
}

/// Verdicts of one policy, by [`CASES`].
type Entry = [AtomicU64; CASES.len()];

/// What is told apart, with its labels.
const CASES: [(Direction, Action, [&str; 2]); 4] = [
    (Direction::Egress, Action::Allow, ["egress", "allowed"]),
    (Direction::Egress, Action::Deny, ["egress", "denied"]),
    (Direction::Ingress, Action::Allow, ["ingress", "allowed"]),
    (Direction::Ingress, Action::Deny, ["ingress", "denied"]),
];

/// Whether a verdict was counted.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// It is counted, or nobody wants to know.
    Yes,
    /// There are too many policies.
    No,
}

impl PolicyVerdicts {
    pub(super) fn new(wanted: bool, catalogue: &mut Catalogue) -> Outcome<Self> {
        if !wanted {
            return Ok(Self(None));
        }
        let labels = ["direction", "kind", "name", "namespace", "verdict"];
        let labels = labels.map(str::to_owned).to_vec();
        let desc = Desc::new(NAME.into(), HELP.into(), labels, HashMap::new())?;
        let counts = Counts {
            desc: Arc::new(desc),
            entries: Arc::default(),
        };
        catalogue.add(Ok(counts)).map(|counts| Self(Some(counts)))
    }

    /// Counts what a policy decided. Costs a look at a table, and memory for a policy's first verdict alone.
    pub(crate) fn count(&self, direction: Direction, decision: &Decision<'_>) -> Counted {
        let (Some(counts), Some(policy)) = (&self.0, decision.policy) else {
            return Counted::Yes;
        };
        let case = CASES
            .iter()
            .position(|&(of, action, _)| (of, action) == (direction, decision.action));
        case.map_or(Counted::Yes, |case| counts.count(policy, case))
    }

    /// The policies that events tell to be gone, if anybody counts them.
    pub(crate) fn gone(&self, events: &[Event]) -> Vec<PolicyId> {
        if self.0.is_none() {
            return Vec::new();
        }
        let gone = events.iter().filter_map(|event| match event {
            Event::NetworkPolicyGone(namespace, name) => Some(PolicyId::NetworkPolicy {
                namespace: Arc::clone(namespace),
                name: Arc::clone(name),
            }),
            Event::AdminPolicyGone(name) => Some(name.into()),
            _ => None,
        });
        gone.collect()
    }

    /// Forgets policies that are gone, once no worker judges by a snapshot any more in which they were.
    pub(crate) fn forget(&self, policies: &[PolicyId]) {
        if let Some(counts) = &self.0 {
            let entries = counts.entries.write();
            let mut entries = entries.unwrap_or_else(PoisonError::into_inner);
            for policy in policies {
                entries.remove(policy);
            }
        }
    }
}

impl Counts {
    fn count(&self, policy: &PolicyId, case: usize) -> Counted {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(policy) {
            entry[case].fetch_add(1, Ordering::Relaxed);
            return Counted::Yes;
        }
        drop(entries);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST && !entries.contains_key(policy) {
            return Counted::No;
        }
        let entry = entries.entry(policy.clone()).or_default();
        entry[case].fetch_add(1, Ordering::Relaxed);
        Counted::Yes
    }
}

impl Collector for Counts {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut series = Vec::new();
        for (policy, entry) in entries.iter() {
            let cases = CASES.iter().zip(entry);
            series.extend(cases.filter_map(|(&(_, _, labels), count)| {
                let count = count.load(Ordering::Relaxed);
                (count > 0).then(|| metric(policy, labels, count))
            }));
        }
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::COUNTER);
        family.set_metric(series);
        vec![family]
    }
}

fn metric(policy: &PolicyId, [direction, verdict]: [&str; 2], count: u64) -> proto::Metric {
    let (kind, namespace, name) = parts(policy);
    let labels = [
        ("direction", direction),
        ("kind", kind),
        ("name", name),
        ("namespace", namespace),
        ("verdict", verdict),
    ];
    let labels = labels.map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    let mut counter = proto::Counter::default();
    #[expect(clippy::cast_precision_loss, reason = "as Prometheus counts")]
    counter.set_value(count as f64);
    let mut metric = proto::Metric::default();
    metric.set_label(labels.to_vec());
    metric.set_counter(counter);
    metric
}

/// Kind, namespace (none of a policy of the cluster) and name.
fn parts(policy: &PolicyId) -> (&'static str, &str, &str) {
    match policy {
        PolicyId::NetworkPolicy { namespace, name } => ("NetworkPolicy", namespace, name),
        PolicyId::AdminNetworkPolicy(name) => ("AdminNetworkPolicy", "", name),
        PolicyId::BaselineAdminNetworkPolicy(name) => ("BaselineAdminNetworkPolicy", "", name),
        PolicyId::ClusterNetworkPolicy(name) => ("ClusterNetworkPolicy", "", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_policy::Tier;

    fn policy(number: usize) -> PolicyId {
        PolicyId::NetworkPolicy {
            namespace: "x".into(),
            name: format!("p{number}").into(),
        }
    }

    fn decision(policy: &PolicyId, action: Action) -> Decision<'_> {
        Decision {
            action,
            tier: Tier::NetworkPolicy,
            policy: Some(policy),
            rule: None,
        }
    }

    fn wanted() -> (Catalogue, PolicyVerdicts) {
        let mut catalogue = Catalogue::default();
        let verdicts = PolicyVerdicts::new(true, &mut catalogue).unwrap();
        (catalogue, verdicts)
    }

    fn series(catalogue: &Catalogue) -> usize {
        let families = catalogue.registry().gather();
        families
            .iter()
            .map(|family| family.get_metric().len())
            .sum()
    }

    #[test]
    fn a_policy_has_a_series_for_each_case_that_happened_until_it_is_gone() {
        let (catalogue, verdicts) = wanted();
        let (one, other) = (policy(1), policy(2));
        for (direction, of, action) in [
            (Direction::Ingress, &one, Action::Deny),
            (Direction::Ingress, &one, Action::Deny),
            (Direction::Egress, &one, Action::Allow),
            (Direction::Egress, &other, Action::Allow),
        ] {
            assert_eq!(
                verdicts.count(direction, &decision(of, action)),
                Counted::Yes
            );
        }
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&catalogue.registry().gather())
            .unwrap();
        let line = "sluice_policy_verdicts_total{direction=\"ingress\",kind=\"NetworkPolicy\",name=\"p1\",namespace=\"x\",verdict=\"denied\"} 2";
        assert!(text.lines().any(|found| found == line), "{text}");
        assert_eq!(series(&catalogue), 3);
        let gone = [Event::NetworkPolicyGone("x".into(), "p1".into())];
        verdicts.forget(&verdicts.gone(&gone));
        assert_eq!(series(&catalogue), 1);
    }

    #[test]
    fn policies_beyond_the_bound_are_not_counted() {
        let (catalogue, verdicts) = wanted();
        for number in 0..=MOST {
            let policy = policy(number);
            let counted = verdicts.count(Direction::Ingress, &decision(&policy, Action::Deny));
            assert_eq!(counted == Counted::Yes, number < MOST, "{number}");
        }
        let known = verdicts.count(Direction::Ingress, &decision(&policy(0), Action::Deny));
        assert_eq!((known, series(&catalogue)), (Counted::Yes, MOST));
    }

    #[test]
    fn unless_it_is_wanted_nothing_is_counted_and_a_default_never_is() {
        let mut catalogue = Catalogue::default();
        let verdicts = PolicyVerdicts::new(false, &mut catalogue).unwrap();
        let _ignored = verdicts.count(Direction::Ingress, &decision(&policy(1), Action::Deny));
        let (catalogue_of_wanted, verdicts_wanted) = wanted();
        let _default = verdicts_wanted.count(Direction::Ingress, &Decision::DEFAULT);
        assert_eq!((series(&catalogue), series(&catalogue_of_wanted)), (0, 0));
    }
}
