//! Rights that are missing, come and are taken away, and credentials that are not accepted.

use sluice_cluster::{Component, ControlPlane};
use sluice_kubernetes::live::Kind;

use crate::bed::{Bed, apply, control, list, namespace, policy};

fn role(name: &str, group: &str, resources: &str) -> String {
    format!(
        r#"{{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{{"name":"{name}"}},
            "rules":[{{"apiGroups":["{group}"],"resources":[{resources}],"verbs":["list","watch"]}}]}}"#
    )
}

pub(crate) fn grant(control: &ControlPlane, role: &str, subject: &str) {
    let line = [
        "create",
        "clusterrolebinding",
        role,
        "--clusterrole",
        role,
        subject,
    ];
    control.kubectl(&line).unwrap();
}

pub(crate) fn roles(control: &ControlPlane) {
    apply(
        control,
        &list(&[
            role("core", "", r#""namespaces","nodes""#),
            role("pods", "", r#""pods""#),
            role("policies", "networking.k8s.io", r#""networkpolicies""#),
        ]),
    );
}

#[test]
fn what_rbac_refuses_is_named_and_watched_once_it_is_allowed() {
    let Some(control) = control() else {
        return;
    };
    apply(&control, &list(&[namespace("x"), policy("x", "keep")]));
    roles(&control);
    let bed = Bed::follow(&control, &control.user("weak", &[]).unwrap());
    bed.until_report("every resource is refused", |report| {
        let all = report.troubles.join("\n");
        ["pods", "nodes", "namespaces", "networkpolicies"]
            .iter()
            .all(|resource| {
                all.contains(&format!(
                    "RBAC does not let the agent list and watch {resource}"
                ))
            })
    });
    for role in ["core", "policies"] {
        grant(&control, role, "--user=weak");
    }
    bed.until_report("pods alone are refused", |report| {
        !report.synced && report.troubles.len() == 1 && report.troubles[0].contains("pods")
    });
    grant(&control, "pods", "--user=weak");
    bed.until_complete();
    bed.never_without("x/keep");
    bed.until_report("nothing is wrong any more", |report| {
        report.troubles.is_empty()
    });

    // A watch that is open stays open: rights are asked about when the next begins.
    control
        .kubectl(&["delete", "clusterrolebinding", "policies"])
        .unwrap();
    control.kill(Component::ApiServer).unwrap();
    control.start_component(Component::ApiServer).unwrap();
    control.wait_ready().unwrap();
    bed.until_report("the right that was taken away is missed", |report| {
        let kind = report
            .kinds
            .iter()
            .find(|it| it.kind == Kind::NetworkPolicy)
            .unwrap();
        kind.forbidden && kind.trouble.is_some() && report.synced
    });
    grant(&control, "policies", "--user=weak");
    apply(&control, &policy("x", "late"));
    bed.until("it is watched again", |known| known.has_policy("x/late"));
    assert!(!bed.was_ever_without());
}

#[test]
fn credentials_that_are_not_accepted_are_read_again() {
    let Some(control) = control() else {
        return;
    };
    roles(&control);
    control
        .kubectl(&["create", "serviceaccount", "agent"])
        .unwrap();
    for role in ["core", "pods", "policies"] {
        grant(&control, role, "--serviceaccount=default:agent");
    }
    let kubeconfig = control.kubeconfig_with_token("agent", "expired").unwrap();
    let bed = Bed::follow(&control, &kubeconfig);
    bed.until_report("the token is refused", |report| {
        report.disconnected.is_some() && report.troubles.iter().any(|it| it.contains("401"))
    });
    let token = control.token("default", "agent").unwrap();
    control.kubeconfig_with_token("agent", &token).unwrap();
    bed.until_complete();
    bed.until_report("nothing is wrong any more", |report| {
        report.disconnected.is_none()
    });
}
