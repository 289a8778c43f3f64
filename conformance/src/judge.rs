//! A step of a case, judged: what was expected, what was seen, and where they differ.

use std::fmt;

use sluice_kubernetes::World;
use sluice_lab::distinct;
use sluice_oracle::{Cell, Family, Reading, Target};

use crate::case::{Mark, Matrix, Part, Step};
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

    /// Whether it is not as expected because packets were lost, perhaps, so that it is worth asking again. What arrived
    /// although it must not is no such thing.
    pub fn may_be_lost(&self, expected: &Expected) -> bool {
        match self {
            Self::Denied | Self::Error(_) => !self.meets(expected),
            Self::ReplyLost => !self.meets(expected) && *expected != Expected::Denied,
            Self::Allowed | Self::Mixed | Self::Refused | Self::WrongServer(_) => false,
        }
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

/// The parts of what a person wrote down that are about families that are asked about.
fn asked<'s>(step: &'s Step, families: &'s [Family]) -> impl Iterator<Item = &'s (Part, Matrix)> {
    let is_asked = |part: &Part| part.family.is_none_or(|it| families.contains(&it));
    step.matrix.iter().filter(move |(part, _)| is_asked(part))
}

fn covered(part: Part, cells: &[Cell]) -> Vec<Cell> {
    let own = cells.iter().filter(|cell| part.covers(cell));
    own.cloned().collect()
}

/// Why a step's matrix is about other cells than those that there are, if it is.
pub fn misfit(step: &Step, families: &[Family], cells: &[Cell]) -> Option<String> {
    let mut parts = asked(step, families);
    parts.find_map(|(part, matrix)| misfit_of(*part, matrix, &covered(*part, cells)))
}

fn misfit_of(part: Part, matrix: &Matrix, cells: &[Cell]) -> Option<String> {
    if cells.is_empty() {
        return Some(format!("nobody is asked about {part}"));
    }
    let fits = matrix.check(&sources(cells), &destinations(cells));
    fits.err().map(|error| error.to_string())
}

/// Where what a person wrote down is not what the oracle says, by the API text alone; the first few words of each
/// disagreement. Empty where they agree. Of families that were not asked about nothing is said.
pub fn disagreements(
    step: &Step,
    world: &World,
    families: &[Family],
    cells: &[Cell],
) -> Vec<String> {
    asked(step, families)
        .flat_map(|(part, matrix)| differences(*part, matrix, world, &covered(*part, cells)))
        .collect()
}

fn differences(part: Part, matrix: &Matrix, world: &World, cells: &[Cell]) -> Vec<String> {
    if let Some(misfit) = misfit_of(part, matrix, cells) {
        return vec![format!("matrix: {misfit}")];
    }
    let said = expect::expected(world, &Reading::all(), cells);
    let differs = cells.iter().zip(said).filter_map(|(cell, said)| {
        let mark = matrix.mark(&cell.from.to_string(), &destination(&cell.to))?;
        (!agrees(mark, &said)).then(|| format!("{cell}: written {mark}, the API text says {said}"))
    });
    differs.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_got_through_is_not_asked_about_again() {
        use Expected::{Allowed, Denied};

        for (observed, expected, again) in [
            (Observed::Denied, Allowed, true),
            (Observed::Denied, Denied, false),
            (Observed::ReplyLost, Allowed, true),
            (Observed::ReplyLost, Denied, false),
            (Observed::Allowed, Denied, false),
            (Observed::Error("no buffers".to_owned()), Denied, true),
        ] {
            assert_eq!(
                observed.may_be_lost(&expected),
                again,
                "{observed} {expected}"
            );
        }
        assert!(!Observed::ReplyLost.meets(&Denied), "it arrived");
    }
}
