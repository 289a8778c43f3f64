//! A random case: pods, policies, and what happens to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::admin::{self, Kind};
use super::cluster::{self, Cluster, NAMESPACE_LABELS, POD_LABELS};
use super::draw::Draw;
use super::network_policy;
use crate::State;
use crate::case::{Case, Event, Object, ObjectName, Origin, Step};
use crate::generate::features as of_objects;

/// The world of all of them.
pub(super) const WORLD: &str = "bare";
/// Asked about besides the ports of containers.
const MORE_PORTS: [&str; 3] = ["82/TCP", "81/SCTP", "8080/UDP"];
/// Names of policies, few enough for a policy to take the place of another one.
const POLICIES: [&str; 4] = ["p0", "p1", "p2", "p3"];
/// How many pods a case can have over its time, and the numbers of their addresses.
const MOST_PODS: u16 = 9;

/// The case of a seed.
pub(super) fn case(seed: u64) -> Case {
    let draw = &mut Draw::of(seed);
    let cluster = Cluster::draw(draw);
    let mut making = Making {
        // Unknown parts are rare, as they decide a lot.
        unknown: draw.one_in(8),
        cluster,
        state: State::default(),
        earlier: State::default(),
    };
    let mut objects: Vec<Object> = making.cluster.objects.iter().map(object).collect();
    let policies = draw.list(1..=4, |draw| making.policy(draw));
    objects.extend(policies);
    for object in &objects {
        making.apply(&Event::Apply(object.clone()));
    }
    let objects = making.state.objects().to_vec();
    let mut steps = vec![Step::default()];
    for _ in 0..draw.number(0..=4) {
        steps.push(making.step(draw));
    }
    let ports = draw.some(&MORE_PORTS, 0..=1);
    let ports = ports.iter().filter_map(|port| port.parse().ok());
    frame(seed, objects, ports.collect(), steps, making.unknown)
}

fn frame(
    seed: u64,
    objects: Vec<Object>,
    ports: Vec<sluice_oracle::Port>,
    steps: Vec<Step>,
    unknown: bool,
) -> Case {
    Case {
        id: format!("fuzz/seed-{seed}").into(),
        sentence: "policies drawn by chance mean what the API says".to_owned(),
        tags: unknown.then(|| "invalid".into()).into_iter().collect(),
        features: features(&objects, &steps),
        world: WORLD.into(),
        objects,
        ports,
        source: None,
        steps,
        origin: Origin::Generated("fuzz"),
        places: Vec::new(),
    }
}

/// What an enforcer must offer for a case of such objects to mean anything.
pub(super) fn features(objects: &[Object], steps: &[Step]) -> BTreeSet<Arc<str>> {
    let events = steps.iter().flat_map(|step| &step.events);
    let applied = events.filter_map(|event| match event {
        Event::Apply(object) => Some(object),
        _ => None,
    });
    let all: Vec<&Object> = objects.iter().chain(applied).collect();
    let is_of_one_family = |object: &&Object| {
        let addresses = object.value()["status"]["podIPs"].as_array();
        addresses.is_some_and(|it| it.len() == 1)
    };
    let is_host = |object: &&Object| object.value()["spec"]["hostNetwork"] == true;
    let is_service = |object: &&Object| object.name().kind == "Service";
    let mut features = of_objects(&all);
    features.extend(all.iter().any(is_of_one_family).then(|| "np.dual".into()));
    features.extend(all.iter().any(is_host).then(|| "np.hostnet".into()));
    features.extend(all.iter().any(is_service).then(|| "np.service".into()));
    features
}

/// A case under way.
struct Making {
    cluster: Cluster,
    state: State,
    /// What there was before the step under way.
    earlier: State,
    unknown: bool,
}

impl Making {
    fn apply(&mut self, event: &Event) {
        // What is drawn happens to what is there, and has no addresses to be filled in.
        let _happens = self.state.apply(event);
    }

    /// One event, or several in whatever order.
    fn step(&mut self, draw: &mut Draw) -> Step {
        let any_order = draw.one_in(16);
        self.earlier = self.state.clone();
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..if any_order { 3 } else { 1 } {
            let event = self.event(draw);
            // What happens to one object twice comes out in more than one way.
            if !events.iter().any(|it| subject(it) == subject(&event)) {
                self.apply(&event);
                events.push(event);
            }
        }
        Step {
            any_order: any_order && events.len() > 1,
            events,
            ..Step::default()
        }
    }

    fn event(&self, draw: &mut Draw) -> Event {
        let event = match draw.number(0..=9) {
            0..=2 => Some(Event::Apply(self.policy(draw))),
            3 | 4 => self.name(draw, ObjectName::is_policy).map(Event::Delete),
            5 => self.relabel(draw, "Pod", &POD_LABELS),
            6 => self.relabel(draw, "Namespace", &NAMESPACE_LABELS),
            7 => self.name(draw, |it| it.kind == "Pod").map(Event::Delete),
            8 => self.pod(draw).map(Event::Apply),
            _ => self.ports(draw).map(Event::Apply),
        };
        event.unwrap_or_else(|| Event::Apply(self.policy(draw)))
    }

    /// A policy of any kind; more often than not of the one that there is most of.
    fn policy(&self, draw: &mut Draw) -> Object {
        if draw.number(0..=9) < 6 {
            let namespace = draw.one(&self.cluster.namespaces);
            let name = draw.one(&POLICIES);
            let spec = network_policy::spec(draw, &self.cluster);
            return policy("NetworkPolicy", namespace, name, &spec);
        }
        let kind = *draw.one(&Kind::ALL);
        let name = match kind {
            Kind::Baseline => "default",
            Kind::Admin | Kind::Cluster => *draw.one(&POLICIES),
        };
        let spec = admin::spec(draw, &self.cluster, kind, self.unknown);
        policy(kind.name(), "", name, &spec)
    }

    /// The name of something that is there.
    fn name(&self, draw: &mut Draw, is: impl Fn(&ObjectName) -> bool) -> Option<ObjectName> {
        let objects = self.state.objects().iter().map(Object::name);
        let names: Vec<&ObjectName> = objects.filter(|name| is(name)).collect();
        (!names.is_empty()).then(|| (*draw.one(&names)).clone())
    }

    fn relabel(&self, draw: &mut Draw, kind: &str, of: &[(&str, &[&str])]) -> Option<Event> {
        let name = self.name(draw, |it| it.kind == kind)?;
        let (key, values) = draw.one(of);
        let value = (!draw.one_in(3)).then(|| (*draw.one(values)).to_owned());
        Some(Event::Label(name, vec![((*key).to_owned(), value)]))
    }

    /// A pod that is new, with addresses that nobody has in whatever order the events of its step happen, though somebody
    /// may have had them before.
    fn pod(&self, draw: &mut Draw) -> Option<Object> {
        let used = self.state.manifests() + &self.earlier.manifests();
        let is_free = |number: &u16| {
            let addresses = cluster::pod_addresses(*number);
            !addresses
                .iter()
                .any(|it| used.contains(&format!("\"{it}\"")))
        };
        let free: Vec<u16> = (1..=MOST_PODS).filter(is_free).collect();
        let namespace = draw.one(&self.cluster.namespaces);
        let name = draw.one(&["a", "b", "c", "d"]);
        let number = *(!free.is_empty()).then(|| draw.one(&free))?;
        let made = object(&cluster::pod(draw, namespace, name, number));
        (!self.state.has(made.name())).then_some(made)
    }

    /// A pod as it is, with other ports.
    fn ports(&self, draw: &mut Draw) -> Option<Object> {
        let name = self.name(draw, |it| it.kind == "Pod")?;
        let mut objects = self.state.objects().iter();
        let mut value = objects.find(|it| *it.name() == name)?.value().clone();
        let other = cluster::pod(draw, &name.namespace, &name.name, 1);
        value["spec"]["containers"] = other["spec"]["containers"].clone();
        Some(object(&value))
    }
}

/// Whom an event is about.
fn subject(event: &Event) -> Option<&ObjectName> {
    match event {
        Event::Apply(object) => Some(object.name()),
        Event::Delete(name) | Event::Label(name, _) => Some(name),
        Event::Open(_) | Event::Agent(_) => None,
    }
}

fn object(value: &Value) -> Object {
    Object::new(value.clone()).expect("what is drawn has a kind and a name that cases know")
}

/// A policy by its kind and name.
pub(super) fn policy(kind: &str, namespace: &str, name: &str, spec: &Value) -> Object {
    let name = ObjectName {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Object::with_spec(name, spec).expect("policies are kinds that cases know")
}
