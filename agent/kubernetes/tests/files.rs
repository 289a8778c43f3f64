//! Files: which are read, in which order, and what is remembered when they are read again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_kubernetes::{Loaded, Manifests, World, load, load_text};
use sluice_policy::Event;

fn pod_names(world: &World) -> Vec<String> {
    world
        .pods
        .iter()
        .map(|facts| facts.pod.name.to_string())
        .collect()
}

fn pod(name: &str) -> String {
    format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: x}}\n")
}

/// A directory of manifests that is written, read, and written again.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a written file");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).expect("a file to remove");
    }

    fn manifests(&self) -> Manifests {
        Manifests::new(&[self.path().to_owned()])
    }
}

/// Problems without the directory they are in.
fn problems(loaded: &Loaded, directory: &Directory) -> Vec<String> {
    let prefix = format!("{}/", directory.path().display());
    loaded
        .problems
        .iter()
        .map(|problem| problem.to_string().replace(&prefix, ""))
        .collect()
}

#[test]
fn directories_are_read_recursively_in_name_order_without_hidden_and_other_files() {
    let directory = Directory::new();
    directory.write("b.yml", &pod("b"));
    directory.write("a/z.yaml", &pod("z"));
    directory.write(
        "a.json",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "x"}}"#,
    );
    directory.write(".hidden/b.yaml", &pod("b"));
    directory.write("notes.txt", "not: [yaml");
    std::os::unix::fs::symlink(directory.path(), directory.path().join("loop")).unwrap();
    let loaded = load(&[directory.path().to_owned()]).unwrap();
    assert_eq!(problems(&loaded, &directory), [""; 0]);
    assert_eq!(pod_names(&loaded.world), ["x/z", "x/a", "x/b"]);
}

#[test]
fn mounted_config_maps_are_read_once() {
    let directory = Directory::new();
    directory.write("..2024/a.yaml", &pod("a"));
    std::os::unix::fs::symlink("..2024", directory.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", directory.path().join("a.yaml")).unwrap();
    let loaded = load(&[directory.path().to_owned()]).unwrap();
    assert_eq!(problems(&loaded, &directory), [""; 0]);
    assert_eq!(pod_names(&loaded.world), ["x/a"]);
}

#[test]
fn a_path_that_is_not_there_is_an_error_that_names_it() {
    let error = load(&[PathBuf::from("/nonexistent/sluice")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/sluice: No such file or directory (os error 2)"
    );
}

#[test]
fn a_file_that_breaks_keeps_its_objects_and_touches_no_other() {
    let directory = Directory::new();
    directory.write("a.yaml", &(pod("a") + &pod("b")));
    directory.write("c.yaml", &pod("c"));
    let mut manifests = directory.manifests();
    let first = manifests.reload().unwrap();
    assert_eq!(pod_names(&first.world), ["x/a", "x/b", "x/c"]);

    directory.write("a.yaml", "kind: [");
    directory.write("c.yaml", &(pod("c") + &pod("d")));
    for _twice in 0..2 {
        let broken = manifests.reload().unwrap();
        assert_eq!(pod_names(&broken.world), ["x/a", "x/b", "x/c", "x/d"]);
        let found = problems(&broken, &directory);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("a.yaml:1:7: not valid YAML: "),
            "{found:?}"
        );
        assert!(
            found[0].ends_with("; the file's former objects are kept"),
            "{found:?}"
        );
    }

    directory.write("a.yaml", &pod("a"));
    let repaired = manifests.reload().unwrap();
    assert_eq!(
        (pod_names(&repaired.world), problems(&repaired, &directory)),
        (vec!["x/a".into(), "x/c".into(), "x/d".into()], vec![])
    );
}

#[test]
fn a_file_that_is_being_written_keeps_its_objects_until_it_is_finished() {
    let directory = Directory::new();
    directory.write("..1/a.yaml", &pod("a"));
    std::os::unix::fs::symlink("..1/a.yaml", directory.path().join("a.yaml")).unwrap();
    directory.write("b.yaml", &pod("b"));
    let mut manifests = directory.manifests();
    manifests.reload().unwrap();

    directory.write("..1/a.yaml", "");
    directory.write("b.yaml", &pod("c"));
    directory.write("new.yaml", &pod("half"));
    let real = directory.path().canonicalize().unwrap();
    for _twice in 0..2 {
        let unfinished = |emptied: &[Arc<Path>]| {
            assert_eq!(emptied.len(), 1, "{emptied:?}");
            assert!(emptied[0].ends_with("a.yaml"), "{emptied:?}");
            [real.join("..1/a.yaml"), real.join("new.yaml")].into()
        };
        let loaded = manifests.reload_except(unfinished).unwrap();
        assert_eq!(pod_names(&loaded.world), ["x/a", "x/c"]);
    }

    let finished = manifests.reload().unwrap();
    assert_eq!(pod_names(&finished.world), ["x/c", "x/half"]);
}

#[test]
fn unfinished_files_are_asked_for_after_reading() {
    let directory = Directory::new();
    directory.write("a.yaml", &pod("a"));
    let mut manifests = directory.manifests();
    let rewrite = |emptied: &[Arc<Path>]| {
        assert!(emptied.is_empty(), "{emptied:?}");
        directory.write("a.yaml", &pod("b"));
        [].into()
    };
    let loaded = manifests.reload_except(rewrite).unwrap();
    assert_eq!(pod_names(&loaded.world), ["x/a"]);
}

#[test]
fn a_file_that_goes_takes_its_objects_along() {
    let directory = Directory::new();
    directory.write("a.yaml", &pod("a"));
    directory.write("b.yaml", &pod("b"));
    let mut manifests = directory.manifests();
    let earlier = manifests.reload().unwrap().world;
    directory.remove("a.yaml");
    let now = manifests.reload().unwrap().world;
    assert_eq!(pod_names(&now), ["x/b"]);
    let events = now.events_since(&earlier);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::PodGone(name) if name.to_string() == "x/a")),
        "{events:?}"
    );
}

#[test]
fn a_file_that_never_was_yaml_still_gives_its_readable_documents() {
    let loaded = load_text("f.yaml", &format!("{}---\na: [1\n{}", pod("a"), pod("b")));
    assert_eq!(pod_names(&loaded.world), ["x/a", "x/b"]);
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
}
