//! The client that reaches pods as they are made.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use jiff::SignedDuration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::super::go::duration;
use super::super::metrics::Took;
use super::super::probe::{self, Success};
use super::super::targets::{Claim, Moment, Next, Targets};
use super::super::{log, wire};
use super::{Client, Reached, Report, Stop};

/// As many as perf-tests' client has. Here one task takes all events; whoever reads the log waits for this line.
const WORKERS: usize = 10;

/// What the main loop is told.
enum Told {
    Next(Next, Moment),
    Reached(Claim, Moment, Success),
}

/// What the main loop knows.
struct Run<'a> {
    client: &'a Client,
    tell: UnboundedSender<Told>,
    under_way: BTreeMap<String, AbortHandle>,
    reached: Vec<Reached>,
    targets: usize,
}

pub(super) async fn measure(client: &Client, stop: &mut Stop) -> Result<Report> {
    if client.once {
        // Whoever waits for the end is told where it cannot come: without this, a server that is not there is asked for ever.
        client.api.list(&client.pods()).await?;
    }
    let (tell, told) = unbounded_channel();
    follow(client, tell.clone());
    let mut run = Run {
        client,
        tell,
        under_way: BTreeMap::new(),
        reached: Vec::new(),
        targets: 0,
    };
    if client.once {
        tokio::select! {
            () = run.take_all(told) => {}
            ended = stop.told() => ended?,
        }
    } else {
        tokio::select! {
            () = run.take_all(told) => {}
            ended = stop.idle() => ended?,
        }
    }
    Ok(client.report(run.reached, run.targets))
}

/// Tells what there is to do, as it comes.
fn follow(client: &Client, tell: UnboundedSender<Told>) {
    let config = &client.config;
    log::info("Starting to measure pod creation reachability latency");
    log::info(format_args!(
        "Starting {WORKERS} workers for parallel processing of pod Add and Update events"
    ));
    log::info(format_args!(
        "Creating PodWatcher for namespace {:?} and labelSelector {:?}",
        config.target_namespace, config.target_label_selector
    ));
    let mut targets = Targets::new(config.max_targets);
    let (api, path) = (client.api.clone(), client.pods());
    tokio::spawn(async move {
        let hear = |change, object: &_, at| {
            let pod = match wire::pod(object) {
                Ok(pod) => pod,
                Err(error) => {
                    log::warning(format_args!("a pod that is none: {error}"));
                    return true;
                }
            };
            match targets.apply(change, &pod, at) {
                Next::Nothing => true,
                Next::Full => false,
                next => tell.send(Told::Next(next, at)).is_ok(),
            }
        };
        api.follow(&path, hear).await;
        log::info("processPodCreationEvents() goroutine quitting");
    });
}

impl Run<'_> {
    /// Until as many targets as there may be were reached, where that is the end.
    async fn take_all(&mut self, mut told: UnboundedReceiver<Told>) {
        while let Some(told) = told.recv().await {
            match told {
                Told::Next(Next::Send(claim), at) => self.send(claim, at),
                Told::Next(Next::Stop(name), _) => self.stop(&name),
                Told::Next(..) => {}
                Told::Reached(claim, at, success) => self.reach(claim, at, success),
            }
            if self.client.once && self.reached.len() == self.client.config.max_targets {
                return;
            }
        }
    }

    fn send(&mut self, claim: Claim, at: Moment) {
        self.targets += 1;
        self.client.metrics.assigned(Took {
            compatible: claim.since_created,
            precise: claim.since_added,
        });
        let Claim { name, ip, .. } = &claim;
        log::info(format_args!(
            "Test client got pod {name:?} with assigned IP \"{ip}\", {} after pod creation",
            duration(claim.since_created)
        ));
        let to = self.client.target(*ip);
        log::info(format_args!("Sending requests {:?}", probe::shown(to)));
        let (pause, tell) = (self.client.config.probe_interval, self.tell.clone());
        let name = name.clone();
        let sending = tokio::spawn(async move {
            let success = probe::until_success(to, pause).await;
            let _nobody_listens = tell.send(Told::Reached(claim, at, success));
        });
        self.under_way.insert(name, sending.abort_handle());
    }

    /// The pod is gone; what it does not answer any more is no latency.
    fn stop(&mut self, name: &str) {
        if let Some(sending) = self.under_way.remove(name) {
            sending.abort();
            log::warning(format_args!("Pod {name:?} is gone before it was reached"));
        }
    }

    fn reach(&mut self, claim: Claim, at: Moment, success: Success) {
        self.under_way.remove(&claim.name);
        let took = Took {
            compatible: since(at, success),
            precise: Some(success.connected.saturating_duration_since(at.steady)),
        };
        let ip: IpAddr = claim.ip;
        let reached = self.client.reached(claim.name, ip, took, |it| {
            let (pod, namespace) = (&it.pod, &it.namespace);
            let took = duration(took.compatible);
            format!(
                "Pod {pod:?} in namespace {namespace:?} reached {took} after pod IP was assigned"
            )
        });
        self.reached.push(reached);
    }
}

/// As perf-tests' client counts: both ends are moments of its own, and so its clock is the steady one.
fn since(at: Moment, success: Success) -> SignedDuration {
    let took = success.answered.steady.saturating_duration_since(at.steady);
    SignedDuration::try_from(took).unwrap_or(SignedDuration::MAX)
}
