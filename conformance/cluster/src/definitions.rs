//! Kinds of others, as they are published, for API servers that shall serve them: the admin policies, and what the chart
//! has for the Prometheus operator. What they mean is not known here.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::control::ControlPlane;
use crate::{programs, wait};

/// The admin policies, by their full names, as everywhere here; `cargo xtask cluster build` fetches what is published.
pub(crate) const RESOURCES: [&str; 3] = [
    "adminnetworkpolicies.policy.networking.k8s.io",
    "baselineadminnetworkpolicies.policy.networking.k8s.io",
    "clusternetworkpolicies.policy.networking.k8s.io",
];

/// By whom and how it is published: the admin policies are twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// With the fields that are to stay.
    Standard,
    /// With every field.
    Experimental,
    /// By the Prometheus operator.
    Operator,
}

impl Channel {
    /// The file with the definition of a resource.
    ///
    /// # Errors
    /// Names it, and the command that fetches it.
    pub fn definition(self, resource: &str) -> Result<PathBuf> {
        let channel = match self {
            Self::Standard => "standard",
            Self::Experimental => "experimental",
            Self::Operator => "operator",
        };
        let place = programs::directory()?.with_file_name("definitions");
        let path = place.join(channel).join(format!("{resource}.yaml"));
        let shown = path.display();
        ensure!(
            path.is_file(),
            "{shown}: not fetched yet; run cargo xtask cluster build"
        );
        Ok(path)
    }
}

/// How long an API server may take to serve what was defined.
const LIMIT: Duration = Duration::from_mins(1);

/// Whether the API server says that it serves what is defined.
fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|it| it["type"] == "Established" && it["status"] == "True")
}

impl ControlPlane {
    /// Has the API server serve a resource, and waits until it does.
    pub fn define(&self, resource: &str, channel: Channel) -> Result<()> {
        let file = channel.definition(resource)?;
        let file = file.to_str().context("the path of a definition")?;
        self.kubectl(&["apply", "-f", file])?;
        // `kubectl wait` fails where it is sooner than the first condition.
        wait::until(&format!("serving {resource}"), LIMIT, || {
            let definition = self.kubectl(&["get", "crd", resource, "--output=json"])?;
            let definition: Value = serde_json::from_str(&definition)?;
            Ok(is_established(&definition).then_some(()))
        })
    }

    /// The same without validation: policies get in that no published definition would take.
    pub fn define_unvalidated(&self, resource: &str) -> Result<()> {
        self.define(resource, Channel::Experimental)?;
        let name = format!("crd/{resource}");
        let definition = self.kubectl(&["get", &name, "--output=json"])?;
        let mut definition: Value = serde_json::from_str(&definition).context(name.clone())?;
        let versions = definition["spec"]["versions"].as_array_mut();
        for version in versions.into_iter().flatten() {
            version["schema"]["openAPIV3Schema"] =
                json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        }
        let patch = json!({"spec": {"versions": definition["spec"]["versions"]}}).to_string();
        self.kubectl(&["patch", &name, "--type=merge", "--patch", &patch])
            .map(drop)
    }

    /// Has the API server forget a resource, and all that there is of it.
    pub fn undefine(&self, resource: &str) -> Result<()> {
        let name = format!("crd/{resource}");
        let patience = ["--ignore-not-found", "--timeout=60s"];
        self.kubectl(&[&["delete", &name][..], &patience].concat())
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_established;

    #[test]
    fn a_definition_without_conditions_yet_is_not_served() {
        for (status, expected) in [
            (json!(null), false),
            (json!({"conditions": null}), false),
            (
                json!({"conditions": [{"type": "NamesAccepted", "status": "True"}]}),
                false,
            ),
            (
                json!({"conditions": [{"type": "Established", "status": "False"}]}),
                false,
            ),
            (
                json!({"conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]}),
                true,
            ),
        ] {
            assert_eq!(
                is_established(&json!({"status": status})),
                expected,
                "{status}"
            );
        }
    }
}
