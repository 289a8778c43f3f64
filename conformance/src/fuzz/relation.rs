//! What is true of any enforcer without an oracle: how what is open before a change has to do with what is open after it.

use serde_json::{Map, Value, json};
use sluice_kubernetes::World;
use sluice_oracle::{Cell, Target};
use sluice_policy::Pod;

use super::case::policy;
use super::draw::Draw;
use super::network_policy;
use super::rewrite;
use crate::State;
use crate::case::{Event, Object, ObjectName};
use crate::judge::Observed;

/// One of them.
pub(super) struct Relation {
    /// Its name in reports, which stays.
    pub(super) name: &'static str,
    /// What is true.
    pub(super) sentence: &'static str,
    /// What is changed; nothing where there is nothing of that sort.
    change: fn(&mut Draw, &State) -> Vec<Event>,
    pub(super) holds: Holds,
}

/// What holds of each connection before a change and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Same,
    NoneLost,
    NoneGained,
    /// All are open afterwards.
    AllOpen,
    /// All are open between pods that have networks of their own.
    PodsOpen,
    /// Those alone are open that no policy can close.
    FreeAlone,
}

macro_rules! relations {
    ($($name:literal $holds:ident $change:path, $sentence:literal)*) => {
        &[$(Relation { name: $name, sentence: $sentence, change: $change, holds: Holds::$holds }),*]
    };
}

/// All of them.
pub(super) const RELATIONS: &[Relation] = relations! {
    "order" Same reordered, "neither the order of policies nor the names of NetworkPolicies matter"
    "rule-added" NoneLost rule_added, "a rule more in a NetworkPolicy closes nothing"
    "rules-apart" Same rules_apart, "the rules of a NetworkPolicy mean the same in two policies"
    "peers-apart" Same peers_apart, "a rule for each peer means the same as one rule for all of them"
    "twice" Same twice, "a policy that is there twice means the same"
    "types-written" Same types_written, "policyTypes mean the same written as left out"
    "keys-renamed" Same keys_renamed, "labels mean the same by other keys, in objects and selectors alike"
    "labels-as-expressions" Same labels_as_expressions, "matchLabels mean the same as matchExpressions with In"
    "priorities-shifted" Same priorities_shifted, "the order of priorities matters, and not their numbers"
    "no-policies" AllOpen no_policies, "without policies everything is open"
    "deny-added" NoneGained deny_added, "a policy more that allows nothing opens nothing"
    "deny-alone" FreeAlone deny_alone, "with policies alone that allow nothing, nothing is open that a policy can close"
    "accept-first" PodsOpen accept_first, "an Admin policy before all others that accepts everything opens everything between pods"
};

impl Relation {
    pub(super) fn change(&self, draw: &mut Draw, state: &State) -> Option<Vec<Event>> {
        Some((self.change)(draw, state)).filter(|events| !events.is_empty())
    }
}

impl Holds {
    pub(super) fn of(
        self,
        world: &World,
        cell: &Cell,
        before: &Observed,
        after: &Observed,
    ) -> bool {
        let ends = match &cell.to {
            Target::Pod(name) => world.pod(&cell.from).zip(world.pod(name)),
            Target::Service(_) => None,
        };
        match self {
            Self::Same => before == after,
            Self::NoneLost => openness(before) <= openness(after),
            Self::NoneGained => openness(before) >= openness(after),
            // The backends of a Service are pods that are asked about by themselves.
            Self::AllOpen => ends.is_none() || *after == Observed::Allowed,
            Self::PodsOpen => ends.is_none_or(|(from, to)| {
                from.host_network || to.host_network || *after == Observed::Allowed
            }),
            Self::FreeAlone => ends.is_none_or(|(from, to)| {
                (*after == Observed::Allowed) == is_free(world, from, to, cell)
            }),
        }
    }
}

fn openness(observed: &Observed) -> u8 {
    match observed {
        Observed::Allowed => 2,
        Observed::Mixed => 1,
        _ => 0,
    }
}

/// What no NetworkPolicy closes: from a pod to itself, and from nodes to themselves and the pods on them, where a pod in
/// the network of its node is the node.
fn is_free(world: &World, from: &Pod, to: &Pod, cell: &Cell) -> bool {
    let is_of_node = |address| {
        let own = |node: &&sluice_policy::Node| Some(&node.name) == to.node.as_ref();
        let mut nodes = world.nodes.iter().filter(own);
        nodes.any(|node| node.addresses.contains(&address))
    };
    let is_from_own_node = || cell.family.address(from).is_some_and(is_of_node);
    from.name == to.name || (from.host_network && (to.host_network || is_from_own_node()))
}

fn is_network_policy(object: &Object) -> bool {
    object.name().kind == "NetworkPolicy"
}

fn is_policy(object: &Object) -> bool {
    object.name().is_policy()
}

fn network_policies(state: &State) -> Vec<&Object> {
    state
        .objects()
        .iter()
        .filter(|it| is_network_policy(it))
        .collect()
}

/// One of some policies.
fn any<'o>(draw: &mut Draw, of: &[&'o Object]) -> Option<&'o Object> {
    (!of.is_empty()).then(|| *draw.one(of))
}

fn with_spec(object: &Object, name: &str, spec: &Value) -> Event {
    let ObjectName {
        kind, namespace, ..
    } = object.name();
    Event::Apply(policy(kind, namespace, name, spec))
}

/// Replaces a policy by others: `FORMER-0`, `FORMER-1` and so on, names that no drawn policy has.
fn replaced(object: &Object, specs: &[Value]) -> Vec<Event> {
    let own = &object.name().name;
    let specs = (0..).zip(specs);
    let others = specs.map(|(number, spec)| with_spec(object, &format!("{own}-{number}"), spec));
    let former = [Event::Delete(object.name().clone())];
    former.into_iter().chain(others).collect()
}

fn reordered(draw: &mut Draw, state: &State) -> Vec<Event> {
    let policies: Vec<&Object> = state.objects().iter().filter(|it| is_policy(it)).collect();
    let mut events: Vec<Event> = policies
        .iter()
        .map(|it| Event::Delete(it.name().clone()))
        .collect();
    let mut order: Vec<usize> = (0..policies.len()).collect();
    draw.shuffle(&mut order);
    let again = order.iter().map(|at| (*at, policies[*at]));
    events.extend(again.map(|(at, object)| {
        let spec = &object.value()["spec"];
        if is_network_policy(object) {
            with_spec(object, &format!("q{}", policies.len() - at), spec)
        } else {
            Event::Apply(object.clone())
        }
    }));
    events
}

/// The directions that a policy isolates in, by its `policyTypes` or by default.
fn types(spec: &Value) -> Vec<&'static str> {
    let listed = spec["policyTypes"].as_array();
    let has_egress = spec["egress"].as_array().is_some_and(|it| !it.is_empty());
    let is_listed = |wanted: &str, default: bool| match listed {
        Some(listed) if !listed.is_empty() => listed.iter().any(|it| it == wanted),
        _ => default,
    };
    let both = [("Ingress", true), ("Egress", has_egress)];
    let own = both.into_iter().filter(|(name, it)| is_listed(name, *it));
    own.map(|(name, _)| name).collect()
}

/// The fields of a direction: its rules, and the peers in them.
fn fields(direction: &str) -> (&'static str, &'static str) {
    match direction {
        "Ingress" => ("ingress", "from"),
        _ => ("egress", "to"),
    }
}

fn rules(spec: &Value, field: &str) -> Vec<Value> {
    spec[field].as_array().cloned().unwrap_or_default()
}

fn rule_added(draw: &mut Draw, state: &State) -> Vec<Event> {
    let Some(object) = any(draw, &network_policies(state)) else {
        return Vec::new();
    };
    let mut spec = object.value()["spec"].clone();
    let types = types(&spec);
    let (field, peers) = fields(draw.one::<&str>(&types));
    let mut all = rules(&spec, field);
    let world = state.load("relation").world;
    let cluster = super::cluster::Cluster {
        addresses: world
            .pods
            .iter()
            .flat_map(|it| it.pod.addresses.clone())
            .collect(),
        ..super::cluster::Cluster::default()
    };
    if cluster.addresses.is_empty() {
        return Vec::new();
    }
    all.insert(
        draw.number(0..=all.len()),
        network_policy::rule(draw, &cluster, peers),
    );
    spec[field] = json!(all);
    vec![with_spec(object, &object.name().name, &spec)]
}

fn rules_apart(draw: &mut Draw, state: &State) -> Vec<Event> {
    let Some(object) = any(draw, &network_policies(state)) else {
        return Vec::new();
    };
    let spec = &object.value()["spec"];
    let types = types(spec);
    let mut halves = [spec.clone(), spec.clone()];
    for half in &mut halves {
        half["policyTypes"] = json!(types);
    }
    for direction in types {
        let (field, _) = fields(direction);
        let mut first = rules(spec, field);
        let second = first.split_off(draw.number(0..=first.len()));
        halves[0][field] = json!(first);
        halves[1][field] = json!(second);
    }
    replaced(object, &halves)
}

fn peers_apart(draw: &mut Draw, state: &State) -> Vec<Event> {
    let Some(object) = any(draw, &network_policies(state)) else {
        return Vec::new();
    };
    let mut spec = object.value()["spec"].clone();
    for direction in types(&spec) {
        let (field, peers) = fields(direction);
        let apart = |rule: Value| -> Vec<Value> {
            match rule[peers].as_array() {
                Some(some) if !some.is_empty() => {
                    let alone = |peer: &Value| {
                        let mut rule = rule.clone();
                        rule[peers] = json!([peer]);
                        rule
                    };
                    some.iter().map(alone).collect()
                }
                _ => vec![rule],
            }
        };
        if spec.get(field).is_some() {
            let all: Vec<Value> = rules(&spec, field).into_iter().flat_map(apart).collect();
            spec[field] = json!(all);
        }
    }
    vec![with_spec(object, &object.name().name, &spec)]
}

/// Of admin policies the second comes right after the first, or after others of its priority; it has nothing to add.
fn twice(draw: &mut Draw, state: &State) -> Vec<Event> {
    let is_one_of_many =
        |object: &&Object| is_policy(object) && object.name().kind != "BaselineAdminNetworkPolicy";
    let policies: Vec<&Object> = state.objects().iter().filter(is_one_of_many).collect();
    let Some(object) = any(draw, &policies) else {
        return Vec::new();
    };
    let again = format!("{}-again", object.name().name);
    vec![with_spec(object, &again, &object.value()["spec"])]
}

fn types_written(_: &mut Draw, state: &State) -> Vec<Event> {
    let written = network_policies(state).into_iter().map(|object| {
        let mut spec = object.value()["spec"].clone();
        spec["policyTypes"] = json!(types(&spec));
        with_spec(object, &object.name().name, &spec)
    });
    written.collect()
}

fn rewritten(state: &State, rewrite: impl Fn(&mut Value)) -> Vec<Event> {
    let changed = state.objects().iter().filter_map(|object| {
        let mut value = object.value().clone();
        rewrite(&mut value);
        let object = Object::new(value).ok().filter(|it| it != object)?;
        Some(Event::Apply(object))
    });
    changed.collect()
}

fn keys_renamed(_: &mut Draw, state: &State) -> Vec<Event> {
    rewritten(state, rewrite::keys)
}

fn labels_as_expressions(_: &mut Draw, state: &State) -> Vec<Event> {
    rewritten(state, rewrite::labels)
}

fn priorities_shifted(draw: &mut Draw, state: &State) -> Vec<Event> {
    // 1, 2 and 3 become numbers of several lengths, or large ones.
    let (factor, more) = *draw.one(&[(1_u64, 8_u64), (5, 0), (1, 97), (100, 600)]);
    rewritten(state, |value| {
        let Some(priority) = value.pointer_mut("/spec/priority") else {
            return;
        };
        // 1000 is the last that there may be, and stays behind all others.
        if let Some(number) = priority.as_u64().filter(|number| *number < 1000) {
            *priority = json!(number * factor + more);
        }
    })
}

fn removed(state: &State) -> Vec<Event> {
    let policies = state.objects().iter().filter(|it| is_policy(it));
    policies
        .map(|it| Event::Delete(it.name().clone()))
        .collect()
}

fn no_policies(_: &mut Draw, state: &State) -> Vec<Event> {
    removed(state)
}

fn denials(state: &State) -> Vec<Event> {
    let namespaces = state
        .objects()
        .iter()
        .filter(|it| it.name().kind == "Namespace");
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let deny = |it: &Object| Event::Apply(policy("NetworkPolicy", &it.name().name, "deny", &spec));
    namespaces.map(deny).collect()
}

fn deny_added(_: &mut Draw, state: &State) -> Vec<Event> {
    denials(state)
}

fn deny_alone(_: &mut Draw, state: &State) -> Vec<Event> {
    removed(state).into_iter().chain(denials(state)).collect()
}

fn accept_first(_: &mut Draw, _: &State) -> Vec<Event> {
    let everybody = json!({"namespaces": {}});
    let mut spec = Map::new();
    for (field, peers) in [("ingress", "from"), ("egress", "to")] {
        spec.insert(
            field.to_owned(),
            json!([{"action": "Accept", peers: [everybody]}]),
        );
    }
    spec.extend([
        ("tier".to_owned(), json!("Admin")),
        ("priority".to_owned(), json!(0)),
        ("subject".to_owned(), everybody),
    ]);
    let spec = Value::Object(spec);
    vec![Event::Apply(policy(
        "ClusterNetworkPolicy",
        "",
        "accept",
        &spec,
    ))]
}

/// The relation of a name.
pub(super) fn named(name: Option<&str>) -> Option<&'static Relation> {
    RELATIONS.iter().find(|it| Some(it.name) == name)
}
