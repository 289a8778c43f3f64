//! The schema of case files is the committed one, and says of files what their reader says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};
use sluice_conformance::case::{Origin, read_case};
use sluice_conformance::schema;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_schema_is_the_committed_one() {
    let path = root().join("case.schema.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == schema::text(),
        "{} is not what `sluice-conformance schema` prints",
        path.display()
    );
}

#[test]
fn every_case_file_is_valid() {
    let schema = schema::schema();
    let mut files = Vec::new();
    find(&root().join("cases"), &mut files);
    assert!(files.len() >= 800);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let errors = errors(&schema, &text);
        assert_eq!(errors, [""; 0], "{}", file.display());
    }
}

#[test]
fn what_the_reader_refuses_is_not_valid() {
    let schema = schema::schema();
    let right = "id: a/b\nsentence: s\n";
    assert_eq!(errors(&schema, right), [""; 0]);
    for wrong in [
        "id: a/b\n",
        "sentence: s\n",
        "id: A/b\nsentence: s\n",
        "id: a\nsentence: s\n",
        "id: a/b\nsentence: ' '\n",
        "id: a/b\nsentence: s\npolices: []\n",
        "id: a/b\nsentence: s\ntags: ingress\n",
        "id: a/b\nsentence: s\nfeatures: [np.everything]\n",
        "id: a/b\nsentence: s\nworld: nowhere\n",
        "id: a/b\nsentence: s\nports: [80]\n",
        "id: a/b\nsentence: s\nports: [80/ICMP]\n",
        "id: a/b\nsentence: s\nports: [65536/TCP]\n",
        "id: a/b\nsentence: s\nports: [0/TCP]\n",
        "id: a/b\nsentence: s\npolicies: [{p: {}}]\n",
        "id: a/b\nsentence: s\npolicies: [{x/p: {}, x/q: {}}]\n",
        "id: a/b\nsentence: s\npolicies: [{Secret x/p: {}}]\n",
        "id: a/b\nsentence: s\npolicies: [{ClusterNetworkPolicy x/p: {}}]\n",
        "id: a/b\nsentence: s\nobjects: [{kind: Pod, metadata: {namespace: x}}]\n",
        "id: a/b\nsentence: s\nobjects: [{kind: Secret, metadata: {name: s, namespace: x}}]\n",
        "id: a/b\nsentence: s\nmatrix: [X]\n",
        "id: a/b\nsentence: s\nmatrix: {80: X * > x/a}\n",
        "id: a/b\nsentence: s\nmatrix: {80/TCP: 1}\n",
        "id: a/b\nsentence: s\nrejected: [{object: {x/p: {}}}]\n",
        "id: a/b\nsentence: s\nsteps: [{event: []}]\n",
        "id: a/b\nsentence: s\nsteps: [{order: every}]\n",
        "id: a/b\nsentence: s\nsteps: [{events: [{remove: x/p}]}]\n",
        "id: a/b\nsentence: s\nsteps: [{events: [{delete: x/p, apply: {x/p: {}}}]}]\n",
        "id: a/b\nsentence: s\nsteps: [{events: [{delete: Pod p}]}]\n",
        "id: a/b\nsentence: s\nsteps: [{events: [{label: {Pod x/a: [role]}}]}]\n",
        "id: a/b\nsentence: s\nsteps: [{events: [{agent: pause}]}]\n",
        "id: a/b\nsentence: s\nsteps: [{events: [{open: {name: c, from: x/a, to: x/b}}]}]\n",
    ] {
        let read = read_case(Origin::File("b.yaml".into()), wrong);
        assert!(read.is_err(), "the reader takes {wrong}");
        assert!(
            !errors(&schema, wrong).is_empty(),
            "the schema takes {wrong}"
        );
    }
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn errors(schema: &Value, text: &str) -> Vec<String> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let value: Value = serde_saphyr::from_str_with_options(text, options).unwrap();
    let mut errors = Vec::new();
    let validator = Validator { root: schema };
    validator.check(schema, &value, "", &mut errors);
    errors
}

/// The part of JSON Schema that the schema uses; what it does not know is a panic, so that nothing is passed over.
struct Validator<'s> {
    root: &'s Value,
}

impl Validator<'_> {
    fn is_valid(&self, schema: &Value, value: &Value) -> bool {
        let mut errors = Vec::new();
        self.check(schema, value, "", &mut errors);
        errors.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
        let schema = schema.as_object().unwrap();
        for (keyword, wanted) in schema {
            if self.holds(schema, keyword, wanted, value, at, errors) == Some(false) {
                errors.push(format!("{at}: {keyword}: {value}"));
            }
        }
    }

    /// None where what is within the value is checked by itself.
    fn holds(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        wanted: &Value,
        value: &Value,
        at: &str,
        errors: &mut Vec<String>,
    ) -> Option<bool> {
        match keyword {
            "$ref" => {
                let path = wanted.as_str()?.trim_start_matches('#');
                self.check(self.root.pointer(path).unwrap(), value, at, errors);
            }
            "properties" => {
                for (key, inner) in entries(value) {
                    if let Some(schema) = wanted.get(key) {
                        self.check(schema, inner, &format!("{at}/{key}"), errors);
                    }
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                let is_more = |key: &str| known.is_none_or(|it| it.get(key).is_none());
                for (key, inner) in entries(value).filter(|(key, _)| is_more(key)) {
                    if *wanted == Value::Bool(false) {
                        errors.push(format!("{at}: no {key}"));
                    } else {
                        self.check(wanted, inner, &format!("{at}/{key}"), errors);
                    }
                }
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.check(wanted, item, &format!("{at}/{number}"), errors);
                }
            }
            _ => return Some(self.is_met(keyword, wanted, value)),
        }
        None
    }

    /// Of keywords about the value itself.
    fn is_met(&self, keyword: &str, wanted: &Value, value: &Value) -> bool {
        let list = || wanted.as_array().unwrap().iter();
        let count = || u64::try_from(entries(value).count()).unwrap();
        match keyword {
            "$schema" | "$defs" | "title" | "description" => true,
            "type" if wanted.is_array() => list().any(|it| is_of(value, it)),
            "type" => is_of(value, wanted),
            "enum" => list().any(|it| it == value),
            "const" => wanted == value,
            "pattern" => {
                let pattern = Regex::new(wanted.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "not" => !self.is_valid(wanted, value),
            "oneOf" => list().filter(|it| self.is_valid(it, value)).count() == 1,
            "required" => {
                let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                !value.is_object() || list().all(has)
            }
            "minProperties" => !value.is_object() || count() >= wanted.as_u64().unwrap(),
            "maxProperties" => !value.is_object() || count() <= wanted.as_u64().unwrap(),
            "propertyNames" => {
                entries(value).all(|(key, _)| self.is_valid(wanted, &Value::String(key.clone())))
            }
            other => panic!("the test does not know {other}"),
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn is_of(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the test does not know the type {other}"),
    }
}
