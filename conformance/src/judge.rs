//! A step of a case, judged: what was expected, what was seen, and where they differ.

use std::fmt;

use sluice_kubernetes::World;
use sluice_oracle::{Cell, Reading, Target};

use crate::case::{Mark, Step};
use crate::expect::{self, Expected};

/// What was seen of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Who was meant answered.
    Allowed,
    /// Nothing came back.
    Denied,
    /// Some backends of a Service are allowed, and others are not.
    Mixed,
    /// Nothing came back, although what was sent had arrived.
    ReplyLost,
    /// Something came back that says no.
    Refused,
    /// Somebody else answered.
    WrongServer(String),
    /// The probe itself failed, which says nothing about policy.
    Error(String),
}

/// A cell, what was expected of it and what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub cell: Cell,
    /// What ought to have come of it.
    pub expected: Expected,
    /// What came.
    pub observed: Observed,
}

impl Observed {
    /// Whether it is as expected. What is left open may be anything but a failed probe.
    pub fn meets(&self, expected: &Expected) -> bool {
        match expected {
            _ if self.is_error() || matches!(self, Self::WrongServer(_)) => false,
            Expected::Open(_) => true,
            Expected::Allowed => *self == Self::Allowed,
            Expected::Denied => *self == Self::Denied,
            Expected::Either => matches!(self, Self::Allowed | Self::Denied | Self::Mixed),
        }
    }

    /// Whether nothing was seen at all.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// One character of a table.
    pub fn mark(&self) -> char {
        match self {
            Self::Allowed => '.',
            Self::Denied => 'X',
            Self::Mixed => '?',
            Self::ReplyLost => 'r',
            Self::Refused => 'R',
            Self::WrongServer(_) => 'W',
            Self::Error(_) => '!',
        }
    }
}

impl Expected {
    /// One character of a table.
    pub fn mark(&self) -> char {
        match self {
            Self::Allowed => '.',
            Self::Denied => 'X',
            Self::Open(_) => '*',
            Self::Either => '?',
        }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Denied => f.write_str("denied"),
            Self::Mixed => f.write_str("allowed to some backends only"),
            Self::ReplyLost => f.write_str("delivered, and the reply lost"),
            Self::Refused => f.write_str("refused"),
            Self::WrongServer(name) => write!(f, "answered by {name}"),
            Self::Error(error) => write!(f, "not probed: {error}"),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allowed"),
            Self::Denied => f.write_str("denied"),
            Self::Either => f.write_str("by the backend that is chosen"),
            Self::Open(topics) => {
                let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
                write!(f, "left open: {}", topics.join(", "))
            }
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cell,
            expected,
            observed,
        } = self;
        write!(f, "{cell}: expected {expected}, {observed}")
    }
}

/// Cells with what was expected of each and what came.
pub fn seen(cells: &[Cell], expected: &[Expected], observed: &[Observed]) -> Vec<Seen> {
    let all = cells.iter().zip(expected).zip(observed);
    all.map(|((cell, expected), observed)| Seen {
        cell: cell.clone(),
        expected: expected.clone(),
        observed: observed.clone(),
    })
    .collect()
}

/// The name of a destination in a matrix.
pub fn destination(target: &Target) -> String {
    match target {
        Target::Pod(name) => name.to_string(),
        Target::Service(name) => format!("service:{name}"),
    }
}

/// Where what a person wrote down is not what the oracle says, by the API text alone; the first few words of each
/// disagreement. Empty where they agree.
pub fn disagreements(step: &Step, world: &World, cells: &[Cell]) -> Vec<String> {
    if step.matrix.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (port, matrix) in &step.matrix {
        let is_of_port = |cell: &&Cell| port.is_none_or(|port| cell.port == port);
        let own: Vec<Cell> = cells.iter().filter(is_of_port).cloned().collect();
        if own.is_empty() {
            let port = port.map_or_else(|| "any port".to_owned(), |port| port.to_string());
            found.push(format!("matrix: nobody is asked about {port}"));
            continue;
        }
        if let Err(error) = matrix.check(&sources(&own), &destinations(&own)) {
            found.push(format!("matrix: {error}"));
            continue;
        }
        let said = expect::expected(world, &Reading::all(), &own);
        let differs = own.iter().zip(said).filter_map(|(cell, said)| {
            let mark = matrix.mark(&cell.from.to_string(), &destination(&cell.to))?;
            (!agrees(mark, &said))
                .then(|| format!("{cell}: written {mark}, the API text says {said}"))
        });
        found.extend(differs);
    }
    found
}

fn agrees(mark: Mark, said: &Expected) -> bool {
    match said {
        Expected::Allowed => mark == Mark::Allowed,
        Expected::Denied => mark == Mark::Denied,
        Expected::Open(_) | Expected::Either => mark == Mark::Open,
    }
}

fn sources(cells: &[Cell]) -> Vec<String> {
    distinct(cells.iter().map(|cell| cell.from.to_string()))
}

fn destinations(cells: &[Cell]) -> Vec<String> {
    distinct(cells.iter().map(|cell| destination(&cell.to)))
}

/// Names in order of their first appearance, each once.
pub fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}
