//! The protocol's messages and our values: whatever comes from outside is one of ours, or refused.

use super::allow::{Invocation, NotAllowed};
use super::benchmark::Call;
use super::conductor::{Ended, Order, Outcome, TaskId};
use super::task::{Vm, Worker, is_name};

/// What `build.rs` makes of `proto/network.proto`.
pub(crate) mod proto {
    #![expect(
        unreachable_pub,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::clone_on_ref_ptr,
        clippy::default_trait_access,
        clippy::doc_markdown,
        clippy::trivially_copy_pass_by_ref,
        reason = "generated"
    )]

    tonic::include_proto!("sluice.network.v1");
}

use proto::order::What as OrderKind;
use proto::report::What as ReportKind;

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a message without content")]
    Empty,
    #[error("`{0}` is no name of a worker: letters, digits, dots, hyphens and underscores")]
    Name(String),
    #[error("`{0}` is no address")]
    Address(String),
    #[error("{0} is no port")]
    Port(u32),
    #[error("a run that ended without an outcome")]
    Outcome,
    #[error("a registration out of place")]
    Registration,
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
}

/// What a worker that has registered tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    Ready(TaskId),
    Ended(TaskId, Ended),
}

/// What a worker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Serve {
        task: TaskId,
        invocation: Invocation,
        port: u16,
    },
    Measure {
        task: TaskId,
        invocation: Invocation,
        timeout_seconds: u32,
    },
    /// A run that is not allowed, and so is over.
    Refuse {
        task: TaskId,
        why: NotAllowed,
    },
    Stop(TaskId),
    Leave,
}

pub(crate) fn registration(worker: &Worker) -> proto::Report {
    let vm = proto::Vm {
        hostname: worker.vm.hostname.clone(),
        availability_zone: worker.vm.availability_zone.clone(),
    };
    let registration = proto::Registration {
        worker: worker.worker.clone(),
        ip: worker.ip.to_string(),
        vm: Some(vm),
    };
    ReportKind::Registration(registration).into()
}

/// The first message of a worker.
pub(crate) fn read_registration(report: proto::Report) -> Result<Worker, Malformed> {
    let Some(ReportKind::Registration(it)) = report.what else {
        return Err(Malformed::Registration);
    };
    if !is_name(&it.worker) {
        return Err(Malformed::Name(it.worker));
    }
    let Ok(ip) = it.ip.parse() else {
        return Err(Malformed::Address(it.ip));
    };
    let vm = it.vm.unwrap_or_default();
    Ok(Worker {
        worker: it.worker,
        ip,
        vm: Vm {
            hostname: vm.hostname,
            availability_zone: vm.availability_zone,
        },
        idle: true,
    })
}

/// Every later one.
pub(crate) fn read_report(report: proto::Report) -> Result<Report, Malformed> {
    match report.what.ok_or(Malformed::Empty)? {
        ReportKind::Registration(_) => Err(Malformed::Registration),
        ReportKind::Ready(ready) => Ok(Report::Ready(ready.task)),
        ReportKind::Ended(ended) => {
            let outcome = match ended.outcome() {
                proto::Outcome::Unspecified => return Err(Malformed::Outcome),
                proto::Outcome::Done => Outcome::Done,
                proto::Outcome::Failed => Outcome::Failed,
                proto::Outcome::TimedOut => Outcome::TimedOut,
                proto::Outcome::Stopped => Outcome::Stopped,
                proto::Outcome::NotInstalled => Outcome::NotInstalled,
            };
            let output = ended.output;
            Ok(Report::Ended(ended.task, Ended { outcome, output }))
        }
    }
}

/// What an orchestrator wants.
pub(crate) fn read_order(order: proto::Order) -> Result<Job, Malformed> {
    let refuse = |task, why| Job::Refuse { task, why };
    Ok(match order.what.ok_or(Malformed::Empty)? {
        OrderKind::Serve(it) => {
            let port = u16::try_from(it.port).ok().filter(|port| *port > 0);
            let port = port.ok_or(Malformed::Port(it.port))?;
            let (task, command, args) = (it.task, it.command, it.args);
            match Invocation::parse(Call { command, args }) {
                Ok(invocation) => Job::Serve {
                    task,
                    invocation,
                    port,
                },
                Err(why) => refuse(task, why),
            }
        }
        OrderKind::Measure(it) => {
            let (task, timeout_seconds) = (it.task, it.timeout_seconds);
            let (command, args) = (it.command, it.args);
            match Invocation::parse(Call { command, args }) {
                Ok(invocation) => Job::Measure {
                    task,
                    invocation,
                    timeout_seconds,
                },
                Err(why) => refuse(task, why),
            }
        }
        OrderKind::Stop(it) => Job::Stop(it.task),
        OrderKind::Leave(_) => Job::Leave,
    })
}

impl From<ReportKind> for proto::Report {
    fn from(what: ReportKind) -> Self {
        Self { what: Some(what) }
    }
}

impl From<Report> for proto::Report {
    fn from(report: Report) -> Self {
        match report {
            Report::Ready(task) => ReportKind::Ready(proto::Ready { task }),
            Report::Ended(task, Ended { outcome, output }) => {
                let outcome = match outcome {
                    Outcome::Done => proto::Outcome::Done,
                    Outcome::Failed => proto::Outcome::Failed,
                    Outcome::TimedOut => proto::Outcome::TimedOut,
                    Outcome::Stopped => proto::Outcome::Stopped,
                    Outcome::NotInstalled => proto::Outcome::NotInstalled,
                };
                ReportKind::Ended(proto::Ended {
                    task,
                    outcome: outcome.into(),
                    output,
                })
            }
        }
        .into()
    }
}

impl From<Order> for proto::Order {
    fn from(order: Order) -> Self {
        let what = match order {
            Order::Serve { task, call, port } => OrderKind::Serve(proto::Serve {
                task,
                command: call.command,
                args: call.args,
                port: port.into(),
            }),
            Order::Measure {
                task,
                call,
                timeout_seconds,
            } => OrderKind::Measure(proto::Measure {
                task,
                command: call.command,
                args: call.args,
                timeout_seconds,
            }),
            Order::Stop(task) => OrderKind::Stop(proto::Stop { task }),
            Order::Leave => OrderKind::Leave(proto::Leave {}),
        };
        Self { what: Some(what) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::benchmark::Benchmark;
    use super::*;

    fn worker() -> Worker {
        Worker {
            worker: "a".to_owned(),
            ip: "fd00::1".parse().unwrap(),
            vm: Vm {
                hostname: "node-1".to_owned(),
                availability_zone: "north".to_owned(),
            },
            idle: true,
        }
    }

    #[test]
    fn messages_come_through_as_they_were() {
        assert_eq!(read_registration(registration(&worker())), Ok(worker()));
        for outcome in [
            Outcome::Done,
            Outcome::Failed,
            Outcome::TimedOut,
            Outcome::Stopped,
            Outcome::NotInstalled,
        ] {
            let output = "x".to_owned();
            let report = Report::Ended(7, Ended { outcome, output });
            assert_eq!(read_report(report.clone().into()), Ok(report));
        }
        assert_eq!(read_report(Report::Ready(3).into()), Ok(Report::Ready(3)));
        for (order, job) in [(Order::Stop(4), Job::Stop(4)), (Order::Leave, Job::Leave)] {
            assert_eq!(read_order(order.into()), Ok(job));
        }
        let call = Benchmark::QperfTcp.server();
        let serve = Order::Serve {
            task: 1,
            call: call.clone(),
            port: 19_765,
        };
        let job = Job::Serve {
            task: 1,
            invocation: Invocation::parse(call).unwrap(),
            port: 19_765,
        };
        assert_eq!(read_order(serve.into()), Ok(job));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let with = |change: fn(&mut Worker)| {
            let mut worker = worker();
            change(&mut worker);
            registration(&worker)
        };
        let name = with(|it| it.worker = "a/b".to_owned());
        assert_eq!(
            read_registration(name),
            Err(Malformed::Name("a/b".to_owned()))
        );
        assert_eq!(
            read_registration(Report::Ready(1).into()),
            Err(Malformed::Registration)
        );
        assert_eq!(
            read_report(registration(&worker())),
            Err(Malformed::Registration)
        );
        assert_eq!(read_report(proto::Report::default()), Err(Malformed::Empty));
        let nothing = ReportKind::Ended(proto::Ended::default());
        assert_eq!(read_report(nothing.into()), Err(Malformed::Outcome));
        let serve = proto::Serve {
            port: 70_000,
            ..proto::Serve::default()
        };
        let what = Some(OrderKind::Serve(serve));
        assert_eq!(
            read_order(proto::Order { what }),
            Err(Malformed::Port(70_000))
        );
        let measure = Order::Measure {
            task: 9,
            call: Call {
                command: "sh".to_owned(),
                args: Vec::new(),
            },
            timeout_seconds: 1,
        };
        let why = NotAllowed::Command("sh".to_owned());
        assert_eq!(read_order(measure.into()), Ok(Job::Refuse { task: 9, why }));
    }
}
