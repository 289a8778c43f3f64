//! Which cases do not mean anything in a cluster, and why: those that choose what a cluster chooses itself. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use serde_json::Value;

use super::access::Found;
use super::names::{BASELINE, admin_resource};
use crate::State;
use crate::case::{Case, Event, Object, Step};

/// More pods than this are not made for one case.
const MOST_PODS: usize = 40;

/// Why a case cannot take place in a cluster like this one.
pub(super) fn unable(case: &Case, found: &Found) -> Option<String> {
    let events = || case.steps.iter().flat_map(|step| &step.events);
    if events().any(|event| matches!(event, Event::Agent(_))) {
        return Some("restarts the enforcer, of which this runner knows nothing".to_owned());
    }
    let mut asked = case.steps.iter().flat_map(asked_about);
    if let Some(reason) = asked.find_map(|it| unserved(it, found)) {
        return Some(reason);
    }
    for object in objects(case) {
        if let Some(reason) = unmade(object, found) {
            return Some(reason);
        }
    }
    if events().any(is_of_node) || case.objects.iter().any(|it| it.name().kind == "Node") {
        return Some("changes nodes".to_owned());
    }
    changes(case).unwrap_or_else(|error| Some(format!("{error:#}")))
}

/// Everything that a case brings along or makes.
pub(super) fn objects(case: &Case) -> impl Iterator<Item = &Object> {
    let events = case.steps.iter().flat_map(|step| &step.events);
    let made = events.filter_map(|event| match event {
        Event::Apply(object) => Some(object),
        _ => None,
    });
    case.objects.iter().chain(made)
}

fn is_of_node(event: &Event) -> bool {
    match event {
        Event::Apply(object) => object.name().kind == "Node",
        Event::Delete(name) | Event::Label(name, _) => name.kind == "Node",
        Event::Open(_) | Event::Agent(_) => false,
    }
}

/// Why an object cannot be made; of a kind that is not served, or with a state that nobody can give it.
fn unmade(object: &Object, found: &Found) -> Option<String> {
    if let Some(reason) = unserved(object, found) {
        return Some(reason);
    }
    let name = object.name();
    if found.has_baseline && name.kind == BASELINE {
        return Some(format!("the cluster has a {BASELINE} of its own"));
    }
    let value = object.value();
    if name.kind == "Service"
        && value["spec"]["clusterIP"]
            .as_str()
            .is_some_and(|it| it != "None")
    {
        return Some(format!(
            "chooses the address of a Service, {}/{}",
            name.namespace, name.name
        ));
    }
    if name.kind != "Pod" {
        return None;
    }
    let status = &value["status"];
    let phase = status["phase"].as_str().unwrap_or("Running");
    let has_addresses = status["podIPs"].as_array().is_some_and(|it| !it.is_empty());
    let is_ending = !value["metadata"]["deletionTimestamp"].is_null();
    let is_running = phase == "Running" && has_addresses && !is_ending;
    (!is_running).then(|| {
        format!(
            "says what state a pod is in, {}/{}",
            name.namespace, name.name
        )
    })
}

/// Objects that a step only asks about.
fn asked_about(step: &Step) -> impl Iterator<Item = &Object> {
    let refused = step.rejected.iter().map(|(object, _)| object);
    step.accepted.iter().chain(refused)
}

fn unserved(object: &Object, found: &Found) -> Option<String> {
    let resource = admin_resource(object)?;
    if found.admin.contains(&resource) {
        let missing = found.forbidden.get(&resource)?;
        return Some(format!("no permission to {missing}"));
    }
    Some(format!(
        "the cluster does not serve {} ({resource})",
        object.name().kind
    ))
}

/// Follows the events, and says where they choose addresses, or leave pods without their namespace.
fn changes(case: &Case) -> Result<Option<String>> {
    let mut state = case.start()?;
    let mut owners = BTreeMap::new();
    let mut steps = case.steps.iter();
    let mut before = BTreeMap::new();
    loop {
        let pods = pods(&state);
        if pods.len() > MOST_PODS {
            return Ok(Some(format!("has {} pods", pods.len())));
        }
        if let Some(reason) = chosen(&state, &pods, &before, &mut owners) {
            return Ok(Some(reason));
        }
        before = pods;
        let Some(step) = steps.next() else {
            return Ok(None);
        };
        for event in &step.events {
            state.apply(event)?;
        }
    }
}

/// A pod as it is declared: its addresses, and what it is made of.
type Declared = (Vec<IpAddr>, Value);

fn pods(state: &State) -> BTreeMap<String, Declared> {
    let pods = state.objects().iter().filter(|it| it.name().kind == "Pod");
    pods.map(|pod| {
        let value = pod.value();
        let addresses = super::places::addresses(&value["status"]["podIPs"], "ip");
        let name = format!("{}/{}", pod.name().namespace, pod.name().name);
        (name, (addresses, value["spec"].clone()))
    })
    .collect()
}

fn chosen(
    state: &State,
    pods: &BTreeMap<String, Declared>,
    before: &BTreeMap<String, Declared>,
    owners: &mut BTreeMap<IpAddr, String>,
) -> Option<String> {
    for (name, pod) in pods {
        if before.get(name).is_some_and(|it| it != pod) {
            return Some(format!("changes a pod that is there, {name}"));
        }
        let (addresses, spec) = pod;
        let is_host = spec["hostNetwork"] == true;
        for address in addresses.iter().filter(|_| !is_host) {
            let owner = owners.entry(*address).or_insert_with(|| name.clone());
            if owner != name {
                return Some(format!("has an address that passes from {owner} to {name}"));
            }
        }
        let namespace = name.split_once('/').map_or("", |(namespace, _)| namespace);
        let is_there = |it: &Object| it.name().kind == "Namespace" && it.name().name == namespace;
        if !state.objects().iter().any(is_there) {
            return Some(format!("has pods without their namespace, {namespace}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn most_cases_can_take_place_and_the_others_have_a_reason() {
        let kinds = [
            "v1alpha1/adminnetworkpolicies",
            "v1alpha1/baselineadminnetworkpolicies",
            "v1alpha2/clusternetworkpolicies",
        ];
        let found = Found {
            nodes: Vec::new(),
            admin: kinds.map(str::to_owned).into(),
            forbidden: BTreeMap::new(),
            has_baseline: false,
        };
        let cases = Catalogue::built_in().cases;
        let reason = |id: &str| {
            let case = cases.iter().find(|case| &*case.id == id);
            unable(case.unwrap_or_else(|| panic!("{id}")), &found)
        };
        assert_eq!(reason("upstream/np-01"), None);
        assert!(reason("lifecycle/exchanged-addresses").is_some());
        assert!(reason("lifecycle/succeeded-subject").is_some());
        let able = cases.iter().filter(|case| unable(case, &found).is_none());
        assert!(able.count() * 10 > cases.len() * 9);
        let none = Found {
            nodes: Vec::new(),
            admin: BTreeSet::new(),
            forbidden: BTreeMap::new(),
            has_baseline: false,
        };
        let anp = "v1alpha1/adminnetworkpolicies".to_owned();
        let forbidden = Found {
            forbidden: [(anp, "create adminnetworkpolicies".to_owned())].into(),
            ..found.clone()
        };
        let case = cases.iter().find(|case| case.theme() == "anp").unwrap();
        let said = unable(case, &forbidden).unwrap();
        assert_eq!(said, "no permission to create adminnetworkpolicies");
        assert_eq!(unable(case, &found), None);
        let taken = Found {
            has_baseline: true,
            ..found.clone()
        };
        let is_baseline = |case: &&Case| objects(case).any(|it| it.name().kind == BASELINE);
        let baseline = cases.iter().find(is_baseline).unwrap();
        assert!(unable(baseline, &taken).is_some());
        let admin = cases.iter().find(|case| case.theme() == "anp").unwrap();
        let said = unable(admin, &none).unwrap();
        assert!(
            said.starts_with("the cluster does not serve AdminNetworkPolicy"),
            "{said}"
        );
    }
}
