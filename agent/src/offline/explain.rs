//! `sluice explain`: one connection, and every tier that was asked about it.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use sluice_policy::{Action, Direction, Pod, Protocol, Snapshot, Step, Tuple};

use super::Model;
use super::ask::{self, Family, Who};
use super::cell::{Cell, Ends, steps};
use crate::cli::{DEFAULT_SOCKET, Output};
use crate::exit::Failure;
use crate::socket::{self, AskError, Request};

/// `sluice explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Manifests: a file, a directory (read recursively) or - for stdin. Repeatable [default: ask the agent]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    manifests: Vec<PathBuf>,

    /// Who connects: a pod (by its IPv4 address, if both have one) or an address
    #[arg(long, value_name = "NS/POD|ADDRESS")]
    from: Who,

    /// To whom: a pod or an address
    #[arg(long, value_name = "NS/POD|ADDRESS")]
    to: Who,

    /// The destination port: that of the pod, not of a Service before it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// TCP, UDP or SCTP
    #[arg(long, default_value = "TCP", value_parser = ask::protocol)]
    protocol: Protocol,

    /// Exit with 1 unless this comes out
    #[arg(long, value_enum)]
    expect: Option<Expected>,

    /// Where the agent answers, without --manifests
    #[arg(long, env = "SLUICE_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    socket: PathBuf,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What is expected to come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expected {
    /// The connection may open.
    Allow,
    /// It is dropped.
    Deny,
}

/// Why a connection is allowed or denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The verdict, as a cell of the matrix.
    #[serde(flatten)]
    pub cell: Cell<'static>,
    /// The addresses that were judged: source and destination.
    pub addresses: [IpAddr; 2],
    /// Every tier that was asked, egress first.
    pub trace: Vec<TraceStep>,
}

/// What one tier said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// `egress` or `ingress`.
    pub direction: String,
    /// The tier that was asked.
    pub tier: String,
    /// Whether it allows; none where it has no say.
    pub allowed: Option<bool>,
    /// The policy that it speaks for.
    pub policy: Option<String>,
    /// The rule of that policy, from zero.
    pub rule: Option<u32>,
    /// Why, in words.
    pub reason: String,
}

/// Shows why a connection is allowed or denied.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let explanation = if args.manifests.is_empty() {
        ask_agent(args)?
    } else {
        ask_manifests(args)?
    };
    match args.output {
        Output::Text => crate::print(format_args!("{explanation}")),
        Output::Json => crate::print_json(&explanation),
    }
    let (expected, found) = (
        args.expect,
        if explanation.cell.allowed {
            Expected::Allow
        } else {
            Expected::Deny
        },
    );
    if expected.is_none_or(|expected| expected == found) {
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = if found == Expected::Allow {
        "expected deny, and it is allowed"
    } else {
        "expected allow, and it is denied"
    };
    crate::complain(format_args!("sluice: {wanted}"));
    Ok(ExitCode::from(1))
}

fn ask_manifests(args: &ExplainArgs) -> Result<Explanation, Failure> {
    let Model { world, snapshot } = Model::load(&args.manifests)?;
    let pods = || world.pods.iter().map(|facts| &facts.pod);
    let question = Question {
        from: &args.from,
        to: &args.to,
        port: args.port,
        protocol: args.protocol,
    };
    let ends = question.ends(pods).map_err(Failure::bad_input)?;
    Ok(ends.explain(&snapshot))
}

fn ask_agent(args: &ExplainArgs) -> Result<Explanation, Failure> {
    let request = Request::Explain {
        from: args.from.to_string(),
        to: args.to.to_string(),
        port: args.port,
        protocol: args.protocol.to_string(),
    };
    let path = args.socket.display();
    socket::ask(&args.socket, &request).map_err(|error| match error {
        AskError::Refused(message) => Failure::bad_input(message),
        error if error.nobody_answers() => Failure::unable(format_args!(
            "no agent answers at {path} ({error}); --manifests asks without one"
        )),
        error => Failure::unable(format_args!("{path}: {error}")),
    })
}

/// Explains a connection, for the agent's socket: [`Explanation`] as JSON, or what is wrong with the question. Pods are
/// known by name from a snapshot, and judged by another, in which both ends are of the scope.
pub fn explain_snapshot<S: Deref<Target = Snapshot>>(
    known: &Snapshot,
    about: impl FnOnce([IpAddr; 2]) -> Result<S, String>,
    from: &str,
    to: &str,
    port: u16,
    protocol: &str,
) -> Result<serde_json::Value, String> {
    let from: Who = from.parse().map_err(|error| format!("from {error}"))?;
    let to: Who = to.parse().map_err(|error| format!("to {error}"))?;
    let protocol = ask::protocol(protocol).map_err(|error| format!("protocol {error}"))?;
    let question = Question {
        from: &from,
        to: &to,
        port,
        protocol,
    };
    let ends = question.ends(|| known.pods())?;
    let snapshot = about(ends.addresses())?;
    serde_json::to_value(ends.explain(&snapshot)).map_err(|error| error.to_string())
}

/// What is asked.
struct Question<'q> {
    from: &'q Who,
    to: &'q Who,
    port: u16,
    protocol: Protocol,
}

impl Question<'_> {
    /// What it is about, where pods are known by name from a list.
    fn ends<'p, I: Iterator<Item = &'p Pod>>(
        &self,
        pods: impl Fn() -> I,
    ) -> Result<Connection, String> {
        let source = End::of(self.from, &pods)?;
        let destination = End::of(self.to, &pods)?;
        let pair = Family::ALL
            .iter()
            .find_map(|family| ask::pair(&source.addresses, &destination.addresses, *family));
        let (from, to) = pair.ok_or_else(|| {
            format!(
                "{} and {} have no addresses of one family",
                source.name, destination.name
            )
        })?;
        let tuple = Tuple {
            source: from,
            destination: to,
            protocol: self.protocol,
            port: self.port,
        };
        Ok(Connection {
            from: source.name,
            to: destination.name,
            tuple,
        })
    }
}

/// What a question is about.
struct Connection {
    from: String,
    to: String,
    tuple: Tuple,
}

impl Connection {
    const fn addresses(&self) -> [IpAddr; 2] {
        [self.tuple.source, self.tuple.destination]
    }

    fn explain(&self, snapshot: &Snapshot) -> Explanation {
        let ends = Ends {
            from: &self.from,
            to: &self.to,
            tuple: self.tuple,
        };
        Explanation {
            cell: Cell::judge(snapshot, ends).into_owned(),
            addresses: self.addresses(),
            trace: steps(snapshot, ends).iter().map(TraceStep::of).collect(),
        }
    }
}

/// One end, found.
struct End {
    name: String,
    addresses: Vec<IpAddr>,
}

impl End {
    fn of<'p, I: Iterator<Item = &'p Pod>>(
        who: &Who,
        pods: &impl Fn() -> I,
    ) -> Result<Self, String> {
        match who {
            Who::Pod(name) => {
                let pod = pods()
                    .find(|pod| pod.name == *name)
                    .ok_or_else(|| format!("no pod {name} is known"))?;
                if pod.addresses.is_empty() {
                    return Err(format!("pod {name} has no address"));
                }
                Ok(Self {
                    name: name.to_string(),
                    addresses: pod.addresses.clone(),
                })
            }
            Who::Address(address) => {
                let owner = pods().find(|pod| !pod.host_network && pod.addresses.contains(address));
                let name = owner.map_or_else(|| address.to_string(), |pod| pod.name.to_string());
                Ok(Self {
                    name,
                    addresses: vec![*address],
                })
            }
        }
    }
}

impl TraceStep {
    fn of(step: &Step<'_>) -> Self {
        Self {
            direction: match step.direction {
                Direction::Egress => "egress".to_owned(),
                Direction::Ingress => "ingress".to_owned(),
            },
            tier: step.tier.name().to_owned(),
            allowed: step.action.map(|action| action == Action::Allow),
            policy: step.policy.map(ToString::to_string),
            rule: step.rule,
            reason: step.reason.clone(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell {
            from,
            to,
            port,
            protocol,
            allowed,
            egress,
            ingress,
            ..
        } = &self.cell;
        let [source, destination] = &self.addresses;
        writeln!(
            f,
            "{from} ({source}) > {to} ({destination}) {port}/{protocol}: {}",
            verdict(*allowed)
        )?;
        for (direction, of, outcome) in [("egress", from, egress), ("ingress", to, ingress)] {
            write!(f, "\n{direction} of {of}: {}", verdict(outcome.allowed))?;
            for step in self.trace.iter().filter(|step| step.direction == direction) {
                write!(f, "\n  {step}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TraceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<13}  {:<7}  ",
            self.tier,
            self.allowed.map_or("-", verdict)
        )?;
        if let Some(policy) = &self.policy {
            write!(f, "{policy}: ")?;
        }
        f.write_str(&self.reason)
    }
}

const fn verdict(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "denied" }
}
