//! Kubeconfigs that cannot be used: each is said in a line that names the file and what is wrong, and read again until it
//! is right.
#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sluice_api::{Options, Report, Source};
use sluice_kubernetes::live::Kind;

const CLUSTER: &str = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]";
const CONTEXT: &str = "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x";
/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

fn start(path: &Path) -> Source {
    let options = Options {
        kubeconfig: Some(path.to_owned()),
        kinds: vec![Kind::Pod],
    };
    Source::start(options, |_| {}).unwrap()
}

/// Waits until there is trouble that says something.
fn troubled(source: &Source, said: &str) -> Report {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = source.report();
        if report.troubles.iter().any(|it| it.contains(said)) {
            return report;
        }
        assert!(Instant::now() < deadline, "{said}: never; {report:#?}");
        // reason: from one look to the next; the processor is left to what is waited for
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn user(user: &str) -> String {
    format!("{CLUSTER}\nusers: [{{name: u, user: {{{user}}}}}]\n{CONTEXT}")
}

#[test]
fn what_cannot_be_used_is_named_and_read_again_until_it_is_right() {
    let elsewhere = |server: &str| {
        format!("clusters: [{{name: c, cluster: {{{server}}}}}]\nusers: [{{name: u}}]\n{CONTEXT}")
    };
    for (text, said) in [
        (None, "No such file"),
        (Some("a: [".to_owned()), "parse"),
        (Some(String::new()), "current-context: not set"),
        (Some(CLUSTER.to_owned()), "current-context: not set"),
        (
            Some(format!("{CLUSTER}\ncontexts: []\ncurrent-context: x")),
            "contexts: no \"x\"",
        ),
        (
            Some(format!("users: [{{name: u}}]\n{CONTEXT}")),
            "clusters: no \"c\"",
        ),
        (Some(format!("{CLUSTER}\n{CONTEXT}")), "users: no \"u\""),
        (Some(elsewhere("server: '::'")), "server: "),
        (Some(elsewhere("")), "server: missing"),
        (
            Some(elsewhere(
                "server: 'https://127.0.0.1:1', certificate-authority: /nowhere",
            )),
            "certificate-authority: ",
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
        (Some(user("tokenFile: /nowhere")), "/nowhere"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        if let Some(text) = &text {
            fs::write(&path, text).unwrap();
        }
        let source = start(&path);
        let report = troubled(&source, said);
        assert_eq!((report.synced, report.server), (false, None), "{text:?}");
        assert!(report.disconnected.is_some(), "{text:?}");
        let [trouble] = &report.troubles[..] else {
            panic!("one line for {text:?}: {:?}", report.troubles);
        };
        let of_file = format!("--kubeconfig {}: ", path.display());
        assert!(
            trouble.starts_with(&of_file) && !trouble.contains('\n'),
            "{trouble}"
        );
        fs::write(&path, user("token: t")).unwrap();
        let report = troubled(&source, "Connection refused");
        assert_eq!(report.server.as_deref(), Some("https://127.0.0.1:1"));
    }
}
