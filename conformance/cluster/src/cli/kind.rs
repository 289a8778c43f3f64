//! `--provider kind`: the same by kind, for machines with docker. Only made and taken away here; kind's own tools do
//! the rest.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::Cannot;
use super::up::FamilyName;

/// Makes a cluster by kind.
pub(super) fn up(name: &str, nodes: u8, family: FamilyName) -> Result<ExitCode> {
    require()?;
    let mut create = Command::new("kind");
    create.args(["create", "cluster", "--name", name, "--config", "-"]);
    let mut child = create
        .stdin(Stdio::piped())
        .spawn()
        .context("running kind")?;
    let mut config_pipe = child.stdin.take().context("a pipe to kind")?;
    config_pipe
        .write_all(config(nodes, family).as_bytes())
        .context("writing to kind")?;
    drop(config_pipe);
    ensure!(child.wait()?.success(), "kind failed");
    eprintln!("kind's own network plugin enforces NetworkPolicies as well, beside Sluice");
    println!("kubectl --context kind-{name} get pods -A");
    println!("kind load image-archive target/image/sluice-amd64.tar --name {name}");
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

/// Both have to be there, and docker has to answer.
fn require() -> Result<(), Cannot> {
    for line in [["kind", "version"], ["docker", "info"]] {
        let [program, argument] = line;
        let answer = Command::new(program)
            .arg(argument)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !answer.is_ok_and(|status| status.success()) {
            return Err(Cannot(format!(
                "`{program} {argument}` fails: the provider kind needs kind and docker; \
                 without --provider the cluster is made in namespaces of this machine"
            )));
        }
    }
    Ok(())
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
    use super::{FamilyName, config};

    #[test]
    fn kind_is_told_the_same() {
        assert_eq!(
            config(2, FamilyName::Dual),
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking:\n  ipFamily: dual\n  \
             kubeProxyMode: nftables\nnodes:\n- role: control-plane\n- role: worker\n- role: worker\n"
        );
    }
}
