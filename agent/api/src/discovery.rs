//! What the API serves, asked for again and again: admin policies are custom resources that come and go. It is the
//! heartbeat of the connection as well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sluice_kubernetes::live::Kind;
use tokio::time::{sleep, timeout};

use crate::backoff::{Backoff, between};
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

#[derive(Deserialize)]
struct Group {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    group_version: String,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
}

/// Keeps the hub informed of what is served, of `kinds`.
pub(crate) async fn run(hub: Arc<Hub>, kinds: Vec<Kind>) {
    let mut backoff = Backoff::up_to(MOST_WAIT);
    let mut doubted = false;
    loop {
        let wait = match served(&hub, &kinds).await {
            Ok(found) => {
                if hub.board.well(Who::Discovery) {
                    hub.back.send_modify(|times| *times += 1);
                }
                backoff.reset();
                let loses = hub.served.borrow().difference(&found).next().is_some();
                doubted = loses && !doubted;
                if doubted {
                    CONFIRM
                } else {
                    announce(&hub, found);
                    between(EVERY.0, EVERY.1)
                }
            }
            Err(trouble) => {
                note(&hub, trouble).await;
                backoff.wait()
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = hub.ask.notified(), if !doubted => {}
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

async fn note(hub: &Hub, trouble: Trouble) {
    hub.board.trouble(Who::Discovery, &trouble);
    if matches!(trouble, Trouble::Silent(_)) {
        hub.cut.send_modify(|times| *times += 1);
    }
    if let Err(trouble) = hub.renew(&trouble).await {
        hub.board.trouble(Who::Discovery, &trouble);
    }
}

/// Those of `kinds` that the API serves.
async fn served(hub: &Hub, kinds: &[Kind]) -> Result<BTreeSet<Kind>, Trouble> {
    let group: Option<Group> = ask(hub, &format!("/apis/{GROUP}")).await?;
    let mut paths = BTreeSet::new();
    for Version { group_version } in group.iter().flat_map(|group| &group.versions) {
        let found: Option<Resources> = ask(hub, &format!("/apis/{group_version}")).await?;
        for Resource { name } in found.into_iter().flat_map(|found| found.resources) {
            paths.insert(format!("/apis/{group_version}/{name}"));
        }
    }
    let is_served = |kind: &&Kind| !kind.is_optional() || paths.contains(kind.path());
    Ok(kinds.iter().filter(is_served).copied().collect())
}

/// None where the path is not served.
async fn ask<T: for<'j> Deserialize<'j>>(hub: &Hub, path: &str) -> Result<Option<T>, Trouble> {
    let answer = async { collect(hub.get(path, GROUP).await?).await };
    match timeout(ANSWER, answer).await {
        Err(_elapsed) => Err(Trouble::Silent(ANSWER.as_secs())),
        Ok(Err(Trouble::NotServed)) => Ok(None),
        Ok(Err(trouble)) => Err(trouble),
        Ok(Ok(bytes)) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Trouble::Unreadable(error.to_string())),
    }
}
