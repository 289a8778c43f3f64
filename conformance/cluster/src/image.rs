//! Images without a registry or an engine: files on an empty base, written as an archive that is a docker archive and an
//! OCI layout at once. The same files make the same bytes.

mod libraries;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

pub use libraries::with_libraries;

/// What an image is made of.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Names that the image has, `NAME:TAG`; unqualified ones are filed under `docker.io/library`, as everywhere.
    pub tags: Vec<String>,
    /// As Go names it: `amd64`, `arm64`.
    pub architecture: String,
    /// The program that runs, with its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments that a pod may replace.
    pub arguments: Vec<String>,
    /// Labels of the image, by key.
    pub labels: Vec<(String, String)>,
    /// What is in it, in order.
    pub entries: Vec<Entry>,
}

/// A file of an image. Every one belongs to root and was made in 1970.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A directory that anybody may look into.
    Directory(String),
    /// A program, copied from here.
    Program(String, PathBuf),
    /// A symbolic link, and what it points to.
    Link(String, String),
}

impl Image {
    /// Writes the archive, and returns the digest of the image's configuration, which is what engines call its id.
    ///
    /// # Errors
    /// Names the file that could not be read or written.
    pub fn write(&self, archive: &Path) -> Result<String> {
        ensure!(!self.tags.is_empty(), "an image without a tag");
        let layer = self.layer()?;
        let config = self.config(&digest(&layer)).to_string().into_bytes();
        let manifest = manifest(&config, &layer).to_string().into_bytes();
        let index = self.index(&manifest).to_string().into_bytes();
        let listed = json!([{
            "Config": blob(&digest(&config)), "RepoTags": self.tags, "Layers": [blob(&digest(&layer))],
        }]);
        let mut tar = Builder::new(Vec::with_capacity(layer.len() + (1 << 16)));
        for (path, bytes) in [
            (blob(&digest(&layer)), &layer[..]),
            (blob(&digest(&config)), &config),
            (blob(&digest(&manifest)), &manifest),
            ("index.json".to_owned(), &index),
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#,
            ),
            ("manifest.json".to_owned(), listed.to_string().as_bytes()),
        ] {
            append(&mut tar, &path, EntryType::Regular, 0o644, bytes)?;
        }
        replace(archive, &tar.into_inner().context("the archive")?)?;
        Ok(digest(&config))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for entry in &self.entries {
            match entry {
                Entry::Directory(path) => {
                    append(&mut tar, path, EntryType::Directory, 0o755, &[])?;
                }
                Entry::Program(path, source) => {
                    let bytes = fs::read(source).with_context(|| source.display().to_string())?;
                    append(&mut tar, path, EntryType::Regular, 0o755, &bytes)?;
                }
                Entry::Link(path, to) => {
                    let mut header = header(EntryType::Symlink, 0o777, 0)?;
                    tar.append_link(&mut header, path, to)
                        .with_context(|| path.clone())?;
                }
            }
        }
        tar.into_inner().context("the layer")
    }

    fn config(&self, layer: &str) -> Value {
        let labels: serde_json::Map<_, _> = self
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), Value::from(value.clone())))
            .collect();
        json!({
            "architecture": self.architecture, "os": "linux", "created": "1970-01-01T00:00:00Z",
            "config": {"Entrypoint": self.entrypoint, "Cmd": self.arguments, "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        })
    }

    /// A manifest has one name, so each tag has an entry.
    fn index(&self, manifest: &[u8]) -> Value {
        let entries = self.tags.iter().map(|tag| {
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(manifest), "size": manifest.len(),
                "platform": {"architecture": self.architecture, "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": qualified(tag),
                    "org.opencontainers.image.ref.name": tag.rsplit(':').next(),
                },
            })
        });
        json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": entries.collect::<Vec<_>>(),
        })
    }
}

/// The name under which everybody files an image: one without a registry is of the default one.
pub fn qualified(tag: &str) -> String {
    match tag.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) => tag.to_owned(),
        Some(_) => format!("docker.io/{tag}"),
        None => format!("docker.io/library/{tag}"),
    }
}

/// How engines know contents.
pub fn digest(bytes: &[u8]) -> String {
    let hex = Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("sha256:{hex}")
}

/// Whether a file is an ELF program that needs no other file: it asks for no interpreter.
///
/// # Errors
/// Where it cannot be read, or is no 64-bit little-endian ELF file.
pub fn is_static(path: &Path) -> Result<bool> {
    const PT_INTERP: u32 = 3;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .with_context(|| path.display().to_string())?;
    let number = |at: usize, size: usize| {
        let field = bytes.get(at..at + size);
        let field = field.with_context(|| format!("{}: cut short", path.display()))?;
        Ok::<_, anyhow::Error>(
            field
                .iter()
                .rev()
                .fold(0_usize, |n, b| n << 8 | usize::from(*b)),
        )
    };
    ensure!(
        bytes.starts_with(b"\x7fELF\x02\x01"),
        "{}: no 64-bit ELF file",
        path.display()
    );
    // Of the ELF header: where the program headers are, how large each is, how many.
    let (offset, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    for header in 0..count {
        if number(offset + header * size, 4)? == PT_INTERP as usize {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies an archive that [`Image::write`] made of an image with one tag, that tag followed by the start of the image's
/// id; the new tag, without the name.
///
/// # Errors
/// Where the archive is another, or half of one: names what is wrong with it.
pub(crate) fn retag(archive: &Path, copy: &Path) -> Result<String> {
    let foreign = || {
        let archive = archive.display();
        format!("{archive}: no archive that cargo xtask image has written")
    };
    let files = unpack(archive).with_context(foreign)?;
    let (old, id) = listed(&files).with_context(foreign)?;
    let new = format!("{old}-{id}");
    let mut tar = Builder::new(Vec::new());
    for (path, bytes) in &files {
        let bytes = if path.starts_with(BLOBS) {
            bytes.clone()
        } else {
            let of = |tag: &str| tag.rsplit(':').next().unwrap_or_default().to_owned();
            let text = String::from_utf8_lossy(bytes).replace(&old, &new);
            let reference = |tag| format!("\"org.opencontainers.image.ref.name\":\"{tag}\"");
            text.replace(&reference(of(&old)), &reference(of(&new)))
                .into_bytes()
        };
        append(&mut tar, path, EntryType::Regular, 0o644, &bytes)?;
    }
    replace(copy, &tar.into_inner().context("the archive")?)?;
    Ok(new.rsplit(':').next().unwrap_or(&new).to_owned())
}

/// Where contents are, by their digests.
const BLOBS: &str = "blobs/sha256/";
/// What else there is in an archive: text that names them.
const INDEXES: [&str; 3] = ["index.json", "manifest.json", "oci-layout"];

/// The files of an archive, in order.
fn unpack(archive: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(File::open(archive)?).entries()? {
        let mut entry = entry.context("no tar archive, or half of one")?;
        let path = entry.path()?.display().to_string();
        let is_ours = path.starts_with(BLOBS) || INDEXES.contains(&path.as_str());
        ensure!(
            is_ours && entry.header().entry_type() == EntryType::Regular,
            "it has {path:?}"
        );
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        let is_whole = entry.size() == u64::try_from(bytes.len())?;
        ensure!(is_whole, "{path:?} is cut short");
        files.push((path, bytes));
    }
    Ok(files)
}

/// The tag of an archive's only image, and the start of its id.
fn listed(files: &[(String, Vec<u8>)]) -> Result<(String, String)> {
    let listed = files.iter().find(|(path, _)| path == "manifest.json");
    let (_, listed) = listed.context("it has no \"manifest.json\"")?;
    let listed: Value = serde_json::from_slice(listed).context("manifest.json")?;
    let images = listed.as_array().map_or(0, Vec::len);
    ensure!(images == 1, "manifest.json: {images} images");
    let tags = listed[0]["RepoTags"].as_array();
    let [tag] = tags.map_or(&[][..], Vec::as_slice) else {
        bail!("manifest.json: RepoTags: not one tag");
    };
    let tag = tag.as_str().context("manifest.json: RepoTags")?;
    let config = listed[0]["Config"].as_str();
    let id = config.and_then(|config| config.strip_prefix(BLOBS)?.get(..12));
    let id = id.context("manifest.json: Config")?;
    Ok((tag.to_owned(), id.to_owned()))
}

fn manifest(config: &[u8], layer: &[u8]) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(config), "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest(layer), "size": layer.len(),
        }],
    })
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn header(kind: EntryType, mode: u32, size: usize) -> Result<Header> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(u64::try_from(size).context("size")?);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    Ok(header)
}

fn append(
    tar: &mut Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> Result<()> {
    let mut header = header(kind, mode, bytes.len())?;
    tar.append_data(&mut header, path, bytes)
        .with_context(|| path.to_owned())
}

/// Writes a file whole or not at all, since others may be reading it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    File::create(&part)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Entry, Image, append, digest, is_static, qualified, retag};

    fn image(source: &Path) -> Image {
        Image {
            tags: vec!["x:1".to_owned(), "y/x:2".to_owned()],
            architecture: "amd64".to_owned(),
            entrypoint: vec!["/x".to_owned()],
            entries: vec![
                Entry::Directory("bin".to_owned()),
                Entry::Program("x".to_owned(), source.to_path_buf()),
                Entry::Link("bin/x".to_owned(), "/x".to_owned()),
            ],
            ..Image::default()
        }
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let archives = [&one, &two].map(|directory| {
            let source = directory.path().join("source");
            fs::write(&source, "program").unwrap();
            let archive = directory.path().join("image.tar");
            image(&source).write(&archive).unwrap();
            fs::read(archive).unwrap()
        });
        assert_eq!(archives[0], archives[1]);
    }

    #[test]
    fn a_copy_has_a_tag_of_its_contents() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("source"), "program").unwrap();
        let image = Image {
            tags: vec!["x:1".to_owned()],
            ..image(&at("source"))
        };
        let id = image.write(&at("image.tar")).unwrap();
        let tag = retag(&at("image.tar"), &at("copy.tar")).unwrap();
        assert_eq!(tag, format!("1-{}", &id["sha256:".len()..][..12]));
        let again = retag(&at("copy.tar"), &at("again.tar")).unwrap();
        assert!(again.starts_with(&tag), "{again}");
    }

    #[test]
    fn an_archive_of_another_making_is_refused_by_what_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("source"), "program".repeat(1000)).unwrap();
        image(&at("source")).write(&at("two-tags")).unwrap();
        let whole = fs::read(at("two-tags")).unwrap();
        fs::write(at("half"), &whole[..3000]).unwrap();
        fs::write(at("compressed"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0].repeat(200)).unwrap();
        fs::write(at("empty"), "").unwrap();
        let archive = |name: &str, files: &[(&str, &str)]| {
            let mut tar = tar::Builder::new(Vec::new());
            for (path, text) in files {
                let kind = if path.ends_with('/') {
                    tar::EntryType::Directory
                } else {
                    tar::EntryType::Regular
                };
                append(&mut tar, path, kind, 0o644, text.as_bytes()).unwrap();
            }
            fs::write(at(name), tar.into_inner().unwrap()).unwrap();
        };
        archive("layout", &[("index.json", "{}"), ("oci-layout", "{}")]);
        archive(
            "docker",
            &[("0123/layer.tar", "x"), ("manifest.json", "[]")],
        );
        archive("saved", &[("blobs/", ""), ("manifest.json", "[]")]);
        archive("text", &[("manifest.json", "[")]);
        archive("none", &[("manifest.json", "[]")]);
        let config = r#"[{"Config": "0123.json", "RepoTags": ["x:1"]}]"#;
        archive("config", &[("manifest.json", config)]);
        for (name, said) in [
            ("two-tags", "manifest.json: RepoTags: not one tag"),
            ("half", "is cut short"),
            ("compressed", "no tar archive"),
            ("empty", "it has no \"manifest.json\""),
            ("missing", "No such file"),
            ("layout", "it has no \"manifest.json\""),
            ("docker", "it has \"0123/layer.tar\""),
            ("saved", "it has \"blobs/\""),
            ("text", "manifest.json: EOF"),
            ("none", "manifest.json: 0 images"),
            ("config", "manifest.json: Config"),
        ] {
            let error = retag(&at(name), &at("copy.tar")).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(said), "{name}: {said} in: {error}");
            assert!(
                error.starts_with(&at(name).display().to_string()) && !error.contains('\n'),
                "{error}"
            );
            assert!(!at("copy.tar").exists(), "{name}: a copy");
        }
    }

    #[test]
    fn an_archive_is_of_both_kinds() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("source");
        fs::write(&source, "program").unwrap();
        let archive = directory.path().join("image.tar");
        let id = image(&source).write(&archive).unwrap();
        let mut files = std::collections::BTreeMap::new();
        let mut tar = tar::Archive::new(fs::File::open(&archive).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            files.insert(path, bytes);
        }
        let json = |path: &str| serde_json::from_slice::<serde_json::Value>(&files[path]).unwrap();
        let index = json("index.json");
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2, "tags");
        let of = |value: &serde_json::Value| {
            format!("blobs/{}", value.as_str().unwrap().replace(':', "/"))
        };
        let manifest = json(&of(&index["manifests"][0]["digest"]));
        assert_eq!(manifest["config"]["digest"], id.as_str());
        let docker = json("manifest.json");
        assert_eq!(docker[0]["Config"], of(&manifest["config"]["digest"]));
        for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(path, &format!("blobs/{}", digest(bytes).replace(':', "/")));
        }
    }

    #[test]
    fn unqualified_names_are_filed_under_the_default_registry() {
        for (tag, name) in [
            ("x:1", "docker.io/library/x:1"),
            ("y/x:1", "docker.io/y/x:1"),
            ("r.example/x:1", "r.example/x:1"),
            ("localhost:5000/x:1", "localhost:5000/x:1"),
        ] {
            assert_eq!(qualified(tag), name);
        }
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        let this = std::env::current_exe().unwrap();
        assert_eq!(is_static(&this).unwrap(), cfg!(target_env = "musl"));
        assert!(is_static(Path::new("/etc/passwd")).is_err());
    }
}
