//! Kubeconfigs that cannot be used: each is refused at once, with a line that names the file and what is wrong.
#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

use std::fs;

use sluice_api::{Options, Source, StartError};

const CLUSTER: &str = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]";
const CONTEXT: &str = "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x";

fn start(text: Option<&str>) -> Result<Source, StartError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    if let Some(text) = text {
        fs::write(&path, text).unwrap();
    }
    let options = Options {
        kubeconfig: Some(path),
        kinds: Vec::new(),
    };
    Source::start(options, |_| {})
}

#[test]
fn what_cannot_be_used_is_refused_at_once() {
    let user = |user: &str| format!("{CLUSTER}\nusers: [{{name: u, user: {{{user}}}}}]\n{CONTEXT}");
    for (text, said) in [
        (None, "No such file"),
        (Some("a: [".to_owned()), "parse"),
        (Some(String::new()), "context"),
        (Some(CLUSTER.to_owned()), "current context"),
        (
            Some(format!("{CLUSTER}\ncontexts: []\ncurrent-context: x")),
            "context: x",
        ),
        (Some(format!("clusters: []\n{CONTEXT}")), "cluster"),
        (
            Some(
                "clusters: [{name: c, cluster: {server: '::'}}]\nusers: [{name: u}]\n".to_owned()
                    + CONTEXT,
            ),
            "url",
        ),
        (
            Some(user(
                "exec: {command: x, apiVersion: client.authentication.k8s.io/v1}",
            )),
            "runs no programs",
        ),
        (
            Some(user("client-certificate: /nowhere, client-key: /nowhere")),
            "/nowhere",
        ),
    ] {
        let message = start(text.as_deref()).unwrap_err().to_string();
        assert!(message.contains(said), "{said} in {message} of {text:?}");
        assert!(
            message.starts_with("--kubeconfig /") && !message.contains('\n'),
            "{message}"
        );
    }
}

#[test]
fn what_is_written_well_is_tried_for_as_long_as_it_takes() {
    let source = start(Some(&format!("{CLUSTER}\nusers: [{{name: u}}]\n{CONTEXT}"))).unwrap();
    let report = source.report();
    assert!(!report.synced);
    assert_eq!(report.server, "https://127.0.0.1:1");
}
