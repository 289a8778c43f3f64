//! What is lost between an API and the source is made good, and takes nothing away meanwhile.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sluice_cluster::{Component, ControlPlane};

use crate::bed::{
    Bed, Lists, apply, assert_listed, control_with, list, namespace, pod, policy, variant,
};
use crate::proxy::Proxy;

/// How many lists break off; after each, the source waits for twice as long.
const CUTS: usize = 3;

/// A source that reaches the API server through a proxy.
fn follow(control: &ControlPlane) -> (Proxy, Bed) {
    let (proxy, kubeconfig) = through(control, &control.kubeconfig());
    let bed = Bed::follow(control, &kubeconfig);
    bed.until_complete();
    (proxy, bed)
}

/// A proxy, and the kubeconfig by which one goes through it.
pub(crate) fn through(control: &ControlPlane, kubeconfig: &Path) -> (Proxy, PathBuf) {
    let url = control.url();
    let server: SocketAddr = url.strip_prefix("https://").unwrap().parse().unwrap();
    let proxy = Proxy::start(control, server);
    // A name that is in the server's certificate.
    let through = format!("https://localhost:{}", proxy.port);
    let to = control.directory().join("proxy.kubeconfig");
    (proxy, variant(kubeconfig, &to, &url, &through))
}

fn delete(control: &ControlPlane, kind: &str, name: &str) {
    let line = ["delete", kind, name, "-n", "x", "--force", "--wait=false"];
    control.kubectl(&line).unwrap();
}

#[test]
fn what_happens_while_the_api_is_away_is_made_good_by_streamed_lists() {
    make_good(Lists::Streamed);
}

#[test]
fn what_happens_while_the_api_is_away_is_made_good_by_pages() {
    make_good(Lists::Paged);
}

fn make_good(lists: Lists) {
    let Some(control) = control_with(lists) else {
        return;
    };
    let pods: Vec<_> = (0..5)
        .map(|number| pod("x", &format!("a{number}"), 0))
        .collect();
    apply(&control, &namespace("x"));
    apply(&control, &list(&pods));
    apply(&control, &list(&[policy("x", "keep"), policy("x", "old")]));
    let (proxy, bed) = follow(&control);
    assert_listed(&control, lists);
    bed.never_without("x/keep");

    proxy.close();
    bed.until_report("the loss is noticed", |report| {
        report.disconnected.is_some() && report.synced && !report.troubles.is_empty()
    });
    delete(&control, "pod", "a0");
    delete(&control, "networkpolicy", "old");
    apply(&control, &pod("x", "new", 0));
    bed.until("the last state stays", |known| {
        known.has_pod("x/a0") && known.has_policy("x/old")
    });
    proxy.open();
    bed.until("what happened meanwhile is made good", |known| {
        known.pods() == ["x/a1", "x/a2", "x/a3", "x/a4", "x/new"] && !known.has_policy("x/old")
    });

    control.kill(Component::ApiServer).unwrap();
    bed.until_report("the server's end is noticed", |report| {
        report.disconnected.is_some()
    });
    control.start_component(Component::ApiServer).unwrap();
    control.wait_ready().unwrap();
    apply(&control, &policy("x", "later"));
    bed.until("the server is found again", |known| {
        known.has_policy("x/later")
    });
    bed.until_report("all is well", |report| {
        report.disconnected.is_none() && report.troubles.is_empty()
    });
    assert!(!bed.was_ever_without());
}

#[test]
fn a_streamed_list_that_breaks_off_again_and_again_forgets_no_deletion_and_drops_nothing() {
    break_off(Lists::Streamed);
}

#[test]
fn pages_that_break_off_again_and_again_forget_no_deletion_and_drop_nothing() {
    break_off(Lists::Paged);
}

fn break_off(lists: Lists) {
    let Some(control) = control_with(lists) else {
        return;
    };
    apply(&control, &namespace("x"));
    let name = |number| format!("a{number:03}");
    let pods: Vec<_> = (0..300)
        .map(|number| pod("x", &name(number), 5000))
        .collect();
    for some in pods.chunks(100) {
        apply(&control, &list(some));
    }
    apply(&control, &list(&[policy("x", "keep"), policy("x", "old")]));
    let (proxy, bed) = follow(&control);
    assert_listed(&control, lists);
    bed.never_without("x/keep");

    proxy.close();
    for number in [0, 7, 150, 299] {
        delete(&control, "pod", &name(number));
    }
    delete(&control, "networkpolicy", "old");
    // A server that starts anew does not know the versions from before.
    control.kill(Component::ApiServer).unwrap();
    control.start_component(Component::ApiServer).unwrap();
    control.wait_ready().unwrap();
    apply(&control, &pod("x", "new", 0));
    proxy.cut_off(CUTS, 200_000);
    proxy.open();
    bed.until("the list is complete at last", |known| {
        known.has_pod("x/new") && known.pods().len() == 297
    });
    bed.until("what was deleted is gone", |known| {
        ![0, 7, 150, 299]
            .iter()
            .any(|number| known.has_pod(&format!("x/{}", name(*number))))
            && !known.has_policy("x/old")
    });
    assert_eq!(proxy.cuts(), CUTS, "lists were cut off");
    assert!(!bed.was_ever_without());
}
