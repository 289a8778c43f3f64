//! Which tier, policy and rule has the say.

use super::{Object, check};

/// A policy of the Admin tier and one of the Baseline tier, in each version, and what that calls an allowing rule.
const TIERS: [(Object<'_>, Object<'_>, &str); 2] = [
    (
        (
            "anp",
            "a",
            "priority: 1, EVERYONE, ingress: [{action: ACTION, FROM_ALL}]",
        ),
        (
            "banp",
            "default",
            "EVERYONE, ingress: [{action: ACTION, FROM_ALL}]",
        ),
        "Allow",
    ),
    (
        (
            "cnp",
            "a",
            "tier: Admin, priority: 1, EVERYONE, ingress: [{action: ACTION, FROM_ALL}]",
        ),
        (
            "cnp",
            "b",
            "tier: Baseline, priority: 1, EVERYONE, ingress: [{action: ACTION, FROM_ALL}]",
        ),
        "Accept",
    ),
];

#[test]
fn the_admin_tier_is_asked_before_network_policies_and_the_baseline_after() {
    let deny = Some("podSelector: {matchLabels: {app: web}}");
    let open = Some("podSelector: {matchLabels: {app: web}}, ingress: [{}]");
    for (admin, baseline, allow) in TIERS {
        let with = |(kind, name, spec): Object<'static>, action: &str| {
            (kind, name, spec.replace("ACTION", action))
        };
        for (admin_action, policy, baseline_action, to_web, to_db) in [
            (None, None, None, true, true),
            (None, deny, None, false, true),
            (None, None, Some("Deny"), false, false),
            (None, open, Some("Deny"), true, false),
            (None, deny, Some(allow), false, true),
            (Some("Deny"), open, Some(allow), false, false),
            (Some(allow), deny, Some("Deny"), true, true),
            (Some("Pass"), deny, Some(allow), false, true),
            (Some("Pass"), open, Some("Deny"), true, false),
            (Some("Pass"), None, None, true, true),
        ] {
            let admin = admin_action.map(|action| with(admin, action));
            let baseline = baseline_action.map(|action| with(baseline, action));
            let policy = policy.map(|spec| ("np", "p", spec.to_owned()));
            let objects = [admin, policy, baseline];
            let objects: Vec<Object<'_>> = objects
                .iter()
                .flatten()
                .map(|(kind, name, spec)| (*kind, *name, spec.as_str()))
                .collect();
            let questions = [
                ("blue/web > red/web 80", to_web),
                ("blue/web > red/db 80", to_db),
            ];
            check(&objects, &questions);
        }
    }
}

#[test]
fn a_pass_skips_the_rest_of_its_tier_and_no_other() {
    let pass = (
        "anp",
        "a",
        "priority: 1, EVERYONE, ingress: [{action: Pass, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}]}, {action: Deny, FROM_ALL}]",
    );
    let deny = (
        "cnp",
        "b",
        "tier: Admin, priority: 2, EVERYONE, ingress: [{action: Deny, FROM_ALL}]",
    );
    let questions = |from_web| {
        [
            ("blue/web > red/web 1", from_web),
            ("red/db > red/web 1", false),
        ]
    };
    check(&[pass, deny], &questions(true));
    check(
        &[pass, deny, ("np", "p", "podSelector: {}")],
        &questions(false),
    );
    let baseline = (
        "cnp",
        "c",
        "tier: Baseline, priority: 0, EVERYONE, ingress: [{action: Deny, FROM_ALL}]",
    );
    check(&[pass, deny, baseline], &questions(false));
    let passes = (
        "cnp",
        "d",
        "tier: Baseline, priority: 0, EVERYONE, ingress: [{action: Pass, FROM_ALL}]",
    );
    let later = (
        "banp",
        "default",
        "EVERYONE, ingress: [{action: Deny, FROM_ALL}]",
    );
    check(&[pass, passes, later], &questions(true));
}

#[test]
fn lower_numbers_come_first_and_then_names_whatever_the_kind() {
    let anp = |name, priority: &str, action| {
        (
            "anp",
            name,
            format!("priority: {priority}, EVERYONE, ingress: [{{action: {action}, FROM_ALL}}]"),
        )
    };
    let cnp = |name, priority: &str, action| {
        (
            "cnp",
            name,
            format!(
                "tier: Admin, priority: {priority}, EVERYONE, ingress: [{{action: {action}, FROM_ALL}}]"
            ),
        )
    };
    for (one, other, allowed) in [
        (anp("a", "2", "Allow"), cnp("b", "1", "Deny"), false),
        (anp("a", "1", "Allow"), cnp("b", "2", "Deny"), true),
        (anp("a", "1", "Allow"), cnp("b", "1", "Deny"), true),
        (anp("b", "1", "Allow"), cnp("a", "1", "Deny"), false),
        (anp("a", "1", "Allow"), cnp("a", "1", "Deny"), true),
        (anp("a", "10", "Allow"), anp("b", "9", "Deny"), false),
    ] {
        let objects = [&one, &other].map(|(kind, name, spec)| (*kind, *name, spec.as_str()));
        check(&objects, &[("blue/web > red/web 1", allowed)]);
        let [one, other] = objects;
        check(&[other, one], &[("blue/web > red/web 1", allowed)]);
    }
    let last = (
        "banp",
        "default",
        "EVERYONE, ingress: [{action: Deny, FROM_ALL}]",
    );
    let baseline = (
        "cnp",
        "x",
        "tier: Baseline, priority: 1000, EVERYONE, ingress: [{action: Accept, FROM_ALL}]",
    );
    check(&[last, baseline], &[("blue/web > red/web 1", true)]);
}

#[test]
fn the_first_rule_that_matches_counts() {
    let rules = "{action: Deny, from: [{namespaces: {matchLabels: {team: blue}}}]}, {action: Allow, FROM_ALL}";
    let spec = format!("priority: 1, EVERYONE, ingress: [{rules}, {{action: Deny, FROM_ALL}}]");
    check(
        &[("anp", "a", &spec)],
        &[
            ("blue/web > red/web 1", false),
            ("red/db > red/web 1", true),
        ],
    );
}

#[test]
fn policies_without_rules_of_a_direction_do_not_affect_it() {
    for objects in [
        [
            (
                "anp",
                "a",
                "priority: 1, EVERYONE, ingress: [{action: Deny, FROM_ALL}]",
            ),
            ("np", "p", "podSelector: {matchLabels: {none: x}}"),
        ],
        [
            (
                "banp",
                "default",
                "EVERYONE, ingress: [{action: Deny, FROM_ALL}]",
            ),
            (
                "np",
                "p",
                "podSelector: {}, policyTypes: [Egress], egress: [{}]",
            ),
        ],
    ] {
        check(&objects, &[("red/web > blue/web 1", false)]);
    }
    // A NetworkPolicy decides in the directions that it isolates in: this one leaves ingress to the baseline.
    let egress = (
        "np",
        "p",
        "podSelector: {}, policyTypes: [Egress], egress: [{}]",
    );
    let baseline = (
        "banp",
        "default",
        "EVERYONE, ingress: [{action: Deny, FROM_ALL}], egress: [{action: Deny, TO_ALL}]",
    );
    check(
        &[egress, baseline],
        &[
            ("blue/web > red/web 1", false),
            ("red/web > blue/web 1", false),
        ],
    );
    let open = (
        "cnp",
        "open",
        "tier: Baseline, priority: 1, subject: {namespaces: {matchLabels: {team: blue}}}, ingress: [{action: Accept, FROM_ALL}]",
    );
    check(&[egress, baseline, open], &[("red/web > blue/web 1", true)]);
}

#[test]
fn an_egress_accept_does_not_open_the_destination() {
    let accept = (
        "cnp",
        "a",
        "tier: Admin, priority: 1, EVERYONE, egress: [{action: Accept, TO_ALL}]",
    );
    check(
        &[accept, ("np", "p", "podSelector: {}")],
        &[
            ("blue/web > red/web 1", false),
            ("red/web > blue/web 1", true),
        ],
    );
}
