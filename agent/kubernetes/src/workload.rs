//! Workloads, as the pods that their controllers would make of them.

use crate::field::{Checked, Field};
use crate::labels::{matches, selector};
use crate::pod::{PodDraft, pod};

/// How many pods a template becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    /// A Pod: itself.
    One,
    /// That many, named `<name>-<n>` from 0.
    Count(u32),
    /// One per node, named `<name>-<n>` in the nodes' order.
    PerNode,
}

/// Reads a workload; none where it has no template.
pub(crate) fn workload(object: &Field<'_>, kind: &str) -> Option<(Copies, PodDraft)> {
    let spec = object.get("spec").or_else(|| {
        object.missing("spec");
        None
    })?;
    match kind {
        "CronJob" => {
            let _ = spec.at_least(&["jobTemplate", "schedule"]);
            let template = required(&spec, "jobTemplate")?;
            job(&required(&template, "spec")?)
        }
        "Job" => job(&spec),
        "DaemonSet" => {
            let _ = spec.at_least(&["selector", "template"]);
            let draft = selected_template(&spec)?;
            Some((Copies::PerNode, draft))
        }
        _ => {
            let _ = spec.at_least(&["replicas", "selector", "template"]);
            let replicas = count(&spec, "replicas").unwrap_or_default().unwrap_or(1);
            Some((Copies::Count(replicas), selected_template(&spec)?))
        }
    }
}

fn job(spec: &Field<'_>) -> Option<(Copies, PodDraft)> {
    let _ = spec.at_least(&["parallelism", "completions", "template"]);
    let parallelism = count(spec, "parallelism").unwrap_or_default().unwrap_or(1);
    let completions = count(spec, "completions")
        .unwrap_or_default()
        .unwrap_or(parallelism);
    Some((Copies::Count(parallelism.min(completions)), template(spec)?))
}

fn required<'d>(field: &Field<'d>, key: &str) -> Option<Field<'d>> {
    field.get(key).or_else(|| {
        field.missing(key);
        None
    })
}

fn count(spec: &Field<'_>, key: &str) -> Checked<Option<u32>> {
    let number = spec
        .get(key)
        .map(|field| field.number(0, i64::from(i32::MAX)))
        .transpose()?;
    Ok(number.and_then(|number| u32::try_from(number).ok()))
}

fn template(spec: &Field<'_>) -> Option<PodDraft> {
    let template = required(spec, "template")?;
    let _ = template.only(&["apiVersion", "kind", "metadata", "spec"]);
    if let Some(metadata) = template.get("metadata") {
        let _ = metadata.at_least(&["labels"]);
    }
    Some(pod(&template))
}

/// A template whose labels the workload's selector must match.
fn selected_template(spec: &Field<'_>) -> Option<PodDraft> {
    let draft = template(spec)?;
    match required(spec, "selector").map(|field| (selector(&field), field)) {
        Some((Ok(selector), field)) if selector.requirements.is_empty() => {
            field.wrong("must not be empty");
        }
        Some((Ok(selector), field)) if !matches(&selector, &draft.labels) => {
            field.wrong("does not match the labels of the template");
        }
        _ => {}
    }
    Some(draft)
}
