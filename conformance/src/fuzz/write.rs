//! A case as a file of the suite.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::case::{Case, Event, Object, Step};

/// The YAML of a case. Hand-written matrices and connections that are kept are left out: random cases have none.
pub fn yaml(case: &Case) -> String {
    let mut text = String::new();
    line(&mut text, "id: ", &json!(*case.id));
    line(&mut text, "sentence: ", &json!(case.sentence));
    let words = |words: &std::collections::BTreeSet<std::sync::Arc<str>>| -> Value {
        words.iter().map(|it| json!(**it)).collect()
    };
    for (field, words) in [
        ("tags: ", words(&case.tags)),
        ("features: ", words(&case.features)),
    ] {
        if words != json!([]) {
            line(&mut text, field, &words);
        }
    }
    line(&mut text, "world: ", &json!(*case.world));
    if !case.ports.is_empty() {
        let ports = case.ports.iter().map(|port| json!(port.to_string()));
        line(&mut text, "ports: ", &ports.collect());
    }
    let is_policy = |object: &&Object| object.name().is_policy();
    let (policies, others): (Vec<&Object>, Vec<&Object>) = case.objects.iter().partition(is_policy);
    for (field, objects) in [("objects:\n", others), ("policies:\n", policies)] {
        if !objects.is_empty() {
            text.push_str(field);
        }
        for object in objects {
            line(&mut text, "  - ", &short(object));
        }
    }
    steps(&mut text, &case.steps);
    text
}

/// What is so before anything happens is written down where something happens: only then is it judged.
fn steps(text: &mut String, steps: &[Step]) {
    if steps.iter().all(|step| step.events.is_empty()) {
        return;
    }
    text.push_str("steps:\n");
    for step in steps {
        let untitled = if step.events.is_empty() {
            "as it begins"
        } else {
            "then"
        };
        let title = step.title.as_deref().unwrap_or(untitled);
        line(text, "  - title: ", &json!(title));
        if step.any_order {
            text.push_str("    order: any\n");
        }
        if !step.events.is_empty() {
            text.push_str("    events:\n");
        }
        for happens in &step.events {
            line(text, "      - ", &event(happens));
        }
    }
}

fn event(event: &Event) -> Value {
    match event {
        Event::Apply(object) => json!({"apply": short(object)}),
        Event::Delete(name) => json!({"delete": name.to_string()}),
        Event::Label(name, labels) => {
            let labels: serde_json::Map<String, Value> = labels
                .iter()
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect();
            json!({"label": {name.to_string(): labels}})
        }
        Event::Open(connection) => json!({"open": {
            "name": *connection.name, "from": *connection.from,
            "to": *connection.to, "port": connection.port.to_string(),
        }}),
        Event::Agent(crate::case::AgentEvent::Restart) => json!({"agent": "restart"}),
        Event::Agent(crate::case::AgentEvent::Kill) => json!({"agent": "kill"}),
    }
}

/// `NAME: SPEC` where there is nothing else to say.
fn short(object: &Object) -> Value {
    let value = object.value();
    let name = object.name().to_string();
    match Object::with_spec(object.name().clone(), &value["spec"]) {
        Ok(same) if same == *object => {
            let name = name.strip_prefix("NetworkPolicy ").unwrap_or(&name);
            json!({name: value["spec"]})
        }
        _ => value.clone(),
    }
}

fn line(text: &mut String, head: &str, value: &Value) {
    text.push_str(head);
    flow(value, text);
    text.push('\n');
}

/// On one line, with quotes where they are needed.
fn flow(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            text.push('{');
            for (number, (key, value)) in map.iter().enumerate() {
                separate(number, text);
                scalar(key, text);
                text.push_str(": ");
                flow(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (number, item) in items.iter().enumerate() {
                separate(number, text);
                flow(item, text);
            }
            text.push(']');
        }
        Value::String(content) => scalar(content, text),
        other => {
            let _infallible = write!(text, "{other}");
        }
    }
}

fn separate(number: usize, text: &mut String) {
    if number > 0 {
        text.push_str(", ");
    }
}

/// Plain where nobody can take it for anything but a text.
fn scalar(content: &str, text: &mut String) {
    const TAKEN: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "nan"];
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '/' | '_' | ' ');
    let begins = content.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_taken = TAKEN.contains(&content.to_ascii_lowercase().as_str());
    if begins && !is_taken && !content.ends_with(' ') && content.chars().all(is_plain) {
        text.push_str(content);
    } else {
        let _infallible = write!(text, "{}", Value::from(content));
    }
}
