//! What is written, as the API wants it: Events, conditions and Lease objects. Pure: values in, JSON out.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sluice_kubernetes::live::ObjectName;

use super::election::{Record, Seen};
use super::finding::{Finding, Known, Reason, Subject};

/// `reportingController`, and the owner of the fields that are applied.
pub(crate) const CONTROLLER: &str = "sluice";
/// An Event's `note` has at most so many bytes.
const LONGEST_NOTE: usize = 1024;
/// The longest name an object may have.
const LONGEST_NAME: usize = 253;
/// Where Events are of objects without a namespace.
const NO_NAMESPACE: &str = "default";

/// The object that something is said about, as it is right now.
#[derive(Debug, Deserialize)]
pub(crate) struct Current {
    pub(crate) metadata: CurrentMetadata,
    #[serde(default)]
    pub(crate) status: Option<CurrentStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CurrentMetadata {
    pub(crate) uid: String,
    #[serde(default)]
    pub(crate) resource_version: String,
    #[serde(default)]
    pub(crate) generation: i64,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct CurrentStatus {
    pub(crate) conditions: Option<Vec<Condition>>,
}

/// A `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) meaning: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) observed_generation: i64,
    #[serde(default)]
    pub(crate) last_transition_time: String,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) message: String,
}

/// Conditions that are Sluice's to set.
const CONDITIONS: [&str; 3] = ["Accepted", "Conflicted", "SelectsNothing"];

impl Subject {
    /// `networking.k8s.io/v1`.
    pub(crate) fn api_version(&self) -> &'static str {
        let path = self.kind.path();
        let version = path.rsplit_once('/').map_or(path, |(version, _)| version);
        version.strip_prefix("/apis/").unwrap_or(version)
    }

    /// Where the object is; nothing in the names that the API takes needs escaping.
    pub(crate) fn path(&self) -> String {
        let name = &self.name.name;
        format!("{}/{name}", self.collection())
    }

    /// Where the list is that has nothing but the object: whoever may list may ask this.
    pub(crate) fn list(&self) -> String {
        let name = &self.name.name;
        format!("{}?fieldSelector=metadata.name%3D{name}", self.collection())
    }

    fn collection(&self) -> String {
        let path = self.kind.path();
        let ObjectName { namespace, .. } = &self.name;
        match path.rsplit_once('/') {
            Some((version, resource)) if !namespace.is_empty() => {
                format!("{version}/namespaces/{namespace}/{resource}")
            }
            _ => path.to_owned(),
        }
    }

    fn event_namespace(&self) -> &str {
        match &*self.name.namespace {
            "" => NO_NAMESPACE,
            namespace => namespace,
        }
    }

    /// Where its Events are.
    pub(crate) fn events(&self) -> String {
        let namespace = self.event_namespace();
        format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    }
}

impl Reason {
    /// What came of it, as an Event's `action` has it.
    const fn action(self) -> &'static str {
        match self {
            Self::Invalid | Self::Unsupported => "FailClosed",
            Self::BadlyWritten => "Enforce",
            Self::PriorityTie => "OrderByName",
            Self::SelectsNothing => "Await",
        }
    }

    const fn severity(self) -> &'static str {
        match self {
            Self::Invalid | Self::Unsupported | Self::BadlyWritten | Self::PriorityTie => "Warning",
            Self::SelectsNothing => "Normal",
        }
    }
}

/// An Event. Its name says what it is about, of which generation of which object: the API server takes it once,
/// whoever sends it.
pub(crate) fn event(
    subject: &Subject,
    current: &CurrentMetadata,
    finding: &Finding,
    node: &str,
    now: Timestamp,
) -> Json {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": event_name(subject, current, finding),
            "namespace": subject.event_namespace(),
        },
        "eventTime": micro(now),
        "type": finding.reason.severity(),
        "reason": finding.reason.name(),
        "action": finding.reason.action(),
        "note": cut(&finding.message, LONGEST_NOTE),
        "reportingController": CONTROLLER,
        "reportingInstance": node,
        "regarding": {
            "apiVersion": subject.api_version(),
            "kind": subject.kind.name(),
            "namespace": &*subject.name.namespace,
            "name": &*subject.name.name,
            "uid": current.uid,
            "resourceVersion": current.resource_version,
        },
    })
}

fn event_name(subject: &Subject, current: &CurrentMetadata, finding: &Finding) -> String {
    let mut hasher = DefaultHasher::new();
    (&current.uid, current.generation, finding).hash(&mut hasher);
    let suffix = format!(".{:016x}", hasher.finish());
    let name = cut(&subject.name.name, LONGEST_NAME - suffix.len());
    format!("{}{suffix}", name.trim_end_matches(['.', '-']))
}

/// The conditions of an admin policy. Those that tell of nothing are left out.
pub(crate) fn conditions(known: &Known) -> Vec<Condition> {
    let message = |reason| {
        let found = known.findings.iter().find(|it| it.reason == reason)?;
        Some((reason, cut(&found.message, LONGEST_NOTE).to_owned()))
    };
    let refused = message(Reason::Invalid).or_else(|| message(Reason::Unsupported));
    let accepted = refused.map_or_else(
        || ("True", "Accepted", "enforced as it is written".to_owned()),
        |(reason, message)| ("False", reason.name(), message),
    );
    let also = [
        ("Conflicted", Reason::PriorityTie),
        ("SelectsNothing", Reason::SelectsNothing),
    ];
    let also = also.into_iter().filter_map(|(meaning, reason)| {
        let (reason, message) = message(reason)?;
        Some((meaning, ("True", reason.name(), message)))
    });
    let all = std::iter::once(("Accepted", accepted)).chain(also);
    let condition =
        |(meaning, (status, reason, message)): (&str, (&str, &str, String))| Condition {
            meaning: meaning.into(),
            status: status.into(),
            observed_generation: known.generation,
            last_transition_time: String::new(),
            reason: reason.into(),
            message,
        };
    all.map(condition).collect()
}

/// What to apply, if anything is different; a condition keeps the time since when it has its status.
pub(crate) fn status(
    subject: &Subject,
    current: &Current,
    known: &Known,
    now: Timestamp,
) -> Option<Json> {
    let status = current.status.as_ref();
    let there = status.and_then(|status| status.conditions.as_deref());
    let there = there.unwrap_or_default();
    let mut wanted = conditions(known);
    for condition in &mut wanted {
        let former = there
            .iter()
            .find(|it| it.meaning == condition.meaning && it.status == condition.status);
        condition.last_transition_time =
            former.map_or_else(|| seconds(now), |it| it.last_transition_time.clone());
    }
    let ours = there.iter().filter(|it| CONDITIONS.contains(&&*it.meaning));
    let is_same =
        ours.clone().count() == wanted.len() && ours.clone().all(|it| wanted.contains(it));
    (!is_same).then(|| {
        json!({
            "apiVersion": subject.api_version(),
            "kind": subject.kind.name(),
            // Nothing is applied to another object of the same name.
            "metadata": { "name": &*subject.name.name, "uid": current.metadata.uid },
            "status": { "conditions": wanted.iter().map(Condition::json).collect::<Vec<_>>() },
        })
    })
}

impl Condition {
    fn json(&self) -> Json {
        json!({
            "type": self.meaning,
            "status": self.status,
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": self.last_transition_time,
            "reason": self.reason,
            "message": self.message,
        })
    }
}

/// A Lease object as it was read.
///
/// # Errors
/// Where it is none.
pub(crate) fn read_lease(object: &Json) -> Result<Seen, String> {
    let spec = &object["spec"];
    let version = object["metadata"]["resourceVersion"].as_str();
    let version = version.ok_or("no resourceVersion")?.to_owned();
    let lasts = spec["leaseDurationSeconds"].as_u64().unwrap_or_default();
    let record = Record {
        holder: spec["holderIdentity"].as_str().unwrap_or_default().into(),
        lasts: Duration::from_secs(lasts),
        transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
    };
    Ok(Seen { record, version })
}

/// A Lease object to write; what `former` says beside the election stays.
pub(crate) fn lease(
    (namespace, name): (&str, &str),
    former: Option<&Json>,
    record: &Record,
    now: Timestamp,
) -> Json {
    let mut object = former.cloned().unwrap_or_else(|| {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "namespace": namespace, "name": name },
        })
    });
    let spec = &mut object["spec"];
    if spec["holderIdentity"] != *record.holder {
        spec["acquireTime"] = micro(now).into();
    }
    spec["holderIdentity"] = record.holder.clone().into();
    spec["leaseDurationSeconds"] = record.lasts.as_secs().max(1).into();
    spec["leaseTransitions"] = record.transitions.into();
    spec["renewTime"] = micro(now).into();
    object
}

/// `metav1.MicroTime`.
fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// `metav1.Time`.
fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// The beginning of a text, of so many bytes at most.
fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

#[cfg(test)]
mod tests;
