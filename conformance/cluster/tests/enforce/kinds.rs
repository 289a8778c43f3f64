//! The kinds of admin policies: served as their group publishes them, or without validation, or not at all. What
//! their policies mean is not known here.

use anyhow::Result;
use serde_json::{Value, json};
use sluice_cluster::Channel;

use crate::world::World;

/// A kind of the group `policy.networking.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) resource: &'static str,
    version: &'static str,
    /// What lets through is called so.
    pub(crate) allow: &'static str,
}

pub(crate) const ANP: Kind = Kind {
    name: "AdminNetworkPolicy",
    resource: "adminnetworkpolicies.policy.networking.k8s.io",
    version: "v1alpha1",
    allow: "Allow",
};
pub(crate) const BANP: Kind = Kind {
    name: "BaselineAdminNetworkPolicy",
    resource: "baselineadminnetworkpolicies.policy.networking.k8s.io",
    version: "v1alpha1",
    allow: "Allow",
};
pub(crate) const CNP: Kind = Kind {
    name: "ClusterNetworkPolicy",
    resource: "clusternetworkpolicies.policy.networking.k8s.io",
    version: "v1alpha2",
    allow: "Accept",
};
const ALL: [Kind; 3] = [ANP, BANP, CNP];

/// How the API server serves the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// Not at all.
    No,
    /// As they are published, with every field.
    Published,
    /// Whatever a policy says: what no published definition would let in.
    Unvalidated,
}

impl World {
    /// Has the API server serve the kinds so, and waits until agents have noticed.
    pub(crate) fn serve(&mut self, wanted: Served) -> Result<()> {
        if self.served == wanted {
            return Ok(());
        }
        let control = self.cluster.control();
        for kind in ALL {
            match wanted {
                Served::No => control.undefine(kind.resource)?,
                Served::Published => control.define(kind.resource, Channel::Experimental)?,
                Served::Unvalidated => control.define_unvalidated(kind.resource)?,
            }
        }
        self.served = wanted;
        for kind in ALL {
            self.noticed(kind, wanted != Served::No)?;
        }
        Ok(())
    }

    fn noticed(&self, kind: Kind, served: bool) -> Result<()> {
        for node in 1..=self.cluster.nodes().len() {
            self.status_is(node, &format!("{} served: {served}", kind.name), |status| {
                let resources = status["source"]["resources"].as_array();
                let mut it = resources.into_iter().flatten();
                let it = it.find(|it| it["kind"] == kind.name);
                it.is_some_and(|it| it["served"] == served && it["synced"] == served)
            })?;
        }
        Ok(())
    }
}

impl Kind {
    /// The resources of all kinds.
    pub(crate) fn resources() -> [&'static str; 3] {
        ALL.map(|kind| kind.resource)
    }

    /// A policy of this kind.
    pub(crate) fn policy(&self, name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": format!("policy.networking.k8s.io/{}", self.version), "kind": self.name,
            "metadata": {"name": name}, "spec": spec,
        })
    }
}
