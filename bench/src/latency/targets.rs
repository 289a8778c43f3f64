//! Which pods are targets, and what is known of each: a state machine that is told what the API says. No clock, no
//! sockets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// To compare with timestamps of the API server.
    pub wall: Timestamp,
    /// To compare with other moments of this process.
    pub steady: Instant,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }
}

/// What the API says of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// By the API server's clock, in whole seconds.
    pub created: Timestamp,
    /// Once it has one.
    pub ip: Option<IpAddr>,
}

/// How it comes to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was there when it was asked.
    Listed,
    /// It was made just now.
    Added,
    /// It is another than before.
    Modified,
    /// It is gone.
    Deleted,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Nothing.
    Nothing,
    /// Send to a new target until it answers.
    Send(Claim),
    /// Send nothing more to this one.
    Stop(String),
    /// There are as many targets as there may be: no more events are needed.
    Full,
}

/// A new target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The pod's name.
    pub name: String,
    /// The pod's address.
    pub ip: IpAddr,
    /// From its creation, as the API server stamps it, to when its address was seen.
    pub since_created: SignedDuration,
    /// From when its creation was seen, for those that were seen being made.
    pub since_added: Option<Duration>,
}

/// All pods that were heard of.
#[derive(Debug)]
pub struct Targets {
    most: usize,
    claimed: usize,
    pods: BTreeMap<String, State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Has no address. Exits to `Target` with the event that tells one, or is forgotten when it is deleted.
    Waiting { added: Option<Instant> },
    /// Was claimed once. Its name stays taken, also by another pod.
    Target,
}

impl Targets {
    /// At most so many are to be claimed.
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            claimed: 0,
            pods: BTreeMap::new(),
        }
    }

    /// How many there are.
    pub const fn claimed(&self) -> usize {
        self.claimed
    }

    /// Takes in what the API says, at that moment.
    pub fn apply(&mut self, change: Change, pod: &PodSeen, at: Moment) -> Next {
        let state = self.pods.get(&pod.name).copied();
        let added = match (change, state) {
            (Change::Deleted, _) => return self.forget(pod, state),
            // It is one, or was; or it is no new pod, as nothing was heard of it before.
            (_, Some(State::Target)) | (Change::Modified, None) => return Next::Nothing,
            (_, Some(State::Waiting { added })) => added,
            (Change::Added, None) => Some(at.steady),
            (Change::Listed, None) => None,
        };
        let Some(ip) = pod.ip else {
            self.pods.insert(pod.name.clone(), State::Waiting { added });
            return Next::Nothing;
        };
        self.claim(pod, ip, added, at)
    }

    fn claim(&mut self, pod: &PodSeen, ip: IpAddr, added: Option<Instant>, at: Moment) -> Next {
        self.pods.insert(pod.name.clone(), State::Target);
        if self.claimed == self.most {
            return Next::Full;
        }
        self.claimed += 1;
        // One that was added with its address already shows nothing of how long that took.
        let since_added = added.filter(|added| *added != at.steady);
        Next::Send(Claim {
            name: pod.name.clone(),
            ip,
            since_created: at.wall.duration_since(pod.created),
            since_added: since_added.map(|added| at.steady.saturating_duration_since(added)),
        })
    }

    fn forget(&mut self, pod: &PodSeen, state: Option<State>) -> Next {
        if state == Some(State::Target) {
            return Next::Stop(pod.name.clone());
        }
        self.pods.remove(&pod.name);
        Next::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = "2026-01-23T18:41:31Z";

    struct Room {
        targets: Targets,
        start: Moment,
    }

    impl Room {
        fn new(most: usize) -> Self {
            let start = Moment {
                wall: CREATED.parse().unwrap(),
                steady: Instant::now(),
            };
            Self {
                targets: Targets::new(most),
                start,
            }
        }

        /// At so many milliseconds after the start.
        fn hear(&mut self, at: i64, change: Change, name: &str, ip: Option<&str>) -> Next {
            let pod = PodSeen {
                name: name.to_owned(),
                created: CREATED.parse().unwrap(),
                ip: ip.map(|text| text.parse().unwrap()),
            };
            let later = Duration::from_millis(at.unsigned_abs());
            let at = Moment {
                wall: self.start.wall + later,
                steady: self.start.steady + later,
            };
            self.targets.apply(change, &pod, at)
        }
    }

    fn send(name: &str, ip: &str, since_created: i64, since_added: Option<u64>) -> Next {
        Next::Send(Claim {
            name: name.to_owned(),
            ip: ip.parse().unwrap(),
            since_created: SignedDuration::from_millis(since_created),
            since_added: since_added.map(Duration::from_millis),
        })
    }

    const IP: Option<&str> = Some("10.0.0.1");
    use Change::{Added, Deleted, Listed, Modified};

    #[test]
    fn a_pod_is_sent_to_as_soon_as_it_has_an_address_and_once() {
        let mut room = Room::new(9);
        assert_eq!(room.hear(100, Added, "a", None), Next::Nothing);
        assert_eq!(room.hear(200, Modified, "a", None), Next::Nothing);
        let expected = send("a", "10.0.0.1", 700, Some(600));
        assert_eq!(room.hear(700, Modified, "a", IP), expected);
        assert_eq!(room.hear(800, Modified, "a", IP), Next::Nothing);
        assert_eq!(room.hear(900, Listed, "a", IP), Next::Nothing);
        assert_eq!(room.targets.claimed(), 1);
    }

    #[test]
    fn a_pod_that_was_there_before_is_a_target_without_a_precise_time() {
        let mut room = Room::new(9);
        let expected = send("old", "10.0.0.1", 50, None);
        assert_eq!(room.hear(50, Listed, "old", IP), expected);
        assert_eq!(room.hear(60, Listed, "half", None), Next::Nothing);
        let expected = send("half", "10.0.0.1", 90, None);
        assert_eq!(room.hear(90, Modified, "half", IP), expected);
        let expected = send("whole", "10.0.0.1", 95, None);
        assert_eq!(room.hear(95, Added, "whole", IP), expected);
    }

    #[test]
    fn a_pod_of_which_only_changes_are_heard_is_no_target() {
        let mut room = Room::new(9);
        assert_eq!(room.hear(1, Modified, "stranger", IP), Next::Nothing);
        assert_eq!(room.targets.claimed(), 0);
    }

    #[test]
    fn no_more_are_claimed_than_there_may_be() {
        let mut room = Room::new(2);
        for name in ["a", "b"] {
            assert!(matches!(room.hear(1, Added, name, IP), Next::Send(_)));
        }
        assert_eq!(room.hear(2, Added, "c", None), Next::Nothing);
        assert_eq!(room.hear(3, Modified, "c", IP), Next::Full);
        assert_eq!(room.targets.claimed(), 2);
    }

    #[test]
    fn a_pod_that_is_gone_is_sent_nothing_and_its_name_stays_taken() {
        let mut room = Room::new(9);
        assert_eq!(room.hear(1, Added, "early", None), Next::Nothing);
        assert_eq!(room.hear(2, Deleted, "early", None), Next::Nothing);
        assert_eq!(room.hear(3, Modified, "early", IP), Next::Nothing);
        assert!(matches!(room.hear(4, Added, "a", IP), Next::Send(_)));
        let stop = Next::Stop("a".to_owned());
        assert_eq!(room.hear(5, Deleted, "a", IP), stop);
        assert_eq!(room.hear(6, Added, "a", IP), Next::Nothing);
    }
}
