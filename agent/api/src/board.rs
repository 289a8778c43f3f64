//! What is known of the API right now: which kinds are complete, since when it does not answer, and what is wrong. Says
//! each change in one log line. Does no I/O and makes no requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sluice_kubernetes::live::Kind;
use tracing::{info, warn};

use crate::trouble::Trouble;

/// What all tasks of the source write down.
#[derive(Debug)]
pub(crate) struct Board(Mutex<State>);

/// Who has trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The task that asks what is served.
    Discovery,
    /// The task that lists and watches a kind.
    Kind(Kind),
}

#[derive(Debug, Default)]
struct State {
    server: Option<String>,
    kinds: BTreeMap<Kind, KindState>,
    troubles: BTreeMap<Who, Trouble>,
    /// Since when somebody has trouble with the server as a whole.
    disconnected: Option<SystemTime>,
    /// It had answered before.
    lost: bool,
    /// Troubles with the server that were told of since then.
    told: BTreeSet<String>,
    /// Every kind that is served has been complete once.
    synced: bool,
    /// What is served is known.
    discovered: bool,
    /// Kinds that are served in other versions only, and in which.
    elsewhere: BTreeMap<Kind, String>,
    /// How often the server refused whom, by code of HTTP.
    refused: BTreeMap<(Who, u16), u64>,
}

/// One kind.
#[derive(Clone, Debug, Default)]
struct KindState {
    served: bool,
    synced: bool,
    objects: usize,
    heard: Option<SystemTime>,
}

/// The state of the source, for those who report it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The API's URL; none before it could be read.
    pub server: Option<String>,
    /// Every kind that is served has been complete once.
    pub synced: bool,
    /// Since when the API does not answer as it should; none while it does.
    pub disconnected: Option<SystemTime>,
    /// What is wrong, each once.
    pub troubles: Vec<String>,
    /// RBAC does not let the agent ask which APIs are served.
    pub discovery_forbidden: bool,
    /// The kinds that are served, or may be.
    pub kinds: Vec<KindReport>,
    /// Lists, watches and questions what is served that the API had no answer for: it has too much to do (429), or cannot
    /// answer (500 and up).
    pub refused: Vec<Refused>,
}

/// Requests that were refused alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was asked for; the group of the admin kinds where it was whether they are served.
    pub resource: &'static str,
    /// Of HTTP.
    pub code: u16,
    /// How many, since the start.
    pub count: u64,
}

/// The state of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct KindReport {
    /// Which.
    pub kind: Kind,
    /// Whether the API serves it.
    pub served: bool,
    /// Whether it was complete once.
    pub synced: bool,
    /// How many objects there are.
    pub objects: usize,
    /// When the API last said anything of it.
    pub heard: Option<SystemTime>,
    /// What is wrong with it alone.
    pub trouble: Option<String>,
    /// Whether that is RBAC, which does not let the agent list and watch it.
    pub forbidden: bool,
}

impl Board {
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        let state = |kind: &Kind| KindState {
            served: !kind.is_optional(),
            ..KindState::default()
        };
        let kinds = kinds.iter().map(|kind| (*kind, state(kind)));
        Self(Mutex::new(State {
            kinds: kinds.collect(),
            ..State::default()
        }))
    }

    /// Where the API is, as was just read.
    pub(crate) fn leads_to(&self, server: String) {
        self.state().server = Some(server);
    }

    pub(crate) fn report(&self) -> Report {
        let state = self.state();
        let texts = state.troubles.iter();
        let texts: BTreeSet<String> = texts.map(|(who, it)| state.said(*who, it)).collect();
        let is_forbidden =
            |who: Who| matches!(state.troubles.get(&who), Some(it) if it.is_of_rights());
        let kind = |(&kind, it): (&Kind, &KindState)| KindReport {
            kind,
            served: it.served,
            synced: it.synced,
            objects: it.objects,
            heard: it.heard,
            trouble: state
                .troubles
                .get(&Who::Kind(kind))
                .map(ToString::to_string),
            forbidden: is_forbidden(Who::Kind(kind)),
        };
        Report {
            server: state.server.clone(),
            synced: state.synced,
            disconnected: state.disconnected,
            troubles: texts.into_iter().collect(),
            discovery_forbidden: is_forbidden(Who::Discovery),
            kinds: state.kinds.iter().map(kind).collect(),
            refused: state.refused().collect(),
        }
    }

    /// What is served; true where that makes the source complete for the first time.
    pub(crate) fn serves(&self, served: &BTreeSet<Kind>) -> bool {
        let mut state = self.state();
        for (kind, it) in &mut state.kinds {
            it.served = served.contains(kind);
            if !it.served {
                if it.objects > 0 {
                    let (resource, objects) = (kind.resource(), it.objects);
                    warn!(
                        resource,
                        objects, "not served any more: its objects are let go of"
                    );
                }
                *it = KindState::default();
            }
        }
        state.discovered = true;
        state.is_newly_complete()
    }

    /// The kinds that are served in other versions only, and in which.
    pub(crate) fn is_elsewhere(&self, kinds: BTreeMap<Kind, String>) {
        self.state().elsewhere = kinds;
    }

    /// A batch of a kind was handed on; true where that makes the source complete for the first time.
    pub(crate) fn delivered(&self, kind: Kind, objects: usize, complete: bool) -> bool {
        let mut state = self.state();
        let it = state.kinds.entry(kind).or_default();
        it.objects = objects;
        it.synced |= complete;
        state.is_newly_complete()
    }

    /// The API said something of a kind.
    pub(crate) fn heard(&self, kind: Kind) {
        self.state().kinds.entry(kind).or_default().heard = Some(SystemTime::now());
    }

    /// Somebody's requests are answered as they should be; whether they were not before.
    pub(crate) fn well(&self, who: Who) -> bool {
        let mut state = self.state();
        let Some(trouble) = state.troubles.remove(&who) else {
            return false;
        };
        if !state.is_of_server(who, &trouble) {
            info!(resource = who.resource(), "watched again");
        }
        state.reconnect();
        true
    }

    /// Somebody's are not.
    pub(crate) fn trouble(&self, who: Who, trouble: &Trouble) {
        let mut state = self.state();
        let trouble = &state.explained(who, trouble);
        state.count(who, trouble);
        let former = state.troubles.insert(who, trouble.clone());
        if state.is_of_server(who, trouble) {
            state.disconnect(trouble);
        } else {
            let error = trouble.to_string();
            // A server that asks for another wait says nothing new.
            if former.is_none_or(|former| former.to_string() != error) {
                let resource = who.resource();
                warn!(resource, error, "not watched: {}", state.meanwhile());
            }
            state.reconnect();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, who: Who, trouble: &Trouble) {
        if let Trouble::Refused { code, .. } = trouble
            && trouble.is_of_server()
        {
            *self.refused.entry((who, *code)).or_default() += 1;
        }
    }

    fn refused(&self) -> impl Iterator<Item = Refused> {
        self.refused.iter().map(|(&(who, code), &count)| Refused {
            resource: who.resource(),
            code,
            count,
        })
    }

    fn is_newly_complete(&mut self) -> bool {
        let complete = self.discovered && self.kinds.values().all(|it| !it.served || it.synced);
        let newly = complete && !self.synced;
        self.synced |= complete;
        newly
    }

    fn explained(&self, who: Who, trouble: &Trouble) -> Trouble {
        match (who, trouble) {
            (Who::Kind(kind), Trouble::NotServed) => self
                .elsewhere
                .get(&kind)
                .map_or(Trouble::NotServed, |it| Trouble::Elsewhere(it.clone())),
            _ => trouble.clone(),
        }
    }

    /// Whether a trouble concerns the server as a whole. That requests for one kind are refused does not, while the
    /// server says well what it serves; where nobody asks it, it may.
    fn is_of_server(&self, who: Who, trouble: &Trouble) -> bool {
        let is_asked = self.kinds.keys().any(|kind| kind.is_optional());
        match (who, trouble) {
            (Who::Kind(_), Trouble::Refused { .. }) if is_asked => self
                .troubles
                .get(&Who::Discovery)
                .is_some_and(Trouble::is_of_server),
            _ => trouble.is_of_server(),
        }
    }

    /// Each trouble is told of once, until the API is back.
    fn disconnect(&mut self, trouble: &Trouble) {
        if self.disconnected.is_none() {
            let has_heard = self.kinds.values().any(|it| it.heard.is_some());
            self.lost = self.discovered || has_heard;
            self.disconnected = Some(SystemTime::now());
        }
        let error = trouble.to_string();
        if self.told.insert(error.clone()) {
            let (server, meanwhile) = (self.server(), self.meanwhile());
            if let Trouble::Access(_) = trouble {
                warn!(error, "no way to the Kubernetes API: {meanwhile}");
            } else {
                warn!(
                    server,
                    error, "the Kubernetes API does not answer: {meanwhile}"
                );
            }
        }
    }

    /// A trouble with one kind names it; one with the server is the same whoever has it.
    fn said(&self, who: Who, trouble: &Trouble) -> String {
        match trouble {
            Trouble::Forbidden { .. } | Trouble::NoDiscovery(_) => trouble.to_string(),
            _ if self.is_of_server(who, trouble) => trouble.to_string(),
            _ => format!("{}: {trouble}", who.resource()),
        }
    }

    fn server(&self) -> &str {
        self.server.as_deref().unwrap_or_default()
    }

    const fn meanwhile(&self) -> &'static str {
        if self.synced {
            "the last state stays enforced"
        } else {
            "nothing new is enforced before that"
        }
    }

    fn reconnect(&mut self) {
        if self
            .troubles
            .iter()
            .any(|(who, it)| self.is_of_server(*who, it))
        {
            return;
        }
        self.told.clear();
        if let Some(since) = self.disconnected.take() {
            let seconds = since.elapsed().unwrap_or_default().as_secs_f64();
            let again = if self.lost { " again" } else { "" };
            info!(
                server = self.server(),
                seconds, "the Kubernetes API answers{again}"
            );
        }
    }
}

impl Who {
    const fn resource(self) -> &'static str {
        match self {
            Self::Discovery => "policy.networking.k8s.io",
            Self::Kind(kind) => kind.resource(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_policy::AdminKind;

    use super::*;

    const CNP: Kind = Kind::Admin(AdminKind::ClusterNetworkPolicy);

    #[test]
    fn a_kind_that_is_refused_is_not_the_api_away_while_discovery_is_well() {
        let refused = Trouble::Refused {
            code: 503,
            message: "m".into(),
            after: None,
        };
        for (kinds, discovery, is_away) in [
            (&[Kind::Pod, CNP][..], None, false),
            (&[Kind::Pod, CNP], Some(&refused), true),
            // Nobody asks what is served.
            (&[Kind::Pod], None, true),
        ] {
            let board = Board::new(kinds);
            if let Some(trouble) = discovery {
                board.trouble(Who::Discovery, trouble);
            }
            board.trouble(Who::Kind(Kind::Pod), &refused);
            let report = board.report();
            assert_eq!(
                report.disconnected.is_some(),
                is_away,
                "{kinds:?} {discovery:?}"
            );
            let prefix = if is_away { "" } else { "pods: " };
            assert_eq!(
                report.troubles,
                [format!("{prefix}the server answers 503: m")]
            );
            board.well(Who::Discovery);
            board.well(Who::Kind(Kind::Pod));
            assert_eq!(board.report().disconnected, None);
        }
    }

    #[test]
    fn what_the_server_cannot_answer_is_counted_and_what_it_rejects_is_not() {
        let board = Board::new(&[Kind::Pod, CNP]);
        for who in [Who::Kind(Kind::Pod), Who::Discovery] {
            for code in [405, 409, 429, 500, 503, 503] {
                let message = "m".into();
                let after = None;
                board.trouble(
                    who,
                    &Trouble::Refused {
                        code,
                        message,
                        after,
                    },
                );
            }
        }
        let refused = board.report().refused;
        let counted = refused.iter().map(|it| (it.resource, it.code, it.count));
        let of =
            |resource| [(429, 1), (500, 1), (503, 2)].map(|(code, count)| (resource, code, count));
        let wanted = [of("policy.networking.k8s.io"), of("pods")];
        assert_eq!(counted.collect::<Vec<_>>(), wanted.concat());
    }

    #[test]
    fn what_rbac_refuses_is_told_apart_from_what_fails_otherwise() {
        let forbidden = Trouble::Forbidden {
            resource: "pods".into(),
            message: "m".into(),
        };
        for (who, trouble, pods, discovery) in [
            (Who::Kind(Kind::Pod), &forbidden, true, false),
            (Who::Kind(Kind::Pod), &Trouble::NotServed, false, false),
            (
                Who::Discovery,
                &Trouble::NoDiscovery("m".into()),
                false,
                true,
            ),
            (Who::Discovery, &Trouble::Unauthorized, false, false),
        ] {
            let board = Board::new(&[Kind::Pod, CNP]);
            let found = |board: &Board| {
                let report = board.report();
                let is_pods = |it: &&KindReport| it.kind == Kind::Pod;
                let of_pods = report.kinds.iter().find(is_pods).unwrap().forbidden;
                (of_pods, report.discovery_forbidden)
            };
            board.trouble(who, trouble);
            assert_eq!(found(&board), (pods, discovery), "{who:?} {trouble}");
            board.well(who);
            assert_eq!(found(&board), (false, false), "{who:?} {trouble}");
        }
    }

    #[test]
    fn what_is_served_in_another_version_is_said() {
        let board = Board::new(&[CNP]);
        board.is_elsewhere(BTreeMap::from([(CNP, "v1beta1".to_owned())]));
        board.trouble(Who::Kind(CNP), &Trouble::NotServed);
        let said = "clusternetworkpolicies.policy.networking.k8s.io: served in v1beta1 only, which the agent does not read";
        assert_eq!(board.report().troubles, [said]);
    }
}
