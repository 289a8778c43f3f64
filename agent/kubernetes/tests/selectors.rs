//! Label selectors, held to the Kubernetes client library's own reading of them: every pair of requirements over two
//! keys and two values, against every set of labels.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::{Selector, SelectorExt as _};
use sluice_kubernetes::load_text;
use sluice_policy::{Index, Scope};

const KEYS: [&str; 2] = ["a", "b"];
const VALUES: [&[&str]; 3] = [&["1"], &["2"], &["1", "2"]];

fn requirements() -> Vec<LabelSelectorRequirement> {
    let requirement =
        |key: &str, operator: &str, values: Option<&[&str]>| LabelSelectorRequirement {
            key: key.into(),
            operator: operator.into(),
            values: values.map(|values| values.iter().map(ToString::to_string).collect()),
        };
    let of_key = |key| {
        let with_values = ["In", "NotIn"].into_iter().flat_map(move |operator| {
            VALUES.map(|values| requirement(key, operator, Some(values)))
        });
        with_values
            .chain(["Exists", "DoesNotExist"].map(|operator| requirement(key, operator, None)))
    };
    KEYS.into_iter().flat_map(of_key).collect()
}

/// Each key missing, or with a value; 3 is one that no requirement names.
fn labels() -> Vec<BTreeMap<String, String>> {
    let choices = [None, Some("1"), Some("2"), Some("3")];
    let pairs = choices
        .iter()
        .flat_map(|a| choices.iter().map(move |b| [(KEYS[0], *a), (KEYS[1], *b)]));
    let some =
        |(key, value): (&str, Option<&str>)| value.map(|value| (key.to_owned(), value.to_owned()));
    pairs
        .map(|pair| pair.into_iter().filter_map(some).collect())
        .collect()
}

#[test]
fn a_policy_selects_the_pods_that_the_client_library_would() {
    let labels = labels();
    let pods: String = labels
        .iter()
        .enumerate()
        .map(|(number, labels)| pod(number, labels))
        .collect();
    let mut compared = 0;
    for first in requirements() {
        for second in requirements() {
            let selector = LabelSelector {
                match_expressions: Some(vec![first.clone(), second]),
                match_labels: None,
            };
            let isolated = isolated(&pods, &selector, labels.len());
            let reference = Selector::try_from(selector.clone()).unwrap();
            for (labels, isolated) in labels.iter().zip(isolated) {
                assert_eq!(
                    isolated,
                    reference.matches(labels),
                    "{selector:?} on {labels:?}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 16 * 16 * 16);
}

fn pod(number: usize, labels: &BTreeMap<String, String>) -> String {
    let labels = serde_json::to_string(labels).expect("labels as JSON");
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{number}, labels: {labels}}}\n\
         spec: {{containers: [{{name: c, image: i}}]}}\nstatus: {{podIP: 10.0.0.{number}}}\n---\n"
    )
}

/// Which of the pods a policy with this selector isolates.
fn isolated(pods: &str, selector: &LabelSelector, count: usize) -> Vec<bool> {
    let selector = serde_json::to_string(selector).expect("a selector as JSON");
    let policy = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec: {{podSelector: {selector}}}\n"
    );
    let loaded = load_text("selectors.yaml", &format!("{pods}{policy}"));
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let mut index = Index::new(Scope::Cluster);
    assert!(!index.apply(loaded.world.events()).is_empty());
    let snapshot = index.snapshot();
    let address = |number| IpAddr::from([10, 0, 0, u8::try_from(number).expect("few pods")]);
    (0..count)
        .map(|number| snapshot.isolation(address(number)).expect("a pod").ingress)
        .collect()
}
