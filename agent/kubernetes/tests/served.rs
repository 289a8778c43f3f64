//! Objects as the API serves them, through the validation that manifests get.

use serde_json::{Value, json};
use sluice_kubernetes::{Origin, Policy, PolicyKind, read_policy};
use sluice_policy::{AdminKind, AdminTier};

const NETWORK_POLICY: PolicyKind = PolicyKind::NetworkPolicy;
const ADMIN: PolicyKind = PolicyKind::Admin(AdminKind::AdminNetworkPolicy);
const BASELINE: PolicyKind = PolicyKind::Admin(AdminKind::BaselineAdminNetworkPolicy);
const CLUSTER: PolicyKind = PolicyKind::Admin(AdminKind::ClusterNetworkPolicy);

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
fn a_policy_of_each_kind_is_read_as_that() {
    let subject = json!({"namespaces": {}});
    for (kind, spec, shown) in [
        (NETWORK_POLICY, json!({"podSelector": {}}), "x/p"),
        (
            ADMIN,
            json!({"priority": 7, "subject": subject}),
            "AdminNetworkPolicy/p Admin 7",
        ),
        (
            CLUSTER,
            json!({"tier": "Baseline", "priority": 8, "subject": subject}),
            "ClusterNetworkPolicy/p Baseline 8",
        ),
    ] {
        let object = served("p", &spec);
        assert_eq!(problems(kind, &object), [""; 0]);
        let found = match read_policy(kind, &object).policy.expect("a policy") {
            Policy::NetworkPolicy(policy) => format!("{}/{}", policy.namespace, policy.name),
            Policy::Admin(policy) => {
                format!("{} {:?} {}", policy.name, policy.tier, policy.priority)
            }
        };
        assert_eq!(found, shown);
    }
    let object = served("default", &json!({"subject": subject}));
    assert_eq!(problems(BASELINE, &object), [""; 0]);
    let Some(Policy::Admin(policy)) = read_policy(BASELINE, &object).policy else {
        panic!("no policy")
    };
    assert_eq!(policy.tier, AdminTier::Baseline);
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
    let object = served("p", &json!({"priority": 1001, "subject": {}}));
    assert_eq!(
        problems(ADMIN, &object),
        [
            "AdminNetworkPolicy p: spec.priority: must be between 0 and 1000, got 1001",
            "AdminNetworkPolicy p: spec.subject: needs one of namespaces, pods",
        ]
    );
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
