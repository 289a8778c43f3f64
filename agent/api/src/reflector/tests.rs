//! The reflector against a server that lists, breaks off, repeats itself, shuffles its pages and restarts: it ends where
//! the server is, and never lacks in between what was there throughout.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_policy::NetworkPolicy;

use super::*;

/// What happens between a server and a reflector.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody writes an object.
    Write(u8),
    /// Somebody deletes an object.
    Delete(u8),
    /// The server tells so many events of the watch.
    Tell(u8),
    /// It marks how far the watch is.
    Bookmark,
    /// The watch breaks off; it goes on where it was.
    Break,
    /// The watch cannot go on: 410.
    Expire,
    /// A list begins, or begins again.
    List,
    /// Some objects of the list, from there on, so many, perhaps again.
    Page(u8, u8),
    /// The rest of the list, and its end.
    Complete,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u8).prop_map(Step::Write),
        3 => (0..8_u8).prop_map(Step::Delete),
        4 => (1..4_u8).prop_map(Step::Tell),
        1 => Just(Step::Bookmark),
        1 => Just(Step::Break),
        1 => Just(Step::Expire),
        2 => Just(Step::List),
        3 => (0..8_u8, 1..8_u8).prop_map(|(from, count)| Step::Page(from, count)),
        2 => Just(Step::Complete),
    ]
}

/// A server of policies, the reflector that follows it, and the index that listens.
struct Bed {
    version: u64,
    objects: BTreeMap<u8, u64>,
    /// Every write, and whether the object was there afterwards.
    history: Vec<(u64, u8, bool)>,
    /// A list that was begun: its objects and version.
    list: Option<(BTreeMap<u8, u64>, u64)>,
    reflector: Reflector,
    index: BTreeSet<Arc<str>>,
    /// In the index as of the last complete list, and on the server ever since.
    throughout: BTreeSet<u8>,
}

fn name(number: u8) -> ObjectName {
    ObjectName {
        namespace: format!("ns{}", number % 2).into(),
        name: number.to_string().into(),
    }
}

fn live(number: u8, version: u64) -> Live {
    let ObjectName {
        namespace,
        name: own,
    } = name(number);
    Live {
        name: name(number),
        version: version.to_string(),
        generation: None,
        event: Event::NetworkPolicy(NetworkPolicy {
            namespace,
            name: own,
            pods: sluice_policy::Selector::default(),
            ingress: Some(Vec::new()),
            egress: None,
        }),
        problems: Vec::new(),
    }
}

impl Bed {
    fn new() -> Self {
        Self {
            version: 1,
            objects: BTreeMap::new(),
            history: Vec::new(),
            list: None,
            reflector: Reflector::new(Kind::NetworkPolicy),
            index: BTreeSet::new(),
            throughout: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(number) => self.write(number, true),
            Step::Delete(number) => self.write(number, false),
            Step::Tell(count) => self.tell(count.into()),
            Step::Bookmark => self.bookmark(),
            Step::Break => {}
            Step::Expire => self.reflector.expired(),
            Step::List => self.begin(),
            Step::Page(from, count) => self.page(from.into(), count.into()),
            Step::Complete => self.complete(),
        }
        for number in &self.throughout {
            assert!(
                self.index.contains(&name(*number).name),
                "{number} after {step:?}"
            );
        }
    }

    fn write(&mut self, number: u8, there: bool) {
        self.version += 1;
        if there {
            self.objects.insert(number, self.version);
        } else if self.objects.remove(&number).is_some() {
            self.throughout.remove(&number);
        } else {
            return;
        }
        self.history.push((self.version, number, there));
    }

    /// The watch, from where the reflector is.
    fn tell(&mut self, count: usize) {
        let Some(from) = self
            .reflector
            .version()
            .map(|text| text.parse::<u64>().unwrap())
        else {
            return;
        };
        let mut batch = Batch::default();
        let later = self.history.iter().filter(|(version, ..)| *version > from);
        for &(version, number, there) in later.take(count) {
            if there {
                self.reflector.there(live(number, version), &mut batch);
            } else {
                self.reflector
                    .gone(name(number), version.to_string(), &mut batch);
            }
        }
        self.hear(batch);
    }

    fn bookmark(&mut self) {
        if self.reflector.version().is_some() {
            self.tell(usize::MAX);
            let mut batch = Batch::default();
            self.reflector
                .bookmark(self.version.to_string(), &mut batch);
            self.hear(batch);
        }
    }

    fn begin(&mut self) {
        self.list = Some((self.objects.clone(), self.version));
        self.reflector.begin(&mut Batch::default());
    }

    /// Pages come in any order, and more than once.
    fn page(&mut self, from: usize, count: usize) {
        let Some((objects, _)) = self
            .list
            .clone()
            .filter(|_| self.reflector.version().is_none())
        else {
            return;
        };
        let mut batch = Batch::default();
        for (&number, &version) in objects.iter().skip(from).take(count) {
            self.reflector.there(live(number, version), &mut batch);
        }
        self.hear(batch);
    }

    fn complete(&mut self) {
        if self.list.is_none() || self.reflector.version().is_some() {
            self.begin();
        }
        self.page(0, usize::MAX);
        let Some((objects, version)) = self.list.take() else {
            return;
        };
        let mut batch = Batch::default();
        self.reflector.listed(version.to_string(), &mut batch);
        self.hear(batch);
        let listed: BTreeSet<_> = objects.keys().map(|number| name(*number).name).collect();
        assert_eq!(self.index, listed, "a complete list is what is there");
        assert_eq!(self.reflector.count(), listed.len());
        let still = |(number, version): (&u8, &u64)| {
            let deleted = self
                .history
                .iter()
                .any(|(at, of, there)| of == number && !there && at > version);
            (!deleted).then_some(*number)
        };
        self.throughout = objects.iter().filter_map(still).collect();
    }

    fn hear(&mut self, batch: Batch) {
        for event in batch.events {
            match event {
                Event::NetworkPolicy(policy) => self.index.insert(policy.name),
                Event::NetworkPolicyGone(_, name) => self.index.remove(&name),
                other => panic!("{other:?}"),
            };
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_on_the_way_it_ends_where_the_server_is(steps in prop::collection::vec(step(), 0..60)) {
        let mut bed = Bed::new();
        for step in &steps {
            bed.step(step);
        }
        if bed.reflector.version().is_none() {
            bed.complete();
        }
        bed.tell(usize::MAX);
        let wanted: BTreeSet<_> = bed.objects.keys().map(|number| name(*number).name).collect();
        prop_assert_eq!(&bed.index, &wanted);
        prop_assert_eq!(bed.reflector.count(), wanted.len());
    }
}

#[test]
fn a_kind_that_is_not_served_any_more_takes_its_objects_along() {
    let mut bed = Bed::new();
    for number in 0..5 {
        bed.write(number, true);
    }
    bed.complete();
    assert_eq!(bed.index.len(), 5);
    let mut batch = Batch::default();
    bed.reflector.vanished(&mut batch);
    bed.hear(batch);
    assert_eq!((bed.index.len(), bed.reflector.count()), (0, 0));
    assert_eq!(
        bed.reflector.version(),
        None,
        "it is listed when it is back"
    );
}

/// A list of which a page was read when the server was too busy for the next one.
fn half_read() -> (Reflector, Batch) {
    let mut reflector = Reflector::new(Kind::NetworkPolicy);
    let mut batch = Batch::default();
    reflector.begin(&mut batch);
    reflector.there(live(1, 5), &mut batch);
    reflector.goes_on("token".into());
    (reflector, batch)
}

#[test]
fn a_list_that_is_half_read_goes_on_with_what_was_read_of_it() {
    let (mut reflector, mut batch) = half_read();
    assert_eq!(reflector.next(), "token");
    reflector.there(live(2, 5), &mut batch);
    reflector.listed("9".into(), &mut batch);
    assert_eq!((batch.events.len(), reflector.count()), (2, 2));
    assert_eq!((reflector.next(), reflector.version()), ("", Some("9")));
}

#[test]
fn a_list_that_is_half_read_begins_again_where_its_kind_vanished_or_its_token_expired() {
    type Stop = fn(&mut Reflector, &mut Batch);
    let stops: [Stop; 3] = [
        |reflector, batch| reflector.vanished(batch),
        |reflector, _| reflector.expired(),
        |reflector, _| reflector.broke_off(),
    ];
    for stop in stops {
        let (mut reflector, mut batch) = half_read();
        stop(&mut reflector, &mut batch);
        assert_eq!((reflector.next(), reflector.version()), ("", None));
        reflector.begin(&mut batch);
        assert!(batch.is_empty(), "{batch:?}");
        reflector.there(live(2, 7), &mut batch);
        reflector.listed("9".into(), &mut batch);
        assert_eq!(reflector.count(), 1, "what is in the new list alone");
    }
}

#[test]
fn of_a_list_that_is_half_read_nothing_is_there_once_its_kind_vanished() {
    let (mut reflector, mut batch) = half_read();
    reflector.vanished(&mut batch);
    assert!(matches!(
        &*batch.events,
        [Event::NetworkPolicyGone(_, name)] if **name == *"1"
    ));
    assert_eq!((reflector.count(), batch.version), (0, None));
}

#[test]
fn problems_are_told_of_until_they_are_solved() {
    let mut reflector = Reflector::new(Kind::NetworkPolicy);
    let problem = || Problem {
        origin: sluice_kubernetes::Origin::Api,
        object: None,
        field: None,
        message: "bad".into(),
        harmless: false,
    };
    let told = |reflector: &mut Reflector, problems: Vec<Problem>| -> Vec<usize> {
        let mut batch = Batch::default();
        let object = Live {
            problems,
            ..live(1, 7)
        };
        reflector.there(object, &mut batch);
        batch
            .problems
            .iter()
            .map(|(_, problems)| problems.len())
            .collect()
    };
    assert!(told(&mut reflector, vec![]).is_empty());
    assert_eq!(told(&mut reflector, vec![problem()]), [1]);
    assert_eq!(told(&mut reflector, vec![problem(), problem()]), [2]);
    assert_eq!(told(&mut reflector, vec![]), [0]);
    assert_eq!(told(&mut reflector, vec![problem()]), [1]);
    let mut batch = Batch::default();
    reflector.gone(name(1), "9".into(), &mut batch);
    assert_eq!(batch.problems, [(name(1), vec![])]);
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_place() {
    let mut bed = Bed::new();
    bed.write(1, true);
    bed.complete();
    let mut batch = Batch::default();
    bed.reflector.begin(&mut batch);
    bed.reflector.unreadable(&name(1), "8".into(), &mut batch);
    bed.reflector.listed("9".into(), &mut batch);
    bed.hear(batch);
    assert!(bed.index.contains("1"));
}
