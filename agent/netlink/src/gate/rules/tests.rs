//! The rulesets, rule by rule.

use super::super::QueueVerb;
use super::*;

fn config(matcher: Matcher) -> GateConfig {
    let marks = Marks::from_mask(Marks::DEFAULT_MASK).unwrap();
    GateConfig {
        marks,
        queue: 100,
        queues: 2,
        fail_open: false,
        accept_for_good: false,
        honour_pass: true,
        early_datagrams: false,
        redirect: None,
        matcher,
        verb: QueueVerb::Xt,
    }
}

fn names(ruleset: &Ruleset) -> Vec<String> {
    let names = |chain: &Chain| {
        chain
            .rules
            .iter()
            .map(|rule| &*rule.name)
            .collect::<Vec<_>>()
            .join(" ")
    };
    ruleset.chains.iter().map(names).collect()
}

#[test]
fn the_rules_are_in_the_order_of_the_architecture() {
    let ruleset = ruleset(&config(Matcher::Sets)).unwrap();
    let postrouting = "pass pass-reply revoked reopened crossed accepted accepted own discovery related related hints reply turned fresh untracked unisolated unisolated queue";
    let input = "loopback pass pass-reply revoked reopened crossed accepted accepted discovery related related answer answer hints reply turned fresh untracked unisolated unisolated queue";
    assert_eq!(
        names(&ruleset),
        [
            "local",
            postrouting,
            "unmarked keep-reversed keep unkept",
            input,
            "unmarked keep-reversed keep unkept"
        ]
    );
    let priorities: Vec<i32> = ruleset.chains.iter().map(|chain| chain.priority).collect();
    assert_eq!(priorities, [95, 95, 96, 101, 102]);
}

#[test]
fn the_programs_take_the_place_of_the_sets() {
    let (pass, deny) = ("/bpf/gate_pass".into(), "/bpf/gate_deny".into());
    let ruleset = ruleset(&config(Matcher::Bpf { pass, deny })).unwrap();
    assert_eq!(ruleset.sets, [REVIEW4, REVIEW6]);
    assert!(names(&ruleset)[1].starts_with("pass pass-reply translated revoked "));
    let end = "hints reply turned fresh untracked gate-pass gate-deny queue";
    assert!(names(&ruleset)[1].ends_with(&format!("related {end}")));
    assert!(names(&ruleset)[3].starts_with("loopback pass pass-reply revoked "));
    assert!(names(&ruleset)[3].ends_with(&format!("answer {end}")));
}

#[test]
fn only_tcp_that_a_service_translates_and_nobody_has_marked_is_shown_sooner() {
    let (pass, deny) = ("/bpf/gate_pass".into(), "/bpf/gate_deny".into());
    let rule = translated(&config(Matcher::Bpf { pass, deny }));
    let rule = rule.unwrap().unwrap();
    let conditions = Rule::named("translated")
        .any_bits(Field::ConntrackStatus, 0x20)
        .equals(Field::TransportProtocol, &[6])
        .no_bits(Field::Mark, 0x70)
        .no_bits(Field::ConntrackMark, 0x70);
    assert!(rule.expressions.starts_with(&conditions.expressions));
    assert_eq!(translated(&config(Matcher::Sets)).unwrap(), None);
}

#[test]
fn datagrams_are_judged_early_where_the_kernel_needs_it() {
    let config = GateConfig {
        early_datagrams: true,
        ..config(Matcher::Sets)
    };
    let ruleset = ruleset(&config).unwrap();
    let early = "foreign others others others others hints reply turned fresh untracked unisolated unisolated queue";
    assert_eq!(
        names(&ruleset)[..2],
        [early, "unmarked keep-reversed keep unkept"]
    );
    assert!(
        names(&ruleset)[3].starts_with("pass pass-reply revoked reopened crossed judged accepted ")
    );
    let hooks = ruleset.chains.iter().map(|chain| chain.hook);
    assert_eq!(hooks.filter(|hook| *hook == Hook::Prerouting).count(), 2);
}

#[test]
fn without_a_program_that_sets_it_pass_means_nothing() {
    let config = GateConfig {
        honour_pass: false,
        ..config(Matcher::Sets)
    };
    let ruleset = ruleset(&config).unwrap();
    assert!(names(&ruleset)[1].starts_with("revoked reopened crossed accepted accepted own "));
    assert!(names(&ruleset)[3].starts_with("loopback revoked reopened crossed accepted "));
}

#[test]
fn what_is_accepted_for_good_is_never_under_review() {
    let config = GateConfig {
        accept_for_good: true,
        ..config(Matcher::Sets)
    };
    let ruleset = ruleset(&config).unwrap();
    assert!(
        names(&ruleset)[1].starts_with("pass pass-reply revoked reopened crossed accepted own ")
    );
    assert_eq!(ruleset.sets, sets::ALL);
}

#[test]
fn what_is_to_be_redirected_is_shown_first() {
    let config = GateConfig {
        redirect: Some("/bpf/gate_redirect".into()),
        ..config(Matcher::Sets)
    };
    let shown = names(&ruleset(&config).unwrap());
    assert!(shown[1].starts_with("redirect pass pass-reply revoked "));
    assert!(shown[3].starts_with("loopback pass pass-reply revoked "));
    let blind = GateConfig {
        honour_pass: false,
        ..config
    };
    assert!(names(&ruleset(&blind).unwrap())[1].starts_with("revoked "));
}

#[test]
fn a_path_that_a_rule_cannot_name_is_refused() {
    let (pass, deny) = ("/".repeat(512).into(), "/bpf/gate_deny".into());
    let error = ruleset(&config(Matcher::Bpf { pass, deny })).unwrap_err();
    assert!(error.to_string().starts_with("bpf program: "), "{error}");
}
