//! A worker: attends to an orchestrator, and runs what it is told to, one program at a time.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use super::allow::NotAllowed;
use super::conductor::{Ended, Outcome, TaskId};
use super::task::{Vm, Worker};
use super::tool;
use super::wire::proto::orchestrator_client::OrchestratorClient;
use super::wire::{self, Job, Report, proto};

/// Who a worker is, and whom it works for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The orchestrator's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// All is to be over by then.
    pub deadline: Duration,
    /// How long the orchestrator may take to be there.
    pub patience: Duration,
    /// The worker's name.
    pub name: String,
    /// Where others reach it. None: from where it reaches the orchestrator.
    pub ip: Option<IpAddr>,
    /// What it runs on.
    pub vm: Vm,
}

/// Why a worker ended before it was told to go.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Nobody is there.
    #[error("no orchestrator at {address} within {} s: {why}", within.as_secs_f64())]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// For how long.
        within: Duration,
        /// What came of the last try.
        why: String,
    },
    /// The orchestrator does not want it.
    #[error("the orchestrator refused: {0}")]
    Refused(String),
    /// The orchestrator is gone, or makes no sense.
    #[error("the orchestrator went away: {0}")]
    Abandoned(String),
    /// It took too long.
    #[error("not over within the deadline of {} s", .0.as_secs_f64())]
    Deadline(Duration),
    /// Somebody wanted it to end.
    #[error("told to end")]
    Told,
}

/// Between two tries to reach the orchestrator.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one may take.
const TRY: Duration = Duration::from_secs(5);
/// How often an orchestrator that says nothing is asked whether it is still there.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long it may think about it.
const SILENCE: Duration = Duration::from_secs(10);
/// Reports that wait to be sent: a task has two.
const WAITING: usize = 8;

/// What runs.
struct Run {
    task: TaskId,
    /// None once it was told to stop.
    stop: Option<oneshot::Sender<()>>,
    end: Pin<Box<dyn Future<Output = Ended>>>,
}

/// Works until it is told to go; `told` is somebody else's wish that it ends.
///
/// # Errors
/// What came in between.
pub async fn run(options: &Options, told: impl Future<Output = ()>) -> Result<(), WorkerError> {
    let deadline = Instant::now() + options.deadline;
    tokio::select! {
        attended = attend(options) => attended,
        () = sleep_until(deadline) => Err(WorkerError::Deadline(options.deadline)),
        () = told => Err(WorkerError::Told),
    }
}

/// Where this future is dropped, so is what runs.
async fn attend(options: &Options) -> Result<(), WorkerError> {
    let (channel, own) = connect(options).await?;
    let me = Worker {
        worker: options.name.clone(),
        ip: options.ip.unwrap_or(own),
        vm: options.vm.clone(),
        idle: true,
    };
    let (reports, outgoing) = mpsc::channel(WAITING);
    let gone = |_| WorkerError::Abandoned("it takes no reports".to_owned());
    reports.send(wire::registration(&me)).await.map_err(gone)?;
    let mut client = OrchestratorClient::new(channel);
    let attending = client.attend(ReceiverStream::new(outgoing)).await;
    let orders = attending.map_err(|status| refused(&status))?.into_inner();
    eprintln!("worker {}: registered as {}", me.worker, me.ip);
    obey(orders, &reports).await
}

/// Does what is ordered, until it is to go.
async fn obey(
    mut orders: Streaming<proto::Order>,
    reports: &mpsc::Sender<proto::Report>,
) -> Result<(), WorkerError> {
    let gone = |_| WorkerError::Abandoned("it takes no reports".to_owned());
    let mut run: Option<Run> = None;
    loop {
        tokio::select! {
            order = orders.message() => {
                let job = read(order)?;
                if job == Job::Leave {
                    // What still runs is of no interest to anybody.
                    return end(run).await;
                }
                if let Some(refusal) = take(job, &mut run, reports) {
                    reports.send(refusal.into()).await.map_err(gone)?;
                }
            }
            ended = ended(&mut run) => {
                run = None;
                reports.send(ended.into()).await.map_err(gone)?;
            }
        }
    }
}

fn read(order: Result<Option<proto::Order>, Status>) -> Result<Job, WorkerError> {
    let order = order.map_err(|status| WorkerError::Abandoned(said(&status)))?;
    let order = order.ok_or_else(|| WorkerError::Abandoned("it told nobody to go".to_owned()))?;
    wire::read_order(order).map_err(|error| WorkerError::Abandoned(error.to_string()))
}

/// Begins or stops a run; what is to be said at once, if anything.
fn take(job: Job, run: &mut Option<Run>, reports: &mpsc::Sender<proto::Report>) -> Option<Report> {
    match job {
        Job::Serve { task, .. } | Job::Measure { task, .. } if run.is_some() => {
            let output = "this worker runs something already".to_owned();
            Some(over(task, output))
        }
        Job::Refuse { task, why } => Some(refuse(task, &why)),
        Job::Serve {
            task,
            invocation,
            port,
        } => {
            let reports = reports.clone();
            let ready = async move || {
                // Where nobody hears it, the orders end too.
                let _gone = reports.send(Report::Ready(task).into()).await;
            };
            let (stop, stopped) = oneshot::channel();
            let end = async move { tool::serve(&invocation, port, ready, stopped).await };
            *run = Some(Run::new(task, stop, end));
            None
        }
        Job::Measure {
            task,
            invocation,
            timeout_seconds,
        } => {
            let limit = Duration::from_secs(timeout_seconds.into());
            let (stop, stopped) = oneshot::channel();
            let end = async move { tool::measure(&invocation, limit, stopped).await };
            *run = Some(Run::new(task, stop, end));
            None
        }
        Job::Stop(task) => {
            // Another task's run ended before it could be stopped, and that was told.
            if let Some(run) = run.as_mut().filter(|run| run.task == task) {
                drop(run.stop.take());
            }
            None
        }
        Job::Leave => None,
    }
}

fn refuse(task: TaskId, why: &NotAllowed) -> Report {
    over(task, why.to_string())
}

fn over(task: TaskId, output: String) -> Report {
    let outcome = Outcome::Failed;
    Report::Ended(task, Ended { outcome, output })
}

impl Run {
    fn new(
        task: TaskId,
        stop: oneshot::Sender<()>,
        end: impl Future<Output = Ended> + 'static,
    ) -> Self {
        Self {
            task,
            stop: Some(stop),
            end: Box::pin(end),
        }
    }
}

/// Resolves with what became of the run; never, where there is none.
async fn ended(run: &mut Option<Run>) -> Report {
    match run {
        Some(run) => Report::Ended(run.task, run.end.as_mut().await),
        None => std::future::pending().await,
    }
}

async fn end(run: Option<Run>) -> Result<(), WorkerError> {
    if let Some(mut run) = run {
        drop(run.stop.take());
        let _ended = run.end.await;
    }
    Ok(())
}

/// A connection to the orchestrator, and the address that this end of it has.
async fn connect(options: &Options) -> Result<(Channel, IpAddr), WorkerError> {
    let limit = Instant::now() + options.patience;
    let address = address(&options.host, options.port);
    loop {
        let why = match try_once(&address).await {
            Ok(connected) => return Ok(connected),
            Err(why) => why,
        };
        if Instant::now() + PAUSE >= limit {
            return Err(WorkerError::Unreachable {
                address,
                within: options.patience,
                why,
            });
        }
        sleep(PAUSE).await;
    }
}

async fn try_once(address: &str) -> Result<(Channel, IpAddr), String> {
    let own = own_address(address)
        .await
        .map_err(|error| error.to_string())?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| chain(&error))?;
    let endpoint = endpoint
        .connect_timeout(TRY)
        .http2_keep_alive_interval(HEARTBEAT)
        .keep_alive_timeout(SILENCE)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect().await.map_err(|error| chain(&error))?;
    Ok((channel, own))
}

/// Nothing is sent: a datagram's socket gets its address as it is connected.
async fn own_address(to: &str) -> io::Result<IpAddr> {
    let to = lookup_host(to).await?.next();
    let to = to.ok_or_else(|| io::Error::other("no address of that name"))?;
    let any: SocketAddr = if to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    Ok(socket.local_addr()?.ip())
}

/// As in URLs.
fn address(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_name) => format!("{host}:{port}"),
    }
}

fn refused(status: &Status) -> WorkerError {
    WorkerError::Refused(said(status))
}

fn said(status: &Status) -> String {
    if status.message().is_empty() {
        status.code().to_string()
    } else {
        status.message().to_owned()
    }
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
