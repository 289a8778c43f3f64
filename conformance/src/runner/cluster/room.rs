//! A world of a case in the cluster: its namespaces, pods, Services and policies, made to be what a state says. What is
//! judged in it is not known here.

mod policies;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use sluice_oracle::{Cell, Family, Port, Target};
use sluice_prober::Sctp;
use sluice_prober::protocol::{Answer, Listening, Request, Transport};

use super::access::RealNode;
use super::api::Api;
use super::make::{await_gone, make_namespace};
use super::names::{Names, ROOM};
use super::places::{Places, addresses};
use super::session::Session;
use super::{ClusterOptions, pods};
use crate::State;
use crate::case::{Object, ObjectName};
use crate::world::world;
pub(super) use policies::RefusedPolicy;

/// A pod that is there.
pub(super) struct Prober {
    pub(super) session: Session,
    pub(super) listening: Listening,
    host_network: bool,
}

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

    /// Asks for everything to be taken away, and waits a while until it is: its pods have ports of nodes. What of that is
    /// refused is left to the end of the run.
    pub(super) async fn abandon(mut self) {
        let _no_matter = self.clear_policies().await;
        let collection = "/api/v1/namespaces";
        let own = format!("{collection}?labelSelector={ROOM}%3D{}", self.names.room());
        let namespaces = self.api.list(&own).await.unwrap_or_default();
        let name = |it: &Value| {
            it["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let path = |it: &Value| format!("{collection}/{}", name(it));
        for namespace in &namespaces {
            let _no_matter = self.api.delete_one(&path(namespace), namespace).await;
        }
        for namespace in &namespaces {
            let _no_matter = await_gone(&self.api, &path(namespace)).await;
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

    /// Whether every pod has sockets of SCTP, with which associations are kept.
    pub(super) fn keeps_sctp(&self) -> bool {
        let mut probers = self.probers.values();
        probers.all(|it| it.listening.sctp == Ok(Sctp::Kernel))
    }

    /// Why SCTP cannot be asked about.
    pub(super) fn no_sctp(&self) -> Option<String> {
        self.probers
            .values()
            .find_map(|it| it.listening.sctp.clone().err())
    }
}

async fn listening(session: &Session, ports: &BTreeSet<(Transport, u16)>) -> Result<Listening> {
    match session.ask(&Request::Listen(ports.clone())).await? {
        Answer::Listening(listening) => Ok(listening),
        other => bail!("asked to listen, a pod answers {other:?}"),
    }
}
