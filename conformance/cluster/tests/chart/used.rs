//! Each value of the chart is used by a template, and no template uses one that there is not.
//!
//! Templates are read as text: a value that is not there renders as nothing, so that helm has nothing against it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::documented::schema;
use crate::helm_directory;

/// What `.` is within a block.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Dot {
    /// A value, or the object of all where the path is empty.
    Value(String),
    /// Anything else.
    Other,
}

/// The paths of values that a template names, with dots.
fn used(template: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut blocks = vec![Dot::Other];
    for action in actions(template) {
        let words = words(&action);
        let dot = blocks.last().cloned().unwrap_or(Dot::Other);
        used.extend(words.iter().filter_map(|word| path(word, &dot)));
        match words.first().map(String::as_str) {
            Some("if") => blocks.push(dot),
            Some("with") => {
                let subject = words.get(1).filter(|_| words.len() == 2);
                let subject = subject.and_then(|word| path(word, &dot));
                blocks.push(subject.map_or(Dot::Other, Dot::Value));
            }
            Some("range" | "define" | "block") => blocks.push(Dot::Other),
            Some("end") => drop(blocks.pop()),
            _ => {}
        }
    }
    used
}

/// What is between braces, without comments.
fn actions(template: &str) -> Vec<String> {
    let inner = template.split("{{").skip(1).filter_map(|it| {
        let (action, _text) = it.split_once("}}")?;
        Some(action.trim_matches(['-', ' ', '\n']).to_owned())
    });
    inner.filter(|action| !action.starts_with("/*")).collect()
}

/// The words of an action but for its strings.
fn words(action: &str) -> Vec<String> {
    let outside = action.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = outside.split(|c: char| c.is_whitespace() || "()|,".contains(c));
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The value that a word names.
fn path(word: &str, dot: &Dot) -> Option<String> {
    if let Some((before, path)) = word.split_once(".Values.") {
        return ["", "$", ".root", "$root"]
            .contains(&before)
            .then(|| path.to_owned());
    }
    let name = word.strip_prefix('.')?;
    match dot {
        Dot::Value(of) if name.starts_with(|c: char| c.is_ascii_lowercase()) => {
            Some(format!("{of}.{name}"))
        }
        _ => None,
    }
}

/// The values that are set as a whole: those of which the schema has no parts, or whose parts are of Kubernetes.
fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    const WHOLE: [&str; 2] = ["resources", "updateStrategy"];
    let parts = schema["properties"].as_object();
    match parts {
        Some(parts) if !WHOLE.contains(&path) => {
            for (name, part) in parts {
                let path = format!("{path}.{name}");
                leaves(part, path.trim_start_matches('.'), found);
            }
        }
        // helm's own.
        _ if path == "global" => {}
        _ => drop(found.insert(path.to_owned())),
    }
}

fn templates(directory: &Path, texts: &mut String) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            templates(&path, texts)?;
        } else {
            *texts += &fs::read_to_string(&path)?;
        }
    }
    Ok(())
}

#[test]
fn each_value_is_used_and_no_other() -> Result<()> {
    let mut texts = String::new();
    templates(&helm_directory().join("sluice/templates"), &mut texts)?;
    let used = used(&texts);
    let mut leaves_found = BTreeSet::new();
    leaves(&schema()?, "", &mut leaves_found);
    assert!(leaves_found.len() > 50, "{leaves_found:?}");
    // By the name of the switch: `get $.Values.agent $switch`.
    let by_name = |path: &str| {
        let name = path.strip_prefix("agent.")?;
        texts.contains(&format!("{name:?} ")).then_some(())
    };
    for leaf in &leaves_found {
        assert!(
            used.contains(leaf) || by_name(leaf).is_some(),
            "{leaf}: no template uses it"
        );
    }
    for path in &used {
        let within = |leaf: &String| {
            let is_part = |long: &str, short: &str| {
                long.strip_prefix(short)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            is_part(leaf, path) || is_part(path, leaf)
        };
        assert!(
            leaves_found.iter().any(within),
            "{path}: a template uses it, and there is no such value"
        );
    }
    Ok(())
}

#[test]
fn values_are_found_wherever_a_template_has_them() {
    for (template, found) in [
        ("{{ .Values.a.b }}", &["a.b"][..]),
        (
            "{{- if and $.Values.a (not .root.Values.b) -}}x{{ end }}",
            &["a", "b"],
        ),
        (
            "{{ with .Values.a }}{{ .b }}{{ with .c }}{{ . }}{{ .d }}{{ end }}{{ end }}{{ .e }}",
            &["a", "a.b", "a.c", "a.c.d"],
        ),
        (
            "{{ with .Values.a }}{{ range .b }}{{ .c }}{{ end }}{{ if .d }}{{ .e }}{{ end }}{{ end }}",
            &["a", "a.b", "a.d", "a.e"],
        ),
        (
            r#"{{ printf ".Values.a" }}{{/* .Values.b */}}{{ with include "x" . }}{{ .c }}{{ end }}"#,
            &[],
        ),
    ] {
        let found: BTreeSet<_> = found.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(used(template), found, "{template}");
    }
}
