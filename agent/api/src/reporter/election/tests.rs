//! The election step by step, and many candidates against a model of the server and of time.

use proptest::prelude::*;

use super::*;

const TERMS: Terms = Terms {
    lasts: Duration::from_secs(15),
    renewed_by: Duration::from_secs(10),
    retry: Duration::from_secs(2),
    look: Duration::from_secs(5),
};

const fn at(seconds: u64) -> Time {
    Duration::from_secs(seconds)
}

fn seen(holder: &str, version: u64) -> Seen {
    Seen {
        record: Record {
            holder: holder.into(),
            lasts: TERMS.lasts,
            transitions: 3,
        },
        version: version.to_string(),
    }
}

fn candidate() -> Election {
    Election::new("me".into(), TERMS)
}

#[test]
fn what_nobody_has_is_taken() {
    let mut election = candidate();
    assert_eq!(election.step(at(0)), Step::Look);
    election.saw(None, at(0), 0.5);
    let Step::Create(record) = election.step(at(0)) else {
        panic!("not created");
    };
    assert_eq!((&*record.holder, record.transitions), ("me", 0));
    election.wrote(seen("me", 1), at(1));
    assert!(election.leads(at(10)) && !election.leads(at(11)));
    assert_eq!(election.step(at(2)), Step::Wait(at(3)));
    assert!(matches!(election.step(at(3)), Step::Update(record, version)
        if record.transitions == 3 && version == "1"));
}

#[test]
fn what_somebody_has_is_taken_once_it_was_left_alone_for_as_long_as_it_says() {
    let mut election = candidate();
    election.saw(Some(seen("other", 1)), at(100), 0.5);
    assert_eq!(election.step(at(100)), Step::Wait(at(105)));
    assert_eq!(election.step(at(105)), Step::Look);
    // It was renewed: the time begins anew.
    election.saw(Some(seen("other", 2)), at(105), 0.5);
    for look in [110, 115] {
        assert_eq!(election.step(at(look)), Step::Look);
        election.saw(Some(seen("other", 2)), at(look), 0.5);
    }
    assert_eq!(election.step(at(119)), Step::Wait(at(120)));
    let Step::Update(record, version) = election.step(at(120)) else {
        panic!("not taken over");
    };
    assert_eq!((record.transitions, &*version), (4, "2"));
}

#[test]
fn what_was_given_back_is_taken_at_once() {
    let mut leader = candidate();
    leader.wrote(seen("me", 7), at(1));
    let (record, version) = leader.release().unwrap();
    assert_eq!((&*record.holder, &*version), ("", "7"));
    assert!(!leader.leads(at(1)) && leader.release().is_none());
    let mut other = Election::new("other".into(), TERMS);
    let version = "8".to_owned();
    other.saw(Some(Seen { record, version }), at(2), 0.5);
    assert!(matches!(other.step(at(2)), Step::Update(record, _) if record.holder == "other"));
}

#[test]
fn a_leader_whose_write_is_refused_looks_whether_it_still_is_one() {
    let mut election = candidate();
    election.wrote(seen("me", 1), at(0));
    election.lost(at(2));
    assert!(!election.leads(at(2)));
    assert_eq!(election.step(at(2)), Step::Look);
    // Somebody labelled it.
    election.saw(Some(seen("me", 5)), at(2), 0.5);
    assert!(matches!(election.step(at(2)), Step::Update(_, version) if version == "5"));
}

#[test]
fn a_leader_without_answers_is_none_before_others_may_be() {
    let mut election = candidate();
    election.wrote(seen("me", 1), at(0));
    for second in [2, 4, 6, 8] {
        assert!(matches!(election.step(at(second)), Step::Update(..)));
        election.failed(at(second), TERMS.retry);
        assert!(election.leads(at(second)));
    }
    assert_eq!(election.step(at(10)), Step::Look);
    assert!(!election.leads(at(10)));
}

#[test]
fn a_leader_that_is_to_wait_tries_once_more_before_its_time_is_over() {
    const LONG: Duration = Duration::from_mins(1);
    let mut election = candidate();
    election.wrote(seen("me", 1), at(0));
    election.failed(at(2), Duration::from_secs(3));
    assert_eq!(election.step(at(2)), Step::Wait(at(5)));
    election.failed(at(5), LONG);
    assert_eq!(election.step(at(5)), Step::Wait(at(8)));
    assert!(matches!(election.step(at(8)), Step::Update(..)));
    // Whoever leads no more waits as a candidate does.
    election.failed(at(8), LONG);
    assert_eq!(election.step(at(10)), Step::Wait(at(68)));
    assert!(!election.leads(at(10)));
    election.failed(at(68), LONG);
    assert_eq!(election.step(at(68)), Step::Wait(at(128)));
}

/// What becomes of one request, in tenths of seconds.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// From when it is sent until the server sees it; none where that never happens.
    there: Option<u64>,
    /// From then until the answer is back; none where it is lost.
    back: Option<u64>,
}

/// A candidate whose clock has its own zero and speed.
#[derive(Debug)]
struct Node {
    election: Election,
    zero: u64,
    /// In percent of what is right.
    speed: u64,
    /// It does nothing until then, as a process that is stopped; what it thinks of itself is asked all the same.
    asleep: u64,
    request: Option<Request>,
    /// Given up, and perhaps under way still.
    strays: Vec<Request>,
}

#[derive(Clone, Debug)]
struct Request {
    step: Step,
    sent: u64,
    fate: Fate,
    /// What the server says, from when it saw it.
    answer: Option<Result<Option<Seen>, ()>>,
}

/// How long a candidate waits for an answer.
const PATIENCE: u64 = 50;

impl Node {
    fn new(identity: usize, zero: u64, speed: u64) -> Self {
        Self {
            election: Election::new(identity.to_string(), TERMS),
            zero,
            speed,
            asleep: 0,
            request: None,
            strays: Vec::new(),
        }
    }

    fn clock(&self, tenths: u64) -> Time {
        Duration::from_millis(self.zero * 100 + tenths * self.speed)
    }

    fn leads(&self, tenths: u64) -> bool {
        self.election.leads(self.clock(tenths))
    }

    fn act(
        &mut self,
        tenths: u64,
        server: &mut Option<Seen>,
        fates: &mut impl Iterator<Item = Fate>,
    ) {
        for request in self.request.iter_mut().chain(&mut self.strays) {
            request.reach(tenths, server);
        }
        if tenths < self.asleep {
            return;
        }
        self.hear(tenths);
        if self.request.is_none() {
            let step = self.election.step(self.clock(tenths));
            if !matches!(step, Step::Wait(_)) {
                let mut request = Request::new(step, tenths, fates.next().unwrap());
                request.reach(tenths, server);
                self.request = Some(request);
            }
        }
    }

    fn hear(&mut self, tenths: u64) {
        let now = self.clock(tenths);
        let Some(request) = self.request.take() else {
            return;
        };
        let Fate { there, back } = request.fate;
        let arrives = there.zip(back).map(|(it, back)| request.sent + it + back);
        if arrives.is_none_or(|arrives| tenths < arrives) {
            if tenths >= request.sent + PATIENCE {
                self.election.failed(now, TERMS.retry);
                self.strays.push(request);
            } else {
                self.request = Some(request);
            }
            return;
        }
        let sent = self.clock(request.sent);
        match (request.step, request.answer.unwrap()) {
            (Step::Look, Ok(found)) => self.election.saw(found, now, 0.5),
            (_, Ok(Some(seen))) => self.election.wrote(seen, sent),
            _ => self.election.lost(now),
        }
    }
}

impl Request {
    const fn new(step: Step, sent: u64, fate: Fate) -> Self {
        Self {
            step,
            sent,
            fate,
            answer: None,
        }
    }

    /// The server does one thing after the other, also what nobody waits for any more.
    fn reach(&mut self, tenths: u64, server: &mut Option<Seen>) {
        let arrives = self.fate.there.map(|it| self.sent + it);
        if self.answer.is_some() || arrives.is_none_or(|arrives| tenths < arrives) {
            return;
        }
        let expected = match &self.step {
            Step::Update(_, version) => Some(version.clone()),
            _ => None,
        };
        let current = server.as_ref().map(|seen| seen.version.clone());
        self.answer = Some(match &self.step {
            Step::Create(record) | Step::Update(record, _) if expected == current => {
                let number = current.map_or(0, |version| version.parse::<u64>().unwrap());
                let (record, version) = (record.clone(), (number + 1).to_string());
                *server = Some(Seen { record, version });
                Ok(server.clone())
            }
            Step::Create(_) | Step::Update(..) => Err(()),
            _ => Ok(server.clone()),
        });
    }
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let delay = prop_oneof![8 => (0_u64..5).prop_map(Some), 1 => (5_u64..200).prop_map(Some), 1 => Just(None)];
    let fate = (delay.clone(), delay).prop_map(|(there, back)| Fate { there, back });
    prop::collection::vec(fate, 1..200)
}

const PROMPT: Fate = Fate {
    there: Some(0),
    back: Some(1),
};

#[test]
fn somebody_leads_soon_after_the_last_leader_was_heard() {
    let mut nodes: Vec<Node> = (0..3).map(|number| Node::new(number, 77, 100)).collect();
    let mut server = None;
    let mut fates = std::iter::repeat(PROMPT);
    let mut missing = 0;
    for tenths in 0..1000 {
        for node in &mut nodes {
            node.act(tenths, &mut server, &mut fates);
        }
        let leader = nodes.iter().position(|node| node.leads(tenths));
        missing = if leader.is_some() { 0 } else { missing + 1 };
        // A leader that is killed believes in itself for ten seconds; the rest is a candidate's look.
        assert!(missing <= 110, "nobody leads at {tenths}");
        if tenths == 300 {
            nodes[leader.unwrap()].asleep = u64::MAX;
        }
    }
    assert_eq!(missing, 0);
}

proptest! {
    /// Whatever is late or lost, whoever sleeps, and whatever clocks show, as long as none runs more than a
    /// tenth too fast or too slow. A request that its sender has given up may still arrive; here it does as long as there is no
    /// newer one, which is what a connection that is closed with it amounts to.
    #[test]
    fn two_never_lead_at_once(
        clocks in prop::collection::vec((0_u64..1_000_000, 90_u64..=110), 2..5),
        fates in fates(),
        naps in prop::collection::vec((0_u64..3000, 0_usize..5, 0_u64..400), 0..10),
    ) {
        let numbered = clocks.iter().enumerate();
        let mut nodes: Vec<Node> = numbered.map(|(number, (zero, speed))| Node::new(number, *zero, *speed)).collect();
        let mut server = None;
        let mut fates = fates.into_iter().cycle();
        for tenths in 0..3000 {
            for (_, who, length) in naps.iter().filter(|(when, ..)| *when == tenths) {
                let who = *who % nodes.len();
                nodes[who].asleep = tenths + length;
            }
            for node in &mut nodes {
                node.act(tenths, &mut server, &mut fates);
            }
            let leaders = nodes.iter().filter(|node| node.leads(tenths)).count();
            prop_assert!(leaders <= 1, "{leaders} lead at {tenths}: {nodes:#?}");
        }
    }
}
