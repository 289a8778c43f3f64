//! What the API server takes and refuses, asked without anything being made of it.

use anyhow::{Result, anyhow};

use super::api::{Api, ApiError};
use super::names::Names;
use super::run::Ended;
use crate::State;
use crate::case::{Case, Object, Step};
use crate::runner::Failure;

/// Whether a case is about what is taken and refused, and nothing else.
pub(super) fn is_all(case: &Case) -> bool {
    let is_asked = |step: &Step| !step.accepted.is_empty() || !step.rejected.is_empty();
    let is_more = |step: &Step| !step.events.is_empty() || !step.matrix.is_empty();
    case.steps.iter().any(is_asked) && !case.steps.iter().any(is_more)
}

/// Asks about the objects of every step.
pub(super) async fn judge(api: &Api, names: &Names, case: &Case) -> Result<Ended> {
    let state = case.start()?;
    for (number, step) in case.steps.iter().enumerate() {
        if let Some(reason) = step_of(api, names, &state, step).await? {
            return Ok(Ended::Failed(Failure::new(number + 1, reason)));
        }
    }
    Ok(Ended::Passed)
}

/// What is wrong with a step.
async fn step_of(api: &Api, names: &Names, state: &State, step: &Step) -> Result<Option<String>> {
    for object in &step.accepted {
        if let Err(error) = ask(api, names, state, object).await? {
            let name = object.name();
            return Ok(Some(format!("{name} ought to be taken: {}", error.message)));
        }
    }
    for (object, field) in &step.rejected {
        let name = object.name();
        match ask(api, names, state, object).await? {
            Ok(()) => {
                return Ok(Some(format!(
                    "{name} ought to be refused for {field}, and is taken"
                )));
            }
            Err(refusal) if !names_field(&refusal.fields, &refusal.message, field) => {
                let message = refusal.message;
                let reason =
                    format!("{name} ought to be refused for {field}, and is for: {message}");
                return Ok(Some(reason));
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Whether a refusal is about a field: it names it, or what it is part of, or a part of it.
fn names_field(fields: &[String], message: &str, field: &str) -> bool {
    let is_part = |whole: &str, part: &str| {
        part.strip_prefix(whole)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let mut fields = fields.iter().filter(|it| !it.is_empty());
    message.contains(field)
        // Of what cannot be decoded it says the path through its types, without the places in lists.
        || message.contains("cannot unmarshal") && message.contains(&without_places(field))
        || fields.any(|it| is_part(it, field) && it.as_str() != "spec" || is_part(field, it))
}

/// `spec.ingress.ports` of `spec.ingress[0].ports[1]`.
fn without_places(field: &str) -> String {
    let parts = field.split('[').enumerate();
    let rest = |(number, part): (usize, &str)| {
        let after = part.split_once(']').map_or("", |(_, rest)| rest);
        if number == 0 { part } else { after }.to_owned()
    };
    parts.map(rest).collect()
}

type Asked = Result<(), super::api::Refusal>;

async fn ask(api: &Api, names: &Names, state: &State, object: &Object) -> Result<Asked> {
    // What stands for addresses is filled in.
    let mut state = state.clone();
    state.put(object)?;
    let filled = state.objects().iter().find(|it| it.name() == object.name());
    let filled = filled.unwrap_or(object);
    let mut manifest = filled.value().clone();
    if !object.name().namespace.is_empty() {
        manifest["metadata"]["namespace"] = names.namespace(&object.name().namespace).into();
    }
    let path = format!(
        "{}?dryRun=All&fieldValidation=Strict",
        names.collection(filled)
    );
    match api.create(&path, &manifest).await {
        Ok(_) => Ok(Ok(())),
        Err(ApiError::Refused(refusal)) if matches!(refusal.code, 400 | 422) => Ok(Err(refusal)),
        Err(error) => Err(anyhow!(error).context(object.name().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::names_field;

    #[test]
    fn a_refusal_is_about_a_field_or_what_it_is_part_of() {
        let fields = |it: &str| vec![it.to_owned()];
        let field = "spec.ingress[0].ports[0].endPort";
        assert!(names_field(&fields(field), "", field));
        assert!(names_field(&fields("spec.ingress[0].ports[0]"), "", field));
        assert!(names_field(
            &[],
            "spec.ingress[0].ports[0].endPort: too small",
            field
        ));
        assert!(!names_field(
            &fields("spec.ingress[0].ports[0].end"),
            "",
            field
        ));
        assert!(!names_field(&fields("spec"), "", field));
        let undecoded = "json: cannot unmarshal string into Go struct field \
                         NetworkPolicyPort.spec.ingress.ports.endPort of type int32";
        assert!(names_field(&[], undecoded, field));
        assert!(!names_field(
            &[],
            undecoded,
            "spec.ingress[0].ports[0].port"
        ));
        assert!(!names_field(&fields("spec.podSelector"), "no", field));
    }
}
