//! `sluice matrix`: every ordered pair of pods, on every port.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use sluice_kubernetes::World;
use sluice_policy::{Pod, PodName, Protocol, Tuple};

use super::Model;
use super::ask::{self, Family, Service};
use super::cell::{Cell, Ends};
use super::table;
use crate::exit::Failure;

/// `sluice matrix`.
#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Manifests: a file, a directory (read recursively) or - for stdin. Repeatable
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    manifests: Vec<PathBuf>,

    /// A port to show, such as 80/TCP [default: those that pods declare and policies name]. Repeatable
    #[arg(long = "port", value_name = "PORT/PROTOCOL", num_args = 1..)]
    ports: Vec<Service>,

    /// A source to show [default: every pod]. Repeatable
    #[arg(long, value_name = "NS/POD", value_parser = ask::pod_name, num_args = 1..)]
    from: Vec<PodName>,

    /// A destination to show [default: every pod]. Repeatable
    #[arg(long, value_name = "NS/POD", value_parser = ask::pod_name, num_args = 1..)]
    to: Vec<PodName>,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// How a matrix is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One table per port, with what denies below.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// Shows who can reach whom.
pub fn matrix(args: &MatrixArgs) -> Result<ExitCode, Failure> {
    let model = Model::load(&args.manifests)?;
    let mut asked = Asked::of(&model.world, &args.from, &args.to).map_err(Failure::bad_input)?;
    asked.services = match args.ports.as_slice() {
        [] => default_services(&model.world),
        some => some.iter().copied().collect(),
    };
    if asked.services.is_empty() {
        crate::complain(format_args!(
            "no pod declares a port and no policy names one: showing {ANY}"
        ));
        asked.services.insert(ANY);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.output {
        Format::Table => table::write(&model, &asked, &mut out),
        Format::Json => write_json(&model, &asked, &mut out),
    };
    // A reader that has seen enough is no error.
    let _closed = written.and_then(|()| out.flush());
    Ok(ExitCode::SUCCESS)
}

/// What is shown of a world where nobody says which port matters.
const ANY: Service = Service {
    port: 80,
    protocol: Protocol::Tcp,
};

/// What a matrix is to show.
pub(super) struct Asked<'w> {
    pub(super) sources: Vec<&'w Pod>,
    pub(super) destinations: Vec<&'w Pod>,
    pub(super) services: BTreeSet<Service>,
}

impl<'w> Asked<'w> {
    /// The pods asked for, or all; no ports yet.
    pub(super) fn of(world: &'w World, from: &[PodName], to: &[PodName]) -> Result<Self, String> {
        let pods: Vec<&Pod> = world.pods.iter().map(|facts| &facts.pod).collect();
        let choose = |names: &[PodName]| {
            if names.is_empty() {
                Ok(pods.clone())
            } else {
                ask::find(&pods, names)
            }
        };
        Ok(Self {
            sources: choose(from)?,
            destinations: choose(to)?,
            services: BTreeSet::new(),
        })
    }
}

/// Every port that matters in a world.
pub(super) fn default_services(world: &World) -> BTreeSet<Service> {
    let service = |(port, protocol)| Service { port, protocol };
    world.ports().into_iter().map(service).collect()
}

/// A pod's name, written once.
pub(super) struct Named<'w> {
    pub(super) pod: &'w Pod,
    pub(super) name: String,
}

pub(super) fn named_pods<'w>(pods: &[&'w Pod]) -> Vec<Named<'w>> {
    pods.iter()
        .map(|pod| Named {
            pod,
            name: pod.name.to_string(),
        })
        .collect()
}

/// The verdict on one pair in one family; none where they have no addresses to connect.
pub(super) fn judge<'a>(
    model: &Model,
    source: &'a Named<'_>,
    destination: &'a Named<'_>,
    family: Family,
    service: Service,
) -> Option<Cell<'a>> {
    let addresses = (&source.pod.addresses, &destination.pod.addresses);
    let (from, to) = ask::pair(addresses.0, addresses.1, family)?;
    let tuple = Tuple {
        source: from,
        destination: to,
        protocol: service.protocol,
        port: service.port,
    };
    let ends = Ends {
        from: &source.name,
        to: &destination.name,
        tuple,
    };
    Some(Cell::judge(&model.snapshot, ends))
}

/// A pod as JSON has it.
#[derive(Serialize)]
struct PodEntry<'w> {
    name: String,
    node: Option<&'w str>,
    ips: Vec<String>,
}

/// Writes one JSON document, a line per pod and per cell: a matrix can be large, and lines can be compared.
pub(super) fn write_json(model: &Model, asked: &Asked<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"{\"pods\": [")?;
    for (index, facts) in model.world.pods.iter().enumerate() {
        let pod = &facts.pod;
        let ips = pod.addresses.iter().map(ToString::to_string).collect();
        let entry = PodEntry {
            name: pod.name.to_string(),
            node: pod.node.as_deref(),
            ips,
        };
        write_line(out, index, &entry)?;
    }
    out.write_all(b"],\n\"cells\": [")?;
    let mut index = 0;
    let (sources, destinations) = (named_pods(&asked.sources), named_pods(&asked.destinations));
    for (source, destination) in sources
        .iter()
        .flat_map(|source| destinations.iter().map(move |to| (source, to)))
    {
        for (service, family) in asked
            .services
            .iter()
            .flat_map(|service| Family::ALL.map(|family| (service, family)))
        {
            if let Some(cell) = judge(model, source, destination, family, *service) {
                write_line(out, index, &cell)?;
                index += 1;
            }
        }
    }
    out.write_all(b"]}\n")
}

fn write_line(out: &mut impl Write, index: usize, value: &impl Serialize) -> io::Result<()> {
    out.write_all(if index == 0 { b"\n " } else { b",\n " })?;
    serde_json::to_writer(out, value).map_err(io::Error::from)
}
