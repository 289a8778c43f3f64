//! The worlds that cases take place in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::State;
use crate::case::Object;

macro_rules! worlds {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../worlds/", $name, ".yaml")))),*]
    };
}

/// Every built-in world: its name, and its manifests, of which the first comment says what it is.
pub const WORLDS: &[(&str, &str)] = worlds![
    "bare", "families", "grid", "labels", "names", "services", "teams", "topology"
];

/// What is wrong with a world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// There is none of that name.
    #[error("no world {0}; there are {known}", known = names())]
    Unknown(String),
    /// Its text cannot be read.
    #[error("world {name}: {message}")]
    Unreadable {
        /// Which.
        name: String,
        /// Why.
        message: String,
    },
}

/// As Kubernetes' own tools read YAML: `y` is a name, not a boolean.
pub(crate) fn yaml() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true }
}

fn names() -> String {
    let names: Vec<&str> = WORLDS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Whether there is a built-in world of that name.
pub fn is_known(name: &str) -> bool {
    WORLDS.iter().any(|(known, _)| *known == name)
}

/// The objects of a built-in world. Each is read once.
pub fn world(name: &str) -> Result<State, WorldError> {
    type Read = Result<State, WorldError>;
    static READ: LazyLock<BTreeMap<&str, Read>> = LazyLock::new(|| {
        WORLDS
            .iter()
            .map(|(name, text)| (*name, read(name, text)))
            .collect()
    });
    let unknown = || Err(WorldError::Unknown(name.to_owned()));
    READ.get(name).cloned().unwrap_or_else(unknown)
}

fn read(name: &str, text: &str) -> Result<State, WorldError> {
    let unreadable = |message: String| WorldError::Unreadable {
        name: name.to_owned(),
        message,
    };
    let values: Vec<serde_json::Value> = serde_saphyr::from_multiple_with_options(text, yaml())
        .map_err(|error| unreadable(error.to_string()))?;
    let objects = values.into_iter().map(Object::new);
    let objects = objects.collect::<Result<_, _>>();
    Ok(State::new(
        objects.map_err(|error| unreadable(error.to_string()))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_is_one_without_problems() {
        for (name, text) in WORLDS {
            assert!(text.starts_with("# "), "{name} says what it is");
            let loaded = world(name).unwrap().load(name);
            assert_eq!(loaded.problems, [], "{name}");
        }
    }
}
