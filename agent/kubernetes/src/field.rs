//! Reading a tree field by field: every look is checked, and whatever is wrong is reported with its path and line.
//! Owns no knowledge of particular kinds.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::node::{Entry, Node, Value, quote};
use crate::problem::{Origin, Place, Problem};

/// The value cannot be used; what is wrong with it has been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported;

/// A value that was checked.
pub(crate) type Checked<T> = Result<T, Reported>;

/// Collects what is wrong with one object.
pub(crate) struct Report {
    /// None for what the API serves.
    file: Option<Arc<Path>>,
    /// `NetworkPolicy x/allow`.
    object: String,
    problems: RefCell<Vec<Problem>>,
}

impl Report {
    /// On an object of a manifest.
    pub(crate) fn new(file: Arc<Path>, object: String) -> Self {
        Self {
            file: Some(file),
            object,
            problems: RefCell::default(),
        }
    }

    /// On an object of the API.
    pub(crate) fn of_api(object: String) -> Self {
        Self {
            file: None,
            object,
            problems: RefCell::default(),
        }
    }

    /// Whether nothing was wrong so far; remarks aside.
    pub(crate) fn is_harmless(&self) -> bool {
        self.problems
            .borrow()
            .iter()
            .all(|problem| problem.harmless)
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    fn push(&self, line: u32, field: &str, message: String, harmless: bool) {
        let place = |file: &Arc<Path>| Place {
            file: Arc::clone(file),
            line: (line > 0).then_some(line),
            column: None,
        };
        self.problems.borrow_mut().push(Problem {
            origin: self
                .file
                .as_ref()
                .map_or(Origin::Api, |file| Origin::File(place(file))),
            object: Some(self.object.clone()),
            field: (!field.is_empty()).then(|| field.to_owned()),
            message,
            harmless,
        });
    }
}

/// A part of an object.
#[derive(Clone)]
pub(crate) struct Field<'d> {
    node: &'d Node,
    /// Where its key stands, or it itself in a list.
    line: u32,
    path: String,
    report: &'d Report,
}

impl<'d> Field<'d> {
    /// The whole object.
    pub(crate) fn root(node: &'d Node, report: &'d Report) -> Self {
        Self {
            node,
            line: node.line,
            path: String::new(),
            report,
        }
    }

    /// Reports that this field is wrong.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> Reported {
        self.report
            .push(self.line, &self.path, message.into(), false);
        Reported
    }

    /// Reports that this field is badly written, though there is no doubt what it means.
    pub(crate) fn remark(&self, message: impl Into<String>) {
        self.report
            .push(self.line, &self.path, message.into(), true);
    }

    /// Reports that a field that should be here is not.
    pub(crate) fn missing(&self, key: &str) -> Reported {
        self.report
            .push(self.line, &self.path_of(key), "required".to_owned(), false);
        Reported
    }

    /// The value as it stands, for messages.
    pub(crate) fn shown(&self) -> String {
        self.node.value.describe()
    }

    /// The field of that name; a null is no field, as the API has it.
    pub(crate) fn get(&self, key: &str) -> Option<Field<'d>> {
        let entry = self.node.entry(key)?;
        (entry.node.value != Value::Null).then(|| self.child(entry))
    }

    /// The field of that name; an error where it is given twice, which [`Field::object`] reports.
    pub(crate) fn once(&self, key: &str) -> Checked<Option<Field<'d>>> {
        let Value::Map(entries) = &self.node.value else {
            return Ok(None);
        };
        match entries.iter().filter(|entry| entry.key == key).count() {
            0 | 1 => Ok(self.get(key)),
            _ => Err(Reported),
        }
    }

    /// Wants an object with no other fields than those known, none twice.
    pub(crate) fn only(&self, known: &[&str]) -> Checked<()> {
        let entries = self.entries()?;
        let mut outcome = self.object();
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                outcome = Err(self.child(entry).wrong(unknown(&entry.key, known)));
            }
        }
        outcome
    }

    /// Wants an object whose other fields are none of our business, but for those that are spelled nearly like ours.
    pub(crate) fn at_least(&self, known: &[&str]) -> Checked<()> {
        let entries = self.entries()?;
        let mut outcome = self.object();
        for entry in entries {
            if !known.contains(&entry.key.as_str()) && near(&entry.key, known).is_some() {
                outcome = Err(self.child(entry).wrong(unknown(&entry.key, known)));
            }
        }
        outcome
    }

    /// Wants an object without a field that is given twice.
    pub(crate) fn object(&self) -> Checked<()> {
        let entries = self.entries()?;
        let mut outcome = Ok(());
        // Not a list: a policy may have tens of thousands of labels.
        let mut seen = HashSet::with_capacity(entries.len());
        for entry in entries {
            if !seen.insert(entry.key.as_str()) {
                outcome = Err(self.child(entry).wrong("given twice"));
            }
        }
        outcome
    }

    /// Wants an object with exactly one of these fields, and no others.
    pub(crate) fn one_of(&self, known: &[&'static str]) -> Checked<(&'static str, Field<'d>)> {
        self.only(known)?;
        let mut set = known
            .iter()
            .filter_map(|key| Some((*key, self.get(key)?)))
            .collect::<Vec<_>>();
        let keys: Vec<&str> = set.iter().map(|(key, _)| *key).collect();
        match (set.pop(), keys.len()) {
            (Some(one), 1) => Ok(one),
            (None, _) => Err(self.wrong(format!("needs one of {}", known.join(", ")))),
            _ => Err(self.wrong(format!("{} exclude each other", keys.join(" and ")))),
        }
    }

    /// The items of a list that must have one at least and `most` at most. What is too much is reported and read.
    pub(crate) fn some_items(&self, most: usize) -> Checked<Vec<Field<'d>>> {
        let items = self.items()?;
        if items.is_empty() {
            return Err(self.wrong("must not be empty"));
        }
        self.at_most(&items, most);
        Ok(items)
    }

    /// Reports a list that is longer than it may be.
    pub(crate) fn at_most(&self, items: &[Field<'d>], most: usize) {
        if items.len() > most {
            self.remark(format!(
                "must have at most {most} items, got {}",
                items.len()
            ));
        }
    }

    /// Whether it is an object at all.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// Whether it is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// Whether it is a list of nothing.
    pub(crate) fn is_empty_list(&self) -> bool {
        matches!(&self.node.value, Value::List(items) if items.is_empty())
    }

    /// The fields of an object.
    pub(crate) fn fields(&self) -> Checked<Vec<(&'d str, Field<'d>)>> {
        Ok(self
            .entries()?
            .iter()
            .map(|entry| (entry.key.as_str(), self.child(entry)))
            .collect())
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Checked<Vec<Field<'d>>> {
        let Value::List(items) = &self.node.value else {
            return Err(self.wrong(format!("must be a list, got {}", self.shown())));
        };
        let item = |(index, node): (usize, &'d Node)| Field {
            node,
            line: node.line,
            path: format!("{}[{index}]", self.path),
            report: self.report,
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(crate) fn text(&self) -> Checked<&'d str> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            Value::List(_) | Value::Map(_) => {
                Err(self.wrong(format!("must be a string, got {}", self.shown())))
            }
            _ => Err(self.wrong(format!(
                "must be a string, got {} (put it in quotes)",
                self.shown()
            ))),
        }
    }

    pub(crate) fn boolean(&self) -> Checked<bool> {
        match &self.node.value {
            Value::Bool(value) => Ok(*value),
            _ => Err(self.wrong(format!("must be true or false, got {}", self.shown()))),
        }
    }

    /// A number between two bounds, both included.
    pub(crate) fn number(&self, least: i64, most: i64) -> Checked<i64> {
        match &self.node.value {
            Value::Integer(value) if (least..=most).contains(value) => Ok(*value),
            Value::Integer(value) => {
                Err(self.wrong(format!("must be between {least} and {most}, got {value}")))
            }
            _ => Err(self.wrong(format!("must be a number, got {}", self.shown()))),
        }
    }

    /// A port number.
    pub(crate) fn port(&self) -> Checked<u16> {
        let number = self.number(1, i64::from(u16::MAX))?;
        u16::try_from(number).map_err(|_too_large| Reported)
    }

    /// Whether it is a number rather than a name.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self.node.value, Value::Integer(_) | Value::Float(_))
    }

    fn entries(&self) -> Checked<&'d [Entry]> {
        match &self.node.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.wrong(format!("must be an object, got {}", self.shown()))),
        }
    }

    fn child(&self, entry: &'d Entry) -> Field<'d> {
        Field {
            node: &entry.node,
            line: entry.line,
            path: self.path_of(&entry.key),
            report: self.report,
        }
    }

    fn path_of(&self, key: &str) -> String {
        let is_plain = !key.is_empty()
            && key
                .chars()
                .all(|character| character.is_alphanumeric() || "-_$".contains(character));
        match (self.path.as_str(), is_plain) {
            ("", true) => key.to_owned(),
            (path, true) => format!("{path}.{key}"),
            (path, false) => format!("{path}[{}]", quote(key)),
        }
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    match near(key, known) {
        Some(meant) => format!("unknown field, did you mean {meant}?"),
        None => "unknown field".to_owned(),
    }
}

/// The known word that a word is probably a misspelling of.
pub(crate) fn near<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let allowed = match key.len() {
        0..=3 => 0,
        4..=6 => 1,
        _ => 2,
    };
    known
        .iter()
        .copied()
        .find(|other| key.eq_ignore_ascii_case(other) || distance(key, other, allowed) <= allowed)
}

/// How many letters must be put in, taken out or replaced; anything above `most` is as good as far.
fn distance(left: &str, right: &str, most: usize) -> usize {
    if left.len().abs_diff(right.len()) > most {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, to) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_are_recognized() {
        let known = ["podSelector", "ports", "port", "to", "from", "hostNetwork"];
        for (key, meant) in [
            ("podSelecter", Some("podSelector")),
            ("podselector", Some("podSelector")),
            ("prots", None),
            ("portz", Some("ports")),
            ("hostNetwrok", Some("hostNetwork")),
            ("hostname", None),
            ("form", None),
            ("tolerations", None),
        ] {
            assert_eq!(near(key, &known), meant, "{key}");
        }
    }
}
