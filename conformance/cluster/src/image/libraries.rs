//! Programs of this machine for an image, with the libraries and the loader that they need: where they are here, they are
//! there, since that is where the loader looks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Entry, is_static};

/// The entries of these programs, each given with its place in the image, and of everything that they need.
///
/// # Errors
/// Names the program that cannot be read, or the library that it needs and this machine lacks.
pub fn with_libraries(programs: &[(String, PathBuf)]) -> Result<Vec<Entry>> {
    let mut files = BTreeMap::new();
    for (place, program) in programs {
        files.insert(place.clone(), program.clone());
        for library in libraries(program)? {
            files.insert(inside(&library)?, library);
        }
    }
    let directories: BTreeSet<_> = files.keys().flat_map(|file| above(file)).collect();
    let directories = directories.into_iter().map(Entry::Directory);
    let files = files
        .into_iter()
        .map(|(place, from)| Entry::Program(place, from));
    Ok(directories.chain(files).collect())
}

/// Where the loader finds what a program asks for; nothing, where it asks for no loader.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    if is_static(program)? {
        return Ok(Vec::new());
    }
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output();
    let output = output.context("running ldd")?;
    let shown = program.display();
    ensure!(output.status.success(), "ldd {shown}: {}", output.status);
    read(&String::from_utf8_lossy(&output.stdout)).with_context(|| shown.to_string())
}

/// What ldd(1) prints: `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` of the loader. What has no path is the kernel's own.
fn read(listed: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in listed.lines() {
        let line = line.trim();
        let found = line.split_once(" => ").map_or(line, |(_, found)| found);
        if found.starts_with("not found") {
            bail!("this machine lacks {line}");
        }
        let path = found.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            paths.push(path.into());
        }
    }
    Ok(paths)
}

/// A path of this machine as paths of an image are written.
fn inside(path: &Path) -> Result<String> {
    let path = path.strip_prefix("/").context("no absolute path")?;
    let text = path.to_str().context("a path that is no text")?;
    Ok(text.to_owned())
}

/// The directories that a file of an image is in.
fn above(file: &str) -> Vec<String> {
    let ends = file.match_indices('/').map(|(end, _)| end);
    ends.map(|end| file[..end].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_ldd_says_is_read() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                      \tlibx.so.0 => /lib/x86_64-linux-gnu/libx.so.0 (0x00007f01)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libx.so.0",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(read(listed).unwrap(), expected.map(PathBuf::from));
        let error = read("\tliby.so.1 => not found\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "this machine lacks liby.so.1 => not found"
        );
    }

    #[test]
    fn a_program_brings_what_it_needs_and_the_directories_of_that() {
        let this = std::env::current_exe().unwrap();
        let programs = [
            ("usr/bin/a".to_owned(), this.clone()),
            ("b".to_owned(), this.clone()),
        ];
        let entries = with_libraries(&programs).unwrap();
        let place = |path: &str| {
            let of = |entry: &Entry| match entry {
                Entry::Directory(at) | Entry::Program(at, _) | Entry::Link(at, _) => at == path,
            };
            entries.iter().position(of)
        };
        assert!(place("usr") < place("usr/bin") && place("usr/bin") < place("usr/bin/a"));
        assert!(place("b").is_some());
        for library in libraries(&this).unwrap() {
            assert!(place(&inside(&library).unwrap()).is_some(), "{library:?}");
        }
        assert!(with_libraries(&[("x".to_owned(), Path::new("/nowhere").into())]).is_err());
    }
}
