//! Objects as they are at one moment of a case, and the world that they make.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_kubernetes::{Loaded, load_objects};

use crate::case::{Event, Object, ObjectName};

/// All objects of a case at one moment, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct State {
    objects: Vec<Object>,
    /// Addresses of pods and nodes, which `$(…)` stands for.
    addresses: Arc<BTreeMap<String, Vec<IpAddr>>>,
}

/// What cannot happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Something happens to an object that is not there.
    #[error("{0} is not there")]
    Missing(ObjectName),
    /// `$(…)` that stands for nothing.
    #[error("{0}: no address such as $4(x/a/32), of a pod or node of the world and its family")]
    Address(String),
}

impl State {
    /// A world's objects. Addresses are those that its pods and nodes declare.
    pub fn new(objects: Vec<Object>) -> Self {
        let addresses: BTreeMap<_, _> = objects.iter().filter_map(addresses).collect();
        Self {
            objects,
            addresses: addresses.into(),
        }
    }

    /// Lets an event of objects happen.
    pub fn apply(&mut self, event: &Event) -> Result<(), StateError> {
        match event {
            Event::Apply(object) => self.put(object)?,
            Event::Delete(name) => {
                let at = self.position(name)?;
                self.objects.remove(at);
            }
            Event::Label(name, labels) => {
                let at = self.position(name)?;
                label(self.objects[at].value_mut(), labels);
            }
            Event::Open(_) | Event::Agent(_) => {}
        }
        Ok(())
    }

    /// Adds an object, or puts it in the place of the one of its name.
    pub fn put(&mut self, object: &Object) -> Result<(), StateError> {
        let mut object = object.clone();
        if has_stand_in(object.value()) {
            self.fill_in(object.value_mut())?;
        }
        if let Some((name, own)) = addresses(&object) {
            Arc::make_mut(&mut self.addresses).insert(name, own);
        }
        match self.position(object.name()) {
            Ok(at) => self.objects[at] = object,
            Err(_) => self.objects.push(object),
        }
        Ok(())
    }

    /// Whether there is an object of that name.
    pub fn has(&self, name: &ObjectName) -> bool {
        self.position(name).is_ok()
    }

    /// The same without any policy.
    #[must_use]
    pub fn without_policies(&self) -> Self {
        let objects = self.objects.iter();
        let objects = objects.filter(|object| !object.name().is_policy());
        Self {
            objects: objects.cloned().collect(),
            addresses: Arc::clone(&self.addresses),
        }
    }

    /// Leaves what is not wanted.
    pub(crate) fn retain(&mut self, is_wanted: impl Fn(&Object) -> bool) {
        self.objects.retain(is_wanted);
    }

    /// Everything there is.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The same as manifests, one document for each object.
    pub fn manifests(&self) -> String {
        let mut text = String::new();
        for object in &self.objects {
            text.extend(["---\n", object.text(), "\n"]);
        }
        text
    }

    /// Equal for states with the same objects, whatever their order.
    pub fn fingerprint(&self) -> Vec<Arc<str>> {
        let objects = self.objects.iter();
        let mut texts: Vec<Arc<str>> = objects.map(|it| Arc::clone(it.text())).collect();
        texts.sort_unstable();
        texts
    }

    /// The same as it is read, with what is wrong with it.
    pub fn load(&self, name: &str) -> Loaded {
        load_objects(name, self.objects.iter().map(Object::value))
    }

    fn position(&self, name: &ObjectName) -> Result<usize, StateError> {
        let mut objects = self.objects.iter();
        let found = objects.position(|object| object.name() == name);
        found.ok_or_else(|| StateError::Missing(name.clone()))
    }

    /// Puts addresses in the place of what stands for them.
    fn fill_in(&self, value: &mut Value) -> Result<(), StateError> {
        match value {
            Value::String(text) if is_stand_in(text) => {
                *text = self.address(text)?;
                Ok(())
            }
            Value::Array(items) => items.iter_mut().try_for_each(|it| self.fill_in(it)),
            Value::Object(map) => map.values_mut().try_for_each(|it| self.fill_in(it)),
            _ => Ok(()),
        }
    }

    /// `$4(x/a/24)` is the network of 24 bits that the IPv4 address of the pod x/a is in, `$6(node-1/128)` the IPv6
    /// address of a node.
    fn address(&self, text: &str) -> Result<String, StateError> {
        let wrong = || StateError::Address(text.to_owned());
        let (family, inner) = text.split_at_checked(3).ok_or_else(wrong)?;
        let (name, bits) = inner
            .strip_suffix(')')
            .and_then(|inner| inner.rsplit_once('/'))
            .ok_or_else(wrong)?;
        let bits: u32 = bits.parse().map_err(|_not_a_number| wrong())?;
        let is_of_family = |address: &&IpAddr| address.is_ipv4() == (family == "$4(");
        let own = self.addresses.get(name).ok_or_else(wrong)?;
        let address = own.iter().find(is_of_family).ok_or_else(wrong)?;
        Ok(format!("{}/{bits}", network(*address, bits)))
    }
}

fn is_stand_in(text: &str) -> bool {
    text.contains("$4(") || text.contains("$6(")
}

/// Whether some text of it stands for an address, as `$4(x/a/32)` does.
pub(crate) fn has_stand_in(value: &Value) -> bool {
    match value {
        Value::String(text) => is_stand_in(text),
        Value::Array(items) => items.iter().any(has_stand_in),
        Value::Object(map) => map.values().any(has_stand_in),
        _ => false,
    }
}

/// The first address of the network of so many bits that an address is in.
pub(crate) fn network(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(it) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            IpAddr::V4((it.to_bits() & mask).into())
        }
        IpAddr::V6(it) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            IpAddr::V6((it.to_bits() & mask).into())
        }
    }
}

/// The addresses that a pod or node declares, under the name that stands for it.
fn addresses(object: &Object) -> Option<(String, Vec<IpAddr>)> {
    let name = object.name();
    let (name, field, key) = match name.kind.as_str() {
        "Pod" => (format!("{}/{}", name.namespace, name.name), "podIPs", "ip"),
        "Node" => (name.name.clone(), "addresses", "address"),
        _ => return None,
    };
    let listed = object.value()["status"][field].as_array()?;
    let parsed = listed
        .iter()
        .filter_map(|it| it[key].as_str()?.parse().ok());
    Some((name, parsed.collect()))
}

fn label(object: &mut Value, labels: &[(String, Option<String>)]) {
    let own = &mut object["metadata"]["labels"];
    if own.is_null() {
        *own = json!({});
    }
    let Some(own) = own.as_object_mut() else {
        return;
    };
    for (key, value) in labels {
        match value {
            Some(value) => own.insert(key.clone(), json!(value)),
            None => own.remove(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "x", "labels": {"pod": "a"}},
            "status": {"podIPs": [{"ip": "10.244.0.9"}, {"ip": "fd00::9"}]}});
        State::new(vec![Object::new(pod).unwrap()])
    }

    fn policy(cidr: &str) -> Object {
        let spec = json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]});
        Object::with_spec("x/p".parse().unwrap(), &spec).unwrap()
    }

    #[test]
    fn addresses_are_filled_in() {
        for (text, wanted) in [
            ("$4(x/a/32)", "10.244.0.9/32"),
            ("$4(x/a/29)", "10.244.0.8/29"),
            ("$4(x/a/0)", "0.0.0.0/0"),
            ("$6(x/a/128)", "fd00::9/128"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ] {
            let mut state = state();
            state.put(&policy(text)).unwrap();
            let last = state.objects().last().unwrap().value();
            assert_eq!(
                last["spec"]["ingress"][0]["from"][0]["ipBlock"]["cidr"],
                wanted
            );
        }
        assert!(state().put(&policy("$4(x/b/32)")).is_err());
    }

    #[test]
    fn labels_come_and_go() {
        let mut state = state();
        let name: ObjectName = "Pod x/a".parse().unwrap();
        let labels = vec![
            ("pod".to_owned(), None),
            ("role".to_owned(), Some("db".to_owned())),
        ];
        state.apply(&Event::Label(name.clone(), labels)).unwrap();
        let labels = &state.objects()[0].value()["metadata"]["labels"];
        assert_eq!(*labels, json!({"role": "db"}));
        state.apply(&Event::Delete(name.clone())).unwrap();
        assert_eq!(
            state.apply(&Event::Delete(name.clone())),
            Err(StateError::Missing(name))
        );
    }
}
