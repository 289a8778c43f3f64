//! A world of a case in the cluster: its namespaces, pods, Services and policies, made to be what a state says. What is
//! judged in it is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use sluice_oracle::{Cell, Family, Port, Target};
use sluice_prober::protocol::{Answer, Listening, Request, Transport};
use tokio::task::JoinSet;

use super::access::RealNode;
use super::api::{Api, ApiError};
use super::make::{LIMIT, LOOK, await_gone, make_namespace, make_pod};
use super::names::{Names, ROOM};
use super::places::{Places, addresses};
use super::session::Session;
use super::{ClusterOptions, Fatal, pods};
use crate::State;
use crate::case::{Object, ObjectName};
use crate::world::world;

/// So many things are made at once.
const AT_ONCE: usize = 16;

/// By then an image has come, or does not.
const IMAGE: Duration = Duration::from_secs(30);

/// A pod that is there.
pub(super) struct Prober {
    pub(super) session: Session,
    pub(super) listening: Listening,
    host_network: bool,
}

/// A policy that the API server does not take.
#[derive(Debug)]
pub(super) struct RefusedPolicy {
    pub(super) name: ObjectName,
    pub(super) message: String,
}

impl std::fmt::Display for RefusedPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the API server refuses {}: {}", self.name, self.message)
    }
}

impl std::error::Error for RefusedPolicy {}

/// A world that is there.
pub(super) struct Room {
    api: Api,
    image: String,
    pub(super) names: Names,
    pub(super) places: Places,
    /// By the names that cases know.
    pub(super) probers: BTreeMap<String, Arc<Prober>>,
    /// What was made, and what of.
    made: BTreeMap<ObjectName, Object>,
    ports: BTreeSet<(Transport, u16)>,
}

impl Room {
    /// A room without anything in it.
    pub(super) fn new(
        api: &Api,
        options: &ClusterOptions,
        run: &str,
        (world_name, own_name): (&str, &str),
        nodes: &[RealNode],
    ) -> Result<Self> {
        let places = Places::of(&world(world_name)?, nodes);
        Ok(Self {
            api: api.clone(),
            image: options.image.clone(),
            names: Names::new(&options.prefix, run, own_name, places.hosts()),
            places,
            probers: BTreeMap::new(),
            made: BTreeMap::new(),
            ports: BTreeSet::new(),
        })
    }

    /// Has every pod listen on these ports too, those that are still to come as well. Pods in the network of their node
    /// listen on their own alone.
    pub(super) async fn listen(&mut self, ports: &[Port]) -> Result<()> {
        let own = ports
            .iter()
            .filter_map(|it| Some((Transport::of(it.protocol)?, it.number)));
        let before = self.ports.len();
        self.ports.extend(own);
        if self.ports.len() == before {
            return Ok(());
        }
        let names: Vec<String> = self.probers.keys().cloned().collect();
        for name in names {
            let prober = self.probers.get(&name).context("a pod")?;
            if prober.host_network {
                continue;
            }
            let listening = listening(&prober.session, &self.ports).await?;
            let Some(prober) = self.probers.get_mut(&name).and_then(Arc::get_mut) else {
                bail!("pod {name} is being asked");
            };
            prober.listening = listening;
        }
        Ok(())
    }

    /// Makes what pods, Services and namespaces of a state are missing, after which it is known where they are.
    pub(super) async fn build(&mut self, state: &State) -> Result<()> {
        for object in state
            .objects()
            .iter()
            .filter(|it| it.name().kind == "Namespace")
        {
            self.show_namespace(object).await?;
        }
        self.make_pods(state).await?;
        for object in state
            .objects()
            .iter()
            .filter(|it| it.name().kind == "Service")
        {
            self.show_service(object).await?;
        }
        Ok(())
    }

    /// Makes everything what a state says it is.
    pub(super) async fn show(&mut self, state: &State) -> Result<()> {
        self.remove(state, ObjectName::is_policy).await?;
        self.build(state).await?;
        for object in state.objects().iter().filter(|it| it.name().is_policy()) {
            self.show_policy(object).await?;
        }
        self.remove(state, |name| name.kind == "Pod").await?;
        self.remove(state, |name| name.kind == "Service").await?;
        self.remove(state, |name| name.kind == "Namespace").await
    }

    /// Takes every policy away.
    pub(super) async fn clear_policies(&mut self) -> Result<()> {
        self.remove(&State::default(), ObjectName::is_policy).await
    }

    fn is_made(&self, object: &Object) -> bool {
        self.made.get(object.name()) == Some(object)
    }

    async fn show_policy(&mut self, object: &Object) -> Result<()> {
        if self.is_made(object) {
            return Ok(());
        }
        let name = object.name().clone();
        // Recorded first: what becomes of a request that got lost is not known.
        let before = self.made.insert(name.clone(), object.clone());
        let Err(error) = self.put_policy(object).await else {
            return Ok(());
        };
        match error.refusal() {
            Some(refusal) if (400..429).contains(&refusal.code) => {
                // What there was before is there still.
                match before {
                    Some(before) => self.made.insert(name.clone(), before),
                    None => self.made.remove(&name),
                };
                let message = refusal.message.clone();
                Err(RefusedPolicy { name, message }.into())
            }
            _ => Err(anyhow!(error).context(name.to_string())),
        }
    }

    /// Policies of the cluster may be another's, and are left alone then.
    async fn put_policy(&self, object: &Object) -> Result<(), ApiError> {
        let manifest = self.names.policy(object);
        if object.name().namespace.is_empty() {
            let (collection, name) = (
                self.names.collection(object),
                self.names.name(object.name()),
            );
            let own = self.names.own();
            let made = self.api.make_own((&collection, &name), &manifest, own);
            return made.await;
        }
        let path = self.names.path(object);
        self.api.apply(&path, &manifest).await.map(drop)
    }

    /// Asks for everything to be taken away; what of that is refused is left to the end of the run.
    pub(super) async fn abandon(mut self) {
        let _no_matter = self.clear_policies().await;
        let collection = "/api/v1/namespaces";
        let own = format!("{collection}?labelSelector={ROOM}%3D{}", self.names.room());
        for namespace in self.api.list(&own).await.unwrap_or_default() {
            let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{collection}/{name}");
            let _no_matter = self.api.delete_one(&path, &namespace).await;
        }
    }

    async fn show_namespace(&mut self, object: &Object) -> Result<()> {
        if self.is_made(object) {
            return Ok(());
        }
        if let Some(before) = self.made.get(object.name()) {
            self.relabel(before, object).await?;
        } else {
            let manifest = self
                .names
                .with_metadata(object.value().clone(), object.name());
            make_namespace(&self.api, &self.names.collection(object), &manifest).await?;
        }
        self.made.insert(object.name().clone(), object.clone());
        Ok(())
    }

    async fn show_service(&mut self, object: &Object) -> Result<()> {
        let Some(wanted) = pods::service(object, &self.names) else {
            return Ok(());
        };
        let before = self.made.get(object.name());
        if before
            .and_then(|it| pods::service(it, &self.names))
            .as_ref()
            == Some(&wanted)
        {
            return Ok(());
        }
        let made = self.api.apply(&self.names.path(object), &wanted).await;
        let made = made.map_err(|error| anyhow!(error).context(object.name().to_string()))?;
        let own = addresses(&made["spec"]["clusterIPs"], "");
        let key = format!("{}/{}", object.name().namespace, object.name().name);
        self.places.services.insert(key, own);
        self.made.insert(object.name().clone(), object.clone());
        Ok(())
    }

    /// Gives an object the labels of another.
    async fn relabel(&self, before: &Object, after: &Object) -> Result<()> {
        let own = |object: &Object| {
            let labels = object.value()["metadata"]["labels"].as_object();
            let labels = labels.cloned().unwrap_or_default();
            let labels = self.names.labels(&object.name().kind, labels);
            labels.as_object().cloned().unwrap_or_default()
        };
        let (before, labels) = (own(before), own(after));
        let gone = before.keys().filter(|key| !labels.contains_key(*key));
        let mut patch: Map<String, Value> = gone.map(|key| (key.clone(), Value::Null)).collect();
        patch.extend(labels);
        let patch = json!({"metadata": {"labels": patch}});
        let merged = self.api.merge(&self.names.path(after), &patch).await;
        merged.map_err(|error| anyhow!(error).context(after.name().to_string()))?;
        Ok(())
    }

    /// Makes the pods that are missing, all at once, and labels those that are there.
    async fn make_pods(&mut self, state: &State) -> Result<()> {
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
            let text = |field: &str| {
                pod["metadata"][field]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let (namespace, name) = (text("namespace"), text("name"));
            let session = Session::new(&self.api, &namespace, &name);
            let key = format!("{}/{}", object.name().namespace, object.name().name);
            let own = addresses(&pod["status"]["podIPs"], "ip");
            met.spawn(async move {
                let listening = listening(&session, &ports).await?;
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

    /// Takes away what a state does not have, of some kind; pods are gone when it returns.
    async fn remove(&mut self, state: &State, is_kind: impl Fn(&ObjectName) -> bool) -> Result<()> {
        let gone: Vec<Object> = self
            .made
            .iter()
            .filter(|(name, _)| is_kind(name) && !state.has(name))
            .map(|(_, object)| object.clone())
            .collect();
        for object in gone {
            let path = self.names.path(&object);
            let name = object.name();
            let deleted = if name.is_policy() && name.namespace.is_empty() {
                self.api.delete_own(&path, self.names.own()).await
            } else {
                self.api.delete(&path).await
            };
            deleted.map_err(|error| anyhow!(error).context(name.to_string()))?;
            let key = format!("{}/{}", name.namespace, name.name);
            match name.kind.as_str() {
                "Pod" => {
                    await_gone(&self.api, &path).await?;
                    self.probers.remove(&key);
                    self.places.pods.remove(&key);
                }
                "Service" => drop(self.places.services.remove(&key)),
                _ => {}
            }
            self.made.remove(name);
        }
        Ok(())
    }

    /// The address families that all of its pods have.
    pub(super) fn families(&self) -> Vec<Family> {
        let pods = || self.places.pods.values();
        let has = |family: &Family| {
            pods().all(|own| own.iter().any(|it| Family::of(*it) == *family)) && pods().len() > 0
        };
        Family::ALL
            .into_iter()
            .filter(|family| has(family))
            .collect()
    }

    /// Where a cell's probe is sent.
    pub(super) fn address(&self, cell: &Cell) -> Option<IpAddr> {
        let own = match &cell.to {
            Target::Pod(name) => self.places.pods.get(&name.to_string()),
            Target::Service(name) => self.places.services.get(&name.to_string()),
        };
        own?.iter()
            .copied()
            .find(|it| Family::of(*it) == cell.family)
    }

    /// Whether a pod listens on a port of a cell.
    pub(super) fn listens(&self, pod: &str, port: Port) -> bool {
        let own = Transport::of(port.protocol).map(|transport| (transport, port.number));
        let prober = self.probers.get(pod);
        prober
            .zip(own)
            .is_some_and(|(it, own)| it.listening.ports.contains(&own))
    }

    /// Why SCTP cannot be asked about.
    pub(super) fn no_sctp(&self) -> Option<String> {
        self.probers
            .values()
            .find_map(|it| it.listening.sctp.clone().err())
    }
}

/// What a pod is made of does not change while it is there.
fn is_same_pod(one: &Object, other: &Object) -> bool {
    one.name().kind != "Pod" || one.value()["spec"] == other.value()["spec"]
}

async fn listening(session: &Session, ports: &BTreeSet<(Transport, u16)>) -> Result<Listening> {
    match session.ask(&Request::Listen(ports.clone())).await? {
        Answer::Listening(listening) => Ok(listening),
        other => bail!("asked to listen, a pod answers {other:?}"),
    }
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
    if let Some(why) = pods::hopeless(pod, has_waited) {
        return Err(Fatal(format!("{}: {why}", object.name())).into());
    }
    Ok(pods::is_ready(pod).then(|| pod.clone()))
}
