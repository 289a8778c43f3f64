//! What holds of every cell, for people: a table for all ports and families of which the same is said.

use std::fmt::Write as _;

use sluice_lab::distinct;
use sluice_oracle::{Cell, Family, Port};

use crate::expect::Expected;
use crate::judge::destination;

/// A cell and what is said of it.
pub type Judged = (Cell, Expected);

/// The tables of all cells. What is said of IPv6 has a table of its own where it is not what is said of IPv4.
pub fn tables(judged: &[Judged]) -> String {
    let mut alike: Vec<(Vec<&Judged>, Vec<String>)> = Vec::new();
    for (title, table) in titled(judged) {
        match alike.iter_mut().find(|(other, _)| is_same(other, &table)) {
            Some((_, titles)) => titles.push(title),
            None => alike.push((table, vec![title])),
        }
    }
    let mut text = String::new();
    for (cells, titles) in alike {
        let titles = titles.join(" ");
        if cells.iter().all(|(_, said)| *said == Expected::Allowed) {
            let _infallible = writeln!(text, "{titles}: everything is allowed");
        } else {
            let _infallible = write!(text, "{titles}\n{}", table(&cells));
        }
    }
    text
}

/// One table for each port, and for each family where they differ.
fn titled(judged: &[Judged]) -> Vec<(String, Vec<&Judged>)> {
    let mut ports: Vec<Port> = judged.iter().map(|(cell, _)| cell.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let mut titled = Vec::new();
    for port in ports {
        let of = |family: Family| -> Vec<&Judged> {
            let cells = judged.iter();
            cells
                .filter(|(cell, _)| cell.port == port && cell.family == family)
                .collect()
        };
        let (four, six) = (of(Family::Ipv4), of(Family::Ipv6));
        if six.is_empty() || is_same(&four, &six) {
            titled.push((port.to_string(), four));
            continue;
        }
        for (family, table) in [(Family::Ipv4, four), (Family::Ipv6, six)] {
            if !table.is_empty() {
                titled.push((format!("{port} {family}"), table));
            }
        }
    }
    titled
}

fn is_same(one: &[&Judged], other: &[&Judged]) -> bool {
    let same = |((one, said), (other, other_said)): (&&Judged, &&Judged)| {
        one.from == other.from && one.to == other.to && said == other_said
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn table(cells: &[&Judged]) -> String {
    let columns = distinct(cells.iter().map(|(cell, _)| destination(&cell.to)));
    let rows = cells.iter().map(|(cell, _)| cell.from.to_string().len());
    let head = rows.max().unwrap_or(0);
    let mut text = format!("{:head$}  {}\n", "", columns.join(" "));
    for row in cells.chunk_by(|(one, _), (other, _)| one.from == other.from) {
        let _infallible = write!(text, "{:head$} ", row[0].0.from.to_string());
        for column in &columns {
            let mut cells = row
                .iter()
                .filter(|(cell, _)| destination(&cell.to) == *column);
            let mark = cells.next().map_or(' ', |(_, said)| said.mark());
            let _infallible = write!(text, " {mark:width$}", width = column.len());
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
