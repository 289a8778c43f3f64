//! What the API serves, asked for again and again: admin policies are custom resources that come and go. It is the
//! heartbeat of the connection as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sluice_kubernetes::live::Kind;
use tokio::time::{sleep, timeout};

use crate::backoff::{Backoff, at_least, between};
use crate::board::Who;
use crate::hub::{Hub, collect};
use crate::trouble::Trouble;

/// How often it is asked, by chance between these.
const EVERY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(10));
/// While there is no answer, at least so often.
const MOST_WAIT: Duration = Duration::from_secs(10);
/// An answer comes within this time.
const ANSWER: Duration = Duration::from_secs(10);
/// What is not served any more is asked for once more after this time, before it counts as gone: letting go of a policy
/// that is still there would open what it closes.
const CONFIRM: Duration = Duration::from_secs(1);

const GROUP: &str = "policy.networking.k8s.io";
/// Every API serves this one: a list of groups without it is not the whole list.
const ALWAYS: &str = "networking.k8s.io";

/// What `/apis` answers.
#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// What a group's version answers.
#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

/// One answer, in full.
#[derive(Debug, Default)]
struct Found {
    kinds: BTreeSet<Kind>,
    /// Kinds that are served in other versions only, and in which.
    elsewhere: BTreeMap<Kind, String>,
}

/// A kind is let go of once two answers in a row say that it is not served: an error between them says nothing.
#[derive(Debug, Default)]
struct Doubts {
    kinds: BTreeSet<Kind>,
}

impl Doubts {
    /// Whether an answer is to be believed: it lacks nothing that is expected, or for the second time.
    fn settle(&mut self, expected: &BTreeSet<Kind>, found: &BTreeSet<Kind>) -> bool {
        let missing: BTreeSet<Kind> = expected.difference(found).copied().collect();
        let settled = missing.is_subset(&self.kinds);
        self.kinds = if settled { BTreeSet::new() } else { missing };
        settled
    }

    fn is_any(&self) -> bool {
        !self.kinds.is_empty()
    }
}

/// Keeps the hub informed of what is served, of `kinds`.
pub(crate) async fn run(hub: Arc<Hub>, kinds: Vec<Kind>) {
    if !kinds.iter().any(|kind| kind.is_optional()) {
        announce(&hub, kinds.into_iter().collect());
        return std::future::pending().await;
    }
    let mut backoff = Backoff::up_to(MOST_WAIT);
    let mut doubts = Doubts::default();
    // Before the first announcement, any kind may be there.
    let mut expected: BTreeSet<Kind> = kinds.iter().copied().collect();
    let mut silent = 0;
    loop {
        let mut asked = None;
        let wait = match served(&hub, &kinds).await {
            Ok(Found { kinds, elsewhere }) => {
                if hub.board.well(Who::Discovery) {
                    hub.back.send_modify(|times| *times += 1);
                }
                backoff.reset();
                silent = 0;
                if doubts.settle(&expected, &kinds) {
                    expected.clone_from(&kinds);
                    hub.board.is_elsewhere(elsewhere);
                    announce(&hub, kinds);
                    between(EVERY.0, EVERY.1)
                } else {
                    CONFIRM
                }
            }
            Err(trouble) => {
                doubts = Doubts::default();
                let is_silent = matches!(trouble, Trouble::Silent(_));
                silent = if is_silent { silent + 1 } else { 0 };
                note(&hub, &trouble, silent).await;
                asked = trouble.retry_after();
                at_least(asked, backoff.wait())
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = hub.ask.notified(), if !doubts.is_any() && asked.is_none() => {}
        }
    }
}

fn announce(hub: &Hub, found: BTreeSet<Kind>) {
    if hub.board.serves(&found) {
        hub.complete();
    }
    hub.served.send_if_modified(|served| {
        let differs = *served != found;
        *served = found;
        differs
    });
}

/// `silent` answers in a row did not come: one may be slow, two make the connection as good as dead.
async fn note(hub: &Hub, trouble: &Trouble, silent: u32) {
    hub.board.trouble(Who::Discovery, trouble);
    if silent >= 2 {
        hub.cut.send_modify(|times| *times += 1);
    }
    if let Err(trouble) = hub.renew(trouble).await {
        hub.board.trouble(Who::Discovery, &trouble);
    }
}

/// Those of `kinds` that the API serves. Absence is believed of whole answers alone: a 404 may be anybody's.
async fn served(hub: &Hub, kinds: &[Kind]) -> Result<Found, Trouble> {
    let Groups { groups } = ask(hub, "/apis").await?;
    if !groups.iter().any(|group| group.name == ALWAYS) {
        let message = format!("/apis: a list of groups without {ALWAYS}");
        return Err(Trouble::Unreadable(message));
    }
    let ours = groups.iter().filter(|group| group.name == GROUP);
    let mut resources = BTreeSet::new();
    for Version { version } in ours.flat_map(|group| &group.versions) {
        let answer: Resources = ask(hub, &format!("/apis/{GROUP}/{version}")).await?;
        let names = answer.resources.into_iter().map(|resource| resource.name);
        resources.extend(names.map(|name| (name, version.clone())));
    }
    Ok(found(kinds, &resources))
}

/// What resources, each a plural and a version, mean for `kinds`. One that is served in other versions only counts as
/// served: there are policies of it, which cannot be read, and what was read before holds.
fn found(kinds: &[Kind], resources: &BTreeSet<(String, String)>) -> Found {
    let mut found = Found::default();
    for kind in kinds {
        let versions: Vec<&str> = resources
            .iter()
            .filter(|(name, _)| kind.path().rsplit('/').next() == Some(name))
            .map(|(_, version)| &**version)
            .collect();
        let is_ours = |version: &&str| kind.path().contains(&format!("/{GROUP}/{version}/"));
        if kind.is_optional() && versions.is_empty() {
            continue;
        }
        found.kinds.insert(*kind);
        if kind.is_optional() && !versions.iter().any(is_ours) {
            found.elsewhere.insert(*kind, versions.join(", "));
        }
    }
    found
}

async fn ask<T: for<'j> Deserialize<'j>>(hub: &Hub, path: &str) -> Result<T, Trouble> {
    let answer = async { collect(hub.get(path, GROUP).await?).await };
    match timeout(ANSWER, answer).await {
        Err(_elapsed) => Err(Trouble::Silent(ANSWER.as_secs())),
        Ok(Err(Trouble::NotServed)) => Err(Trouble::Unreadable(format!("{path}: not found"))),
        Ok(Err(Trouble::Forbidden { message, .. })) => Err(Trouble::NoDiscovery(message)),
        Ok(Err(trouble)) => Err(trouble),
        Ok(Ok(bytes)) => serde_json::from_slice(&bytes)
            .map_err(|error| Trouble::Unreadable(format!("{path}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use sluice_policy::AdminKind;

    use super::*;

    const ANP: Kind = Kind::Admin(AdminKind::AdminNetworkPolicy);
    const CNP: Kind = Kind::Admin(AdminKind::ClusterNetworkPolicy);

    #[test]
    fn a_kind_is_let_go_of_after_two_answers_in_a_row_without_it() {
        let both = BTreeSet::from([ANP, CNP]);
        let only = |kind| BTreeSet::from([kind]);
        // Answers, or none for an error, and whether each is believed.
        for answers in [
            vec![(Some(both.clone()), true)],
            vec![(Some(only(ANP)), false), (Some(only(ANP)), true)],
            vec![
                (Some(only(ANP)), false),
                (Some(both.clone()), true),
                (Some(only(ANP)), false),
            ],
            vec![
                (Some(only(ANP)), false),
                (None, false),
                (Some(only(ANP)), false),
            ],
            vec![
                (Some(only(ANP)), false),
                (Some(only(CNP)), false),
                (Some(only(CNP)), true),
            ],
        ] {
            let mut doubts = Doubts::default();
            for (answer, believed) in &answers {
                match answer {
                    Some(found) => {
                        assert_eq!(doubts.settle(&both, found), *believed, "{answers:?}");
                    }
                    None => doubts = Doubts::default(),
                }
            }
        }
    }

    #[test]
    fn a_kind_in_other_versions_only_is_served_and_said_to_be_there() {
        for (resources, is_served, elsewhere) in [
            (vec![], false, None),
            (vec![("adminnetworkpolicies", "v1alpha2")], false, None),
            (vec![("clusternetworkpolicies", "v1alpha2")], true, None),
            (
                vec![
                    ("clusternetworkpolicies", "v1alpha2"),
                    ("clusternetworkpolicies", "v1beta1"),
                ],
                true,
                None,
            ),
            (
                vec![("clusternetworkpolicies", "v1beta1")],
                true,
                Some("v1beta1"),
            ),
            (
                vec![("clusternetworkpolicies/status", "v1alpha2")],
                false,
                None,
            ),
        ] {
            let owned =
                |(name, version): &(&str, &str)| ((*name).to_owned(), (*version).to_owned());
            let found = found(&[Kind::Pod, CNP], &resources.iter().map(owned).collect());
            assert!(found.kinds.contains(&Kind::Pod));
            assert_eq!(found.kinds.contains(&CNP), is_served, "{resources:?}");
            assert_eq!(
                found.elsewhere.get(&CNP).map(|it| &**it),
                elsewhere,
                "{resources:?}"
            );
        }
    }
}
