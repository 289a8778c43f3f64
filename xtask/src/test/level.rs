//! The levels of tests, and which test binary belongs to which: the least powerful that can run it.

use clap::ValueEnum;

use crate::cargo::Target;

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// No root, no network: unit tests, doc tests, pure integration tests
    Unit,
    /// Root: tests in network namespaces of their own
    Lab,
    /// A real Kubernetes on this machine
    Cluster,
    /// Another kernel, Debian's 6.1, in a virtual machine
    Vm,
}

/// A package whose integration tests (`tests/*.rs`) are of level lab.
struct Privileged {
    package: &'static str,
    reason: &'static str,
    /// Those among its tests that need no root all the same: the name and why.
    but: &'static [(&'static str, &'static str)],
}

/// Everything that is not named here is of level unit.
const PRIVILEGED: &[Privileged] = &[
    Privileged {
        package: "sluice-netlink",
        reason: "writes netfilter tables, reads conntrack",
        but: &[],
    },
    Privileged {
        package: "sluice-bpf",
        reason: "loads and attaches eBPF programs",
        but: &[],
    },
    Privileged {
        package: "sluice-lab",
        reason: "makes namespaces and sends packets",
        but: &[],
    },
    Privileged {
        package: "sluice-conformance",
        reason: "runs cases with real packets",
        but: &[
            ("cases", "an evaluator needs no packets"),
            ("differential", "neither do oracle and evaluator"),
            ("fuzz", "neither do random cases"),
            ("mutants", "neither do evaluators with a fault"),
        ],
    },
    Privileged {
        package: "sluice-bench",
        reason: "measures between namespaces",
        but: &[],
    },
    Privileged {
        package: "sluice",
        reason: "runs the agent against real namespaces",
        but: &[
            ("confined", "anybody may give up rights"),
            (
                "protocol",
                "every order of a model's steps, without a kernel",
            ),
        ],
    },
];

/// Integration tests that run against a real Kubernetes: the package, the test, and why; no test: all others. In the
/// order in which they are begun: what takes longest first, and last what leaves others little of the processor.
const CLUSTER: &[(&str, Option<&str>, &str)] = &[
    (
        "sluice-cluster",
        Some("enforce"),
        "runs the agents of a Kubernetes in namespaces",
    ),
    ("sluice-api", Some("api"), "watches a real API server"),
    ("sluice-cluster", None, "runs a Kubernetes in namespaces"),
    (
        "sluice",
        Some("kubernetes"),
        "runs the agent beside a real API server",
    ),
    (
        "sluice-api",
        Some("reporter"),
        "writes to a real API server",
    ),
    (
        "sluice-bench",
        Some("latency_cluster"),
        "measures in a real Kubernetes",
    ),
    (
        "sluice-bench",
        Some("latency_client"),
        "measures at a real API server",
    ),
    (
        "sluice-bench",
        Some("network_cluster"),
        "measures between the nodes of a real Kubernetes",
    ),
    (
        "sluice-conformance",
        Some("cluster"),
        "runs cases in a real Kubernetes",
    ),
];

impl Level {
    /// As it is typed and printed.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Lab => "lab",
            Self::Cluster => "cluster",
            Self::Vm => "vm",
        }
    }

    /// The level of a test binary.
    pub(super) fn of(target: &Target) -> Self {
        if Self::why_cluster(target).is_some() {
            Self::Cluster
        } else if Self::why_root(target).is_some() {
            Self::Lab
        } else {
            Self::Unit
        }
    }

    /// How many test binaries run at once. Those of a cluster mostly wait for it: two at a time take less than one after
    /// the other, also on two cores.
    pub(super) const fn lanes(self) -> usize {
        match self {
            Self::Cluster => 2,
            Self::Unit | Self::Lab | Self::Vm => 1,
        }
    }

    /// When a test binary of the level is begun: lower is earlier.
    pub(super) fn turn(self, target: &Target) -> usize {
        match self {
            Self::Cluster => Self::in_cluster(target).unwrap_or(CLUSTER.len()),
            Self::Unit | Self::Lab | Self::Vm => 0,
        }
    }

    fn why_cluster(target: &Target) -> Option<&'static str> {
        let (.., why) = CLUSTER.get(Self::in_cluster(target)?)?;
        Some(why)
    }

    fn in_cluster(target: &Target) -> Option<usize> {
        let named = |test: Option<&str>| test.is_none_or(|test| test == target.name);
        CLUSTER.iter().position(|(package, test, _)| {
            *package == target.package && target.kind == "test" && named(*test)
        })
    }

    /// Why a test binary needs root; none where it does not.
    pub(super) fn why_root(target: &Target) -> Option<&'static str> {
        if let Some(reason) = Self::why_cluster(target) {
            return Some(reason);
        }
        let entry = PRIVILEGED
            .iter()
            .find(|entry| entry.package == target.package && target.kind == "test")?;
        let excepted = entry.but.iter().any(|(name, _why)| *name == target.name);
        (!excepted).then_some(entry.reason)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Level, PRIVILEGED};
    use crate::cargo::{self, Target};
    use crate::repo;

    fn target(package: &str, kind: &str, name: &str) -> Target {
        Target {
            package: package.into(),
            directory: PathBuf::new(),
            kind: kind.into(),
            name: name.into(),
        }
    }

    #[test]
    fn only_integration_tests_of_privileged_packages_are_lab() {
        assert_eq!(Level::of(&target("sluice-bpf", "test", "load")), Level::Lab);
        assert_eq!(
            Level::of(&target("sluice-bpf", "lib", "sluice_bpf")),
            Level::Unit
        );
        assert_eq!(
            Level::of(&target("sluice-policy", "test", "spec")),
            Level::Unit
        );
        for (package, name, level) in [
            ("sluice-cluster", "control", Level::Cluster),
            ("sluice-api", "api", Level::Cluster),
            ("sluice-api", "other", Level::Unit),
        ] {
            assert_eq!(Level::of(&target(package, "test", name)), level, "{name}");
        }
    }

    #[test]
    fn the_table_names_what_exists() {
        let targets = cargo::targets(&repo::root()).unwrap();
        for entry in PRIVILEGED {
            assert!(
                targets.iter().any(|it| it.package == entry.package),
                "{}: {}",
                entry.package,
                entry.reason
            );
            for (name, why) in entry.but {
                let found = targets
                    .iter()
                    .any(|it| it.package == entry.package && it.kind == "test" && it.name == *name);
                assert!(found, "{}: no test `{name}` ({why})", entry.package);
            }
        }
    }
}
