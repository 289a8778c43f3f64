//! Debian's 6.1 kernel: where it is kept, and how it is fetched. It is never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::modules::Modules;
use crate::process;

/// A kernel that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    directory: PathBuf,
}

/// What its package is called, but for a number: the flavour for ordinary machines, whose modules are all there.
const PACKAGE: (&str, &str) = ("linux-image-6.1.0-", "-amd64");
/// The processor that it is for.
const ARCHITECTURE: &str = "x86_64";
/// What is unpacked of the package's 400 MB.
const WANTED: [&str; 7] = [
    "./boot/vmlinuz-*",
    "./lib/modules/*/kernel/crypto/*",
    "./lib/modules/*/kernel/drivers/net/*",
    "./lib/modules/*/kernel/drivers/virtio/*",
    "./lib/modules/*/kernel/fs/*",
    "./lib/modules/*/kernel/lib/*",
    "./lib/modules/*/kernel/net/*",
];

impl Kernel {
    /// The newest that was fetched.
    pub(crate) fn find() -> Option<Self> {
        let kept = fs::read_dir(shelf().ok()?).ok()?.flatten();
        let newest = kept
            .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())))
            .max();
        newest.map(|(_, directory)| Self { directory })
    }

    /// The directory that is its own.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The kernel proper.
    pub(super) fn image(&self) -> PathBuf {
        let package = self.directory.file_name().unwrap_or_default();
        let release = package
            .to_string_lossy()
            .replace("linux-image-", "vmlinuz-");
        self.directory.join("boot").join(release)
    }

    /// The files of its modules `names` and of those that they need, in the order in which they can be loaded.
    ///
    /// # Errors
    /// Where there is no such module.
    pub(crate) fn modules(&self, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        Modules::below(&self.directory.join("lib/modules"))?.with_needs(names)
    }
}

/// The package that would be fetched; none where apt knows none, or the machine is another one.
pub(crate) fn package() -> Option<String> {
    let name = format!("^{}[0-9]+{}$", PACKAGE.0.replace('.', "\\."), PACKAGE.1);
    let mut search = Command::new("apt-cache");
    let found = process::output_of(search.args(["search", "--names-only", &name]))?;
    newest(&found).filter(|_| std::env::consts::ARCH == ARCHITECTURE)
}

/// Downloads and unpacks it.
///
/// # Errors
/// Where apt knows no such package, or cannot download it.
pub(crate) fn fetch() -> anyhow::Result<()> {
    let package = package().context("apt knows no linux-image-6.1.0-N-amd64")?;
    let shelf = shelf()?;
    // Under another name until it is whole: a fetch may break off.
    let room = shelf.join("fetching");
    if room.exists() {
        fs::remove_dir_all(&room)?;
    }
    let unpacked = room.join(&package);
    fs::create_dir_all(&unpacked).with_context(|| unpacked.display().to_string())?;
    let mut download = Command::new("apt-get");
    download
        .args(["--quiet=2", "download", &package])
        .current_dir(&room);
    if !process::run(&mut download)?.success() {
        bail!("`{}` failed", process::shown(&download));
    }
    let archive = fs::read_dir(&room)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get has downloaded nothing")?;
    unpack(&archive, &unpacked)?;
    fs::rename(&unpacked, shelf.join(&package)).context("keeping the kernel")?;
    fs::remove_dir_all(&room).context("removing the package")
}

fn unpack(archive: &Path, to: &Path) -> anyhow::Result<()> {
    let mut contents = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("running dpkg-deb")?;
    let stream = contents.stdout.take().context("dpkg-deb's stdout")?;
    let mut tar = Command::new("tar");
    let unpacked = tar
        .args(["--extract", "--no-same-owner", "--wildcards", "--directory"])
        .arg(to)
        .args(WANTED)
        .stdin(stream)
        .status()
        .context("running tar")?;
    if !contents.wait()?.success() || !unpacked.success() {
        bail!("{} cannot be unpacked", archive.display());
    }
    Ok(())
}

/// Where kernels are kept: beside what cargo builds. This program is somewhere in that directory.
fn shelf() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("finding this program")?;
    let target = program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .context("this program is not where cargo builds")?;
    Ok(target.join("kernels"))
}

/// The number of a package of ours.
fn number(package: &str) -> Option<u32> {
    let number = package.strip_prefix(PACKAGE.0)?.strip_suffix(PACKAGE.1)?;
    number.parse().ok()
}

/// The newest package in what `apt-cache search` prints.
fn newest(found: &str) -> Option<String> {
    let names = found.lines().filter_map(|line| line.split(' ').next());
    names
        .max_by_key(|name| number(name))
        .filter(|name| number(name).is_some())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_package_is_the_one_with_the_highest_number() {
        let found = "linux-image-6.1.0-9-amd64 - Linux 6.1\nlinux-image-6.1.0-56-amd64 - Linux 6.1\n\
                     linux-image-6.1.0-60-cloud-amd64 - Linux 6.1 for clouds";
        assert_eq!(newest(found).as_deref(), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(newest(""), None);
        assert_eq!(newest("linux-image-6.12-amd64 - Linux"), None);
    }
}
