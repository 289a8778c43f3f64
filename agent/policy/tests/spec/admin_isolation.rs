//! Who needs verdicts because of admin policies, and who does not.

use sluice_policy::{AdminPolicy, Isolation, Snapshot};

use crate::admin_tiers::ruled;
use crate::support::build::{admin_in, admin_out, egress, ingress, ip, pods_of};

/// `-`, `i`, `e` or `ie`: the directions in which x/a is isolated.
fn isolated(snapshot: &Snapshot) -> &'static str {
    let a = snapshot.isolation(ip("10.0.0.1")).expect("a local pod");
    match (a.ingress, a.egress) {
        (false, false) => "-",
        (true, false) => "i",
        (false, true) => "e",
        (true, true) => "ie",
    }
}

#[track_caller]
fn check<const N: usize>(policies: [AdminPolicy; N], expected: &str) {
    let shown = format!("{policies:?}");
    assert_eq!(isolated(&ruled(policies, [])), expected, "by {shown}");
}

#[test]
fn an_admin_policy_alone_isolates_in_the_directions_that_it_denies() {
    for name in ["anp/a", "admin/a", "baseline/a", "banp/default"] {
        check([admin_out(name, &["deny any"])], "e");
        check([admin_in(name, &["deny pods pod=z @ 80/TCP"])], "i");
        let both = AdminPolicy {
            egress: admin_out(name, &["deny nodes"]).egress,
            ..admin_in(name, &["allow pods pod=b", "deny any"])
        };
        check([both], "ie");
    }
}

#[test]
fn nobody_is_isolated_by_what_can_deny_nothing() {
    check([admin_in("anp/a", &[])], "-");
    check([admin_in("anp/a", &["allow any"])], "-");
    check([admin_out("anp/a", &["pass any", "allow any"])], "-");
    // No peer, no port: it matches nothing.
    check([admin_out("anp/a", &["deny nobody"])], "-");
    check([admin_out("anp/a", &["deny any @"])], "-");
    // What an earlier rule has anyway.
    check([admin_out("anp/a", &["allow any", "deny any"])], "-");
    check([admin_out("anp/a", &["pass any", "deny pods"])], "-");
}

#[test]
fn a_pod_that_no_tier_selects_stays_as_it_is() {
    let of_others = AdminPolicy {
        subject: pods_of("", "pod=b"),
        ..admin_in("anp/a", &["deny any"])
    };
    let snapshot = ruled([of_others], []);
    assert_eq!(isolated(&snapshot), "-");
    assert_eq!(snapshot.counts().isolated, 1);
    let isolation = |address: &str| snapshot.isolation(ip(address));
    assert_eq!(
        isolation("10.0.0.2"),
        Some(Isolation {
            ingress: true,
            egress: false
        })
    );
}

#[test]
fn tiers_add_up() {
    let out = || egress("x/np", "", vec![]);
    let by_both = ruled([admin_in("anp/a", &["deny any"])], [out()]);
    assert_eq!(isolated(&by_both), "ie");
    let by_one = ruled([admin_in("anp/a", &["allow any"])], [out()]);
    assert_eq!(isolated(&by_one), "e");
    // One that passes to a NetworkPolicy leaves the isolation to it.
    let passed = ruled(
        [admin_in("anp/a", &["pass any"])],
        [ingress("x/np", "", vec![])],
    );
    assert_eq!(isolated(&passed), "i");
}
