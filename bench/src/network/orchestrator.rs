//! The orchestrator: workers attend over gRPC, and one loop has the conductor decide about everything that happens.

use std::collections::HashMap;
use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::benchmark::Benchmark;
use super::conductor::{Conductor, Event, Order, Refusal, Terms, Verdict, WorkerId};
use super::figures;
use super::push::Gateway;
use super::task::{Results, Worker};
use super::wire::proto::orchestrator_server::OrchestratorServer;

mod door;

use door::{Door, Orders};

/// What an orchestrator does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What is measured.
    pub terms: Terms,
    /// The file of results.
    pub results: Option<PathBuf>,
    /// Who is told each task's figures.
    pub gateway: Option<Gateway>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In a word.
    pub verdict: Verdict,
    /// In full.
    pub results: Results,
    /// Figures that the gateway did not take: why, of the last ones.
    pub unpushed: Option<String>,
}

/// It cannot begin with what it was given.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No listening there.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// No file there.
    #[error("cannot write results to {0}: {1}")]
    Results(String, io::Error),
}

/// How often a worker that says nothing is asked whether it is still there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long it may think about it: its node has a processor to share with the tool that measures.
const SILENCE: Duration = Duration::from_secs(10);
/// What may be on its way at once.
const WAITING: usize = 64;
/// How long connections may take to close at the end.
const CLOSING: Duration = Duration::from_secs(2);

/// What the door lets through.
enum Arrival {
    /// Somebody wants to join.
    Applied {
        id: WorkerId,
        worker: Worker,
        orders: Orders,
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Something happened to somebody who has joined.
    Happened(Event),
}

/// Measures between the workers that come; `told` is somebody's wish that it ends.
///
/// # Errors
/// [`StartError`] where it cannot begin; anything else where it cannot go on.
pub async fn run(options: &Options, told: impl Future<Output = ()>) -> Result<Outcome> {
    let listening = TcpListener::bind(options.listen).await;
    let listener = listening.map_err(|error| StartError::Listen(options.listen, error))?;
    if let Some(path) = &options.results {
        // Better now than after all the measuring.
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| StartError::Results(path.display().to_string(), error))?;
    }
    eprintln!("orchestrator: listening on {}", listener.local_addr()?);
    let (arrivals, arriving) = mpsc::channel(WAITING);
    let (close, closed) = oneshot::channel::<()>();
    let server = Server::builder()
        .http2_keepalive_interval(Some(HEARTBEAT))
        .http2_keepalive_timeout(Some(SILENCE))
        .add_service(OrchestratorServer::new(Door::new(arrivals)))
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            async {
                // Dropped or sent, it is over.
                let _over = closed.await;
            },
        );
    let server = tokio::spawn(server);
    let outcome = Desk::new(options).work(arriving, told).await;
    drop(close);
    let _late = timeout(CLOSING, server).await;
    if let Some(path) = &options.results {
        write(path, &outcome.results)?;
    }
    Ok(outcome)
}

/// Writes a document whole or not at all.
fn write(path: &Path, results: &Results) -> Result<()> {
    let part = path.with_extension("part");
    let text = serde_json::to_string_pretty(results)?;
    fs::write(&part, text).with_context(|| part.display().to_string())?;
    fs::rename(&part, path).with_context(|| path.display().to_string())
}

/// Where all decisions are made.
struct Desk<'a> {
    begin: Instant,
    conductor: Conductor,
    workers: HashMap<WorkerId, Orders>,
    gateway: Option<&'a Gateway>,
    /// How many tasks were told of.
    told: usize,
    unpushed: Option<String>,
}

impl<'a> Desk<'a> {
    fn new(options: &'a Options) -> Self {
        Self {
            begin: Instant::now(),
            conductor: Conductor::new(options.terms.clone(), Duration::ZERO),
            workers: HashMap::new(),
            gateway: options.gateway.as_ref(),
            told: 0,
            unpushed: None,
        }
    }

    async fn work(
        mut self,
        mut arriving: mpsc::Receiver<Arrival>,
        told: impl Future<Output = ()>,
    ) -> Outcome {
        let mut told = Box::pin(told);
        let mut was_told = false;
        while let Some(wake) = self.conductor.wake() {
            let event = tokio::select! {
                arrival = arriving.recv() => match arrival {
                    Some(Arrival::Happened(event)) => Some(event),
                    Some(Arrival::Applied { id, worker, orders, answer }) => self.admit(id, worker, orders, answer),
                    None => Some(Event::Told),
                },
                () = sleep_until(self.begin + wake) => None,
                () = &mut told, if !was_told => {
                    was_told = true;
                    Some(Event::Told)
                }
            };
            self.step(event);
            self.tell_of_settled().await;
        }
        Outcome {
            verdict: self.conductor.verdict(),
            results: self.conductor.results(),
            unpushed: self.unpushed,
        }
    }

    fn admit(
        &mut self,
        id: WorkerId,
        worker: Worker,
        orders: Orders,
        answer: oneshot::Sender<Result<(), Refusal>>,
    ) -> Option<Event> {
        let admitted = self.conductor.admit(&worker.worker);
        let is_in = admitted.is_ok();
        // A worker that hung up meanwhile is one that never came.
        if answer.send(admitted).is_err() || !is_in {
            return None;
        }
        eprintln!("orchestrator: worker {} at {}", worker.worker, worker.ip);
        self.workers.insert(id, orders);
        Some(Event::Joined(id, worker))
    }

    /// Steps on, and again for each worker that turns out not to hear.
    fn step(&mut self, event: Option<Event>) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            if let Some(Event::Lost(id)) = &event {
                self.workers.remove(id);
            }
            for (id, order) in self.conductor.step(self.begin.elapsed(), event) {
                let is_last = order == Order::Leave;
                let orders = self.workers.get(&id);
                if orders.is_some_and(|orders| orders.try_send(Ok(order.into())).is_err()) {
                    events.push(Some(Event::Lost(id)));
                }
                if is_last {
                    // The stream of orders ends.
                    self.workers.remove(&id);
                }
            }
        }
    }

    /// Says what became of the tasks that were decided since.
    async fn tell_of_settled(&mut self) {
        if self.conductor.settled() <= self.told {
            return;
        }
        let results = self.conductor.results().results;
        for number in self.told..self.conductor.settled() {
            let measured = &results[number];
            let task = &measured.task;
            let (client, server) = (&task.client.worker, &task.server.worker);
            let (place, all) = (number + 1, results.len());
            let status = task.status.name();
            let benchmark = Benchmark::of(&task.command, &task.args);
            let benchmark = benchmark.map_or("?", Benchmark::name);
            eprintln!("orchestrator: {place}/{all} {benchmark} {client} → {server}: {status}");
            match figures::read(measured) {
                // Every line of it: what a worker says is not to be taken for the orchestrator's.
                Err(why) => eprintln!("  {}", why.replace('\n', "\n  ")),
                Ok(figures) => {
                    if let Some(gateway) = self.gateway
                        && let Err(error) = gateway.push(task, &figures).await
                    {
                        eprintln!("  not pushed: {error:#}");
                        self.unpushed = Some(format!("{error:#}"));
                    }
                }
            }
        }
        self.told = self.conductor.settled();
    }
}
