//! What is sent, field by field where it matters.

use sluice_kubernetes::live::Kind;
use sluice_policy::AdminKind;

use super::*;

fn subject(kind: Kind, namespace: &str, name: &str) -> Subject {
    Subject {
        kind,
        name: ObjectName {
            namespace: namespace.into(),
            name: name.into(),
        },
    }
}

fn cluster(name: &str) -> Subject {
    subject(Kind::Admin(AdminKind::ClusterNetworkPolicy), "", name)
}

fn finding(reason: Reason, message: &str) -> Finding {
    Finding {
        reason,
        message: message.into(),
    }
}

fn known(generation: i64, reasons: &[Reason]) -> Known {
    Known {
        generation,
        findings: reasons.iter().map(|it| finding(*it, "m")).collect(),
    }
}

fn current(json: Json) -> Current {
    let mut object = json!({"metadata": {"uid": "u", "resourceVersion": "7", "generation": 2}});
    object["status"] = json;
    serde_json::from_value(object).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[test]
fn paths_are_those_of_the_api() {
    let policy = subject(Kind::NetworkPolicy, "x", "p");
    assert_eq!(policy.api_version(), "networking.k8s.io/v1");
    assert_eq!(
        policy.path(),
        "/apis/networking.k8s.io/v1/namespaces/x/networkpolicies/p"
    );
    assert_eq!(
        policy.events(),
        "/apis/events.k8s.io/v1/namespaces/x/events"
    );
    let admin = cluster("p");
    let path = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies";
    assert_eq!(admin.path(), format!("{path}/p"));
    assert_eq!(
        admin.list(),
        format!("{path}?fieldSelector=metadata.name%3Dp")
    );
    assert_eq!(
        admin.events(),
        "/apis/events.k8s.io/v1/namespaces/default/events"
    );
}

#[test]
fn an_event_has_one_name_for_each_state_of_an_object() {
    let name = |subject: &Subject, uid: &str, generation, finding: &Finding| {
        let (uid, resource_version) = (uid.to_owned(), String::new());
        let metadata = CurrentMetadata {
            uid,
            resource_version,
            generation,
        };
        let event = event(subject, &metadata, finding, "n", at(0));
        event["metadata"]["name"].as_str().unwrap().to_owned()
    };
    let (policy, invalid) = (cluster("p"), finding(Reason::Invalid, "m"));
    let first = name(&policy, "u", 1, &invalid);
    assert_eq!(first, name(&policy, "u", 1, &invalid));
    let others = [
        name(&policy, "v", 1, &invalid),
        name(&policy, "u", 2, &invalid),
        name(&policy, "u", 1, &finding(Reason::Invalid, "n")),
        name(&policy, "u", 1, &finding(Reason::PriorityTie, "m")),
    ];
    assert!(others.iter().all(|other| *other != first));
    let long = name(
        &cluster(&format!("{}.{}", "a".repeat(235), "b".repeat(17))),
        "u",
        1,
        &invalid,
    );
    assert!(long.len() <= 253 && !long.contains(".."), "{long}");
}

#[test]
fn a_note_is_no_longer_than_the_api_takes() {
    let long = finding(Reason::SelectsNothing, &"é".repeat(600));
    let metadata = current(Json::Null).metadata;
    let event = event(&cluster("p"), &metadata, &long, "n", at(0));
    let note = event["note"].as_str().unwrap();
    assert!(note.len() <= 1024 && note.len() > 1020);
    assert_eq!(
        (&event["type"], &event["eventTime"]),
        (&"Normal".into(), &"1970-01-01T00:00:00.000000Z".into())
    );
}

#[test]
fn conditions_say_what_is_the_matter() {
    for (reasons, wanted) in [
        (&[][..], &["Accepted True Accepted"][..]),
        (
            &[Reason::Invalid, Reason::Unsupported],
            &["Accepted False Invalid"],
        ),
        (&[Reason::Unsupported], &["Accepted False Unsupported"]),
        (&[Reason::BadlyWritten], &["Accepted True Accepted"]),
        (
            &[Reason::PriorityTie],
            &["Accepted True Accepted", "Conflicted True PriorityTie"],
        ),
        (
            &[Reason::SelectsNothing],
            &[
                "Accepted True Accepted",
                "SelectsNothing True SelectsNothing",
            ],
        ),
    ] {
        let all = conditions(&known(3, reasons));
        let said: Vec<_> = all
            .iter()
            .map(|it| format!("{} {} {}", it.meaning, it.status, it.reason))
            .collect();
        assert_eq!(said, wanted);
        assert!(
            all.iter()
                .all(|it| it.observed_generation == 3 && CONDITIONS.contains(&&*it.meaning))
        );
    }
}

#[test]
fn a_status_is_written_where_it_differs_and_keeps_its_times() {
    let there = |status: &str, generation: i64| {
        let message = "enforced as it is written";
        current(json!({"conditions": [
            {"type": "Accepted", "status": status, "observedGeneration": generation, "reason": "Accepted",
             "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Theirs", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]}))
    };
    let (policy, well) = (cluster("p"), known(2, &[]));
    let time = |body: &Json| body["status"]["conditions"][0]["lastTransitionTime"].clone();
    assert_eq!(status(&policy, &there("True", 2), &well, at(0)), None);
    let newer = status(&policy, &there("True", 1), &well, at(0)).unwrap();
    assert_eq!(time(&newer), "2026-01-01T00:00:00Z");
    let other = status(&policy, &there("False", 2), &well, at(0)).unwrap();
    assert_eq!(time(&other), "1970-01-01T00:00:00Z");
    for empty in [Json::Null, json!({}), json!({"conditions": null})] {
        let body = status(&policy, &current(empty), &well, at(0)).unwrap();
        assert_eq!(body["status"]["conditions"].as_array().unwrap().len(), 1);
        assert_eq!(body["metadata"]["uid"], "u");
    }
    // What was tied and is not any more is left out, which takes it away.
    let tied = json!({"conditions": [{"type": "Conflicted", "status": "True"}]});
    let mended = status(&policy, &current(tied), &well, at(0)).unwrap();
    assert_eq!(mended["status"]["conditions"].as_array().unwrap().len(), 1);
}

#[test]
fn a_lease_object_is_replaced_with_all_that_others_wrote_into_it() {
    let names = ("x", "sluice");
    let record = |holder: &str| Record {
        holder: holder.into(),
        lasts: Duration::from_secs(15),
        transitions: 2,
    };
    let mut object = lease(names, None, &record("a"), at(0));
    assert_eq!(object["spec"]["acquireTime"], "1970-01-01T00:00:00.000000Z");
    object["metadata"]["resourceVersion"] = "7".into();
    object["metadata"]["labels"] = json!({"k": "v"});
    let renewed = lease(names, Some(&object), &record("a"), at(1));
    assert_eq!(renewed["metadata"]["labels"]["k"], "v");
    assert_eq!(
        renewed["spec"]["acquireTime"],
        object["spec"]["acquireTime"]
    );
    assert_eq!(renewed["spec"]["renewTime"], "1970-01-01T00:00:01.000000Z");
    let taken = lease(names, Some(&object), &record("b"), at(1));
    assert_eq!(taken["spec"]["acquireTime"], "1970-01-01T00:00:01.000000Z");
    let version = "7".to_owned();
    assert_eq!(
        read_lease(&taken),
        Ok(Seen {
            record: record("b"),
            version
        })
    );
    for none in [json!({}), json!([]), json!(null)] {
        assert!(read_lease(&none).is_err());
    }
}
