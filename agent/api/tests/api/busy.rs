//! A server that has too much to do is left alone for as long as it asks, one that cannot answer is asked again, and
//! answers that are too long are asked for in parts.

use std::fs;
use std::time::{Duration, Instant};

use sluice_api::Report;
use sluice_cluster::{Component, ControlPlane};
use sluice_kubernetes::live::Kind;

use crate::bed::{
    Bed, Lists, apply, assert_listed, control, control_with, list, namespace, pod, policy,
};
use crate::relist::through;
use crate::rights::{grant, roles};

/// Who is kept waiting; not one of the administrators, whom nothing keeps.
const USER: &str = "agent";
/// What API servers ask for where they had to refuse little yet.
const ASKED: Duration = Duration::from_secs(1);
/// How many tasks are refused, the others of the user included that are kept in the queue.
const TASKS: u64 = 4;

/// Makes the priority level that has no room: of what comes, one waits in a queue for a while, and the rest is refused.
fn build_jail(control: &ControlPlane) {
    apply(
        control,
        r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"PriorityLevelConfiguration","metadata":{"name":"jail"},
            "spec":{"type":"Limited","limited":{"nominalConcurrencyShares":0,"lendablePercent":0,"borrowingLimitPercent":0,
            "limitResponse":{"type":"Queue","queuing":{"queues":1,"handSize":1,"queueLengthLimit":1}}}}}"#,
    );
}

/// Has what the user asks for of these resources go there.
fn jail(control: &ControlPlane, resources: &str) {
    apply(
        control,
        &format!(
            r#"{{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"FlowSchema","metadata":{{"name":"jail"}},
                "spec":{{"matchingPrecedence":3,"priorityLevelConfiguration":{{"name":"jail"}},"rules":[{{
                "subjects":[{{"kind":"User","user":{{"name":"{USER}"}}}}],"resourceRules":[{{"apiGroups":["*"],
                "resources":[{resources}],"verbs":["*"],"namespaces":["*"],"clusterScope":true}}]}}]}}}}"#
        ),
    );
    // The server says so once it goes by it.
    let line = [
        "wait",
        "--for=condition=Dangling=False",
        "--timeout=60s",
        "flowschema/jail",
    ];
    control.kubectl(&line).unwrap();
}

fn release(control: &ControlPlane) {
    control.kubectl(&["delete", "flowschema", "jail"]).unwrap();
}

/// A kubeconfig of the user, who may read what the agent reads.
fn user(control: &ControlPlane) -> std::path::PathBuf {
    roles(control);
    for role in ["core", "pods", "policies"] {
        grant(control, role, &format!("--user={USER}"));
    }
    control.user(USER, &[]).unwrap()
}

/// The sum of those of the server's counters whose lines have all of these.
fn counted(control: &ControlPlane, name: &str, has: &[&str]) -> u64 {
    let metrics = control.kubectl(&["get", "--raw", "/metrics"]).unwrap();
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")))
        .filter(|line| has.iter().all(|label| line.contains(label)));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn refused(report: &Report) -> u64 {
    let busy = report.refused.iter().filter(|it| it.code == 429);
    busy.map(|it| it.count).sum()
}

fn says_busy(report: &Report) -> bool {
    let busy = |it: &String| it.contains("the server answers 429: ");
    report.troubles.iter().any(busy)
}

#[test]
fn a_server_that_refuses_for_now_is_left_alone_for_as_long_as_it_asks() {
    let Some(control) = control() else {
        return;
    };
    apply(&control, &list(&[namespace("x"), policy("x", "keep")]));
    build_jail(&control);
    let kubeconfig = user(&control);
    jail(&control, r#""pods","nodes","namespaces","networkpolicies""#);
    let began = Instant::now();
    let bed = Bed::follow(&control, &kubeconfig);
    bed.until_report("it is refused", says_busy);
    // Some task was refused three times, and so waited twice.
    bed.until_report("it is refused again and again", |report| {
        refused(report) > 2 * TASKS
    });
    assert!(began.elapsed() >= 2 * ASKED, "{:?}", began.elapsed());
    let report = bed.source.report();
    assert!(!report.synced, "{report:#?}");
    let rejected = counted(
        &control,
        "apiserver_flowcontrol_rejected_requests_total",
        &["flow_schema=\"jail\""],
    );
    assert!(rejected >= refused(&report), "{rejected}: {report:#?}");

    release(&control);
    bed.until_complete();
    bed.until("what is there is known", |known| known.has_policy("x/keep"));
    bed.until_report("nothing is wrong any more", |report| {
        report.troubles.is_empty() && report.disconnected.is_none()
    });
    assert!(refused(&bed.source.report()) > 0, "what was counted stays");
    assert_listed(&control, Lists::Streamed);
}

#[test]
fn a_list_of_pages_goes_on_where_the_server_was_too_busy() {
    let Some(control) = control_with(Lists::Paged) else {
        return;
    };
    apply(&control, &namespace("x"));
    for some in (0..1200).collect::<Vec<_>>().chunks(300) {
        let pods = some
            .iter()
            .map(|number| pod("x", &format!("a{number}"), 1000));
        apply(&control, &list(&pods.collect::<Vec<_>>()));
    }
    build_jail(&control);
    let kubeconfig = user(&control);
    let page = control.kubectl(&["get", "--raw", "/api/v1/pods?limit=500"]);
    let page = page.unwrap().len();
    let lists = || {
        let has = [
            "code=\"200\"",
            "resource=\"pods\"",
            "scope=\"cluster\"",
            "verb=\"LIST\"",
        ];
        counted(&control, "apiserver_request_total", &has)
    };
    let before = lists();
    let (proxy, kubeconfig) = through(&control, &kubeconfig);
    // Of three pages, the second is on its way.
    proxy.hold(page * 3 / 2);
    let bed = Bed::follow(&control, &kubeconfig);
    proxy.await_held();
    jail(&control, r#""pods""#);
    proxy.go_on();
    bed.until_report("the third page is refused", says_busy);
    bed.until("two pages are there", |known| known.pods().len() == 1000);
    release(&control);
    bed.until_complete();
    bed.until("all are there", |known| known.pods().len() == 1200);
    // The server counts a request once it is done with it.
    bed.until_report("all pages are counted", |_| lists() - before >= 3);
    assert_eq!(lists() - before, 3, "no page was asked for twice");
}

#[test]
fn a_server_without_its_etcd_is_asked_again_and_costs_no_policy() {
    let Some(control) = control() else {
        return;
    };
    apply(&control, &list(&[namespace("x"), policy("x", "keep")]));
    let first = Bed::follow(&control, &control.kubeconfig());
    first.until_complete();
    first.until("the policy", |known| known.has_policy("x/keep"));
    first.never_without("x/keep");
    control.kill(Component::Etcd).unwrap();
    let second = Bed::follow(&control, &control.kubeconfig());
    second.until_report("something is wrong with the lists", |report| {
        let kinds = report.kinds.iter();
        let mut troubled = kinds.filter(|it| it.trouble.is_some());
        !report.synced && troubled.any(|it| it.kind == Kind::NetworkPolicy)
    });
    control.start_component(Component::Etcd).unwrap();
    control.wait_ready().unwrap();
    second.until_complete();
    second.until("it is found", |known| known.has_policy("x/keep"));
    apply(&control, &policy("x", "late"));
    for bed in [&first, &second] {
        bed.until("what is new is told of", |known| known.has_policy("x/late"));
        bed.until_report("nothing is wrong any more", |report| {
            report.troubles.is_empty()
        });
    }
    assert!(!first.was_ever_without());
}

#[test]
fn pages_that_are_too_long_are_asked_for_in_parts() {
    /// Of more than 64 MiB together, and an object of etcd has at most 1.5 MiB.
    const PODS: usize = 70;
    let Some(control) = control_with(Lists::Paged) else {
        return;
    };
    apply(&control, &namespace("x"));
    let padding = "x".repeat(1_000_000);
    let large = |number: &usize| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"a{number}","namespace":"x"}},
                "spec":{{"containers":[{{"name":"c","image":"i","args":["{padding}"]}}]}}}}"#
        )
    };
    let file = control.directory().join("pods.json");
    for some in (0..PODS).collect::<Vec<_>>().chunks(10) {
        let pods: Vec<_> = some.iter().map(large).collect();
        fs::write(&file, list(&pods)).unwrap();
        // `apply` would keep a copy in an annotation, which may not be that long.
        let line = ["create", "-f", file.to_str().unwrap()];
        control.kubectl(&line).unwrap();
    }
    let bed = Bed::follow(&control, &control.kubeconfig());
    bed.until_complete();
    assert_listed(&control, Lists::Paged);
    bed.until("all are there", |known| known.pods().len() == PODS);
    assert!(bed.source.report().troubles.is_empty());
}
