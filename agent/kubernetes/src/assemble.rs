//! Objects of all files to one world: what is declared twice, which pods there are, and where they run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sluice_policy::{Labels, Namespace, NetworkPolicy, Node, PodName};

use crate::addresses::assign;
use crate::admin;
use crate::object::{Content, Object, Written};
use crate::pod::PodDraft;
use crate::problem::Problem;
use crate::workload::Copies;
use crate::world::{NAMESPACE_NAME, World};

/// The node of clusters that declare none.
const ONLY_NODE: &str = "node-1";
/// How many pods a world may have: a slip in `replicas` must not eat the machine.
const MOST_PODS: usize = 200_000;

/// A pod that has a node, but no addresses yet.
pub(crate) struct Placed<'o> {
    /// Where it comes from.
    pub(crate) object: &'o Object,
    pub(crate) draft: &'o PodDraft,
    pub(crate) name: PodName,
    pub(crate) node: Arc<str>,
}

/// Puts objects together, in order of declaration.
pub(crate) fn assemble(objects: &[&Object]) -> (World, Vec<Problem>) {
    let mut world = World::default();
    let mut problems = Vec::new();
    let objects = declare(objects, &mut world, &mut problems);
    let pods = place(&objects, &mut world.nodes, &mut problems);
    name_namespaces(&objects, &mut world.namespaces);
    assign(&pods, &objects, &mut world, &mut problems);
    (world, problems)
}

/// Takes in what stands for itself, and finds what is declared twice; returns what is declared once.
fn declare<'o>(
    objects: &[&'o Object],
    world: &mut World,
    problems: &mut Vec<Problem>,
) -> Vec<&'o Object> {
    let mut declared: HashMap<(&str, &str, &str), &Object> = HashMap::new();
    let mut once = Vec::new();
    for object in objects.iter().copied() {
        let first = *declared
            .entry((object.kind, &object.namespace, &object.name))
            .or_insert(object);
        let is_first = std::ptr::eq(first, object);
        if !is_first {
            problems.push(object.problem(None, format!("already declared at {}", first.origin)));
        }
        match &object.content {
            Content::Policy(policy, _) if !is_first => world.policies.push(closed(policy, object)),
            Content::AdminPolicy(policy, _) if !is_first => world
                .admin_policies
                .push(admin::again(policy, again(&policy.name.name, object))),
            _ if !is_first => continue,
            Content::Namespace(namespace) => world.namespaces.push(namespace.clone()),
            Content::Node(node) => world.nodes.push(node.clone()),
            Content::Policy(policy, api) => {
                world.policies.push(policy.as_ref().clone());
                match api {
                    Written::Valid(api) => world.api_policies.push(api.as_ref().clone()),
                    Written::Invalid(api) => world.api_invalid_policies.push(api.as_ref().clone()),
                }
            }
            Content::AdminPolicy(policy, api) => {
                world.admin_policies.push(policy.as_ref().clone());
                world.api_admin_policies.push(api.as_ref().clone());
            }
            Content::Pods(..) | Content::Service(_) => {}
        }
        once.push(object);
    }
    once
}

/// A policy whose name is taken: it isolates what it selects, and allows nothing.
fn closed(policy: &NetworkPolicy, object: &Object) -> NetworkPolicy {
    NetworkPolicy {
        namespace: Arc::clone(&policy.namespace),
        name: again(&policy.name, object),
        pods: policy.pods.clone(),
        ingress: policy.ingress.as_ref().map(|_| Vec::new()),
        egress: policy.egress.as_ref().map(|_| Vec::new()),
    }
}

/// The name of an object whose name is taken.
fn again(name: &str, object: &Object) -> Arc<str> {
    format!("{name} (again at {})", object.origin).into()
}

/// Expands workloads, and gives every pod a node; nodes that are only named become known.
fn place<'o>(
    objects: &[&'o Object],
    nodes: &mut Vec<Node>,
    problems: &mut Vec<Problem>,
) -> Vec<Placed<'o>> {
    let declared: Vec<Arc<str>> = match nodes.as_slice() {
        [] => vec![ONLY_NODE.into()],
        some => some.iter().map(|node| Arc::clone(&node.name)).collect(),
    };
    let mut round = declared.iter().cycle();
    let mut taken: HashMap<PodName, &Object> = HashMap::new();
    let mut placed: Vec<Placed<'o>> = Vec::new();
    for object in objects {
        let Content::Pods(copies, draft) = &object.content else {
            continue;
        };
        for (name, node) in copies_of(object, *copies, &declared) {
            if placed.len() >= MOST_PODS {
                problems.push(object.problem(None, format!("more than {MOST_PODS} pods")));
                return placed;
            }
            if let Some(other) = taken.insert(name.clone(), object) {
                problems.push(object.problem(
                    None,
                    format!("pod {name} is already there by {}", by(other)),
                ));
                continue;
            }
            let node = node.or_else(|| draft.node.clone());
            let node = node
                .or_else(|| round.next().cloned())
                .unwrap_or_else(|| ONLY_NODE.into());
            placed.push(Placed {
                object,
                draft,
                name,
                node,
            });
        }
    }
    add_named(nodes, &placed);
    placed
}

fn by(object: &Object) -> String {
    format!("{} at {}", object.title(), object.origin)
}

/// The pods that an object stands for; those of a `DaemonSet` with their nodes.
fn copies_of<'o>(
    object: &'o Object,
    copies: Copies,
    nodes: &'o [Arc<str>],
) -> Box<dyn Iterator<Item = (PodName, Option<Arc<str>>)> + 'o> {
    let named = |name: String| PodName {
        namespace: Arc::clone(&object.namespace),
        name: name.into(),
    };
    let numbered = move |number: usize| named(format!("{}-{number}", object.name));
    match copies {
        Copies::One => Box::new(std::iter::once((named(object.name.to_string()), None))),
        Copies::Count(count) => {
            Box::new((0..count as usize).map(move |number| (numbered(number), None)))
        }
        Copies::PerNode => Box::new(
            nodes
                .iter()
                .enumerate()
                .map(move |(number, node)| (numbered(number), Some(Arc::clone(node)))),
        ),
    }
}

/// Nodes that pods run on though nobody declared them; a cluster has at least one.
fn add_named(nodes: &mut Vec<Node>, pods: &[Placed<'_>]) {
    let mut known: HashSet<Arc<str>> = nodes.iter().map(|node| Arc::clone(&node.name)).collect();
    let only = nodes.is_empty() && pods.is_empty();
    let named = pods
        .iter()
        .map(|pod| Arc::clone(&pod.node))
        .chain(only.then(|| ONLY_NODE.into()));
    for name in named {
        if known.insert(Arc::clone(&name)) {
            nodes.push(Node {
                name,
                labels: Labels::new(),
                addresses: Vec::new(),
            });
        }
    }
}

/// Namespaces that objects are in though nobody declared them.
fn name_namespaces(objects: &[&Object], namespaces: &mut Vec<Namespace>) {
    let mut known: HashSet<Arc<str>> = namespaces
        .iter()
        .map(|namespace| Arc::clone(&namespace.name))
        .collect();
    for object in objects {
        let name = &object.namespace;
        if !name.is_empty() && known.insert(Arc::clone(name)) {
            let labels = Labels::from([(Arc::from(NAMESPACE_NAME), Arc::clone(name))]);
            namespaces.push(Namespace {
                name: Arc::clone(name),
                labels,
            });
        }
    }
}
