//! A launch in a cluster: a namespace with an orchestrator and one worker on each node, which go on without the launcher,
//! and are taken away by it.

mod api;
mod hearing;
mod objects;
mod room;
mod sight;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep};

use self::api::Api;
use self::hearing::Hearing;
use self::objects::{ORCHESTRATOR, WORKER};
use self::room::Room;
use self::sight::{Node, Standing};
use super::{Ending, Launched, Plan};
use crate::latency::wire::escaped;
use crate::network::task::Results;

/// Where in a cluster, and of what.
#[derive(Clone, Debug)]
pub struct Place {
    /// The way to the cluster; none: the user's kubeconfig, or the service account of the pod that this is.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace that is made.
    pub namespace: String,
    /// Which nodes, as a selector of labels; all, where it is empty.
    pub node_labels: String,
    /// The image of the orchestrator's pod.
    pub orchestrator_image: String,
    /// The image of the workers' pods.
    pub worker_image: String,
    /// Whether istio is to be in the pods.
    pub inject: bool,
}

/// From one look at the pods to the next.
const LOOK: Duration = Duration::from_millis(500);
/// Fewer nodes have no pair.
const FEWEST: usize = 2;
/// How long the last words of a pod may take.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A launch under way.
struct Launch<'a> {
    api: &'a Api,
    room: &'a Room<'a>,
    plan: &'a Plan,
    place: &'a Place,
    nodes: &'a [Node],
    limit: Instant,
    stop: &'a AtomicBool,
}

/// Launches; `stop` is somebody's wish that it ends.
pub async fn run(plan: &Plan, place: &Place, stop: &AtomicBool) -> Result<Launched> {
    let limit = Instant::now() + plan.deadline;
    let api = Api::connect(place.kubeconfig.as_deref()).await?;
    let nodes = nodes(&api, &place.node_labels).await?;
    let room = Room::make(&api, place, plan.timeout).await?;
    let launch = Launch {
        api: &api,
        room: &room,
        plan,
        place,
        nodes: &nodes,
        limit,
        stop,
    };
    let launched = launch.go().await;
    let removed = room.remove().await;
    if let (Err(_), Err(error)) = (&launched, &removed) {
        eprintln!("error: {error:#}");
    }
    let launched = launched?;
    removed?;
    Ok(launched)
}

/// The nodes that a worker can be on.
async fn nodes(api: &Api, labels: &str) -> Result<Vec<Node>> {
    let path = format!("/api/v1/nodes?labelSelector={}", escaped(labels));
    let listed = api.list(&path).await.context("listing nodes")?;
    let (nodes, others) = sight::nodes(&listed);
    if nodes.len() >= FEWEST {
        return Ok(nodes);
    }
    let which = if labels.is_empty() {
        "take pods".to_owned()
    } else {
        format!("match `{labels}` and take pods")
    };
    let others = others.iter().map(|why| format!("; {why}"));
    bail!(
        "{} nodes {which}, and it takes {FEWEST} to measure{}",
        nodes.len(),
        others.collect::<String>()
    )
}

impl Launch<'_> {
    async fn go(&self) -> Result<Launched> {
        let host = self.call().await?;
        let Some(ending) = self.workers(host).await? else {
            return self.measure(host).await;
        };
        let results = Results::default();
        Ok(Launched { results, ending })
    }

    /// Where the orchestrator will be found: names are looked up in no cluster that has no DNS.
    async fn call(&self) -> Result<IpAddr> {
        let service = objects::service_of_orchestrator();
        let made = self.make("services", &service).await?;
        let address = made["spec"]["clusterIP"].as_str().unwrap_or_default();
        let address = address.parse();
        address.context("the orchestrator's Service has no address")
    }

    /// Starts a worker on each node, and waits until all run; how it ended, where it came to that before.
    async fn workers(&self, host: IpAddr) -> Result<Option<Ending>> {
        for (number, node) in (1..).zip(self.nodes) {
            let name = objects::worker_name(number);
            let service = objects::service_of_worker(&name, &self.plan.benchmarks);
            self.make("services", &service).await?;
            let pod = objects::worker((&name, node), self.plan, self.place, host);
            self.make("pods", &pod).await?;
        }
        eprintln!("launcher: {} workers are to start", self.nodes.len());
        let limit = Instant::now() + self.plan.timeout;
        loop {
            let waiting = self.first_waiting().await?;
            let Some(waiting) = waiting else {
                return Ok(None);
            };
            if let Some(ending) = self.over() {
                eprintln!("launcher: {waiting}");
                return Ok(Some(ending));
            }
            self.check(limit, &waiting)?;
            sleep(LOOK).await;
        }
    }

    /// The first worker that does not run, and why.
    async fn first_waiting(&self) -> Result<Option<String>> {
        for (number, node) in (1..).zip(self.nodes) {
            let name = objects::worker_name(number);
            let pod = self.pod(&name).await?;
            let who = format!("{name} on {} ({})", node.name, self.place.worker_image);
            match sight::standing(&pod, WORKER) {
                Standing::Running => {}
                Standing::Waiting(why) => return Ok(Some(format!("{who} does not run: {why}"))),
                Standing::Ended(_, why) => bail!("{who} has ended: {why}"),
            }
        }
        Ok(None)
    }

    /// Starts the orchestrator and hears it out.
    async fn measure(&self, host: IpAddr) -> Result<Launched> {
        let pod = objects::orchestrator(self.plan, self.place, self.nodes, host);
        self.make("pods", &pod).await?;
        let mut hearing = Hearing::new(self.api, self.room, ORCHESTRATOR);
        let ending = self.await_ending(&mut hearing).await?;
        let results = self.collect(&mut hearing, ending).await?;
        Ok(Launched { results, ending })
    }

    async fn await_ending(&self, hearing: &mut Hearing<'_>) -> Result<Ending> {
        let limit = Instant::now() + self.plan.timeout;
        let mut looks = interval(LOOK);
        loop {
            tokio::select! {
                () = hearing.hear() => {}
                _ = looks.tick() => {
                    if let Some(ending) = self.look(hearing, limit).await? {
                        return Ok(ending);
                    }
                }
            }
        }
    }

    /// How the orchestrator has ended, or why it is not to go on. Where it runs, it is listened to. An API server that is
    /// away for a while keeps nobody from measuring.
    async fn look(&self, hearing: &mut Hearing<'_>, limit: Instant) -> Result<Option<Ending>> {
        let path = self.room.path(&format!("pods/{ORCHESTRATOR}"));
        let pod = match self.api.get(&path).await {
            Err(error) if error.is_passing() => {
                eprintln!("launcher: {error}");
                return Ok(self.over());
            }
            pod => pod?,
        };
        match sight::standing(&pod, ORCHESTRATOR) {
            Standing::Running => hearing.open().await,
            Standing::Ended(Some(code), why) => {
                if code != 0 {
                    eprintln!("launcher: the orchestrator has ended with {code}: {why}");
                }
                return Ok(Some(Ending::Over(Some(code))));
            }
            Standing::Ended(None, why) => bail!("the orchestrator did not run: {why}"),
            Standing::Waiting(why) => {
                let image = &self.place.orchestrator_image;
                self.check(
                    limit,
                    &format!("orchestrator ({image}) does not run: {why}"),
                )?;
            }
        }
        Ok(self.over())
    }

    /// The results of an orchestrator that has ended, or that is told to: then it says what there is.
    async fn collect(&self, hearing: &mut Hearing<'_>, ending: Ending) -> Result<Results> {
        if !matches!(ending, Ending::Over(_)) {
            let path = self.room.path(&format!("pods/{ORCHESTRATOR}"));
            let deleted = self.api.delete(&path, &json!({})).await;
            deleted.context("telling the orchestrator to end")?;
        }
        hearing.hear_out(2 * self.plan.timeout + LAST_WORDS).await;
        if let Some(results) = hearing.results() {
            return Ok(results);
        }
        let Ending::Over(code) = ending else {
            return Ok(Results::default());
        };
        if let Some(results) = hearing.again(LAST_WORDS).await {
            return Ok(results);
        }
        match code {
            // Of one that has begun there are results.
            Some(0 | 1) => bail!("the orchestrator's log has no results that are whole"),
            _ => Ok(Results::default()),
        }
    }

    /// Makes an object of the namespace. Where that was tried before without an answer, it may be there.
    async fn make(&self, kind: &str, object: &Value) -> Result<Value> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let collection = self.room.path(kind);
        let made = match self.api.create(&collection, object).await {
            Err(error) if error.code() == Some(409) => {
                self.api.get(&format!("{collection}/{name}")).await
            }
            made => made,
        };
        made.with_context(|| format!("making {kind}/{name}"))
    }

    async fn pod(&self, name: &str) -> Result<Value> {
        let path = self.room.path(&format!("pods/{name}"));
        self.api.get(&path).await.with_context(|| name.to_owned())
    }

    fn check(&self, limit: Instant, waiting: &str) -> Result<()> {
        if Instant::now() < limit {
            return Ok(());
        }
        bail!("{waiting} (for {} s)", self.plan.timeout.as_secs_f64())
    }

    /// Why it is not to go on.
    fn over(&self) -> Option<Ending> {
        if self.stop.load(Ordering::Relaxed) {
            Some(Ending::Interrupted)
        } else if Instant::now() >= self.limit {
            Some(Ending::Deadline)
        } else {
            None
        }
    }
}
