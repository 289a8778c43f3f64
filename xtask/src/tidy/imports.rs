//! Who may know what: each foreign library has one room, and some rooms are kept pure.
//!
//! The table is the architecture's code map and invariants as data. Paths in code are checked, and dependencies in
//! manifests.

use super::rust;
use super::tree::{Finding, Tree, directory, is_below};

/// A rule about the names that start with one of `names`.
struct Rule {
    names: &'static [&'static str],
    scope: Scope,
    reason: &'static str,
}

enum Scope {
    /// May be named in these rooms alone.
    Only(&'static [&'static str]),
    /// May not be named in these rooms.
    Never(&'static [&'static str]),
}

use Scope::{Never, Only};

const RULES: &[Rule] = &[
    Rule {
        names: &["aya", "aya_log"],
        scope: Only(&["agent/bpf", "agent-ebpf"]),
        reason: "agent/bpf alone loads programs and holds maps; agent-ebpf marks its types as plain data for it",
    },
    Rule {
        names: &["aya_ebpf", "aya_log_ebpf"],
        scope: Only(&["agent-ebpf"]),
        reason: "helpers of the kernel exist in the kernel only",
    },
    Rule {
        names: &["netlink_bindings", "netlink_socket2"],
        scope: Only(&["agent/netlink"]),
        reason: "agent/netlink is the only crate that knows netlink",
    },
    Rule {
        names: &["nfq"],
        scope: Only(&["agent/src/queue", "agent/netlink/tests"]),
        reason: "packets enter and leave the agent in the queue workers; tests of the gate answer its queue",
    },
    Rule {
        names: &["seccompiler"],
        scope: Only(&["agent/src", "agent/tests", "conformance/lab"]),
        reason: "the agent gives up rights once, as it starts; the lab and its tests take more, as a container would",
    },
    Rule {
        names: &["k8s_openapi"],
        scope: Only(&["agent/kubernetes", "conformance"]),
        reason: "past agent/kubernetes there are values only; the oracle reads the API objects themselves",
    },
    Rule {
        names: &["kube"],
        scope: Only(&[
            "agent/api",
            "agent/kubernetes/tests",
            "conformance/src/runner/cluster",
            "bench/src/latency/api.rs",
            "bench/src/network/launcher/cluster/api.rs",
        ]),
        reason: "the API is one source of objects among others; selectors are compared with kube's in a test; a cluster is one of several that judge cases; a client that measures in a cluster asks for what it waits for, and a launcher for pods",
    },
    Rule {
        names: &["hyper_util", "tower"],
        scope: Only(&["agent/api", "bench/src/network/push.rs"]),
        reason: "how the API is reached is known where it is watched; a PushGateway is reached by one request",
    },
    Rule {
        names: &["hyper"],
        scope: Only(&["bench/src/network/push.rs"]),
        reason: "a PushGateway is reached by one request; everything else has a client or a server of its own",
    },
    Rule {
        names: &["tonic", "prost", "tokio_stream"],
        scope: Only(&["bench/src/network"]),
        reason: "the workers of a network measurement are the only ones that speak gRPC",
    },
    Rule {
        names: &["tokio", "tokio_util", "futures"],
        scope: Only(&[
            "agent/src",
            "agent/api",
            "agent/tests",
            "conformance/lab",
            "conformance/prober",
            "conformance/src/runner/cluster",
            "bench",
        ]),
        reason: "libraries block or are pure, but for the API, whose client waits for many answers at once; the binaries decide about threads",
    },
    Rule {
        names: &["loom"],
        scope: Only(&["agent/tests/protocol"]),
        reason: "the order of steps is checked in one place, where the agent's own atomics give way to loom's",
    },
    Rule {
        names: &["prometheus"],
        scope: Only(&["agent/src", "bench/src/latency/metrics.rs"]),
        reason: "libraries return numbers, the agent exposes them; so do the clients that measure in a cluster",
    },
    Rule {
        names: &["rcgen", "sha2", "tar"],
        scope: Only(&["conformance/cluster"]),
        reason: "certificates and images are the cluster's",
    },
    Rule {
        names: &["signal_hook"],
        scope: Only(&[
            "conformance/cluster",
            "conformance/src/cli",
            "conformance/src/signals.rs",
            "bench",
        ]),
        reason: "Ctrl-C is for commands; the agent hears signals through tokio",
    },
    Rule {
        names: &["quick_xml"],
        scope: Only(&["conformance/src/report"]),
        reason: "a report is the one thing that is XML",
    },
    Rule {
        names: &["plotters"],
        scope: Only(&["bench/src/report"]),
        reason: "a report is the one thing that is drawn",
    },
    Rule {
        names: &["indicatif"],
        scope: Only(&["conformance/src/cli", "bench"]),
        reason: "what shows on a terminal is the command's",
    },
    Rule {
        names: &["sluice_policy"],
        scope: Never(&["agent/netlink", "agent/bpf", "agent-ebpf"]),
        reason: "what reaches into the kernel moves addresses and verdicts, and knows no policy",
    },
    Rule {
        names: &[
            "sluice_policy::Index",
            "sluice_policy::NetworkPolicy",
            "sluice_policy::Selector",
            "sluice_policy::Snapshot",
        ],
        scope: Never(&["conformance/oracle/src"]),
        reason: "the oracle shares facts with the evaluator, but no way of judging them",
    },
    Rule {
        names: &[
            "sluice_netlink",
            "sluice_bpf",
            "sluice_ebpf",
            "sluice_kubernetes",
        ],
        scope: Never(&["agent/policy"]),
        reason: "policy imports no other room",
    },
    Rule {
        names: &[
            "std::fs",
            "std::env",
            "std::io",
            "std::process",
            "std::thread",
            "std::net::TcpStream",
        ],
        scope: Never(&["agent/policy/src"]),
        reason: "evaluation is pure: no I/O",
    },
    Rule {
        names: &[
            "std::time::Instant",
            "std::time::SystemTime",
            "Instant::now",
            "SystemTime::now",
        ],
        scope: Never(&["agent/policy/src"]),
        reason: "evaluation is pure: no clock",
    },
    Rule {
        names: &["std::process::Command", "tokio::process"],
        scope: Never(&[
            "agent/src",
            "agent/policy/src",
            "agent/kubernetes/src",
            "agent/netlink/src",
            "agent/bpf/src",
        ]),
        reason: "the agent runs no other program",
    },
];

/// Names outside of their rooms.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        for (line, name) in rust::paths(&rust::tokens(text)) {
            let broken = RULES
                .iter()
                .find(|rule| rule.is_about(&name) && !rule.allows(path));
            findings.extend(
                broken.map(|rule| Finding::at(path, line, format!("`{name}`: {}", rule.reason))),
            );
        }
    }
    for (path, text) in tree
        .manifests()
        .filter(|(path, _)| !directory(path).is_empty())
    {
        for (line, name) in dependencies(text) {
            let broken = RULES.iter().find(|rule| {
                rule.names.contains(&name.as_str()) && !rule.allows_package(directory(path))
            });
            findings.extend(broken.map(|rule| {
                Finding::at(path, line, format!("dependency `{name}`: {}", rule.reason))
            }));
        }
    }
    findings
}

impl Rule {
    /// A crate alone is no path: `nfq` may be a variable, `nfq::Queue` may not.
    fn is_about(&self, path: &str) -> bool {
        self.names.iter().any(|name| {
            let rest = path.strip_prefix(name);
            rest.is_some_and(|rest| {
                rest.starts_with("::") || (rest.is_empty() && name.contains("::"))
            })
        })
    }

    fn allows(&self, file: &str) -> bool {
        match self.scope {
            Only(rooms) => rooms.iter().any(|room| is_below(file, room)),
            Never(rooms) => !rooms.iter().any(|room| is_below(file, room)),
        }
    }

    /// A package may depend on what one of its rooms may name.
    fn allows_package(&self, package: &str) -> bool {
        match self.scope {
            Only(rooms) => rooms
                .iter()
                .any(|room| is_below(room, package) || is_below(package, room)),
            Never(rooms) => !rooms.iter().any(|room| is_below(package, room)),
        }
    }
}

/// The dependencies in a manifest, as they are named in code.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (number, line) in manifest.lines().enumerate() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
        } else if let Some(end) = line
            .find(['.', '=', ' '])
            .filter(|_| inside && !line.starts_with('#'))
        {
            found.push((number + 1, line[..end].replace('-', "_")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)]))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_library_outside_of_its_room_is_found() {
        let bad = "//! x\nuse std::io;\nuse aya::{maps::HashMap, Ebpf};\n";
        let findings = found("agent/src/app.rs", bad);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(
            findings[0].starts_with("agent/src/app.rs:3: `aya::maps::HashMap`: "),
            "{findings:?}"
        );
        assert!(found("agent/bpf/src/lib.rs", bad).is_empty());
        assert_eq!(
            found(
                "agent/netlink/src/x.rs",
                "fn f() { nfq::Queue::open(); let nfq = 1; }"
            )
            .len(),
            1
        );
        assert!(found("agent/src/queue/worker.rs", "use nfq::Queue;").is_empty());
    }

    #[test]
    fn a_pure_room_stays_pure() {
        for bad in [
            "use std::fs;",
            "use std::{fs::File};",
            "std::env::var(x)",
            "let t = Instant::now();",
        ] {
            assert_eq!(found("agent/policy/src/index.rs", bad).len(), 1, "{bad}");
            assert!(found("agent/policy/tests/spec.rs", bad).is_empty(), "{bad}");
        }
        assert!(
            found(
                "agent/policy/src/x.rs",
                "use std::net::IpAddr; use core::time::Duration;"
            )
            .is_empty()
        );
    }

    #[test]
    fn the_oracle_judges_by_itself() {
        let bad = "use sluice_policy::{Pod, Snapshot};";
        assert_eq!(found("conformance/oracle/src/lib.rs", bad).len(), 1);
        assert!(found("conformance/tests/differential.rs", bad).is_empty());
    }

    #[test]
    fn the_agent_runs_no_program() {
        assert_eq!(
            found("agent/netlink/src/nft.rs", "use std::process::Command;").len(),
            1
        );
        assert!(found("agent/src/main.rs", "use std::process::ExitCode;").is_empty());
        assert!(found("agent/tests/restart.rs", "use std::process::Command;").is_empty());
    }

    #[test]
    fn comments_and_strings_name_what_they_like() {
        assert!(
            found(
                "agent/src/app.rs",
                "// aya::Ebpf\nlet x = \"tokio::spawn nfq::Queue\";"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_manifest_is_held_to_the_same() {
        let bad = "[package]\nname = \"x\"\n\n[dependencies]\n# aya = 1\nanyhow.workspace = true\nk8s-openapi.workspace = true\n\
                   [target.'cfg(unix)'.dev-dependencies]\ntokio = \"1\"\n[features]\nnfq = []\n";
        let findings = found("agent/netlink/Cargo.toml", bad);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(
            findings[0].starts_with("agent/netlink/Cargo.toml:7: dependency `k8s_openapi`"),
            "{findings:?}"
        );
        assert!(
            found("agent/Cargo.toml", "[dependencies]\nnfq.workspace = true\n").is_empty(),
            "its room is inside"
        );
        assert!(
            found("Cargo.toml", "[workspace.dependencies]\naya = \"1\"\n").is_empty(),
            "the root names versions"
        );
    }
}
