//! Of the admin kinds a list is told of as a whole, or not at all: of half a list, a policy that accepts may stand without
//! the one before it that denies.

use sluice_cluster::Channel;
use sluice_kubernetes::live::Kind;
use sluice_policy::AdminKind;

use crate::bed::{Bed, Lists, apply, control_with, list};
use crate::events::{DENY, admin};
use crate::relist::through;

/// More than a page has.
const POLICIES: usize = 600;
/// How many lists break off.
const CUTS: usize = 2;

#[test]
fn half_a_streamed_list_of_admin_policies_is_not_told_of() {
    // In the middle of the stream.
    break_off(Lists::Streamed, 800_000);
}

#[test]
fn half_a_list_of_admin_policies_in_pages_is_not_told_of() {
    // After the first page of 500 objects of some 2.5 kB.
    break_off(Lists::Paged, 1_400_000);
}

fn break_off(lists: Lists, after: usize) {
    let Some(control) = control_with(lists) else {
        return;
    };
    let kind = AdminKind::AdminNetworkPolicy;
    control
        .define(Kind::Admin(kind).resource(), Channel::Experimental)
        .unwrap();
    let padding = "x".repeat(1000);
    let padded = |number: &usize| {
        let policy = admin(
            "AdminNetworkPolicy",
            "v1alpha1",
            &format!("a{number}"),
            DENY,
        );
        let annotated = format!(r#""annotations":{{"padding":"{padding}"}},"name":"#);
        policy.replacen(r#""name":"#, &annotated, 1)
    };
    for some in (0..POLICIES).collect::<Vec<_>>().chunks(200) {
        apply(
            &control,
            &list(&some.iter().map(padded).collect::<Vec<_>>()),
        );
    }
    let (proxy, kubeconfig) = through(&control, &control.kubeconfig());
    proxy.cut_off(CUTS, after);
    let bed = Bed::follow(&control, &kubeconfig);
    bed.until_complete();
    bed.until("all are there", |known| {
        let names = known.index.admin_policy_names(kind);
        assert_eq!(known.halves, 0, "half a list was told of");
        names.count() == POLICIES
    });
    assert_eq!(proxy.cuts(), CUTS, "lists were cut off");
}
