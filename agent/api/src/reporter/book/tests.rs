//! What is written when, one policy at a time.

use sluice_kubernetes::live::ObjectName;
use sluice_policy::AdminKind;

use super::*;

const SETTLES: Duration = Duration::from_secs(10);

const fn at(seconds: u64) -> Time {
    Duration::from_secs(seconds)
}

fn network(name: &str) -> Subject {
    network_of("x", name)
}

fn network_of(namespace: &str, name: &str) -> Subject {
    Subject {
        kind: Kind::NetworkPolicy,
        name: ObjectName {
            namespace: namespace.into(),
            name: name.into(),
        },
    }
}

fn admin(name: &str) -> Subject {
    Subject {
        kind: Kind::Admin(AdminKind::AdminNetworkPolicy),
        name: ObjectName {
            namespace: "".into(),
            name: name.into(),
        },
    }
}

fn known(generation: i64, reasons: &[Reason]) -> Known {
    let finding = |reason: &Reason| Finding {
        reason: *reason,
        message: "m".into(),
    };
    Known {
        generation,
        findings: reasons.iter().map(finding).collect(),
    }
}

/// A book and what is known by now.
struct Told {
    book: Book,
    known: Findings,
}

impl Told {
    fn new() -> Self {
        Self {
            book: Book::new(SETTLES),
            known: Findings::new(),
        }
    }

    fn know(&mut self, subject: Subject, it: Known, now: Time) {
        self.known.insert(subject, it);
        self.book.take(Arc::new(self.known.clone()), now);
    }

    fn forget(&mut self, subject: &Subject, now: Time) {
        self.known.remove(subject);
        self.book.take(Arc::new(self.known.clone()), now);
    }

    /// All that is written, and when there may be more.
    fn written(&mut self, now: Time) -> (Vec<(bool, String, Known)>, Option<Time>) {
        let mut all = Vec::new();
        loop {
            match self.book.next(now) {
                Next::Nothing(due) => return (all, due),
                Next::Write(work) => {
                    let status = work.target != Target::Events;
                    all.push((
                        status,
                        work.subject.name.name.to_string(),
                        work.known.clone(),
                    ));
                    self.book.wrote(work, now);
                }
            }
        }
    }

    fn names(&mut self, now: Time) -> Vec<String> {
        let (written, _) = self.written(now);
        written
            .into_iter()
            .map(|(status, name, _)| {
                if status {
                    format!("{name}/status")
                } else {
                    name
                }
            })
            .collect()
    }
}

const NOBODY: [String; 0] = [];

#[test]
fn a_finding_is_told_once_for_each_generation() {
    let mut told = Told::new();
    told.know(network("a"), known(1, &[Reason::Invalid]), at(0));
    assert_eq!(told.names(at(0)), ["a"]);
    told.know(network("a"), known(1, &[Reason::Invalid]), at(1));
    assert_eq!(told.names(at(1)), NOBODY);
    told.know(network("a"), known(2, &[Reason::Invalid]), at(2));
    assert_eq!(told.names(at(2)), ["a"]);
    told.know(network("a"), known(3, &[]), at(3));
    assert_eq!(told.names(at(3)), NOBODY);
    told.know(network("a"), known(4, &[Reason::Invalid]), at(4));
    assert_eq!(told.names(at(4)), ["a"]);
}

#[test]
fn the_status_of_an_admin_policy_follows_what_is_known() {
    let mut told = Told::new();
    told.know(admin("a"), known(1, &[]), at(0));
    assert_eq!(told.names(at(0)), ["a/status"]);
    told.know(admin("a"), known(1, &[Reason::PriorityTie]), at(1));
    assert_eq!(told.names(at(1)), ["a", "a/status"]);
    told.know(admin("a"), known(1, &[]), at(2));
    assert_eq!(told.names(at(2)), ["a/status"]);
    told.know(admin("a"), known(2, &[]), at(3));
    assert_eq!(told.names(at(3)), ["a/status"]);
    assert_eq!(told.names(at(100)), NOBODY);
}

#[test]
fn what_selects_nothing_is_told_once_it_stayed_so() {
    let mut told = Told::new();
    told.know(network("a"), known(1, &[Reason::SelectsNothing]), at(5));
    assert_eq!(told.written(at(5)), (Vec::new(), Some(at(15))));
    // Another policy does not make it wait longer.
    told.know(network("b"), known(1, &[Reason::SelectsNothing]), at(9));
    assert_eq!(told.names(at(14)), NOBODY);
    let (written, due) = told.written(at(15));
    assert_eq!(
        written,
        [(false, "a".to_owned(), known(1, &[Reason::SelectsNothing]))]
    );
    assert_eq!(due, Some(at(19)));
    assert_eq!(told.names(at(19)), ["b"]);
}

#[test]
fn what_selects_something_in_between_begins_anew() {
    let mut told = Told::new();
    told.know(network("a"), known(1, &[Reason::SelectsNothing]), at(0));
    told.know(network("a"), known(1, &[]), at(9));
    told.know(network("a"), known(1, &[Reason::SelectsNothing]), at(9));
    assert_eq!(told.names(at(18)), NOBODY);
    assert_eq!(told.names(at(19)), ["a"]);
}

#[test]
fn what_is_settled_is_told_with_what_is_not_left_out() {
    let mut told = Told::new();
    let both = [Reason::Invalid, Reason::SelectsNothing];
    told.know(admin("a"), known(1, &both), at(0));
    let (written, _) = told.written(at(0));
    let invalid = known(1, &[Reason::Invalid]);
    assert_eq!(
        written,
        [
            (false, "a".into(), invalid.clone()),
            (true, "a".into(), invalid)
        ]
    );
    let (written, _) = told.written(at(10));
    assert_eq!(
        written,
        [
            (false, "a".into(), known(1, &both)),
            (true, "a".into(), known(1, &both))
        ]
    );
}

#[test]
fn what_is_refused_waits_and_holds_nothing_else_up() {
    let mut told = Told::new();
    told.know(network("a"), known(1, &[Reason::Invalid]), at(0));
    told.know(admin("b"), known(1, &[Reason::Invalid]), at(0));
    told.book.block(Target::Events, at(300));
    assert_eq!(told.names(at(0)), ["b/status"]);
    told.know(network("c"), known(1, &[Reason::Invalid]), at(1));
    assert_eq!(told.written(at(299)), (Vec::new(), Some(at(300))));
    assert_eq!(told.names(at(300)), ["a", "b", "c"]);
}

#[test]
fn what_failed_is_tried_again_unless_it_is_gone() {
    let mut told = Told::new();
    for name in ["a", "b"] {
        told.know(network(name), known(1, &[Reason::Invalid]), at(0));
    }
    for _ in 0..2 {
        let Next::Write(work) = told.book.next(at(0)) else {
            panic!("nothing to write");
        };
        told.book.postpone(work, at(0), at(2));
    }
    assert_eq!(
        (told.written(at(1)), told.book.waiting()),
        ((Vec::new(), Some(at(2))), 2)
    );
    told.forget(&network("a"), at(1));
    assert_eq!(told.names(at(2)), ["b"]);
    assert_eq!(told.book.waiting(), 0);
}

#[test]
fn nothing_is_remembered_of_policies_that_are_gone() {
    let mut told = Told::new();
    told.know(
        admin("a"),
        known(1, &[Reason::Invalid, Reason::SelectsNothing]),
        at(0),
    );
    assert_eq!(told.names(at(10)).len(), 2);
    told.forget(&admin("a"), at(11));
    let long_after = at(1_000);
    told.book.take(Arc::new(told.known.clone()), long_after);
    let Book {
        empty, done, queue, ..
    } = &told.book;
    assert!(empty.is_empty() && done.is_empty() && queue.is_empty());
    told.know(admin("a"), known(1, &[Reason::Invalid]), at(1_001));
    assert_eq!(told.names(at(1_001)), ["a", "a/status"]);
}

/// The namespace of whatever is written next, which it is then.
fn write_next(told: &mut Told, now: Time) -> Option<String> {
    let Next::Write(work) = told.book.next(now) else {
        return None;
    };
    let namespace = work.subject.name.namespace.to_string();
    told.book.wrote(work, now);
    Some(namespace)
}

#[test]
fn whoever_changes_policies_all_the_time_keeps_nobody_else_waiting() {
    let mut told = Told::new();
    let mut generation = 0;
    let mut edit = |told: &mut Told, now: Time| {
        generation += 1;
        for number in 0..100 {
            let subject = network_of("a-tenant", &format!("p{number}"));
            told.known
                .insert(subject, known(generation, &[Reason::Invalid]));
        }
        told.book.take(Arc::new(told.known.clone()), now);
    };
    edit(&mut told, at(0));
    for namespace in ["b", "c", "d"] {
        told.know(
            network_of(namespace, "p"),
            known(1, &[Reason::Invalid]),
            at(0),
        );
    }
    told.know(admin("p"), known(1, &[Reason::Invalid]), at(0));
    let mut written = Vec::new();
    // The first two of the cluster's own, and the four namespaces, whose first comes round again.
    for _ in 0..8 {
        written.extend(write_next(&mut told, at(0)));
        edit(&mut told, at(0));
    }
    assert_eq!(
        written,
        ["", "a-tenant", "b", "c", "d", "", "a-tenant", "a-tenant"]
    );
}

#[test]
fn a_policy_that_changes_all_the_time_keeps_no_other_of_its_namespace_waiting() {
    let mut told = Told::new();
    for name in ["a", "b", "c"] {
        told.know(network(name), known(1, &[Reason::Invalid]), at(0));
    }
    let mut written = Vec::new();
    for generation in 2..6 {
        let Next::Write(work) = told.book.next(at(0)) else {
            panic!("nothing to write");
        };
        written.push(work.subject.name.name.to_string());
        told.book.wrote(work, at(0));
        told.know(network("a"), known(generation, &[Reason::Invalid]), at(0));
    }
    assert_eq!(written, ["a", "b", "c", "a"]);
}

#[test]
fn a_namespace_is_written_about_within_a_bound_and_the_cluster_is_not_bounded() {
    let mut told = Told::new();
    for number in 0..100 {
        let name = format!("p{number}");
        told.know(network(&name), known(1, &[Reason::Invalid]), at(0));
    }
    let count = |told: &mut Told, now| std::iter::from_fn(|| write_next(told, now)).count();
    assert_eq!(count(&mut told, at(0)), 25);
    assert_eq!(told.book.next(at(0)), Next::Nothing(Some(at(2))));
    assert_eq!((count(&mut told, at(2)), count(&mut told, at(3))), (1, 0));
    // What was not written for a while is made up for, but for no more than at first.
    assert_eq!(count(&mut told, at(11)), 4);
    assert_eq!(count(&mut told, at(1_000)), 25);
    for number in 0..100 {
        told.know(admin(&format!("p{number}")), known(1, &[]), at(1_000));
    }
    assert_eq!(count(&mut told, at(1_000)), 100);
}
