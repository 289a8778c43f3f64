//! Files of Kubernetes YAML or JSON: found, read, and read again.

use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::BuildHasher as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::World;
use crate::assemble::assemble;
use crate::node::Node;
use crate::object::{Decoded, Object, decode};
use crate::problem::{Origin, Place, Problem};
use crate::yaml;

/// What was read: the world of all that is valid, invalid policies failed closed, and every problem at once.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The world, complete as far as it could be read.
    pub world: World,
    /// Everything that was wrong, file by file in order of reading, then what is wrong between files.
    pub problems: Vec<Problem>,
    /// Kinds that were passed over, and how often.
    pub ignored: BTreeMap<String, usize>,
}

/// The paths themselves could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct LoadError {
    /// The path given, or what was found below it.
    pub path: PathBuf,
    /// Why. Part of the message, and so not told again as its source.
    pub cause: io::Error,
}

/// Reads files, directories (recursively, `.yaml`, `.yml` and `.json`, in name order, nothing hidden) and `-`.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, LoadError> {
    Manifests::new(paths).reload()
}

/// Reads text as if it were the one file, of that name.
pub fn load_text(name: &str, text: &str) -> Loaded {
    Loaded::of(&[&read(&Path::new(name).into(), text.as_bytes(), None)])
}

/// Takes objects as if they stood in the one file of that name, on no line.
pub fn load_objects(name: &str, objects: impl IntoIterator<Item = impl Borrow<Json>>) -> Loaded {
    let objects = objects.into_iter();
    let documents: Vec<Node> = objects.map(|it| Node::from_json(it.borrow())).collect();
    Loaded::of(&[&File::of(&documents, &Path::new(name).into(), Vec::new())])
}

/// Manifests that are read again and again, and what is remembered in between.
///
/// A file that is no longer YAML keeps the objects that it last had, and one that is gone takes its objects along.
#[derive(Debug)]
pub struct Manifests {
    paths: Vec<PathBuf>,
    files: BTreeMap<Arc<Path>, File>,
    /// Keyed at random, so that no content can be made to look unchanged.
    hasher: RandomState,
}

/// What is remembered of a file.
#[derive(Debug, Default)]
struct File {
    /// Of the content that was last read.
    fingerprint: Option<u64>,
    /// Of the content that last was YAML.
    objects: Vec<Object>,
    problems: Vec<Problem>,
    ignored: Vec<String>,
}

/// What stands in a file now.
struct Read {
    path: Arc<Path>,
    /// None for standard input that was read before.
    content: Option<Vec<u8>>,
}

impl Manifests {
    /// Remembers what to read; reads nothing yet.
    pub fn new(paths: &[PathBuf]) -> Self {
        Self {
            paths: paths.to_vec(),
            files: BTreeMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Reads everything that is different from the last time. After an error nothing has changed.
    pub fn reload(&mut self) -> Result<Loaded, LoadError> {
        self.reload_except(|_emptied| BTreeSet::new())
    }

    /// As [`Self::reload`], but a file that was being written meanwhile keeps what it had, if it had anything: half of
    /// it may be missing. `unfinished` is asked once, after all files are read, and answers with paths without links; it
    /// is told which files had content and are empty, as a file is whose writing has only just begun.
    pub fn reload_except(
        &mut self,
        unfinished: impl FnOnce(&[Arc<Path>]) -> BTreeSet<PathBuf>,
    ) -> Result<Loaded, LoadError> {
        let read = self.read_all()?;
        let emptied: Vec<_> = read.iter().filter_map(|read| self.emptied(read)).collect();
        let unfinished = unfinished(&emptied);
        let mut files = BTreeMap::new();
        let mut order: Vec<Arc<Path>> = Vec::new();
        for Read { path, content } in read {
            if files.contains_key(&path) {
                continue;
            }
            let file = match (self.files.remove(&path), is_among(&unfinished, &path)) {
                (Some(earlier), true) => earlier,
                (None, true) => continue,
                (earlier, false) => self.file(&path, content, earlier),
            };
            files.insert(Arc::clone(&path), file);
            order.push(path);
        }
        self.files = files;
        Ok(self.loaded(&order))
    }

    /// The content of every file, in order.
    fn read_all(&self) -> Result<Vec<Read>, LoadError> {
        let mut read = Vec::new();
        for path in &self.paths {
            if path == Path::new("-") {
                let path: Arc<Path> = path.as_path().into();
                let content = if self.files.contains_key(&path) {
                    None
                } else {
                    Some(standard_input()?)
                };
                read.push(Read { path, content });
                continue;
            }
            for file in find(path)? {
                match fs::read(&file) {
                    Ok(content) => read.push(Read {
                        path: file.into(),
                        content: Some(content),
                    }),
                    // It was there a moment ago: it is gone now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && file != *path => {}
                    Err(cause) => return Err(LoadError { path: file, cause }),
                }
            }
        }
        Ok(read)
    }

    fn emptied(&self, read: &Read) -> Option<Arc<Path>> {
        let nothing = Some(self.hasher.hash_one(Vec::<u8>::new()));
        let earlier = self.files.get(&read.path)?;
        let empty = read.content.as_ref()?.is_empty() && earlier.fingerprint != nothing;
        empty.then(|| Arc::clone(&read.path))
    }

    fn file(&self, path: &Arc<Path>, content: Option<Vec<u8>>, earlier: Option<File>) -> File {
        let Some(content) = content else {
            return earlier.unwrap_or_default();
        };
        let fingerprint = Some(self.hasher.hash_one(&content));
        match earlier {
            Some(earlier) if earlier.fingerprint == fingerprint => earlier,
            earlier => File {
                fingerprint,
                ..read(path, &content, earlier)
            },
        }
    }

    fn loaded(&self, order: &[Arc<Path>]) -> Loaded {
        let files: Vec<&File> = order
            .iter()
            .filter_map(|path| self.files.get(path))
            .collect();
        Loaded::of(&files)
    }
}

impl Loaded {
    fn of(files: &[&File]) -> Self {
        let objects: Vec<&Object> = files.iter().flat_map(|file| &file.objects).collect();
        let (world, between) = assemble(&objects);
        let mut problems: Vec<Problem> = files
            .iter()
            .flat_map(|file| &file.problems)
            .cloned()
            .collect();
        problems.extend(between);
        let mut ignored = BTreeMap::new();
        for kind in files.iter().flat_map(|file| &file.ignored) {
            *ignored.entry(kind.clone()).or_default() += 1;
        }
        Loaded {
            world,
            problems,
            ignored,
        }
    }
}

/// Reads a file's content. Where it is not YAML, the file keeps what it had, if it had anything.
fn read(path: &Arc<Path>, content: &[u8], earlier: Option<File>) -> File {
    let (documents, errors) = match std::str::from_utf8(content) {
        Ok(text) => yaml::parse(text),
        Err(error) => (Vec::new(), vec![not_text(content, error.valid_up_to())]),
    };
    let problems: Vec<Problem> = errors
        .into_iter()
        .map(|error| broken(path, &error, earlier.is_some()))
        .collect();
    if let (false, Some(earlier)) = (problems.is_empty(), earlier) {
        return File {
            problems,
            ..earlier
        };
    }
    File::of(&documents, path, problems)
}

impl File {
    /// What documents say, and what is wrong with them besides.
    fn of(documents: &[Node], path: &Arc<Path>, mut problems: Vec<Problem>) -> Self {
        let mut file = Self::default();
        for document in documents {
            let Decoded {
                objects,
                problems: wrong,
                ignored,
            } = decode(document, path);
            file.objects.extend(objects);
            problems.extend(wrong);
            file.ignored.extend(ignored);
        }
        problems.sort_by(|left, right| left.origin.cmp(&right.origin));
        Self { problems, ..file }
    }
}

fn not_text(content: &[u8], offset: usize) -> yaml::SyntaxError {
    let before = content.get(..offset).unwrap_or_default();
    let lines = before.split(|byte| *byte == b'\n');
    let column = lines.clone().next_back().map_or(0, <[u8]>::len) + 1;
    let line = lines.count();
    let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
    yaml::SyntaxError {
        line: number(line),
        column: number(column),
        message: "not UTF-8".to_owned(),
    }
}

fn broken(path: &Arc<Path>, error: &yaml::SyntaxError, keeps: bool) -> Problem {
    let kept = if keeps {
        "; the file's former objects are kept"
    } else {
        ""
    };
    Problem {
        origin: Origin::File(Place {
            file: Arc::clone(path),
            line: Some(error.line),
            column: Some(error.column),
        }),
        object: None,
        field: None,
        message: format!("not valid YAML: {}{kept}", error.message),
        harmless: false,
    }
}

fn standard_input() -> Result<Vec<u8>, LoadError> {
    let mut content = Vec::new();
    match io::stdin().read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(cause) => Err(LoadError {
            path: "-".into(),
            cause,
        }),
    }
}

/// The files that a path stands for.
pub(crate) fn find(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let is_directory = fs::metadata(path)
        .map_err(|cause| LoadError {
            path: path.to_owned(),
            cause,
        })?
        .is_dir();
    if !is_directory {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    walk(path, &mut Vec::new(), &mut files)?;
    Ok(files)
}

/// Whether a file is one of these, which are paths without links.
fn is_among(paths: &BTreeSet<PathBuf>, file: &Path) -> bool {
    let is_one = |file: PathBuf| paths.contains(&file);
    !paths.is_empty() && file.canonicalize().is_ok_and(is_one)
}

/// Goes through a directory in name order. Links are followed, but never back up; hidden entries are left out, as
/// mounted `ConfigMap`s keep their former generations there.
fn walk(
    directory: &Path,
    above: &mut Vec<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> Result<(), LoadError> {
    let failed = |cause| LoadError {
        path: directory.to_owned(),
        cause,
    };
    let canonical = directory.canonicalize().map_err(failed)?;
    if above.contains(&canonical) {
        return Ok(());
    }
    let mut entries = fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(failed)?;
    entries.sort();
    above.push(canonical);
    for entry in entries.into_iter().filter(|entry| !is_hidden(entry)) {
        match fs::metadata(&entry) {
            Ok(metadata) if metadata.is_dir() => walk(&entry, above, files)?,
            Ok(metadata) if metadata.is_file() && is_manifest(&entry) => files.push(entry),
            _ => {}
        }
    }
    above.pop();
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_read_as_from_a_file_but_on_no_line() {
        let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "p", "namespace": "x"},
            "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 0}]}]}});
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "x"}});
        let written = load_text("w", &format!("---\n{policy}\n---\n{pod}\n"));
        let objects = load_objects("w", [&policy, &pod]);
        assert_eq!(objects.world.policies, written.world.policies);
        assert_eq!(objects.world.pods, written.world.pods);
        let said = |loaded: &Loaded| loaded.problems.iter().map(ToString::to_string).collect();
        let (objects, written): (Vec<String>, Vec<String>) = (said(&objects), said(&written));
        assert!(written[0].starts_with("w:2: "), "{written:?}");
        assert_eq!(objects[0], written[0].replace("w:2: ", "w: "));
    }
}
