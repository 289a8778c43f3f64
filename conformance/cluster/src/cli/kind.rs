//! `--provider kind`: the same by kind, for machines with docker. Only made and taken away here; kind's own tools do
//! the rest.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::up::FamilyName;
use super::{Cannot, Output as Form};

/// Makes a cluster by kind.
pub(super) fn up(name: &str, nodes: u8, family: FamilyName, output: Form) -> Result<ExitCode> {
    require()?;
    let mut create = Command::new("kind");
    create.args(["create", "cluster", "--name", name, "--config", "-"]);
    // Kind's own words are for people; ours alone go to stdout.
    let mut child = create
        .stdin(Stdio::piped())
        .stdout(io::stderr())
        .spawn()
        .context("running kind")?;
    let mut config_pipe = child.stdin.take().context("a pipe to kind")?;
    config_pipe
        .write_all(config(nodes, family).as_bytes())
        .context("writing to kind")?;
    drop(config_pipe);
    ensure!(child.wait()?.success(), "kind failed");
    eprintln!("kind's own network plugin enforces NetworkPolicies as well, beside Sluice");
    let context = format!("kind-{name}");
    if output == Form::Json {
        println!(
            "{:#}",
            json!({"name": name, "provider": "kind", "context": context})
        );
    } else {
        println!("kubectl --context {context} get pods -A");
        println!("kind load image-archive target/image/sluice-amd64.tar --name {name}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes it away.
pub(super) fn down(name: &str) -> Result<ExitCode> {
    require()?;
    let mut delete = Command::new("kind");
    delete.args(["delete", "cluster", "--name", name]);
    ensure!(
        delete.status().context("running kind")?.success(),
        "kind failed"
    );
    Ok(ExitCode::SUCCESS)
}

/// What the provider needs, and how it is seen that it works.
const NEEDS: [[&str; 2]; 2] = [["kind", "version"], ["docker", "info"]];

/// Both have to be there, and docker has to answer.
fn require() -> Result<(), Cannot> {
    for [program, argument] in NEEDS {
        let answer = Command::new(program)
            .arg(argument)
            .stdin(Stdio::null())
            .output();
        if let Some(why) = why_not(program, &answer) {
            return Err(Cannot(format!(
                "the provider kind needs kind and docker: {why}; without --provider the cluster is made in namespaces \
                 of this machine"
            )));
        }
    }
    Ok(())
}

/// What is wrong with a program, by what came of running it.
fn why_not(program: &str, answer: &io::Result<Output>) -> Option<String> {
    match answer {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().map(str::trim).find(|line| !line.is_empty());
            let line = line.map_or_else(|| output.status.to_string(), str::to_owned);
            Some(format!("{program} says: {line}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(format!("there is no {program}"))
        }
        Err(error) => Some(format!("{program} cannot be run: {error}")),
    }
}

/// The API server on a node of its own, as ours.
fn config(nodes: u8, family: FamilyName) -> String {
    let family = match family {
        FamilyName::V4 => "ipv4",
        FamilyName::V6 => "ipv6",
        FamilyName::Dual => "dual",
    };
    let mut text = format!(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking:\n  ipFamily: {family}\n\
         \x20 kubeProxyMode: nftables\nnodes:\n- role: control-plane\n"
    );
    for _ in 0..nodes {
        // Writing to a string does not fail.
        let _written = writeln!(text, "- role: worker").is_ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{ExitStatus, Output};

    use super::{FamilyName, config, why_not};

    #[test]
    fn what_is_wrong_with_a_program_is_one_line() {
        let answered = |code: i32, said: &str| {
            Ok(Output {
                status: ExitStatus::from_raw(code << 8),
                stdout: Vec::new(),
                stderr: said.into(),
            })
        };
        for (answer, said) in [
            (answered(0, "warning"), None),
            (
                answered(1, "\nCannot connect to the daemon.\nmore\n"),
                Some("docker says: Cannot connect to the daemon."),
            ),
            (answered(1, ""), Some("docker says: exit status: 1")),
            (
                Err(io::ErrorKind::NotFound.into()),
                Some("there is no docker"),
            ),
            (
                Err(io::ErrorKind::PermissionDenied.into()),
                Some("docker cannot be run: permission denied"),
            ),
        ] {
            assert_eq!(why_not("docker", &answer).as_deref(), said, "{answer:?}");
        }
    }

    #[test]
    fn kind_is_told_the_same() {
        assert_eq!(
            config(2, FamilyName::Dual),
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking:\n  ipFamily: dual\n  \
             kubeProxyMode: nftables\nnodes:\n- role: control-plane\n- role: worker\n- role: worker\n"
        );
    }
}
