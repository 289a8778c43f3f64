//! The first file system of the guest: this program, the libraries that it is linked with, the modules that it takes to
//! reach the host's files, and the steps. All else is on the host.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::kernel::Kernel;
use super::{Step, wire};
use crate::process;

/// This program.
pub(super) const INIT: &str = "/init";
/// The steps.
pub(super) const STEPS: &str = "/steps";
/// The modules, to be loaded in the order of their names.
pub(super) const MODULES: &str = "/modules";

/// What it takes to see the host's files, and to write above them.
const REACH_HOST: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// Writes it to `path`.
pub(super) fn write(path: &Path, kernel: &Kernel, steps: &[Step]) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut archive = Archive::new(BufWriter::new(file));
    // By its process: a build may have put another file in its place meanwhile.
    let program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    for directory in [
        "/dev", "/proc", "/sys", "/host", "/memory", "/root", MODULES,
    ] {
        archive.directory(Path::new(directory))?;
    }
    archive.file(Path::new(INIT), &fs::read(&program)?)?;
    archive.file(Path::new(STEPS), wire::write_steps(steps).as_bytes())?;
    for library in libraries(&program)? {
        archive.file(&library, &fs::read(&library)?)?;
    }
    let modules = kernel.modules(&REACH_HOST)?;
    for (number, module) in modules.iter().enumerate() {
        let name = PathBuf::from(format!("{MODULES}/{number:02}"));
        archive.file(&name, &fs::read(module)?)?;
    }
    archive.finish().context("writing the initramfs")
}

/// The files that the loader maps for `program`: none where it is static.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = process::output_of(Command::new("ldd").arg(program)).context("running ldd")?;
    Ok(paths(&listed))
}

/// The paths in what `ldd` prints: `NAME => PATH (ADDRESS)`, and the loader as `PATH (ADDRESS)`.
fn paths(listed: &str) -> Vec<PathBuf> {
    listed
        .split_ascii_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// Writes a cpio archive of the format `newc`, the one that the kernel unpacks
/// (Documentation/driver-api/early-userspace/buffer-format.rst).
struct Archive<W> {
    to: W,
    written: usize,
    number: usize,
    directories: Vec<PathBuf>,
}

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

impl<W: io::Write> Archive<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            written: 0,
            number: 0,
            directories: Vec::new(),
        }
    }

    /// A directory, and those that it is in.
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let above: Vec<_> = path.ancestors().collect();
        for directory in above.into_iter().rev().filter(|it| *it != Path::new("")) {
            if !self.directories.iter().any(|it| it == directory) {
                self.directories.push(directory.to_path_buf());
                self.entry(directory, DIRECTORY, &[])?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        let path = path.strip_prefix("/").unwrap_or(path);
        self.directory(path.parent().unwrap_or(Path::new("")))?;
        self.entry(path, FILE, content)
    }

    fn finish(mut self) -> io::Result<()> {
        self.entry(Path::new("TRAILER!!!"), 0, &[])?;
        self.to.flush()
    }

    /// Magic, thirteen numbers, the name with a zero, the content; name and content filled up to four bytes.
    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        let name = path.to_string_lossy();
        self.number += 1;
        let mut fields = [0; 13];
        fields[0] = self.number;
        fields[1] = mode as usize;
        fields[4] = 1;
        fields[6] = content.len();
        fields[11] = name.len() + 1;
        let header = fields.iter().fold(String::from("070701"), |text, field| {
            text + &format!("{field:08x}")
        });
        self.put(format!("{header}{name}\0").as_bytes())?;
        self.put(content)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let padding = (self.written + bytes.len()).next_multiple_of(4) - self.written - bytes.len();
        self.to.write_all(bytes)?;
        self.to.write_all(&[0; 3][..padding])?;
        self.written += bytes.len() + padding;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Archive, paths};

    #[test]
    fn an_archive_has_directories_before_files_and_is_aligned() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file(Path::new("/lib/x/a"), b"12345").unwrap();
        archive.file(Path::new("/lib/b"), b"").unwrap();
        archive.finish().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let names: Vec<_> = text
            .split("070701")
            .skip(1)
            .map(|entry| entry[104..].split('\0').next().unwrap())
            .collect();
        assert_eq!(names, ["lib", "lib/x", "lib/x/a", "lib/b", "TRAILER!!!"]);
        assert_eq!(bytes.len() % 4, 0);
        let starts: Vec<_> = text.match_indices("070701").map(|(at, _)| at % 4).collect();
        assert_eq!(starts, [0; 5]);
    }

    #[test]
    fn libraries_are_the_paths_that_ldd_prints() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f)";
        let found = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(paths(listed), found.map(PathBuf::from));
        assert!(paths("\tstatically linked").is_empty());
    }
}
