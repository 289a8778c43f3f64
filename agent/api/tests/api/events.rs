//! Everything that happens to objects in an API reaches the index.

use std::time::Duration;

use sluice_api::KindReport;
use sluice_cluster::{Channel, ControlPlane, until};
use sluice_kubernetes::live::Kind;
use sluice_policy::AdminKind;

use crate::bed::{Bed, apply, control, list, namespace, object, pod, policy};

#[test]
fn what_happens_in_an_api_reaches_the_index() {
    let Some(control) = control() else {
        return;
    };
    apply(
        &control,
        &list(&[namespace("x"), pod("x", "early", 0), policy("x", "early")]),
    );
    let bed = Bed::follow(&control, &control.kubeconfig());
    bed.until_complete();
    bed.until("what was there is in the first list", |known| {
        known.has_pod("x/early") && known.has_policy("x/early")
    });
    pods_come_and_go(&control, &bed);
    policies_come_and_go(&control, &bed);
    admin_kinds_come(&control, &bed);
    an_invalid_one_is_told_of_until_it_is_valid(&control, &bed);
    admin_kinds_go(&control, &bed);
}

fn pods_come_and_go(control: &ControlPlane, bed: &Bed) {
    let status = |phase: &str| {
        let ip = r#""podIP":"10.0.0.7","podIPs":[{"ip":"10.0.0.7"}]"#;
        let patch = format!(r#"{{"status":{{"phase":"{phase}",{ip}}}}}"#);
        let line = [
            "patch",
            "pod",
            "early",
            "-n",
            "x",
            "--subresource=status",
            "-p",
            &patch,
        ];
        control.kubectl(&line).unwrap();
    };
    let has_address = |known: &crate::bed::Known| {
        let snapshot = known.index.snapshot();
        snapshot.isolation([10, 0, 0, 7].into()).is_some()
    };
    for (phase, has) in [("Running", true), ("Succeeded", false)] {
        status(phase);
        bed.until(phase, |known| has_address(known) == has);
    }
    apply(control, &pod("x", "late", 0));
    bed.until("a pod came", |known| known.has_pod("x/late"));
    control
        .kubectl(&["delete", "pod", "late", "-n", "x", "--force"])
        .unwrap();
    bed.until("a pod went", |known| !known.has_pod("x/late"));
    apply(
        control,
        r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"}}"#,
    );
    bed.until("a node came", |known| {
        known.index.node_names().any(|name| &**name == "n1")
    });
    control.kubectl(&["delete", "node", "n1"]).unwrap();
    bed.until("a node went", |known| {
        known.index.node_names().next().is_none()
    });
    control
        .kubectl(&["label", "namespace", "x", "team=a"])
        .unwrap();
    let labelled = object(control, &["namespace", "x"]);
    bed.until("a namespace changed", |known| {
        known.reaches(Kind::Namespace, &labelled)
    });
}

fn policies_come_and_go(control: &ControlPlane, bed: &Bed) {
    apply(control, &policy("x", "late"));
    bed.until("a policy came", |known| known.has_policy("x/late"));
    control
        .kubectl(&["delete", "networkpolicy", "late", "-n", "x"])
        .unwrap();
    bed.until("a policy went", |known| !known.has_policy("x/late"));
}

const ANP: AdminKind = AdminKind::AdminNetworkPolicy;
const CNP: AdminKind = AdminKind::ClusterNetworkPolicy;
pub(crate) const DENY: &str = r#""priority":5,"subject":{"namespaces":{}},"ingress":[{"action":"Deny","from":[{"namespaces":{}}]}]"#;

/// An AdminNetworkPolicy.
fn admin_network_policy(name: &str, spec: &str) -> String {
    admin("AdminNetworkPolicy", "v1alpha1", name, spec)
}

fn admin_kinds_come(control: &ControlPlane, bed: &Bed) {
    for kind in [ANP, CNP].map(Kind::Admin) {
        control
            .define(kind.resource(), Channel::Experimental)
            .unwrap();
    }
    apply(control, &admin_network_policy("deny", DENY));
    let spec = format!(r#""tier":"Admin",{DENY}"#);
    let deny = admin("ClusterNetworkPolicy", "v1alpha2", "deny", &spec);
    apply(control, &deny);
    bed.until("the custom resources are found", |known| {
        known.has_admin(ANP, "deny") && known.has_admin(CNP, "deny")
    });
}

/// The definition gets laxer, so that the server lets in what nobody can mean.
fn an_invalid_one_is_told_of_until_it_is_valid(control: &ControlPlane, bed: &Bed) {
    control
        .define_unvalidated(Kind::Admin(ANP).resource())
        .unwrap();
    let odd = admin_network_policy("odd", r#""priority":"high""#);
    // The server follows its own definitions in its own time.
    until("a server that takes it", Duration::from_mins(2), || {
        Ok(control.apply(&odd).ok())
    })
    .unwrap();
    bed.until("an invalid one is told of", |known| {
        known.problems.keys().any(|name| &*name.name == "odd")
    });
    apply(control, &admin_network_policy("odd", DENY));
    bed.until("it is valid now", |known| known.problems.is_empty());
}

fn admin_kinds_go(control: &ControlPlane, bed: &Bed) {
    let resource = Kind::Admin(ANP).resource();
    control.undefine(resource).unwrap();
    bed.until("what is not served any more is gone", |known| {
        known.index.admin_policy_names(ANP).next().is_none()
    });
    let is_anp = |it: &&KindReport| it.kind == Kind::Admin(ANP);
    bed.until_report("it is not served", |report| {
        let kind = report.kinds.iter().find(is_anp).unwrap();
        !kind.served && report.troubles.is_empty()
    });
    bed.until("the other kind stays", |known| known.has_admin(CNP, "deny"));
    control.define(resource, Channel::Standard).unwrap();
    bed.until_report("it is served again", |report| {
        let kind = report.kinds.iter().find(is_anp).unwrap();
        kind.served && kind.synced
    });
}

pub(crate) fn admin(kind: &str, version: &str, name: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"policy.networking.k8s.io/{version}","kind":"{kind}","metadata":{{"name":"{name}"}},
            "spec":{{{spec}}}}}"#
    )
}
