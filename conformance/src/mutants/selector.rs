//! Label selectors and networks, as a mutant reads them.

use std::net::IpAddr;

use serde_json::Value;
use sluice_policy::Labels;

use super::fault::{Fault, Faulty};

/// All requirements must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    expressions: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    operator: String,
    values: Vec<String>,
    /// Written as a label, which has one value.
    is_label: bool,
}

/// A network: the first bits of an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

/// Text of a field.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Items of a field; none where it is no list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Selector {
    /// As it is written; a missing one is none.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let map = value.as_object()?;
        let labels = map.get("matchLabels").and_then(Value::as_object);
        let label = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            operator: "In".to_owned(),
            values: vec![text(value)],
            is_label: true,
        };
        let expression = |value: &Value| Requirement {
            key: text(&value["key"]),
            operator: text(&value["operator"]),
            values: items(&value["values"]).iter().map(text).collect(),
            is_label: false,
        };
        let expressions = map.get("matchExpressions").map_or(&[][..], items);
        Some(Self {
            labels: labels.into_iter().flatten().map(label).collect(),
            expressions: expressions.iter().map(expression).collect(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.expressions.is_empty()
    }

    pub(super) fn matches(&self, labels: &Labels, faulty: Faulty) -> bool {
        if self.is_empty() {
            return !faulty.has(Fault::EmptySelectorNothing);
        }
        let mut requirements = self.considered(faulty).into_iter();
        let mut holds = |it: &Requirement| it.holds(labels, faulty);
        if faulty.has(Fault::RequirementsAsOr) {
            requirements.any(&mut holds)
        } else {
            requirements.all(&mut holds)
        }
    }

    fn considered(&self, faulty: Faulty) -> Vec<&Requirement> {
        let mut considered: Vec<&Requirement> = Vec::new();
        if !faulty.has(Fault::LabelsIgnored) || self.expressions.is_empty() {
            considered.extend(&self.labels);
        }
        if !faulty.has(Fault::ExpressionsIgnored) {
            considered.extend(&self.expressions);
        }
        if faulty.has(Fault::LastOfKey) {
            let all = considered.clone();
            let is_last = |at: usize| all[at + 1..].iter().all(|later| later.key != all[at].key);
            let last = (0..all.len()).filter(|at| is_last(*at));
            considered = last.map(|at| all[at]).collect();
        }
        considered
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels, faulty: Faulty) -> bool {
        let found = self.find(labels, faulty);
        let is_one = |found: &str| self.values.iter().any(|value| value == found);
        match self.operator.as_str() {
            "In" if self.is_label && faulty.has(Fault::LabelKeyAlone) => found.is_some(),
            "In" if faulty.has(Fault::InFirstValue) => {
                found.is_some() && found == self.values.first().map(String::as_str)
            }
            "In" => found.is_some_and(is_one),
            "NotIn" => found.map_or(!faulty.has(Fault::NotInNeedsKey), |found| {
                if faulty.has(Fault::NotInAny) {
                    self.values.iter().any(|value| value != found)
                } else {
                    !is_one(found)
                }
            }),
            "Exists" if faulty.has(Fault::ExistsAsDoesNotExist) => found.is_none(),
            "Exists" if faulty.has(Fault::ExistsNeedsValue) => {
                found.is_some_and(|it| !it.is_empty())
            }
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none() || faulty.has(Fault::DoesNotExistIgnored),
            _ => false,
        }
    }

    fn find<'l>(&self, labels: &'l Labels, faulty: Faulty) -> Option<&'l str> {
        if !faulty.has(Fault::KeyPrefixDropped) {
            return labels.get(self.key.as_str()).map(|value| &**value);
        }
        let name = |key: &str| key.rsplit('/').next().map(str::to_owned);
        let mut labels = labels.iter();
        let found = labels.find(|(key, _)| name(key) == name(&self.key));
        found.map(|(_, value)| &**value)
    }
}

impl Network {
    /// `10.0.0.0/8`; leading zeros mean nothing, and an IPv4 address within IPv6 is one of IPv4.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let (address, bits) = value.as_str()?.split_once('/')?;
        let octets: Option<Vec<u8>> = address.split('.').map(|it| it.parse().ok()).collect();
        let octets = octets.and_then(|it| <[u8; 4]>::try_from(it).ok());
        let address = octets.map_or_else(|| address.parse().ok(), |it| Some(it.into()))?;
        let bits: u32 = bits.parse().ok()?;
        let network = Self { address, bits };
        let IpAddr::V6(six) = address else {
            return Some(network).filter(Self::is_whole);
        };
        let mapped = six.to_ipv4_mapped().zip(bits.checked_sub(96));
        let network = mapped.map_or(network, |(four, bits)| Self {
            address: IpAddr::V4(four),
            bits,
        });
        Some(network).filter(Self::is_whole)
    }

    /// Whether it is a smaller network in another.
    pub(super) fn is_within(&self, whole: Self) -> bool {
        self.bits > whole.bits && whole.contains(self.address, Faulty::default())
    }

    /// Whether it fixes no more bits than there are.
    fn is_whole(&self) -> bool {
        self.bits <= if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// How many bits it fixes.
    pub(super) const fn bits(&self) -> u32 {
        self.bits
    }

    pub(super) fn contains(&self, address: IpAddr, faulty: Faulty) -> bool {
        if faulty.has(Fault::BlocksBothFamilies) && self.bits == 0 {
            return true;
        }
        let bits = if faulty.has(Fault::BlocksWholeOctets) {
            self.bits / 8 * 8
        } else {
            self.bits
        };
        let is_same = |own: u128, other: u128, width: u32| {
            width.checked_sub(bits).is_some_and(|rest| {
                own.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
            })
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                is_same(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                !faulty.has(Fault::BlocksWithoutIpv6)
                    && is_same(own.to_bits(), other.to_bits(), 128)
            }
            _ => false,
        }
    }

    /// Whether an address is the first.
    pub(super) fn begins_with(&self, address: IpAddr) -> bool {
        self.address == address
    }
}
