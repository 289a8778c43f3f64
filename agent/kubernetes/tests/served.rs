//! Objects as the API serves them, through the validation that manifests get.

use serde_json::{Value, json};
use sluice_kubernetes::{Origin, Policy, PolicyKind, read_policy};

const NETWORK_POLICY: PolicyKind = PolicyKind::NetworkPolicy;

/// What the API server adds to everything.
fn served(name: &str, spec: &Value) -> Value {
    json!({
        "metadata": {
            "name": name,
            "namespace": "x",
            "uid": "5b8f8c1e-0000-4000-8000-000000000000",
            "resourceVersion": "1042",
            "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}\n"},
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": spec,
        "status": {"conditions": []},
    })
}

#[track_caller]
fn problems(kind: PolicyKind, object: &Value) -> Vec<String> {
    let read = read_policy(kind, object);
    assert!(
        read.problems
            .iter()
            .all(|problem| problem.origin == Origin::Api)
    );
    read.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_valid_policy_is_read_without_a_problem() {
    let object = served("p", &json!({"podSelector": {}}));
    assert_eq!(problems(NETWORK_POLICY, &object), [""; 0]);
    let Some(Policy::NetworkPolicy(policy)) = read_policy(NETWORK_POLICY, &object).policy else {
        panic!("no policy")
    };
    assert_eq!((&*policy.namespace, &*policy.name), ("x", "p"));
}

#[test]
fn what_is_wrong_is_said_by_object_and_field_and_the_rest_is_there() {
    let object = served(
        "p",
        &json!({"podSelector": {}, "ingress": [{"ports": [{"port": 0}, {"port": 80}]}]}),
    );
    assert_eq!(
        problems(NETWORK_POLICY, &object),
        ["NetworkPolicy x/p: spec.ingress[0].ports[0].port: must be between 1 and 65535, got 0"]
    );
    let Some(Policy::NetworkPolicy(policy)) = read_policy(NETWORK_POLICY, &object).policy else {
        panic!("no policy")
    };
    assert_eq!(policy.ingress.expect("isolated").len(), 1);
}

#[test]
fn what_has_no_name_is_no_policy() {
    for object in [
        json!(null),
        json!([]),
        json!({}),
        json!({"metadata": {"name": ""}}),
        json!({"metadata": {"name": 5}, "spec": {}}),
    ] {
        let read = read_policy(NETWORK_POLICY, &object);
        assert_eq!(read.policy, None, "{object}");
        assert!(!read.problems.is_empty(), "{object}");
    }
}
