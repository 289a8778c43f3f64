//! Which connections are open, as a person writes it down.
//!
//! Two forms. Clauses begin with everything allowed and say what differs, later ones win:
//!
//! ```text
//! X * > x/a; . y/* > x/a
//! ```
//!
//! A table has a row for each source and a column for each destination, all of them:
//!
//! ```text
//! -    x/a x/b
//! x/a  .   X
//! x/b  .   .
//! ```
//!
//! Sources are pods. Destinations are pods, or Services as `service:x/web`. `.` is allowed, `X` is denied, `*` is left
//! open by the API. A pod always reaches itself.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use sluice_oracle::{Cell, Family, Port};

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `.`
    Allowed,
    /// `X`
    Denied,
    /// `*`
    Open,
}

impl Mark {
    fn of(text: &str) -> Option<Self> {
        match text {
            "." => Some(Self::Allowed),
            "X" => Some(Self::Denied),
            "*" => Some(Self::Open),
            _ => None,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => ".",
            Self::Denied => "X",
            Self::Open => "*",
        })
    }
}

/// Which connections a matrix is about: `80/TCP`, `IPv6`, `80/TCP IPv6`, or all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Those to this port; none: to all.
    pub port: Option<Port>,
    /// Those of this family; none: of both.
    pub family: Option<Family>,
}

/// What is no part of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no port, family or both, such as 80/TCP, IPv6 or 80/TCP IPv6: {0}")]
pub struct PartError(String);

impl Part {
    /// Whether a cell is one of those.
    pub fn covers(&self, cell: &Cell) -> bool {
        self.port.is_none_or(|port| port == cell.port)
            && self.family.is_none_or(|family| family == cell.family)
    }
}

impl FromStr for Part {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let family = |word: &str| Family::ALL.into_iter().find(|it| it.to_string() == word);
        let mut part = Self::default();
        for word in text.split_whitespace() {
            let taken = match (family(word), word.parse()) {
                (Some(family), _) => part.family.replace(family).is_some(),
                (None, Ok(number)) => part.port.replace(number).is_some(),
                (None, Err(_)) => true,
            };
            if taken {
                return Err(PartError(text.to_owned()));
            }
        }
        let is_any = part == Self::default();
        (!is_any)
            .then_some(part)
            .ok_or_else(|| PartError(text.to_owned()))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.family) {
            (None, None) => f.write_str("any port"),
            (Some(port), None) => port.fmt(f),
            (None, Some(family)) => family.fmt(f),
            (Some(port), Some(family)) => write!(f, "{port} {family}"),
        }
    }
}

/// What a person wrote down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// What differs from everything being allowed.
    Clauses(Vec<Clause>),
    /// Every cell.
    Table {
        /// Destinations.
        columns: Vec<String>,
        /// Sources, each with a mark for every column.
        rows: Vec<(String, Vec<Mark>)>,
    },
}

/// `X x/* > y/a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    mark: Mark,
    from: String,
    to: String,
}

/// What is no matrix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// A clause that cannot be read.
    #[error("no clause such as `X x/* > y/a`: {0}")]
    Clause(String),
    /// A row of another length than the head.
    #[error("row {row} has {found} marks, and the table {columns} columns")]
    Width {
        /// The row's first word.
        row: String,
        /// Its marks.
        found: usize,
        /// What the head has.
        columns: usize,
    },
    /// Something else than `.`, `X` and `*` in a row.
    #[error("row {row}: no mark such as . X *: {found}")]
    Mark {
        /// The row's first word.
        row: String,
        /// What is there.
        found: String,
    },
    /// Rows or columns that are not those of the world.
    #[error("the table's {of} are {found}, and the world's {wanted}")]
    Names {
        /// `rows` or `columns`.
        of: &'static str,
        /// What is there.
        found: String,
        /// What there should be.
        wanted: String,
    },
    /// A pod that does not reach itself.
    #[error("{0} > {0}: a pod always reaches itself")]
    Itself(String),
    /// A clause about nobody.
    #[error("clause `{0}` is about nobody of the world")]
    Nobody(String),
}

impl Matrix {
    /// Reads either form: a table has more than one line.
    pub fn parse(text: &str) -> Result<Self, MatrixError> {
        let text = text.trim_end();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let is_clause = |line: &&str| line.contains('>');
        let matrix = match lines.split_first() {
            Some((head, rows)) if !rows.is_empty() && !lines.iter().any(is_clause) => {
                table(head, rows)
            }
            _ => clauses(text),
        }?;
        matrix.with_diagonal()
    }

    /// Refuses what is never so. `X * > x/a` is about all others.
    fn with_diagonal(self) -> Result<Self, MatrixError> {
        let found = match &self {
            Self::Clauses(clauses) => {
                let is_wrong = |it: &&Clause| it.from == it.to && !it.from.ends_with('*');
                let mut own = clauses.iter().filter(is_wrong);
                own.find(|it| it.mark != Mark::Allowed)
                    .map(|it| it.from.clone())
            }
            Self::Table { columns, rows } => {
                let is_wrong = |(name, marks): &&(String, Vec<Mark>)| {
                    let mut own = columns
                        .iter()
                        .zip(marks)
                        .filter(|(column, _)| *column == name);
                    own.any(|(_, mark)| *mark != Mark::Allowed)
                };
                rows.iter().find(is_wrong).map(|(name, _)| name.clone())
            }
        };
        found.map_or(Ok(self), |name| Err(MatrixError::Itself(name)))
    }

    /// The mark of a cell; none where a table has no such cell. `to` is `NAMESPACE/NAME` or `service:NAMESPACE/NAME`.
    pub fn mark(&self, from: &str, to: &str) -> Option<Mark> {
        if from == to {
            return Some(Mark::Allowed);
        }
        match self {
            Self::Clauses(clauses) => {
                let last = clauses.iter().rev().find(|clause| clause.covers(from, to));
                Some(last.map_or(Mark::Allowed, |clause| clause.mark))
            }
            Self::Table { columns, rows } => {
                let column = columns.iter().position(|name| name == to)?;
                let (_, marks) = rows.iter().find(|(name, _)| name == from)?;
                marks.get(column).copied()
            }
        }
    }

    /// Whether it is about a world with these sources and destinations.
    pub fn check(&self, sources: &[String], destinations: &[String]) -> Result<(), MatrixError> {
        match self {
            Self::Clauses(clauses) => clauses.iter().try_for_each(|clause| {
                let is_there = sources.iter().any(|it| covers(&clause.from, it))
                    && destinations.iter().any(|it| covers(&clause.to, it));
                let nobody = || MatrixError::Nobody(clause.to_string());
                is_there.then_some(()).ok_or_else(nobody)
            }),
            Self::Table { columns, rows } => {
                let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
                same("rows", &names, sources)?;
                same("columns", columns, destinations)
            }
        }
    }
}

fn same(of: &'static str, found: &[String], wanted: &[String]) -> Result<(), MatrixError> {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    if sorted(found) == sorted(wanted) {
        return Ok(());
    }
    Err(MatrixError::Names {
        of,
        found: found.join(" "),
        wanted: wanted.join(" "),
    })
}

fn clauses(text: &str) -> Result<Matrix, MatrixError> {
    let clauses = text.split([';', '\n']).map(str::trim);
    let clauses = clauses.filter(|clause| !clause.is_empty()).map(|clause| {
        let wrong = || MatrixError::Clause(clause.to_owned());
        match clause.split_whitespace().collect::<Vec<_>>().as_slice() {
            [mark, from, ">", to] => Ok(Clause {
                mark: Mark::of(mark).ok_or_else(wrong)?,
                from: (*from).to_owned(),
                to: (*to).to_owned(),
            }),
            _ => Err(wrong()),
        }
    });
    Ok(Matrix::Clauses(clauses.collect::<Result<_, _>>()?))
}

fn table(head: &str, rows: &[&str]) -> Result<Matrix, MatrixError> {
    // Above the rows there may be a dash, without which YAML takes the head for indented.
    let columns = head.split_whitespace().filter(|word| *word != "-");
    let columns: Vec<String> = columns.map(str::to_owned).collect();
    let row = |line: &&str| {
        let mut words = line.split_whitespace();
        let row = words.next().unwrap_or_default().to_owned();
        let mark = |word: &str| {
            Mark::of(word).ok_or_else(|| MatrixError::Mark {
                row: row.clone(),
                found: word.to_owned(),
            })
        };
        let marks: Vec<Mark> = words.map(mark).collect::<Result<_, _>>()?;
        if marks.len() == columns.len() {
            return Ok((row, marks));
        }
        Err(MatrixError::Width {
            row,
            found: marks.len(),
            columns: columns.len(),
        })
    };
    let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Matrix::Table { columns, rows })
}

impl Clause {
    fn covers(&self, from: &str, to: &str) -> bool {
        covers(&self.from, from) && covers(&self.to, to)
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} > {}", self.mark, self.from, self.to)
    }
}

/// Whether `x/a`, `x/*`, `*` or `service:x/web` means a name. `*` means pods and Services alike.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// A matrix as a field of a file: one for all connections, or one for each part of them.
pub(super) fn texts(value: &Value) -> Option<Vec<(Option<&str>, &str)>> {
    match value {
        Value::String(text) => Some(vec![(None, text)]),
        Value::Object(map) => map
            .iter()
            .map(|(part, text)| Some((Some(part.as_str()), text.as_str()?)))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_say_what_differs_and_later_ones_win() {
        let matrix = Matrix::parse("X * > x/*; . y/* > x/a").unwrap();
        let mark = |from, to| matrix.mark(from, to).unwrap();
        assert_eq!(mark("x/a", "x/b"), Mark::Denied);
        assert_eq!(mark("y/c", "x/a"), Mark::Allowed);
        assert_eq!(mark("x/a", "y/a"), Mark::Allowed, "not spoken of");
        assert_eq!(mark("x/b", "x/b"), Mark::Allowed, "itself");
    }

    #[test]
    fn a_table_says_everything() {
        let matrix = Matrix::parse("-    x/a x/b\nx/a  .   X\nx/b  *   .\n").unwrap();
        assert_eq!(matrix.mark("x/a", "x/b"), Some(Mark::Denied));
        assert_eq!(matrix.mark("x/b", "x/a"), Some(Mark::Open));
        assert_eq!(matrix.mark("x/b", "x/c"), None);
        let names = ["x/a".to_owned(), "x/b".to_owned()];
        assert_eq!(matrix.check(&names, &names), Ok(()));
        assert!(matrix.check(&names[..1], &names).is_err());
    }

    #[test]
    fn a_part_is_a_port_a_family_or_both() {
        for text in ["80/TCP", "IPv6", "81/UDP IPv4"] {
            assert_eq!(text.parse::<Part>().unwrap().to_string(), text);
        }
        let both: Part = "IPv4 80/TCP".parse().unwrap();
        assert_eq!(both.to_string(), "80/TCP IPv4");
        for wrong in ["", "80", "IPv5", "IPv4 IPv6", "80/TCP 81/TCP"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_matrix_is_said() {
        for (text, said) in [
            ("x/a > x/b", "no clause"),
            ("X x/a x/b", "no clause"),
            ("? x/a > x/b", "no clause"),
            (
                "  a b\na . .\nb .\n",
                "row b has 1 marks, and the table 2 columns",
            ),
            ("  a b\na . Y\nb . .\n", "row a: no mark such as . X *: Y"),
            ("  a b\na . .\nb . X\n", "b > b: a pod always"),
            ("X x/a > x/a", "x/a > x/a: a pod always"),
            (". x/a > x/a; * x/b > x/b", "x/b > x/b: a pod always"),
        ] {
            let error = Matrix::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let nobody = Matrix::parse("X x/q > *").unwrap();
        let names = ["x/a".to_owned()];
        assert!(nobody.check(&names, &names).is_err());
    }
}
