//! The service that workers call: whoever comes in has registered, and who falls silent is gone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Arrival;
use crate::network::conductor::{Event, Refusal, WorkerId};
use crate::network::wire::proto::orchestrator_server::Orchestrator;
use crate::network::wire::{self, Report, proto};

/// The way to a worker.
pub(super) type Orders = mpsc::Sender<Result<proto::Order, Status>>;

/// How long a caller may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// Orders that wait to be sent: a task has two.
const WAITING: usize = 8;

/// What the service has.
pub(super) struct Door {
    arrivals: mpsc::Sender<Arrival>,
    next: AtomicU64,
}

impl Door {
    pub(super) fn new(arrivals: mpsc::Sender<Arrival>) -> Self {
        let next = AtomicU64::new(0);
        Self { arrivals, next }
    }
}

#[tonic::async_trait]
impl Orchestrator for Door {
    type AttendStream = ReceiverStream<Result<proto::Order, Status>>;

    async fn attend(
        &self,
        request: Request<Streaming<proto::Report>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let over = |_| Status::unavailable("it is over");
        let mut reports = request.into_inner();
        let first = timeout(INTRODUCTION, reports.message()).await;
        let first = first.map_err(|_late| Status::deadline_exceeded("no registration"))??;
        let first = first.ok_or_else(|| Status::invalid_argument("no registration"))?;
        let worker = wire::read_registration(first)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (orders, outgoing) = mpsc::channel(WAITING);
        let (answer, answered) = oneshot::channel();
        let applied = Arrival::Applied {
            id,
            worker,
            orders,
            answer,
        };
        self.arrivals
            .send(applied)
            .await
            .map_err(|_gone| Status::unavailable("it is over"))?;
        let answer = answered.await.map_err(over)?;
        answer.map_err(|refusal| refused(&refusal))?;
        tokio::spawn(follow(id, reports, self.arrivals.clone()));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Taken(_) => Status::already_exists(refusal.to_string()),
        Refusal::Late => Status::failed_precondition(refusal.to_string()),
    }
}

/// Passes on what a worker reports, until there is nothing more.
async fn follow(
    id: WorkerId,
    mut reports: Streaming<proto::Report>,
    arrivals: mpsc::Sender<Arrival>,
) {
    while let Ok(Some(report)) = reports.message().await {
        let event = match wire::read_report(report) {
            Ok(Report::Ready(task)) => Event::Ready(id, task),
            Ok(Report::Ended(task, ended)) => Event::Ended(id, task, ended),
            Err(error) => {
                eprintln!("orchestrator: a worker that makes no sense: {error}");
                break;
            }
        };
        if arrivals.send(Arrival::Happened(event)).await.is_err() {
            return;
        }
    }
    // Where nobody hears it, all is over.
    let _over = arrivals.send(Arrival::Happened(Event::Lost(id))).await;
}
