//! What the status of an object says, for tests to compare.

use serde_json::Value;

/// The conditions of an object, as `TYPE STATUS REASON GENERATION`, in alphabetical order; `-` where a text is missing.
pub fn conditions(object: &Value) -> Vec<String> {
    let all = object["status"]["conditions"].as_array();
    let said = all.into_iter().flatten().map(|it| {
        let text = |field: &str| it[field].as_str().unwrap_or("-").to_owned();
        let generation = &it["observedGeneration"];
        format!(
            "{} {} {} {generation}",
            text("type"),
            text("status"),
            text("reason")
        )
    });
    let mut said: Vec<_> = said.collect();
    said.sort();
    said
}
