//! What the repository needs of a machine, why, how to see that it is there, and how to get it: data.

use std::path::Path;

use sluice_ebpf_build::{NIGHTLY, OBJECT_VARIABLE, Toolchain};

use super::Need;
use super::machine::Machine;
use crate::cluster::components;
use crate::image;
use crate::vm;
use crate::vm::kernel::Kernel;

/// Something that has to be installed.
pub(super) struct Tool {
    /// For which task.
    pub need: Need,
    /// What people call it.
    pub name: &'static str,
    /// What it is for.
    pub why: &'static str,
    /// Whether it is there; quick, since it is asked on every run.
    pub present: fn(&Machine) -> bool,
    /// Ways to get it, the best first.
    pub remedies: &'static [Remedy],
}

/// A way to install something.
#[derive(Debug)]
pub(super) enum Remedy {
    /// Debian packages, where the machine knows all of them, the first in at least this version. Needs root.
    Apt {
        packages: &'static [&'static str],
        at_least: Option<&'static str>,
    },
    /// A Debian package of a component that not every machine has among its sources. Needs root.
    AptComponent {
        component: &'static str,
        package: &'static str,
    },
    /// A crate with a binary, in this version.
    Cargo(&'static str, &'static str),
    /// Debian's kernel for the virtual machine, which is kept beside what cargo builds, and not installed.
    Kernel,
    /// What no package is known for: what somebody has to do.
    ByHand(&'static str),
    /// Arguments of rustup.
    Rustup(&'static [&'static str]),
}

/// The newest bpf-linker that loads the LLVM of the pinned compilers.
const BPF_LINKER: &str = "0.10.3";

/// The compiler has to understand this workspace.
const RUST: Option<&str> = Some(env!("CARGO_PKG_RUST_VERSION"));

const CARGO_FUZZ: &str = "0.13.2";

const CARGO_DENY: &str = "0.20.2";

/// Everything, in the order in which it is installed.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        need: Need::Ebpf,
        name: "a compiler for eBPF",
        why: "a rustc with `core` for bpfel-unknown-none, or a nightly one with rust-src",
        present: |_| is_prebuilt() || Toolchain::find().is_ok(),
        remedies: &[
            Remedy::Apt {
                packages: &["rustc-web", "libstd-rust-web-dev-bpf"],
                at_least: RUST,
            },
            Remedy::Rustup(&[
                "toolchain",
                "install",
                NIGHTLY,
                "--profile",
                "minimal",
                "--component",
                "rust-src",
            ]),
        ],
    },
    Tool {
        need: Need::Ebpf,
        name: "bpf-linker",
        why: "links the eBPF object",
        present: |machine| is_prebuilt() || machine.has("bpf-linker"),
        remedies: &[Remedy::Cargo("bpf-linker", BPF_LINKER)],
    },
    Tool {
        need: Need::Lab,
        name: "ip",
        why: "looking into the namespaces of tests and demo",
        present: |machine| machine.has("ip"),
        remedies: &[Remedy::Apt {
            packages: &["iproute2"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Lab,
        name: "nft",
        why: "tests compare the gate with what nft lists",
        present: |machine| machine.has("nft"),
        remedies: &[Remedy::Apt {
            packages: &["nftables"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Lab,
        name: "conntrack",
        why: "looking at connections and their marks",
        present: |machine| machine.has("conntrack"),
        remedies: &[Remedy::Apt {
            packages: &["conntrack"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Lab,
        name: "bpftool",
        why: "looking at programs and maps",
        present: |machine| machine.has("bpftool"),
        remedies: &[
            Remedy::Apt {
                packages: &["bpftool"],
                at_least: None,
            },
            Remedy::Apt {
                packages: &["linux-tools-common", "linux-tools-generic"],
                at_least: None,
            },
        ],
    },
    Tool {
        need: Need::Network,
        name: "iperf3",
        why: "measures streams between nodes",
        present: |machine| machine.has("iperf3"),
        remedies: &[Remedy::Apt {
            packages: &["iperf3"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Network,
        name: "qperf",
        why: "measures bandwidth and latency between nodes",
        present: |machine| machine.has("qperf"),
        remedies: &[Remedy::Apt {
            packages: &["qperf"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Network,
        name: "netperf",
        why: "measures questions and answers between nodes",
        present: |machine| machine.has("netperf") && machine.has("netserver"),
        remedies: &[
            Remedy::Apt {
                packages: &["netperf"],
                at_least: None,
            },
            Remedy::AptComponent {
                component: "non-free",
                package: "netperf",
            },
        ],
    },
    Tool {
        need: Need::Network,
        name: "PushGateway",
        why: "figures are pushed to it",
        present: |machine| machine.has("prometheus-pushgateway"),
        remedies: &[Remedy::Apt {
            packages: &["prometheus-pushgateway"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Network,
        name: "Prometheus",
        why: "asks the clients of a cluster for their figures",
        present: |machine| machine.has("prometheus"),
        remedies: &[Remedy::Apt {
            packages: &["prometheus"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Network,
        name: "Go 1.25 of fortio",
        why: "fortio is built from its module",
        present: |_| components::check_go().is_ok(),
        remedies: &[Remedy::ByHand(
            "install Go 1.25 or newer, as https://go.dev/doc/install says",
        )],
    },
    Tool {
        need: Need::Cluster,
        name: "Go 1.25",
        why: "Kubernetes' own programs are built from its modules",
        present: |_| components::check_go().is_ok(),
        remedies: &[Remedy::ByHand(
            "install Go 1.25 or newer, as https://go.dev/doc/install says",
        )],
    },
    Tool {
        need: Need::Cluster,
        name: "containerd",
        why: "runs the containers of a node",
        present: |machine| machine.has("containerd"),
        remedies: &[Remedy::Apt {
            packages: &["containerd"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Cluster,
        name: "runc",
        why: "likewise",
        present: |machine| machine.has("runc"),
        remedies: &[Remedy::Apt {
            packages: &["runc"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Cluster,
        name: "network plugins",
        why: "give pods their interfaces and addresses",
        present: |_| Path::new("/usr/lib/cni/ptp").exists(),
        remedies: &[Remedy::Apt {
            packages: &["containernetworking-plugins"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Cluster,
        name: "nft of kube-proxy",
        why: "Services are rules of nf_tables",
        present: |machine| machine.has("nft"),
        remedies: &[Remedy::Apt {
            packages: &["nftables"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Cluster,
        name: "iptables",
        why: "the kubelet and the plugin portmap call it",
        present: |machine| machine.has("iptables"),
        remedies: &[Remedy::Apt {
            packages: &["iptables"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Cluster,
        name: "conntrack of kube-proxy",
        why: "ends connections to pods that are gone",
        present: |machine| machine.has("conntrack"),
        remedies: &[Remedy::Apt {
            packages: &["conntrack"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Cluster,
        name: "ip of nodes",
        why: "the interfaces and routes of nodes",
        present: |machine| machine.has("ip"),
        remedies: &[Remedy::Apt {
            packages: &["iproute2"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Cluster,
        name: "unshare and nsenter",
        why: "the namespaces of nodes",
        present: |machine| machine.has("unshare") && machine.has("nsenter"),
        remedies: &[Remedy::Apt {
            packages: &["util-linux"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Cluster,
        name: "busybox",
        why: "a shell for pods",
        present: |_| Path::new("/bin/busybox").exists(),
        remedies: &[Remedy::Apt {
            packages: &["busybox-static"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Image,
        name: "Rust's library for musl",
        why: "a binary that needs no other file",
        present: |_| image::has_target("x86_64-unknown-linux-musl"),
        remedies: &[Remedy::Rustup(&[
            "target",
            "add",
            "x86_64-unknown-linux-musl",
        ])],
    },
    Tool {
        need: Need::Image,
        name: "musl-gcc",
        why: "compiles the C in the TLS library",
        present: |machine| machine.has("musl-gcc"),
        remedies: &[Remedy::Apt {
            packages: &["musl-tools"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::ImageArm64,
        name: "Rust's library for musl on arm64",
        why: "a binary that needs no other file",
        present: |_| image::has_target("aarch64-unknown-linux-musl"),
        remedies: &[Remedy::Rustup(&[
            "target",
            "add",
            "aarch64-unknown-linux-musl",
        ])],
    },
    Tool {
        need: Need::ImageArm64,
        name: "a linker for arm64",
        why: "compiles the C in the TLS library, and links",
        present: |machine| machine.has("aarch64-linux-gnu-gcc"),
        remedies: &[Remedy::Apt {
            packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Lab,
        name: "valgrind",
        why: "tests count instructions by callgrind",
        present: |machine| machine.has("valgrind"),
        remedies: &[Remedy::Apt {
            packages: &["valgrind"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Lab,
        name: "iptables of a rival",
        why: "tests compare with a chain of iptables",
        present: |machine| machine.has("iptables"),
        remedies: &[Remedy::Apt {
            packages: &["iptables"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Lab,
        name: "promtool",
        why: "tests have it check the agent's metrics",
        present: |machine| machine.has("promtool"),
        remedies: &[Remedy::Apt {
            packages: &["prometheus"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Vm,
        name: "qemu",
        why: "emulates the machine that the other kernel runs on",
        present: |machine| machine.has(vm::QEMU),
        remedies: &[Remedy::Apt {
            packages: &["qemu-system-x86"],
            at_least: None,
        }],
    },
    Tool {
        need: Need::Vm,
        name: "Debian's 6.1 kernel",
        why: "the tests of level vm run on it",
        present: |_| Kernel::find().is_some(),
        remedies: &[Remedy::Kernel],
    },
    Tool {
        need: Need::Lint,
        name: "rustfmt and clippy",
        why: "formatting and lints",
        present: |machine| {
            machine.has("cargo-fmt") && machine.has("cargo-clippy") && machine.has_active("rustfmt")
        },
        remedies: &[
            Remedy::Rustup(&["component", "add", "rustfmt", "clippy"]),
            Remedy::Apt {
                packages: &["rustfmt", "rust-clippy"],
                at_least: None,
            },
        ],
    },
    Tool {
        need: Need::Lint,
        name: "cargo-deny",
        why: "licences and sources of dependencies",
        present: |machine| machine.has("cargo-deny"),
        remedies: &[Remedy::Cargo("cargo-deny", CARGO_DENY)],
    },
    Tool {
        need: Need::Fuzz,
        name: "cargo-fuzz",
        why: "builds the fuzz targets",
        present: |machine| machine.has("cargo-fuzz"),
        remedies: &[Remedy::Cargo("cargo-fuzz", CARGO_FUZZ)],
    },
];

/// Whether the eBPF object is there already, so that nothing builds it.
fn is_prebuilt() -> bool {
    std::env::var_os(OBJECT_VARIABLE).is_some()
}

impl Remedy {
    /// The command, as one would type it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Apt { packages, .. } => format!("apt-get install {}", packages.join(" ")),
            Self::AptComponent { component, package } => {
                format!("apt-get install {package}, of Debian's {component}")
            }
            Self::Cargo(name, version) => {
                format!("cargo install --locked {name} --version {version}")
            }
            Self::Kernel => String::from("apt-get download linux-image-6.1.0-N-amd64"),
            Self::ByHand(what) => (*what).to_owned(),
            Self::Rustup(args) => format!("rustup {}", args.join(" ")),
        }
    }
}
