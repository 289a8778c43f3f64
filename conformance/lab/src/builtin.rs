//! The manifests that the binary brings along.

use crate::Manifests;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../manifests/default/", $name)))),*]
    };
}

const DEFAULT: [(&str, &str); 4] = files![
    "namespaces.yaml",
    "pods.yaml",
    "policies-x.yaml",
    "policies-yz.yaml"
];

/// The world of the demo: pods a, b and c in the namespaces x, y and z, ports 80 and 81 over TCP and UDP, and a stack
/// of policies.
pub fn default_world() -> Manifests {
    Manifests::Texts(
        DEFAULT
            .map(|(file, text)| (file.to_owned(), text.to_owned()))
            .to_vec(),
    )
}
