//! `helm show values` documents itself: each value has a sentence, and the schema knows the same names.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::helm_directory;

/// What the chart's values may be.
pub(crate) fn schema() -> Result<Value> {
    let path = helm_directory().join("sluice/values.schema.json");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).context("values.schema.json")
}

/// A line of `values.yaml`: its depth, its key, and whether it opens a map.
fn keys(text: &str) -> Vec<(usize, &str, usize)> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(number, line)| {
            let key = line.trim_start();
            let depth = (line.len() - key.len()) / 2;
            let (name, _value) = key.split_once(':')?;
            let is_key = name.chars().all(|c| c.is_ascii_alphanumeric());
            (is_key && !name.is_empty()).then_some((depth, name, number))
        })
        .collect()
}

/// The paths of all keys, with dots.
fn paths(text: &str) -> Vec<(String, usize)> {
    let mut above: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for (depth, name, number) in keys(text) {
        above.truncate(depth);
        above.push(name);
        found.push((above.join("."), number));
    }
    found
}

#[test]
fn every_value_has_a_sentence() -> Result<()> {
    let text = fs::read_to_string(helm_directory().join("sluice/values.yaml"))?;
    let lines: Vec<_> = text.lines().collect();
    // What a Kubernetes object has inside of a value is documented there.
    let foreign = [
        "resources.",
        "updateStrategy.",
        "tolerations",
        "monitoring.dashboard.labels.",
    ];
    for (path, number) in paths(&text) {
        let above = number
            .checked_sub(1)
            .map_or("", |number| lines[number].trim());
        let below = lines.get(number + 1).map_or("", |line| line.trim());
        let is_map = lines[number].ends_with(':') && below.starts_with('#');
        let is_foreign = foreign.iter().any(|it| path.starts_with(it));
        assert!(
            above.starts_with('#') || is_map || is_foreign,
            "values.yaml:{}: {path} is not documented",
            number + 1
        );
    }
    Ok(())
}

#[test]
fn values_and_schema_have_the_same_names() -> Result<()> {
    let text = fs::read_to_string(helm_directory().join("sluice/values.yaml"))?;
    let schema = schema()?;
    let mut named = BTreeSet::new();
    properties(&schema, "", &mut named).context("schema")?;
    let values: BTreeSet<_> = paths(&text).into_iter().map(|(path, _)| path).collect();
    // helm's own, and what is inside of objects of Kubernetes.
    let optional = ["global", "resources.claims"];
    for path in named
        .iter()
        .filter(|path| !optional.contains(&path.as_str()))
    {
        assert!(
            values.contains(path),
            "{path}: in the schema, not in values.yaml"
        );
    }
    for path in &values {
        let known = named.contains(path)
            || named.iter().any(|it| {
                let rest = path.strip_prefix(it.as_str());
                rest.is_some_and(|rest| rest.starts_with('.')) && is_open(&schema, it)
            });
        assert!(known, "{path}: in values.yaml, not in the schema");
    }
    Ok(())
}

/// The comment above a line, on one line.
fn comment(lines: &[&str], number: usize) -> String {
    let above = lines[..number].iter().rev();
    let mut comment: Vec<_> = above
        .map_while(|line| line.trim().strip_prefix('#'))
        .map(str::trim)
        .collect();
    comment.reverse();
    comment.join(" ")
}

#[test]
fn the_sentence_of_a_value_has_its_bounds_and_words() -> Result<()> {
    let text = fs::read_to_string(helm_directory().join("sluice/values.yaml"))?;
    let lines: Vec<_> = text.lines().collect();
    let schema = schema()?;
    let mut bounds = 0;
    for (path, number) in paths(&text) {
        let value = path
            .split('.')
            .fold(&schema, |it, name| &it["properties"][name]);
        // Of the parts of what Kubernetes documents, the whole tells.
        let number = if path.starts_with("updateStrategy.") {
            lines
                .iter()
                .position(|line| line.starts_with("updateStrategy:"))
        } else {
            Some(number)
        };
        let said = comment(&lines, number.context("updateStrategy")?);
        if let (Some(least), Some(most)) = (value["minimum"].as_u64(), value["maximum"].as_u64()) {
            bounds += 1;
            let wanted = format!("{least} to {most}");
            assert!(said.contains(&wanted), "{path}: {wanted} in: {said}");
        }
        for word in value["enum"].as_array().into_iter().flatten() {
            let word = word.as_str().context("enum")?;
            assert!(said.contains(word), "{path}: {word} in: {said}");
        }
        let kinds = value["type"].as_array().into_iter().flatten();
        if kinds.into_iter().any(|kind| kind == "null") {
            assert!(
                said.contains("Null:"),
                "{path}: what null means, in: {said}"
            );
        }
    }
    assert!(bounds > 8, "{bounds}");
    Ok(())
}

fn properties(schema: &Value, path: &str, named: &mut BTreeSet<String>) -> Option<()> {
    assert_eq!(
        schema["additionalProperties"], false,
        "{path}: takes anything"
    );
    for (name, inner) in schema["properties"].as_object()? {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if inner["properties"].is_object() {
            properties(inner, &path, named)?;
        }
        named.insert(path);
    }
    Some(())
}

/// Whether the schema leaves to Kubernetes, or to the user, which names there are.
fn is_open(schema: &Value, path: &str) -> bool {
    let at = path
        .split('.')
        .fold(schema, |it, name| &it["properties"][name]);
    at["properties"].is_null()
}
