//! Packages of a component of Debian that a machine's sources leave out, as `non-free` is by default. Its sources stay as
//! they are: apt is given lists of its own for the one installation.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::machine::{apt_get, succeed};
use crate::process;

/// What apt is to tell of each list that it has.
const FORMAT: &str = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)";

/// Installs a package of a component.
pub(super) fn install(component: &str, package: &str) -> anyhow::Result<()> {
    let sources = sources(&listed(), component);
    ensure!(
        !sources.is_empty(),
        "this machine has no sources of Debian's"
    );
    let place = std::env::temp_dir().join(format!("sluice-setup-{}", std::process::id()));
    fs::create_dir_all(place.join("lists/partial")).context("a directory for apt")?;
    let done = install_from(&place, &sources, package);
    fs::remove_dir_all(&place).context("removing apt's directory")?;
    done
}

/// Whether it can be tried.
pub(super) fn is_debian() -> bool {
    !sources(&listed(), "main").is_empty()
}

fn listed() -> String {
    let mut ask = Command::new("apt-get");
    ask.args(["indextargets", "--format", FORMAT, "Created-By: Packages"]);
    process::output_of(&mut ask).unwrap_or_default()
}

fn install_from(place: &Path, sources: &str, package: &str) -> anyhow::Result<()> {
    let list = place.join("sources.list");
    fs::write(&list, sources).context("a list of sources")?;
    let run = |args: &[&str]| {
        let mut apt = apt_get(args);
        apt.arg("-o")
            .arg(format!("Dir::Etc::sourcelist={}", list.display()))
            .args(["-o", "Dir::Etc::sourceparts=-", "-o"])
            .arg(format!(
                "Dir::State::Lists={}",
                place.join("lists").display()
            ));
        succeed(&mut apt)
    };
    run(&["update"])?;
    let installed = run(&["install", "--yes", "--no-install-recommends", package]);
    if installed.is_err() {
        bail!("{package} could not be installed from {}", sources.trim());
    }
    Ok(())
}

/// Wherever `main` comes from.
fn sources(listed: &str, component: &str) -> String {
    let of = |line: &str| {
        let mut fields = line.split(' ');
        let (uri, release, of, origin) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        // What was updated since is in `main` alone.
        let is_base = of == "main" && origin == "Debian" && !release.contains('-');
        is_base.then(|| format!("deb {uri} {release} {component}\n"))
    };
    listed.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::sources;

    #[test]
    fn a_component_is_looked_for_where_main_is() {
        let listed = "\
mirror://a/debian/ bookworm main Debian
mirror://a/debian/ bookworm-updates main Debian
mirror://b/ stable main Somebody
mirror://a/debian/ bookworm contrib Debian
";
        let expected = "deb mirror://a/debian/ bookworm non-free\n";
        assert_eq!(sources(listed, "non-free"), expected);
        assert_eq!(sources("", "non-free"), "");
    }
}
