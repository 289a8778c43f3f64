//! The cluster-scoped kinds: what is valid and means what, what is refused and how that is said, and what is left of it.

mod closed;
mod meaning;
mod refused;

use sluice_kubernetes::{Loaded, load_text};
use sluice_policy::{AdminPolicy, AdminRule};

const ADMIN: &str = "AdminNetworkPolicy";
const BASELINE: &str = "BaselineAdminNetworkPolicy";
const CLUSTER: &str = "ClusterNetworkPolicy";

/// The name of a kind's objects: the one that a baseline must have.
fn name(kind: &str) -> &'static str {
    if kind == BASELINE { "default" } else { "p" }
}

/// An object with a spec in flow style, which stands on line 4.
fn object(kind: &str, spec: &str) -> String {
    let version = if kind == CLUSTER {
        "v1alpha2"
    } else {
        "v1alpha1"
    };
    let name = name(kind);
    format!(
        "apiVersion: policy.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// A spec with everything that must be there, and these fields more.
fn spec(kind: &str, more: &str) -> String {
    let place = match kind {
        ADMIN => "priority: 5, ",
        CLUSTER => "tier: Admin, priority: 5, ",
        _ => "",
    };
    let comma = if more.is_empty() { "" } else { ", " };
    format!("{{{place}subject: {{namespaces: {{}}}}{comma}{more}}}")
}

fn load(kind: &str, spec: &str) -> Loaded {
    load_text("f.yaml", &object(kind, spec))
}

fn problems(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn one_policy(loaded: &Loaded) -> &AdminPolicy {
    let [policy] = loaded.world.admin_policies.as_slice() else {
        panic!("{:?}", loaded.world.admin_policies)
    };
    policy
}

#[track_caller]
fn one_rule(rules: &[AdminRule]) -> &AdminRule {
    let [rule] = rules else { panic!("{rules:?}") };
    rule
}
