//! An API server of the test's own, and an index that listens to a source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_api::{Options, Report, Source, Update};
use sluice_cluster::{ControlOptions, ControlPlane, skipped, why_no_control_plane};
use sluice_kubernetes::Problem;
use sluice_kubernetes::live::{Kind, ObjectName};
use sluice_policy::{AdminKind, Index, PodName, Scope};

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) const KINDS: [Kind; 7] = [
    Kind::Namespace,
    Kind::Node,
    Kind::Pod,
    Kind::NetworkPolicy,
    Kind::Admin(AdminKind::AdminNetworkPolicy),
    Kind::Admin(AdminKind::BaselineAdminNetworkPolicy),
    Kind::Admin(AdminKind::ClusterNetworkPolicy),
];

/// How a server hands out what it has to whoever begins to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lists {
    /// As the first events of the watch, as servers do since Kubernetes 1.32 where their etcd is of 3.5.13 or later.
    Streamed,
    /// Page by page, before the watch, as all servers can.
    Paged,
}

/// An API server; none where this machine has none, which is said.
pub(crate) fn control() -> Option<ControlPlane> {
    control_with(Lists::Streamed)
}

/// An API server that lists in that way alone.
pub(crate) fn control_with(lists: Lists) -> Option<ControlPlane> {
    if skipped(why_no_control_plane()) {
        return None;
    }
    let options = ControlOptions {
        api_server: match lists {
            Lists::Streamed => &[],
            Lists::Paged => &["--feature-gates=WatchList=false"],
        },
        ..ControlOptions::default()
    };
    Some(ControlPlane::start(options).unwrap())
}

/// How many lists of pods the server has streamed to their end, by its own count.
fn streamed_lists(control: &ControlPlane) -> u64 {
    let metrics = control.kubectl(&["get", "--raw", "/metrics"]).unwrap();
    let counts = metrics.lines().filter(|line| {
        line.starts_with("apiserver_watch_list_duration_seconds_count") && line.contains("\"pods\"")
    });
    counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Makes sure that the lists were what the test is about.
pub(crate) fn assert_listed(control: &ControlPlane, lists: Lists) {
    // A server that says nothing for some seconds is asked for pages, so others try as well.
    for _ in 0..3 {
        if lists == Lists::Paged || streamed_lists(control) > 0 {
            break;
        }
        Bed::follow(control, &control.kubeconfig()).until_complete();
    }
    let streamed = streamed_lists(control);
    assert_eq!(
        streamed > 0,
        lists == Lists::Streamed,
        "{streamed} streamed"
    );
}

/// What a source told.
pub(crate) struct Known {
    pub(crate) index: Index,
    pub(crate) complete: bool,
    pub(crate) versions: BTreeMap<Kind, u64>,
    pub(crate) problems: BTreeMap<ObjectName, Vec<Problem>>,
    /// A policy that must never be missed once it was there, and whether it was.
    pub(crate) lasting: Option<(&'static str, bool)>,
    /// How often part of a list of an admin kind was told of.
    pub(crate) halves: usize,
}

/// A source that runs, and what it told so far.
pub(crate) struct Bed {
    pub(crate) source: Source,
    known: Arc<(Mutex<Known>, Condvar)>,
}

impl Bed {
    /// Follows the API server as somebody, from within its namespace.
    pub(crate) fn follow(control: &ControlPlane, kubeconfig: &Path) -> Self {
        let known = Arc::new((
            Mutex::new(Known {
                index: Index::new(Scope::Cluster),
                complete: false,
                versions: BTreeMap::new(),
                problems: BTreeMap::new(),
                lasting: None,
                halves: 0,
            }),
            Condvar::new(),
        ));
        let options = Options {
            kubeconfig: Some(kubeconfig.to_owned()),
            kinds: KINDS.to_vec(),
        };
        let heard = Arc::clone(&known);
        let listener = move |update| {
            heard.0.lock().unwrap().take(update);
            heard.1.notify_all();
        };
        let source = control
            .inside(|| Source::start(options, listener))
            .unwrap()
            .unwrap();
        Self { source, known }
    }

    /// Waits until what was told is as wanted.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Known) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut known = self.known.0.lock().unwrap();
        while !wanted(&known) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{what}: never; {:?} {:#?}",
                known.problems,
                self.source.report()
            );
            known = self.known.1.wait_timeout(known, left).unwrap().0;
        }
    }

    pub(crate) fn until_complete(&self) {
        self.until("the first lists are complete", |known| known.complete);
    }

    /// Waits until the source says something of itself.
    pub(crate) fn until_report(&self, what: &str, wanted: impl Fn(&Report) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.source.report();
            if wanted(&report) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: never; {report:#?}");
            // reason: from one look to the next; the processor is left to what is waited for
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// From now on the policy is there, whatever happens.
    pub(crate) fn never_without(&self, policy: &'static str) {
        let mut known = self.known.0.lock().unwrap();
        assert!(known.has_policy(policy));
        known.lasting = Some((policy, false));
    }

    pub(crate) fn was_ever_without(&self) -> bool {
        self.known.0.lock().unwrap().lasting.unwrap().1
    }
}

impl Known {
    fn take(&mut self, update: Update) {
        match update {
            Update::Complete => self.complete = true,
            Update::Batch(delivery) => {
                let is_half = delivery.batch.version.is_none() && !delivery.batch.is_empty();
                self.halves += usize::from(delivery.kind.is_optional() && is_half);
                let _changes = self.index.apply(delivery.batch.events);
                if let Some(version) = delivery.batch.version {
                    self.versions
                        .insert(delivery.kind, version.parse().unwrap());
                }
                self.problems.extend(delivery.batch.problems);
                self.problems.retain(|_, problems| !problems.is_empty());
            }
        }
        if let Some((policy, _)) = self.lasting.filter(|_| true) {
            let missed = !self.has_policy(policy);
            self.lasting = self.lasting.map(|(name, ever)| (name, ever || missed));
        }
    }

    pub(crate) fn has_policy(&self, name: &str) -> bool {
        self.index
            .network_policy_names()
            .any(|(namespace, own)| format!("{namespace}/{own}") == name)
    }

    pub(crate) fn has_admin(&self, kind: AdminKind, name: &str) -> bool {
        self.index
            .admin_policy_names(kind)
            .any(|own| &**own == name)
    }

    pub(crate) fn has_pod(&self, name: &str) -> bool {
        self.index.pod_names().any(|own| own.to_string() == name)
    }

    pub(crate) fn pods(&self) -> Vec<String> {
        let mut names: Vec<_> = self.index.pod_names().map(PodName::to_string).collect();
        names.sort();
        names
    }

    /// Whether everything up to that version of an object was told.
    pub(crate) fn reaches(&self, kind: Kind, object: &Value) -> bool {
        let version = object["metadata"]["resourceVersion"].as_str().unwrap();
        let version: u64 = version.parse().unwrap();
        self.versions
            .get(&kind)
            .is_some_and(|known| *known >= version)
    }
}

/// Applies a manifest; what the server made of it.
pub(crate) fn apply(control: &ControlPlane, manifest: &str) {
    control.apply(manifest).unwrap();
}

/// An object as the server has it.
pub(crate) fn object(control: &ControlPlane, arguments: &[&str]) -> Value {
    let line = [&["get", "-o", "json"], arguments].concat();
    serde_json::from_str(&control.kubectl(&line).unwrap()).unwrap()
}

pub(crate) fn pod(namespace: &str, name: &str, padding: usize) -> String {
    let padding = "x".repeat(padding);
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"{namespace}","labels":{{"app":"{name}"}},
            "annotations":{{"padding":"{padding}"}}}},"spec":{{"containers":[{{"name":"c","image":"i",
            "ports":[{{"name":"web","containerPort":80}}]}}]}}}}"#
    )
}

pub(crate) fn policy(namespace: &str, name: &str) -> String {
    format!(
        r#"{{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{{"name":"{name}",
            "namespace":"{namespace}"}},"spec":{{"podSelector":{{}},"policyTypes":["Ingress"]}}}}"#
    )
}

pub(crate) fn namespace(name: &str) -> String {
    format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}"#)
}

/// A list of objects, as one manifest.
pub(crate) fn list(objects: &[String]) -> String {
    let items = objects.join(",");
    format!(r#"{{"apiVersion":"v1","kind":"List","items":[{items}]}}"#)
}

/// A copy of a kubeconfig with something in it replaced.
pub(crate) fn variant(kubeconfig: &Path, to: &Path, from: &str, by: &str) -> PathBuf {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(to, text.replace(from, by)).unwrap();
    to.to_owned()
}
