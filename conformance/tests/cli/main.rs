//! The command as it is typed: what it takes and prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod usage;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-conformance"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// What came of a command: its exit code, and what it said.
fn said(args: &[&str]) -> (i32, String, String) {
    let output = run(args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

fn json(args: &[&str]) -> (i32, Value) {
    let (code, out, err) = said(&[args, &["-o", "json"]].concat());
    let value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (code, value)
}

struct Files(TempDir);

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

const GOOD: &str =
    "id: a/good\nsentence: s\npolicies:\n  - x/p: {podSelector: {}}\nmatrix: X * > x/*\n";
/// An API server ought to refuse a policy with which nothing is wrong, and no evaluator does.
const BAD: &str =
    "id: a/bad\nsentence: s\nrejected:\n  - {object: {x/p: {podSelector: {}}}, field: spec}\n";

#[test]
fn a_case_is_explained_with_all_that_it_says() {
    for (id, wanted) in [
        (
            "families/ipv6-single-address",
            &[
                "80/TCP IPv4 81/TCP IPv4: everything is allowed\n",
                "81/TCP IPv6\n",
            ][..],
        ),
        (
            "validation/end-port-bounds",
            &[
                "  accepted: NetworkPolicy ",
                "  rejected for spec.ingress[0].ports[0].endPort: ",
            ],
        ),
        (
            "state/allowance-deleted",
            &[
                "features: np.core, np.established\n",
                "  open goes: x/b > x/a",
                "  cut: goes\n",
            ],
        ),
        ("state/kill-keeps", &["  kill the agents\n", "  alive: "]),
        ("orders/pod-made-and-labelled", &["  in any order\n"]),
    ] {
        let (code, out, err) = said(&["explain", id]);
        assert_eq!(code, 0, "{err}");
        for wanted in wanted {
            assert!(out.contains(wanted), "{id}: {wanted}: {out}");
        }
    }
}

#[test]
fn what_came_of_a_run_is_printed_and_written() {
    let files = Files::of(&[("good.yaml", GOOD), ("bad.yaml", BAD)]);
    let (good, bad) = (files.path("good.yaml"), files.path("bad.yaml"));
    let (junit, tap) = (files.path("junit.xml"), files.path("run.tap"));
    let (markdown, report) = (files.path("run.md"), files.path("report.yaml"));
    let (code, value) = json(&[
        "run",
        "--cases",
        &good,
        "--cases",
        &bad,
        "--junit",
        &junit,
        "--tap",
        &tap,
        "--markdown",
        &markdown,
        "--conformance-report",
        &report,
        "--project",
        "mine",
    ]);
    assert_eq!(code, 1);
    assert_eq!((&value["passed"], &value["failed"]), (&1.into(), &1.into()));
    let judge = (&value["runner"], &value["profile"]);
    assert_eq!(judge, (&"evaluator".into(), &"sluice".into()));
    let junit = fs::read_to_string(junit).unwrap();
    let document = roxmltree::Document::parse(&junit).unwrap();
    assert_eq!(document.root_element().attribute("failures"), Some("1"));
    assert!(
        fs::read_to_string(tap)
            .unwrap()
            .contains("not ok 1 - a/bad")
    );
    assert!(
        fs::read_to_string(markdown)
            .unwrap()
            .contains("failed: a/bad")
    );
    let report = fs::read_to_string(report).unwrap();
    let report: Value = serde_saphyr::from_str(&report).unwrap();
    assert_eq!(report["implementation"]["project"], "mine");
    let (code, out, _) = said(&["run", "--cases", &good]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("1 passed, 0 failed"), "{out}");
    assert!(out.contains("(runner evaluator, profile sluice)"), "{out}");
}

#[test]
fn a_waiver_excuses_until_its_day() {
    let waivers = |until: &str| format!("- {{case: 'a/b*', reason: known, until: {until}}}\n");
    let files = Files::of(&[
        ("good.yaml", GOOD),
        ("bad.yaml", BAD),
        ("valid.yaml", &waivers("9999-12-31")),
        ("expired.yaml", &waivers("2020-01-01")),
    ]);
    let (good, bad) = (files.path("good.yaml"), files.path("bad.yaml"));
    let with = |waivers: &str, cases: &str| json(&["run", "--cases", cases, "--waivers", waivers]);
    let (code, value) = with(&files.path("valid.yaml"), &bad);
    assert_eq!((code, &value["waived"]), (0, &1.into()));
    assert_eq!(value["results"][0]["waived"], "known (until 9999-12-31)");
    let (code, value) = with(&files.path("expired.yaml"), &bad);
    assert_eq!((code, &value["waived"]), (1, &0.into()));
    let remark = value["remarks"][0].as_str().unwrap();
    assert!(
        remark.ends_with("a/bad: waived until 2020-01-01, which is over"),
        "{remark}"
    );
    let (code, value) = with(&files.path("valid.yaml"), &good);
    assert_eq!(code, 0);
    let remark = value["remarks"][0].as_str().unwrap();
    assert!(remark.contains("not needed"), "{remark}");
}

#[test]
fn without_a_terminal_progress_is_a_line_now_and_then_and_none_beside_json() {
    let started = Instant::now();
    let (code, _, err) = said(&["run", "--include", "sweep"]);
    assert_eq!(code, 0, "{err}");
    let is_progress = |line: &str| line.contains("/331 cases, 0 failed");
    assert!(err.lines().all(is_progress), "{err}");
    for count in ["100/", "200/", "300/"] {
        assert!(err.contains(&format!("{count}331")), "{err}");
    }
    // After ten seconds there is another.
    let is_slow = started.elapsed() > Duration::from_secs(10);
    assert!(err.lines().count() == 3 || is_slow, "{err}");
    let output = run(&["run", "--include", "sweep", "-o", "json"]);
    assert_eq!(output.stderr, b"");
}

#[test]
fn a_signal_ends_a_run_after_its_case() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        // Whoever runs this test may ignore one of them.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,TERM,HUP", "--"])
            .args([env!("CARGO_BIN_EXE_sluice-conformance"), "run"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The first line of progress says that it is under way.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal:?}: {out}");
        assert!(out.contains("left, as the run ended early"), "{out}");
        assert!(out.contains(" passed, 0 failed"), "{out}");
    }
}

/// An API server that takes a request and never answers.
#[test]
fn a_signal_ends_a_run_whose_cluster_does_not_answer() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let files = Files::of(&[(
        "kubeconfig",
        &format!(
            "{{apiVersion: v1, kind: Config, current-context: c, \
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}], \
             users: [{{name: u, user: {{}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}",
            server.local_addr().unwrap()
        ),
    )]);
    let kubeconfig = files.path("kubeconfig");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        // Whoever runs this test may ignore one of them.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,TERM,HUP", "--"])
            .arg(env!("CARGO_BIN_EXE_sluice-conformance"))
            .args(["run", "--runner", "cluster", "--kubeconfig", &kubeconfig])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let limit = Instant::now() + Duration::from_mins(1);
        let _request = loop {
            if let Ok(request) = server.accept() {
                break request;
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < limit, "{ended:?}");
            // reason: from one look to the next; the processor is left to what is waited for
            std::thread::sleep(Duration::from_millis(1));
        };
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        assert_eq!(
            (status.code(), &*err),
            (Some(130), "error: interrupted\n"),
            "{signal:?}"
        );
    }
}

const WORLD: &str = "\
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {app: a}}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}, status: {podIPs: [{ip: 10.0.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: x, labels: {app: b}}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}, status: {podIPs: [{ip: 10.0.0.2}]}}
";
const DENY: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: x}, spec: {podSelector: {matchLabels: {app: a}}}}\n";

#[test]
fn a_matrix_shows_what_the_api_text_and_the_evaluator_say() {
    let files = Files::of(&[("world.yaml", WORLD), ("deny.yaml", DENY)]);
    let paths = [files.path("world.yaml"), files.path("deny.yaml")];
    let (code, out, err) = said(&["matrix", &paths[0], &paths[1]]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.ends_with("80/TCP\n     x/a x/b\nx/a  .   .\nx/b  X   .\n"),
        "{out}"
    );
    let by_evaluator = said(&["matrix", &paths[0], &paths[1], "--evaluator"]);
    assert_eq!(by_evaluator.1, out);
    let args = [
        "matrix", &paths[0], &paths[1], "--from", "x/b", "--to", "x/a", "--port", "443",
    ];
    let (_, value) = json(&args);
    let cells = value["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 1);
    assert_eq!(
        (&cells[0]["verdict"], &cells[0]["port"]),
        (&"denied".into(), &443.into())
    );
    assert_eq!(cells[0]["evaluator"]["ingress"]["policy"], "x/deny");
    let (code, _, err) = said(&["matrix", &paths[0], "--from", "x/c"]);
    assert_eq!(code, 2);
    assert!(err.contains("--from: no x/c"), "{err}");
}

#[test]
fn a_diff_shows_which_cells_change_and_who_decides() {
    let files = Files::of(&[
        ("world.yaml", WORLD),
        ("deny.yaml", DENY),
        ("none.yaml", ""),
    ]);
    let (world, deny, none) = (
        files.path("world.yaml"),
        files.path("deny.yaml"),
        files.path("none.yaml"),
    );
    let (code, out, err) = said(&["diff", &none, &deny, "--manifests", &world]);
    assert_eq!(code, 1, "{err}");
    let changed = out.lines().find(|line| line.contains("x/b > x/a")).unwrap();
    let words: Vec<&str> = changed
        .split("  ")
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    assert_eq!(
        words,
        [
            "x/b > x/a",
            "allowed > denied",
            "no policy",
            "ingress: x/deny isolates"
        ],
        "{out}"
    );
    assert!(out.ends_with("1 of 4 cells change\n"), "{out}");
    let (code, value) = json(&["diff", &deny, &none, "--manifests", &world]);
    assert_eq!((code, value["changes"].as_array().unwrap().len()), (1, 1));
    assert_eq!(value["changes"][0]["before"]["verdict"], "denied");
    let (code, out, _) = said(&["diff", &deny, &deny, "--manifests", &world]);
    assert_eq!((code, &*out), (0, "0 of 4 cells change\n"));
}

#[test]
fn lint_says_what_it_finds_and_is_told_what_does_not_matter() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint");
    let world = examples.join("world.yaml").display().to_string();
    let wrong = examples
        .join("empty-peers/wrong.yaml")
        .display()
        .to_string();
    let (code, out, err) = said(&["lint", &world, &wrong]);
    assert_eq!(code, 1, "{err}");
    let wanted = format!("{wrong}:7: NetworkPolicy x/p: spec.ingress[0].from: an empty from means");
    assert!(out.starts_with(&wanted), "{out}");
    assert!(
        out.contains("[empty-peers]\n1 policies, 1 warnings, 0 notes\n"),
        "{out}"
    );
    let (code, value) = json(&["lint", &world, &wrong, "--allow", "empty-peers"]);
    assert_eq!((code, &value["findings"]), (0, &Value::Array(Vec::new())));
    let (_, value) = json(&["lint", &world, &wrong]);
    assert_eq!(value["findings"][0]["line"], 7);
    let (code, out, _) = said(&["lint", "--list"]);
    assert_eq!(code, 0);
    assert!(
        out.lines().any(|line| line.starts_with("or-for-and ")),
        "{out}"
    );
}

#[test]
fn the_schema_is_printed() {
    let (code, out, _) = said(&["schema"]);
    assert_eq!(code, 0);
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["id", "sentence"]));
}
