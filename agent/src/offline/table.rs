//! A matrix for people: one table per port, rows sources, columns destinations, and below it what denies what.

use std::collections::BTreeSet;
use std::io::{self, Write};

use sluice_policy::Pod;

use super::Model;
use super::ask::{Family, Service};
use super::cell::{Cell, Outcome};
use super::denials;
use super::matrix::{Asked, Named, judge, named_pods};

/// How wide a table may get before its columns have numbers instead of names.
const WIDEST: usize = 120;

/// Writes every table, and which pods are in none.
pub(super) fn write(model: &Model, asked: &Asked<'_>, out: &mut impl Write) -> io::Result<()> {
    let axes = Axes {
        sources: connected(&asked.sources),
        destinations: connected(&asked.destinations),
    };
    if axes.sources.is_empty() || axes.destinations.is_empty() {
        writeln!(out, "no pod that was asked for has an address")?;
        return write_left_out(asked, out);
    }
    writeln!(
        out,
        "rows are sources, columns destinations; . allowed, X denied"
    )?;
    for service in &asked.services {
        for grid in grids(model, &axes, *service) {
            writeln!(out)?;
            write_grid(&axes, &grid, out)?;
            denials::write(&axes, &grid, out)?;
        }
    }
    write_left_out(asked, out)
}

fn connected<'w>(pods: &[&'w Pod]) -> Vec<Named<'w>> {
    let pods: Vec<&Pod> = pods
        .iter()
        .copied()
        .filter(|pod| !pod.addresses.is_empty())
        .collect();
    named_pods(&pods)
}

fn write_left_out(asked: &Asked<'_>, out: &mut impl Write) -> io::Result<()> {
    let pods = asked.sources.iter().chain(&asked.destinations);
    let left_out: BTreeSet<_> = pods
        .filter(|pod| pod.addresses.is_empty())
        .map(|pod| pod.name.to_string())
        .collect();
    if left_out.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nnot shown, as they have no address: {}",
        left_out.into_iter().collect::<Vec<_>>().join(" ")
    )
}

/// The pods of rows and columns.
pub(super) struct Axes<'w> {
    pub(super) sources: Vec<Named<'w>>,
    pub(super) destinations: Vec<Named<'w>>,
}

/// One table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grid {
    title: String,
    /// Row by row.
    pub(super) marks: Vec<Option<Mark>>,
}

/// What denies a connection in each direction, if anything does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) egress: Option<Outcome<'static>>,
    pub(super) ingress: Option<Outcome<'static>>,
}

impl Mark {
    fn of(cell: &Cell<'_>) -> Self {
        let denial =
            |outcome: &Outcome<'_>| (!outcome.allowed).then(|| outcome.clone().into_owned());
        Self {
            egress: denial(&cell.egress),
            ingress: denial(&cell.ingress),
        }
    }

    fn symbol(mark: Option<&Self>) -> char {
        match mark {
            Some(Self {
                egress: None,
                ingress: None,
            }) => '.',
            Some(_) => 'X',
            None => '-',
        }
    }
}

/// The tables of a port: one where the families agree, else one of each.
fn grids(model: &Model, axes: &Axes<'_>, service: Service) -> Vec<Grid> {
    let [ipv4, ipv6] = Family::ALL.map(|family| marks(model, axes, service, family));
    let agree = ipv4
        .iter()
        .zip(&ipv6)
        .all(|(one, other)| one.is_none() || other.is_none() || one == other);
    if agree {
        let marks = ipv4
            .into_iter()
            .zip(ipv6)
            .map(|(one, other)| one.or(other))
            .collect();
        return vec![Grid {
            title: service.to_string(),
            marks,
        }];
    }
    let title = |family: Family| format!("{service} {}", family.name());
    let [four, six] = Family::ALL;
    vec![
        Grid {
            title: title(four),
            marks: ipv4,
        },
        Grid {
            title: title(six),
            marks: ipv6,
        },
    ]
}

fn marks(model: &Model, axes: &Axes<'_>, service: Service, family: Family) -> Vec<Option<Mark>> {
    let pairs = axes
        .sources
        .iter()
        .flat_map(|source| axes.destinations.iter().map(move |to| (source, to)));
    pairs
        .map(|(source, destination)| judge(model, source, destination, family, service))
        .map(|cell| cell.as_ref().map(Mark::of))
        .collect()
}

fn write_grid(axes: &Axes<'_>, grid: &Grid, out: &mut impl Write) -> io::Result<()> {
    let layout = Layout::of(axes, &grid.title);
    write!(out, "{:<1$}", grid.title, layout.margin)?;
    for (number, destination) in axes.destinations.iter().enumerate() {
        write!(
            out,
            " {:>1$}",
            layout.heading(number, destination),
            layout.width(destination)
        )?;
    }
    writeln!(out)?;
    let rows = grid.marks.chunks(axes.destinations.len());
    for (number, (source, row)) in axes.sources.iter().zip(rows).enumerate() {
        write!(
            out,
            "{:<1$}",
            layout.label(number, source, axes),
            layout.margin
        )?;
        for (destination, mark) in axes.destinations.iter().zip(row) {
            write!(
                out,
                " {:>1$}",
                Mark::symbol(mark.as_ref()),
                layout.width(destination)
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// How rows and columns are headed.
struct Layout {
    /// Width of the rows' labels.
    margin: usize,
    /// Width of the columns' numbers; none where columns have names.
    numbers: Option<usize>,
}

impl Layout {
    fn of(axes: &Axes<'_>, title: &str) -> Self {
        let longest = axes
            .sources
            .iter()
            .map(|source| source.name.len())
            .max()
            .unwrap_or(0);
        let names: usize = axes
            .destinations
            .iter()
            .map(|destination| destination.name.len() + 1)
            .sum();
        if longest + names <= WIDEST {
            return Self {
                margin: longest.max(title.len()),
                numbers: None,
            };
        }
        let longest = axes
            .sources
            .iter()
            .chain(&axes.destinations)
            .map(|pod| pod.name.len())
            .max()
            .unwrap_or(0);
        let digits = axes.destinations.len().to_string().len();
        Self {
            margin: (longest + digits + 1).max(title.len()),
            numbers: Some(digits),
        }
    }

    fn width(&self, destination: &Named<'_>) -> usize {
        self.numbers.unwrap_or(destination.name.len())
    }

    fn heading(&self, number: usize, destination: &Named<'_>) -> String {
        match self.numbers {
            Some(_) => (number + 1).to_string(),
            None => destination.name.clone(),
        }
    }

    /// A row's label; where columns have numbers, with the number that its pod has as a column.
    fn label(&self, row: usize, source: &Named<'_>, axes: &Axes<'_>) -> String {
        let Some(digits) = self.numbers else {
            return source.name.clone();
        };
        let same = |number: &usize| {
            axes.destinations
                .get(*number)
                .is_some_and(|it| it.name == source.name)
        };
        let column = Some(row)
            .filter(same)
            .or_else(|| (0..axes.destinations.len()).find(same));
        match column {
            Some(column) => format!("{:>digits$} {}", column + 1, source.name),
            None => format!("{:>digits$} {}", "", source.name),
        }
    }
}
