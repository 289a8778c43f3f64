//! Label selectors, as the API text defines them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use sluice_policy::Labels;

/// All of `matchLabels` and all of `matchExpressions` must hold; where there are none, everything matches.
pub(super) fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    for (key, value) in selector.match_labels.iter().flatten() {
        if labels.get(key.as_str()).map(|found| &**found) != Some(value.as_str()) {
            return false;
        }
    }
    selector
        .match_expressions
        .iter()
        .flatten()
        .all(|requirement| holds(requirement, labels))
}

/// In: the label is there and has one of the values. `NotIn`: it is missing, or has none of them. Exists: it is there.
/// `DoesNotExist`: it is missing.
fn holds(requirement: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let found = labels.get(requirement.key.as_str());
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_listed = found.is_some_and(|found| values.iter().any(|value| **value == **found));
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        // The API server lets no other operator in; if one came, it could be meant to match nothing.
        _ => false,
    }
}
