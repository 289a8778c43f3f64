//! Pods of a room, from the request until they have been asked for the first time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use sluice_prober::protocol::{Listening, Transport};
use tokio::task::JoinSet;

use super::{Prober, Room, listening};
use crate::State;
use crate::case::Object;
use crate::runner::cluster::make::{LIMIT, LOOK, make_pod};
use crate::runner::cluster::names::Names;
use crate::runner::cluster::places::addresses;
use crate::runner::cluster::session::Session;
use crate::runner::cluster::{Fatal, pods};

/// So many things are made at once.
const AT_ONCE: usize = 16;
/// By then an image has come, or does not.
const IMAGE: Duration = Duration::from_secs(30);
/// By then a program that was started can be asked.
const START: Duration = Duration::from_secs(20);

impl Room {
    /// Makes the pods that are missing, all at once, and labels those that are there.
    pub(super) async fn make_pods(&mut self, state: &State) -> Result<()> {
        let mut fitting = state.clone();
        fitting.retain(|object| {
            self.made
                .get(object.name())
                .is_none_or(|it| is_same_pod(it, object))
        });
        self.remove(&fitting, |name| name.kind == "Pod" && state.has(name))
            .await?;
        let mut fresh: Vec<Object> = Vec::new();
        for object in state.objects().iter().filter(|it| it.name().kind == "Pod") {
            match self.made.get(object.name()) {
                None => fresh.push(object.clone()),
                Some(before) if before.value()["metadata"] != object.value()["metadata"] => {
                    self.relabel(before, object).await?;
                    self.made.insert(object.name().clone(), object.clone());
                }
                Some(_) => {}
            }
        }
        for some in fresh.chunks(AT_ONCE) {
            let mut made = JoinSet::new();
            for object in some {
                let node = self.places.node_of(object).map(|it| it.name.clone());
                let manifest = pods::manifest(object, &self.names, &self.image, node.as_deref());
                let (api, path) = (self.api.clone(), self.names.collection(object));
                let object = object.clone();
                made.spawn(async move {
                    make_pod(&api, &path, &manifest)
                        .await
                        .with_context(|| object.name().to_string())
                });
            }
            for one in made.join_all().await {
                one?;
            }
            for object in some {
                self.made.insert(object.name().clone(), object.clone());
            }
        }
        self.await_pods(&fresh).await
    }

    async fn await_pods(&mut self, fresh: &[Object]) -> Result<()> {
        let mut waiting: Vec<&Object> = fresh.iter().collect();
        let since = Instant::now();
        let deadline = since + LIMIT;
        while !waiting.is_empty() {
            let namespaces: BTreeSet<String> =
                waiting.iter().map(|it| self.names.collection(it)).collect();
            let mut there = Vec::new();
            for collection in namespaces {
                there.extend(self.api.list(&collection).await?);
            }
            let has_waited = since.elapsed() > IMAGE;
            let mut ready = Vec::new();
            for object in std::mem::take(&mut waiting) {
                match ready_pod(&there, object, &self.names, has_waited)? {
                    Some(pod) => ready.push((object, pod)),
                    None => waiting.push(object),
                }
            }
            self.meet(ready).await?;
            if waiting.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                let names: Vec<String> = waiting.iter().map(|it| it.name().to_string()).collect();
                let why = format!("not ready in {LIMIT:?}: {}", names.join(", "));
                return Err(Fatal(why).into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Begins a conversation with pods that have become ready.
    async fn meet(&mut self, ready: Vec<(&Object, Value)>) -> Result<()> {
        let mut met = JoinSet::new();
        for (object, pod) in ready {
            let host_network = object.value()["spec"]["hostNetwork"] == true;
            let ports = if host_network {
                pods::declared(object)
            } else {
                self.ports.clone()
            };
            let session = Session::new(&self.api, &pod);
            let key = format!("{}/{}", object.name().namespace, object.name().name);
            let own = addresses(&pod["status"]["podIPs"], "ip");
            met.spawn(async move {
                let listening = first_answer(&session, &ports).await?;
                anyhow::Ok((
                    key,
                    own,
                    Prober {
                        session,
                        listening,
                        host_network,
                    },
                ))
            });
        }
        for one in met.join_all().await {
            let (key, own, prober) = one?;
            self.places.pods.insert(key.clone(), own);
            self.probers.insert(key, Arc::new(prober));
        }
        Ok(())
    }
}

/// A container counts as ready when its program has been started, which then takes a moment until it can be asked.
async fn first_answer(session: &Session, ports: &BTreeSet<(Transport, u16)>) -> Result<Listening> {
    let deadline = Instant::now() + START;
    loop {
        match listening(session, ports).await {
            Err(_early) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
            answer => return answer,
        }
    }
}

/// What a pod is made of does not change while it is there.
fn is_same_pod(one: &Object, other: &Object) -> bool {
    one.name().kind != "Pod" || one.value()["spec"] == other.value()["spec"]
}

/// The pod of an object, once it is ready.
fn ready_pod(
    there: &[Value],
    object: &Object,
    names: &Names,
    has_waited: bool,
) -> Result<Option<Value>> {
    let namespace = names.namespace(&object.name().namespace);
    let is_it = |pod: &&Value| {
        pod["metadata"]["name"] == object.name().name.as_str()
            && pod["metadata"]["namespace"] == namespace.as_str()
    };
    let Some(pod) = there.iter().find(is_it) else {
        return Ok(None);
    };
    if let Some(why) = pods::ended(pod) {
        bail!("{}: {why}", object.name());
    }
    if let Some(why) = pods::hopeless(pod, has_waited) {
        return Err(Fatal(format!("{}: {why}", object.name())).into());
    }
    Ok(pods::is_ready(pod).then(|| pod.clone()))
}
