//! The client that waits until a new policy lets it through.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::go::duration;
use super::super::metrics::Took;
use super::super::probe::{self, Success};
use super::super::targets::{Change, Moment, PodSeen};
use super::super::{log, wire};
use super::{Client, Reached, Report, Stop, transitions};

/// Enforced as it is, a policy's event may still be on its way to this client for so long.
const EVENT: Duration = Duration::from_millis(250);

/// What the API has said of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing yet.
    Not,
    /// It was there before this client asked.
    Before,
    /// It was made, as an event then said.
    Made(Instant),
}

/// What an answer is worth.
enum Came {
    /// A latency.
    Counted(Reached),
    /// Nothing: it came before the policy was made, or before this client knew. The target is sent to again.
    Early,
    /// Nothing, as nobody can tell when the policy was made.
    Lost,
}

/// A target that answered, and what was known of the policy then.
struct Answer {
    pod: String,
    ip: IpAddr,
    success: Success,
    seen: Seen,
}

pub(super) async fn measure(
    client: &Client,
    policy: &str,
    transitions: u16,
    stop: &mut Stop,
) -> Result<Report> {
    log::info("Starting to measure network policy enforcement latency on network policy creation");
    let mut report = client.report(Vec::new(), 0);
    let run = async {
        send_to_all(client, policy, &mut report).await?;
        changes(client, policy, transitions, &mut report).await
    };
    tokio::select! {
        measured = run => match measured {
            Err(error) if client.once => return Err(error),
            Err(error) => log::error(format_args!(
                "Policy creation enforcement latency test failed, error: {error:#}"
            )),
            Ok(()) => {}
        },
        ended = stop.told() => {
            ended?;
            return Ok(report);
        }
    }
    if !client.once {
        stop.idle().await?;
    }
    Ok(report)
}

/// The client's own changes, at the target that answered first.
async fn changes(client: &Client, policy: &str, times: u16, report: &mut Report) -> Result<()> {
    let Some(first) = report.reached.first().filter(|_| times > 0) else {
        return Ok(());
    };
    let (to, collection) = (client.target(first.ip), collection(client));
    transitions::measure(
        client,
        (&collection, policy),
        to,
        times,
        &mut report.transitions,
    )
    .await
}

/// Until each of them has answered.
async fn send_to_all(client: &Client, policy: &str, report: &mut Report) -> Result<()> {
    let seen = follow(client, policy);
    let pods = list(client).await?;
    log::info(format_args!("{} pods listed", pods.len()));
    let mut sending = JoinSet::new();
    for pod in pods {
        let PodSeen { name, ip, .. } = pod;
        let Some(ip) = ip else {
            log::warning(format_args!(
                "Skipping pod {name:?}, which has no IP address"
            ));
            continue;
        };
        report.unreached += 1;
        let to = client.target(ip);
        log::info(format_args!("Sending requests {:?}", probe::shown(to)));
        sending.spawn(send(name, to, client.config.probe_interval, seen.clone()));
    }
    let mut created = None;
    while let Some(answer) = sending.join_next().await {
        let answer = answer?;
        let (pod, to) = (answer.pod.clone(), client.target(answer.ip));
        match reach(client, policy, answer, &mut created, &seen).await {
            Came::Counted(reached) => {
                report.reached.push(reached);
                report.unreached -= 1;
            }
            Came::Early => {
                report.early += u64::from(created.is_none());
                sending.spawn(send(pod, to, client.config.probe_interval, seen.clone()));
            }
            Came::Lost => {}
        }
    }
    Ok(())
}

/// Sends to a target until it answers.
async fn send(pod: String, to: SocketAddr, pause: Duration, seen: watch::Receiver<Seen>) -> Answer {
    let success = probe::until_success(to, pause).await;
    Answer {
        pod,
        ip: to.ip(),
        success,
        seen: known(seen).await,
    }
}

async fn list(client: &Client) -> Result<Vec<PodSeen>> {
    let config = &client.config;
    let (selector, namespace) = (&config.target_label_selector, &config.target_namespace);
    let of = format!("for selector {selector:?} in namespace {namespace:?}");
    let path = format!("{}&limit={}", client.pods(), config.max_targets);
    let listed = client.api.list(&path).await;
    let (pods, _) = listed.with_context(|| format!("failed to list pods {of}"))?;
    if pods.is_empty() {
        bail!("no pods listed {of}");
    }
    let read = |pod| wire::pod(pod).context("a pod that is none");
    pods.iter().map(read).collect()
}

fn collection(client: &Client) -> String {
    let namespace = &client.config.host_namespace;
    format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")
}

/// When the policy is made, as the API tells.
fn follow(client: &Client, policy: &str) -> watch::Receiver<Seen> {
    let path = only(client, policy);
    let (tell, told) = watch::channel(Seen::Not);
    let api = client.api.clone();
    tokio::spawn(async move {
        let hear = |change, _: &_, at: Moment| {
            let seen = match change {
                Change::Added => Seen::Made(at.steady),
                Change::Listed | Change::Modified => Seen::Before,
                Change::Deleted => Seen::Not,
            };
            tell.send_if_modified(|known| {
                // A list or a change of what was seen being made tells nothing new.
                let is_news = !(seen == Seen::Before && matches!(known, Seen::Made(_)));
                if is_news {
                    *known = seen;
                }
                is_news
            });
            !tell.is_closed()
        };
        api.follow(&path, hear).await;
    });
    told
}

async fn known(mut seen: watch::Receiver<Seen>) -> Seen {
    let known = timeout(EVENT, seen.wait_for(|seen| *seen != Seen::Not)).await;
    match known {
        Ok(Ok(seen)) => *seen,
        _ => Seen::Not,
    }
}

/// Counts an answer.
async fn reach(
    client: &Client,
    policy: &str,
    answer: Answer,
    created: &mut Option<Timestamp>,
    events: &watch::Receiver<Seen>,
) -> Came {
    let Answer {
        pod,
        ip,
        success,
        seen,
    } = answer;
    if created.is_none() {
        match fetch(client, policy).await {
            Ok(None) => {
                log::warning(format_args!(
                    "Pod {pod:?} with IP \"{ip}\" answers although there is no policy {policy:?}"
                ));
                return Came::Early;
            }
            Ok(stamp) => *created = stamp,
            Err(error) => {
                let namespace = &client.config.host_namespace;
                log::warning(format_args!(
                    "Failed to get network policies for pod {pod:?} in namespace {namespace:?} with IP \"{ip}\": {error:#}"
                ));
            }
        }
    }
    let Some(created) = *created else {
        return Came::Lost;
    };
    // Made while this client gave up on its event and asked for it: the event is there by now, or about to be.
    let seen = match seen {
        Seen::Not => known(events.clone()).await,
        seen => seen,
    };
    let precise = match seen {
        Seen::Made(at) if success.connected < at => return Came::Early,
        Seen::Made(at) => Some(success.connected - at),
        Seen::Not | Seen::Before => None,
    };
    let took = Took {
        compatible: success.answered.wall.duration_since(created),
        precise,
    };
    Came::Counted(client.reached(pod, ip, took, |it| {
        let (pod, namespace) = (&it.pod, &it.namespace);
        let took = duration(took.compatible);
        format!("Pod {pod:?} in namespace {namespace:?} with IP \"{ip}\" reached {took} after policy creation")
    }))
}

/// When the policy was made; none where there is none.
async fn fetch(client: &Client, policy: &str) -> Result<Option<Timestamp>> {
    let (policies, _) = client.api.list(&only(client, policy)).await?;
    Ok(policies.first().map(wire::created).transpose()?)
}

/// The path of the policy as a list of its own.
fn only(client: &Client, policy: &str) -> String {
    let field = wire::escaped(&format!("metadata.name={policy}"));
    format!("{}?fieldSelector={field}", collection(client))
}
