//! Whether the Kubernetes API knows the node that this agent is for: it is by that name that pods are local, and nobody
//! else's policies are enforced here. Pure.
//!
//! Manifests are not asked for it: a Node need not be declared there.

use std::fmt::Write as _;

use sluice_policy::Index;

/// Of so many nodes that there are, the names are told.
const MOST_NAMED: usize = 5;

/// What the API has of a node's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnNode {
    /// A Node is called that.
    Known,
    /// No Node is, but pods are bound to one (`spec.nodeName`), as they are for a while when a Node was deleted. Their
    /// policies are enforced; what is not known is which addresses are the node's, to `nodes` peers. Its own traffic to
    /// its pods the gate knows by its being local.
    PodsAlone(String),
    /// Neither: no pod would be local, and everything would pass.
    Unknown(String),
}

impl OwnNode {
    pub(crate) fn of(index: &Index, name: &str) -> Self {
        if index.has_node(name) {
            Self::Known
        } else if index.has_local_pods() {
            Self::PodsAlone(unknown(index, name))
        } else {
            Self::Unknown(unknown(index, name))
        }
    }

    /// Whether it is known whose policies are to be enforced.
    pub(crate) const fn has_subjects(&self) -> bool {
        matches!(self, Self::Known | Self::PodsAlone(_))
    }

    /// What somebody should look at.
    pub(crate) fn problem(&self) -> Option<&str> {
        match self {
            Self::Known => None,
            Self::PodsAlone(what) | Self::Unknown(what) => Some(what),
        }
    }
}

fn unknown(index: &Index, name: &str) -> String {
    let mut names: Vec<&str> = index.node_names().map(|name| &**name).collect();
    names.sort_unstable();
    let mut said = format!(
        "no Node is called {name:?}, of {} that there are",
        names.len()
    );
    for (number, known) in names.iter().take(MOST_NAMED).enumerate() {
        let before = if number == 0 { ": " } else { ", " };
        let _infallible = write!(said, "{before}{known:?}");
    }
    if names.len() > MOST_NAMED {
        said.push_str(", …");
    }
    said + "; is --node-name right?"
}

#[cfg(test)]
mod tests {
    use sluice_policy::{Event, Node, Pod, PodName, Scope};

    use super::*;

    fn node(name: &str) -> Event {
        Event::Node(Node {
            name: name.into(),
            addresses: Vec::new(),
            labels: [].into(),
        })
    }

    fn pod(node: Option<&str>) -> Event {
        Event::Pod(Pod {
            name: PodName {
                namespace: "x".into(),
                name: "a".into(),
            },
            node: node.map(Into::into),
            labels: [].into(),
            addresses: Vec::new(),
            ports: [].into(),
            host_network: false,
            created: 0,
        })
    }

    #[test]
    fn an_agent_has_subjects_where_a_node_or_a_pod_bears_its_nodes_name() {
        let none = "no Node is called \"me\", of 0 that there are; is --node-name right?";
        let other = "no Node is called \"me\", of 1 that there are: \"you\"; is --node-name right?";
        for (events, has_subjects, problem) in [
            (vec![], false, Some(none)),
            (vec![node("you")], false, Some(other)),
            (vec![pod(None)], false, Some(none)),
            (vec![node("you"), pod(Some("you"))], false, Some(other)),
            (vec![node("you"), pod(Some("me"))], true, Some(other)),
            (vec![node("you"), node("me")], true, None),
        ] {
            let mut index = Index::new(Scope::Node("me".into()));
            let said = format!("{events:?}");
            let _changes = index.apply(events);
            let own = OwnNode::of(&index, "me");
            assert_eq!(own.has_subjects(), has_subjects, "{said}");
            assert_eq!(own.problem(), problem, "{said}");
        }
    }

    #[test]
    fn of_many_nodes_a_few_are_named() {
        let mut index = Index::new(Scope::Node("me".into()));
        let _changes = index.apply((0..100).map(|number| node(&format!("n{number:02}"))));
        let own = OwnNode::of(&index, "me");
        let problem = own.problem().unwrap();
        let named = r#"of 100 that there are: "n00", "n01", "n02", "n03", "n04", …; is"#;
        assert!(problem.contains(named), "{problem}");
    }
}
