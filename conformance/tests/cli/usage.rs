//! What is refused before anything is run, and what is said then.

use std::fs;

use super::{Files, said};

/// Ends with 2, prints nothing and says why.
fn refused(args: &[&str], wanted: &str) {
    let (code, out, err) = said(args);
    assert!(err.contains(wanted), "{args:?}: {err}");
    assert_eq!((code, &*out), (2, ""), "{args:?}: {err}");
}

#[test]
fn bad_usage_ends_with_2_and_says_why() {
    let files = Files::of(&[(
        "waivers.yaml",
        "- case: a/good\n  reason: r\n  until: soon\n",
    )]);
    let waivers = &*files.path("waivers.yaml");
    let nowhere = &*files.path("no/such/directory");
    let empty = &*files.path("empty");
    fs::create_dir(empty).unwrap();
    for (args, wanted) in [
        (
            &["list", "--include", ""][..],
            "--include: a word of it is empty",
        ),
        (
            &["list", "--exclude", "ingress,"],
            "--exclude: a word of it is empty",
        ),
        (&["run", "--shard", "5/4"], "no share such as 1/4"),
        (&["run", "--profile", "lenient"], "no profile lenient"),
        (&["run", "--cases", nowhere], "No such file"),
        (&["run", "--cases", empty], "no *.yaml or *.yml in it"),
        (&["run", "--waivers", nowhere], "No such file"),
        (
            &["run", "--waivers", waivers],
            "waivers.yaml:3: until: no day such as",
        ),
        (&["run", "--junit", nowhere], "--junit"),
        (&["run", "--tap", nowhere], "--tap"),
        (&["run", "--markdown", nowhere], "--markdown"),
        (
            &["run", "--conformance-report", nowhere],
            "--conformance-report",
        ),
        (&["run", "--project", "mine"], "--conformance-report"),
        (&["matrix", nowhere], "No such file"),
        (
            &["lint", "--allow", "everything", nowhere],
            "no rule everything",
        ),
    ] {
        refused(args, wanted);
    }
}

#[test]
fn a_flag_of_another_runner_is_refused() {
    for (args, wanted) in [
        (
            &["run", "--kubeconfig", "nowhere", "upstream/np-01"][..],
            "--kubeconfig is for --runner cluster",
        ),
        (&["run", "--keep"], "--keep is for --runner cluster"),
        (
            &["run", "--mode", "nfqueue"],
            "--mode is for --runner lab, and this is evaluator",
        ),
        (
            &["run", "--runner", "cluster", "--jobs", "8"],
            "--jobs is for --runner evaluator and lab",
        ),
        (
            &["run", "--runner", "cluster", "--family", "6"],
            "--family is for --runner lab",
        ),
        (&["fuzz", "--shrink", "1"], "--shrink is for --runner lab"),
    ] {
        refused(args, wanted);
    }
}

#[test]
fn a_name_that_is_nobodys_is_refused_with_what_was_meant() {
    for (args, wanted) in [
        (
            &["run", "upstream/np-99"][..],
            "no case is called upstream/np-99",
        ),
        (
            &["explain", "np-21"],
            "no case is called np-21 (did you mean upstream/np-21?)",
        ),
        (
            &["list", "upstream/np-01", "nothing/*"],
            "no case is called nothing/*",
        ),
        (
            &["run", "--include", "ingres"],
            "no case has the tag, feature or theme ingres (did you mean ingress?)",
        ),
    ] {
        refused(args, wanted);
    }
}

#[test]
fn a_bad_case_ends_with_2_and_says_where() {
    let head = "id: a/b\nsentence: s\n";
    for (text, wanted) in [
        (
            &*format!("{head}polices: []\n"),
            "case.yaml:3: polices: unknown field",
        ),
        ("id: a/b\n", "case.yaml:1: sentence: missing field"),
        ("id: [\n", "case.yaml:"),
        (
            &format!("{head}world: moon\n"),
            "case.yaml:3: world: no world moon",
        ),
        (
            &format!("{head}matrix: |\n  -   x/a x/b\n  x/a .\n"),
            "case.yaml:4: matrix: row x/a has 1 marks, and the table 2 columns",
        ),
        (
            &format!("{head}matrix: |\n  -   x/a\n  x/a .\n"),
            "case.yaml:4: matrix: the table's rows are x/a, and the world's x/a x/b",
        ),
        (
            &format!("{head}matrix: X w/a > x/a\n"),
            "case.yaml:3: matrix: clause `X w/a > x/a` is about nobody",
        ),
        (
            &format!("{head}steps:\n  - events: [delete: x/p]\n"),
            "case.yaml:4: steps[0].events[0]: NetworkPolicy x/p is not there",
        ),
        (
            &format!("{head}policies:\n  - x/p: {{podSelector: {{}}, ingres: []}}\n"),
            "case.yaml:4: policies[0]: NetworkPolicy x/p: spec.ingres: ",
        ),
        (
            &format!("{head}matrix: {{80/TCP: X x/a > x/b}}\n"),
            "case.yaml:3: matrix: 2 cells differ from what the API text says, the first: x/a > x/b",
        ),
    ] {
        let files = Files::of(&[("case.yaml", text)]);
        refused(&["run", "--cases", &files.path("case.yaml")], wanted);
    }
}

#[test]
fn a_file_that_is_no_text_hides_no_other() {
    let files = Files::of(&[("b.yaml", "id: [\n")]);
    fs::write(files.path("a.yaml"), b"id: a/b\nsentence: \xff\n").unwrap();
    let directory = files.path("");
    refused(&["run", "--cases", &directory], "a.yaml:2: case: no UTF-8");
    refused(&["run", "--cases", &directory], "b.yaml:");
}

#[test]
fn a_star_in_an_id_stands_for_anything() {
    let (code, out, err) = said(&["list", "*/np-01"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("upstream/np-01 "), "{out}");
    assert!(out.ends_with("\n1 cases\n"), "{out}");
}
