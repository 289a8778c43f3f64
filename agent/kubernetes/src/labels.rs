//! Labels and label selectors.

use std::sync::Arc;

use sluice_policy::{Labels, Operator, Requirement, Selector};

use crate::field::{Checked, Field, Reported};
use crate::syntax;

/// The valid ones of a label map; a problem for each of the others.
pub(crate) fn labels(field: &Field<'_>) -> Labels {
    if field.object().is_err() {
        return Labels::new();
    }
    field
        .fields()
        .unwrap_or_default()
        .iter()
        .filter_map(|(key, field)| label(key, field).ok())
        .collect()
}

/// One label, or one entry of `matchLabels`.
fn label(key: &str, field: &Field<'_>) -> Checked<(Arc<str>, Arc<str>)> {
    let key_is_valid = check_key(key, field);
    let value = label_value(field)?;
    key_is_valid?;
    Ok((key.into(), value))
}

fn check_key(key: &str, field: &Field<'_>) -> Checked<()> {
    if syntax::is_label_key(key) {
        return Ok(());
    }
    Err(field.wrong(
        "label keys are [PREFIX/]NAME: a name of up to 63 letters, digits, '-', '_' and '.', and a DNS subdomain as prefix",
    ))
}

fn label_value(field: &Field<'_>) -> Checked<Arc<str>> {
    let text = field.text()?;
    if syntax::is_label_value(text) {
        return Ok(text.into());
    }
    Err(field.wrong(format!(
        "label values are up to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends, got {}",
        field.shown()
    )))
}

/// A label selector; an error where any part of it cannot be read.
pub(crate) fn selector(field: &Field<'_>) -> Checked<Selector> {
    let mut outcome = field.only(&["matchLabels", "matchExpressions"]);
    let mut requirements = Vec::new();
    if let Some(labels) = field.get("matchLabels") {
        match match_labels(&labels) {
            Ok(some) => requirements.extend(some),
            Err(reported) => outcome = Err(reported),
        }
    }
    if let Some(expressions) = field.get("matchExpressions") {
        for expression in expressions
            .items()
            .inspect_err(|reported| outcome = Err(*reported))
            .unwrap_or_default()
        {
            match requirement(&expression) {
                Ok(some) => requirements.push(some),
                Err(reported) => outcome = Err(reported),
            }
        }
    }
    requirements.sort();
    requirements.dedup();
    outcome.map(|()| Selector { requirements })
}

fn match_labels(field: &Field<'_>) -> Checked<Vec<Requirement>> {
    field.object()?;
    // Every label is looked at, so that all problems show.
    let read: Vec<_> = field
        .fields()?
        .iter()
        .map(|(key, field)| label(key, field))
        .collect();
    read.into_iter()
        .map(|label| {
            label.map(|(key, value)| Requirement {
                key,
                operator: Operator::In(vec![value]),
            })
        })
        .collect()
}

fn requirement(field: &Field<'_>) -> Checked<Requirement> {
    let known = field.only(&["key", "operator", "values"]);
    let key = requirement_key(field);
    let operator = operator(field);
    known?;
    Ok(Requirement {
        key: key?,
        operator: operator?,
    })
}

fn requirement_key(field: &Field<'_>) -> Checked<Arc<str>> {
    let key = field.get("key").ok_or_else(|| field.missing("key"))?;
    let text = key.text()?;
    check_key(text, &key)?;
    Ok(text.into())
}

fn operator(field: &Field<'_>) -> Checked<Operator> {
    let values = values(field);
    let operator = field
        .get("operator")
        .ok_or_else(|| field.missing("operator"))?;
    let name = operator.text()?;
    let values = match (name, values?) {
        ("In" | "NotIn", Some(values)) if !values.is_empty() => values,
        ("In" | "NotIn", _) => {
            let place = field.get("values").unwrap_or_else(|| field.clone());
            return Err(place.wrong(format!("operator {name} needs values")));
        }
        ("Exists" | "DoesNotExist", Some(values)) if !values.is_empty() => {
            let place = field.get("values").unwrap_or_else(|| field.clone());
            return Err(place.wrong(format!("operator {name} takes no values")));
        }
        ("Exists", _) => return Ok(Operator::Exists),
        ("DoesNotExist", _) => return Ok(Operator::DoesNotExist),
        _ => {
            return Err(operator.wrong(format!(
                "must be In, NotIn, Exists or DoesNotExist, got {}",
                operator.shown()
            )));
        }
    };
    Ok(if name == "In" {
        Operator::In(values)
    } else {
        Operator::NotIn(values)
    })
}

/// Sorted and without duplicates; none where there is no such field.
fn values(field: &Field<'_>) -> Checked<Option<Vec<Arc<str>>>> {
    let Some(field) = field.get("values") else {
        return Ok(None);
    };
    let read: Vec<_> = field.items()?.iter().map(label_value).collect();
    let mut values: Vec<Arc<str>> = read.into_iter().collect::<Result<_, Reported>>()?;
    values.sort();
    values.dedup();
    Ok(Some(values))
}

/// Whether a selector matches labels, for the workloads' own check.
pub(crate) fn matches(selector: &Selector, labels: &Labels) -> bool {
    selector.requirements.iter().all(|requirement| {
        let value = labels.get(&requirement.key);
        match &requirement.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    })
}
