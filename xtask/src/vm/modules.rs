//! Kernel modules: where they are, and which other ones they need. Loading them is the guest's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The modules below a directory, by name.
#[derive(Debug)]
pub(super) struct Modules(BTreeMap<String, PathBuf>);

impl Modules {
    /// Looks for them.
    pub(super) fn below(directory: &Path) -> anyhow::Result<Self> {
        let mut found = BTreeMap::new();
        let mut todo = vec![directory.to_path_buf()];
        while let Some(directory) = todo.pop() {
            let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string());
            for entry in entries?.flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    todo.push(path);
                } else if let Some(name) = name_of(&path) {
                    found.insert(name, path);
                }
            }
        }
        Ok(Self(found))
    }

    /// The files of `names` and of all that they need, each before those that need it.
    ///
    /// # Errors
    /// Where there is no such module.
    pub(super) fn with_needs(&self, names: &[impl AsRef<str>]) -> anyhow::Result<Vec<PathBuf>> {
        let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
        for name in names {
            self.add(name.as_ref(), &mut seen, &mut files)?;
        }
        Ok(files)
    }

    fn add(
        &self,
        name: &str,
        seen: &mut BTreeSet<String>,
        files: &mut Vec<PathBuf>,
    ) -> anyhow::Result<()> {
        if !seen.insert(name.to_owned()) {
            return Ok(());
        }
        let file = self
            .0
            .get(name)
            .with_context(|| format!("no module {name}"))?;
        let image = fs::read(file).with_context(|| file.display().to_string())?;
        for need in needs(&image) {
            self.add(&need, seen, files)?;
        }
        files.push(file.clone());
        Ok(())
    }
}

/// A module's name has underscores, whatever its file has.
fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".ko")?;
    Some(name.replace('-', "_"))
}

/// The modules that a module names in its section `.modinfo`: strings that end with a zero.
fn needs(image: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let start = image.windows(KEY.len()).position(|bytes| bytes == KEY);
    let value = start.map_or(&[][..], |start| &image[start + KEY.len()..]);
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&value[..end])
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{name_of, needs};

    #[test]
    fn needs_are_read_from_the_image() {
        let image = b"\x7fELF\0license=GPL\0depends=x_tables,nf-conntrack\0retpoline=Y\0";
        assert_eq!(needs(image), ["x_tables", "nf_conntrack"]);
        assert!(needs(b"\0depends=\0name=x\0").is_empty());
        assert!(
            needs(b"\x7fELF").is_empty(),
            "built in, or no module at all"
        );
    }

    #[test]
    fn names_have_underscores() {
        let name = |path| name_of(Path::new(path));
        assert_eq!(name("/a/virtio-ring.ko"), Some("virtio_ring".into()));
        assert_eq!(name("/a/modules.order"), None);
    }
}
