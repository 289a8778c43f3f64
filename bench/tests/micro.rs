//! One short real run of every part, whose steps prove themselves, and what the command line refuses.

mod common;

use serde_json::Value;

use self::common::{assert_said, bench, said, skipped};

#[test]
fn every_part_has_figures_that_are_proven() {
    if skipped() {
        return;
    }
    let output = bench("micro --quick --rounds 5 --repeat 100 -o json");
    // Instructions are those of another kind of build, or of another compiler, for all that a test knows.
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let rows = report["micro"].as_array().expect("rows");
    for (part, least) in [
        ("programs", 60),
        ("verdicts", 9),
        ("events", 8),
        ("kernel", 6),
        ("instructions", 3),
        ("memory", 4),
    ] {
        let of = rows.iter().filter(|row| row["part"] == part);
        assert!(of.clone().count() >= least, "{part}: {report:#}");
        for row in of {
            let is_skipped = row["skipped"].is_string();
            assert!(is_skipped || row["median"].as_f64() > Some(0.0), "{row:#}");
            assert!(is_skipped || row["proof"] != "", "{row:#}");
            // Only valgrind may be missing.
            assert!(!is_skipped || part == "instructions", "{row:#}");
        }
    }
    let drifted = rows.iter().filter_map(|row| row["drift"].as_f64());
    let expected = drifted.filter(|drift| drift.abs() > 0.1).count() > 0;
    assert_eq!(code, Some(i32::from(expected)), "{}", said(&output));
}

#[test]
fn instructions_that_drift_are_told_and_can_be_recorded_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let bounds = directory.path().join("bounds.json");
    let bounds = bounds.to_str().expect("a path of text");
    let line = format!("micro --parts instructions --bounds {bounds}");
    let renewed = bench(&format!("{line} --renew"));
    if said(&renewed).contains("nothing was counted") {
        println!("skipped: no valgrind");
        return;
    }
    assert_eq!(renewed.status.code(), Some(0), "{}", said(&renewed));
    let again = bench(&line);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let text = std::fs::read_to_string(bounds).expect("bounds");
    let mut recorded: Value = serde_json::from_str(&text).expect("bounds");
    let of_build = recorded
        .as_object_mut()
        .and_then(|it| it.values_mut().next());
    of_build.expect("this build")["a verdict"] = 1.into();
    std::fs::write(bounds, recorded.to_string()).expect("bounds");
    let drifted = bench(&line);
    assert_eq!(drifted.status.code(), Some(1), "{}", said(&drifted));
    let told = said(&drifted);
    assert!(
        told.contains("against the recorded 1") && told.contains("--renew"),
        "{told}"
    );
}

#[test]
fn what_cannot_be_measured_is_said() {
    for (arguments, code, says) in [
        ("micro --parts sheep", 2, "invalid value 'sheep'"),
        ("micro --rounds 4", 2, "4 is not in 5..=1000"),
        ("micro --repeat 0", 2, "0 is not in 1..=100000000"),
        (
            "micro --bounds /nowhere.json",
            2,
            "/nowhere.json: No such file",
        ),
        (
            "micro --bounds Cargo.toml",
            2,
            "Cargo.toml: no counts of instructions",
        ),
        ("micro --renew --parts events", 2, "not among the parts"),
        (
            "micro --parts memory --agent /nowhere/sluice",
            2,
            "no agent at /nowhere/sluice",
        ),
        ("report /nowhere.json", 2, "/nowhere.json: No such file"),
        ("report Cargo.toml", 2, "Cargo.toml: no JSON document"),
        (
            "report tests/data/none.json",
            2,
            "tests/data/none.json: a document of none of compare",
        ),
        (
            "report tests/data/half.json",
            2,
            "tests/data/half.json: of compare: `workloads[0].ratios`: invalid type",
        ),
        (
            "report tests/data/network.json --out Cargo.toml",
            2,
            "Cargo.toml: File exists",
        ),
        (
            "report tests/data/network.json --out /proc/x",
            2,
            "/proc/x: No such file",
        ),
        (
            "report tests/data/network.json --out /proc/x --readme Cargo.toml",
            2,
            "Cargo.toml: no line `<!-- results -->`",
        ),
    ] {
        assert_said(arguments, &bench(arguments), (code, says));
    }
}

#[test]
fn a_readme_gets_its_section() {
    let directory = tempfile::tempdir().expect("a directory");
    let readme = directory.path().join("README.md");
    std::fs::write(&readme, "# A\n<!-- results -->\n<!-- /results -->\nrest\n").expect("a text");
    let out = directory.path().join("results");
    let line = format!(
        "report tests/data/network.json --out {} --readme {}",
        out.display(),
        readme.display()
    );
    let mut texts = Vec::new();
    for _ in 0..2 {
        let output = bench(&line);
        assert!(output.status.success(), "{}", said(&output));
        texts.push(std::fs::read_to_string(&readme).expect("a text"));
    }
    assert_eq!(texts[0], texts[1]);
    assert!(texts[0].contains("(results/network.md)") && texts[0].ends_with("rest\n"));
}
