//! The outcome of a demo for people: what was expected and observed, side by side, and how packets travelled. Judges
//! nothing.

use std::fmt::Write as _;

use crate::demo::report::{Report, Rounds};
use crate::{Cell, Counters, Family, Lab, Port, Reply, Target, distinct};

/// Names up to this length stand over their columns; longer ones are numbered.
const LONGEST_COLUMN: usize = 12;
/// So many wrong probes are listed one by one.
const LISTED: usize = 20;
/// Room for three matrices side by side.
const WIDTH: usize = 140;

/// Renders the report, ending with its last line.
pub(crate) fn render(lab: &Lab, report: &Report) -> String {
    let mut text = String::new();
    for family in &lab.plan().families {
        for port in &lab.plan().ports {
            text += &matrices(
                lab,
                &report.rounds,
                &Ask {
                    title: format!("{port} {family}"),
                    port: Some(*port),
                    family: *family,
                },
            );
        }
        if report.probes.services > 0 {
            text += &matrices(
                lab,
                &report.rounds,
                &Ask {
                    title: format!("Services {family}"),
                    port: None,
                    family: *family,
                },
            );
        }
    }
    text += ". allowed, X denied, * either, W wrong server, R refused, E error; comparison: . right, X wrong\n\n";
    text += &packets(report);
    text += &wrong(report);
    text += &summary(report);
    text
}

/// Which cells a matrix is of: one port's, or all that go to Services.
struct Ask {
    title: String,
    port: Option<Port>,
    family: Family,
}

impl Ask {
    fn covers(&self, cell: &Cell) -> bool {
        cell.family == self.family
            && match (&cell.to, self.port) {
                (Target::Pod(_), Some(port)) => cell.port == port,
                (Target::Service(_), None) => true,
                _ => false,
            }
    }

    fn column(&self, cell: &Cell) -> String {
        if self.port.is_some() {
            cell.to.to_string()
        } else {
            format!("{} {}", cell.to, cell.port)
        }
    }
}

fn matrices(lab: &Lab, rounds: &Rounds, ask: &Ask) -> String {
    let cells: Vec<_> = rounds
        .cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| ask.covers(cell))
        .collect();
    let rows = distinct(cells.iter().map(|(_, cell)| cell.from.to_string()));
    let columns = distinct(cells.iter().map(|(_, cell)| ask.column(cell)));
    if rows.is_empty() || columns.is_empty() {
        return String::new();
    }
    let draw = |title: &'static str, sign: &dyn Fn(usize) -> char| {
        let mut grid = Grid::new(title, rows.clone(), columns.clone());
        for (number, cell) in &cells {
            grid.set(&cell.from.to_string(), &ask.column(cell), sign(*number));
        }
        grid
    };
    let grids = [
        draw("expected", &|number| match rounds.expected[number].name() {
            "allow" => '.',
            "deny" => 'X',
            _ => '*',
        }),
        draw("observed", &|number| {
            observed(lab, &rounds.cells[number], &rounds.first.replies[number])
        }),
        draw("comparison", &|number| {
            if rounds.first.right[number] { '.' } else { 'X' }
        }),
    ];
    format!("{}\n{}\n", ask.title, side_by_side(&grids))
}

fn observed(lab: &Lab, cell: &Cell, reply: &Reply) -> char {
    use crate::Outcome;

    match lab.outcome(cell, reply.clone()) {
        Outcome::Allowed => '.',
        Outcome::Denied => 'X',
        Outcome::ReplyLost => 'r',
        Outcome::WrongServer(_) => 'W',
        Outcome::Refused => 'R',
        Outcome::Error(_) => 'E',
    }
}

/// One matrix: a sign for each pair of names.
struct Grid {
    title: &'static str,
    rows: Vec<String>,
    columns: Vec<String>,
    signs: Vec<Vec<char>>,
}

impl Grid {
    fn new(title: &'static str, rows: Vec<String>, columns: Vec<String>) -> Self {
        let signs = vec![vec!['-'; columns.len()]; rows.len()];
        Self {
            title,
            rows,
            columns,
            signs,
        }
    }

    fn set(&mut self, row: &str, column: &str, sign: char) {
        let row = self.rows.iter().position(|name| name == row);
        let column = self.columns.iter().position(|name| name == column);
        if let (Some(row), Some(column)) = (row, column) {
            self.signs[row][column] = sign;
        }
    }

    /// Lines of equal length, without row names: the title, the column names downwards, a line per row.
    fn lines(&self) -> Vec<String> {
        let names = self.column_names();
        let height = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        let mut lines = vec![self.title.to_owned()];
        for at in 0..height {
            let letter = |name: &String| name.chars().nth(at).unwrap_or(' ');
            lines.push(spaced(names.iter().map(letter)));
        }
        lines.extend(self.signs.iter().map(|row| spaced(row.iter().copied())));
        let width = lines.iter().map(String::len).max().unwrap_or(0);
        lines.iter().map(|line| format!("{line:width$}")).collect()
    }

    fn column_names(&self) -> Vec<String> {
        if self.columns.iter().all(|name| name.len() <= LONGEST_COLUMN) {
            return self.columns.clone();
        }
        (1..=self.columns.len())
            .map(|number| number.to_string())
            .collect()
    }

    /// Row names as high as [`Grid::lines`]; numbers in front where columns have numbers and mean the same.
    fn row_names(&self) -> Vec<String> {
        let lines = self.lines().len();
        let is_numbered = self.column_names() != self.columns && self.rows == self.columns;
        let name = |(number, name): (usize, &String)| {
            if is_numbered {
                format!("{:>3} {name}", number + 1)
            } else {
                name.clone()
            }
        };
        let mut names = vec![String::new(); lines - self.rows.len()];
        names.extend(self.rows.iter().enumerate().map(name));
        let width = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        names.iter().map(|name| format!("{name:width$}")).collect()
    }

    /// What the numbers over the columns mean, where the rows do not say it.
    fn legend(&self) -> String {
        if self.column_names() == self.columns || self.rows == self.columns {
            return String::new();
        }
        self.columns
            .iter()
            .enumerate()
            .fold(String::new(), |mut text, (number, name)| {
                let _ = writeln!(text, "  {:>3} {name}", number + 1);
                text
            })
    }
}

fn spaced(signs: impl Iterator<Item = char>) -> String {
    signs
        .flat_map(|sign| [sign, ' '])
        .collect::<String>()
        .trim_end()
        .to_owned()
}

fn side_by_side(grids: &[Grid]) -> String {
    let names = grids[0].row_names();
    let lines: Vec<_> = grids.iter().map(Grid::lines).collect();
    let width = names[0].chars().count()
        + lines
            .iter()
            .map(|grid| grid[0].chars().count() + 3)
            .sum::<usize>();
    let mut text = String::new();
    if width <= WIDTH {
        for (number, name) in names.iter().enumerate() {
            let row: Vec<_> = lines.iter().map(|grid| grid[number].as_str()).collect();
            let _ = writeln!(
                text,
                "{}",
                format!("{name}  {}", row.join("   ")).trim_end()
            );
        }
    } else {
        for grid in &lines {
            for (name, line) in names.iter().zip(grid) {
                let _ = writeln!(text, "{}", format!("{name}  {line}").trim_end());
            }
        }
    }
    text + &grids[0].legend()
}

/// Counters for people.
const MEANINGS: [(&str, &str); 8] = [
    ("lease_hits", "TC: a lease, straight on"),
    ("flow_hits", "a reply of a lease, straight on"),
    ("unmatched", "no end isolated, straight on"),
    ("gate_lease_hits", "gate: a lease, straight on"),
    ("deny_lease_hits", "a denial remembered: dropped"),
    ("queued", "to the agent's queue"),
    ("allowed", "  of these allowed"),
    ("denied", "  of these denied"),
];

fn packets(report: &Report) -> String {
    let [before, between, after] = report.rounds.counters;
    let columns = [before, between.since(before), after.since(between), after];
    let mut text = format!(
        "{:<34}{:<18}{:>9}{:>13}{:>14}{:>9}\n",
        "how packets travelled", "", "before", "first round", "second round", "after"
    );
    for (name, meaning) in MEANINGS {
        let value = |counters: &Counters| {
            counters
                .fields()
                .iter()
                .find(|(field, _)| *field == name)
                .map_or(0, |(_, value)| *value)
        };
        let [a, b, c, d] = columns.map(|counters| value(&counters));
        let _ = writeln!(text, "{meaning:<34}{name:<18}{a:>9}{b:>13}{c:>14}{d:>9}");
    }
    text.push('\n');
    text
}

fn wrong(report: &Report) -> String {
    let mut text = String::new();
    for probe in report.incorrect.iter().take(LISTED) {
        let _ = writeln!(
            text,
            "wrong: {} > {} {}/{} {}: expected {}, observed {} (round {})",
            probe.from,
            probe.to,
            probe.port,
            probe.protocol,
            probe.family,
            probe.expected,
            probe.observed,
            probe.round
        );
    }
    if let Some(more) = report.incorrect.len().checked_sub(LISTED + 1) {
        let _ = writeln!(text, "and {} more", more + 1);
    }
    text
}

fn summary(report: &Report) -> String {
    let (probes, second, seconds) = (&report.probes, &report.second_round, report.seconds);
    let mut text = format!(
        "first round: {} of {} probes right\n",
        probes.correct, probes.total
    );
    let _ = writeln!(
        text,
        "second round: {} of {} probes right, {} packets accepted by the queue{}",
        second.correct,
        second.total,
        second.queued_allowed,
        if report.mode == "hybrid" {
            " (0 are expected)".to_owned()
        } else {
            format!(" (at least {} are expected)", second.judged_connections)
        }
    );
    let _ = writeln!(
        text,
        "seconds: {:.2} setup, {:.2} agents ready, {:.2} probes",
        seconds.setup, seconds.ready, seconds.probe
    );
    let _ = writeln!(
        text,
        "{} ({} mode, {} pods)",
        if report.ok { "ok" } else { "NOT OK" },
        report.mode,
        report.pods
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: &[&str], columns: &[&str]) -> Grid {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        Grid::new("expected", own(rows), own(columns))
    }

    #[test]
    fn short_names_stand_over_their_columns() {
        let mut grid = grid(&["x/a", "x/b"], &["x/a", "x/b"]);
        grid.set("x/a", "x/b", 'X');
        grid.set("x/b", "x/b", '.');
        let text: Vec<_> = grid
            .lines()
            .iter()
            .map(|line| line.trim_end().to_owned())
            .collect();
        assert_eq!(text, ["expected", "x x", "/ /", "a b", "- X", "- ."]);
    }

    #[test]
    fn long_names_are_numbered() {
        let names = ["default/frontend-1", "default/frontend-2"];
        let square = grid(&names, &names);
        assert_eq!(square.row_names()[2], "  1 default/frontend-1");
        assert_eq!(square.legend(), "");
        let services = grid(&["x/a"], &["default/web 80/TCP"]);
        assert_eq!(services.legend(), "    1 default/web 80/TCP\n");
    }

    #[test]
    fn wide_matrices_go_below_each_other() {
        let names: Vec<_> = (0..30).map(|number| format!("x/{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let text = side_by_side(&[grid(&names, &names), grid(&names, &names)]);
        assert!(text.lines().all(|line| line.len() <= WIDTH));
        assert_eq!(text.matches("expected").count(), 2);
    }
}
