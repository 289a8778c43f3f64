//! What the agent runs with: the command line, resolved and checked.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use sluice_ebpf::Marks;
use sluice_kubernetes::live::Kind;
use sluice_policy::AdminKind;
use wildmatch::WildMatch;

use crate::cli::{AgentArgs, Mode, Output, Verdicts};
use crate::exit::Failure;

/// Everything the agent was told, checked.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with each other"
)]
pub struct Config {
    /// Pods with this `spec.nodeName` are local.
    pub node_name: String,
    /// Where policies and pods come from.
    pub source: Source,
    /// With or without eBPF.
    pub mode: Mode,
    /// The first queue number.
    pub queue_num: u16,
    /// How many queues from there on; at least one.
    pub queues: u16,
    /// What happens to packets that need a verdict and get none.
    pub fail_open: bool,
    /// Whether live connections are judged again when policy changes.
    pub revoke_established: bool,
    /// Where HTTP is served; an unspecified IPv6 address means both families.
    pub metrics: SocketAddr,
    /// The unix socket of status and explain.
    pub socket: PathBuf,
    /// The directory of pins.
    pub bpffs: PathBuf,
    /// Sluice's mark bits.
    pub marks: Marks,
    /// Which interfaces get the TC program.
    pub interfaces: InterfaceFilter,
    /// Whether packets are dropped whose source is not behind the interface they come from.
    pub drop_spoofed: bool,
    /// Whether packets of established connections between local pods are handed from link to link, past netfilter.
    pub redirect_established: bool,
    /// Whether UDP through Services is judged before it is routed.
    pub early_datagrams: bool,
    /// Whether one agent of the cluster, which may be this one, writes events and conditions into the Kubernetes API.
    pub report_events: bool,
    /// The namespace of the agent, where it is known.
    pub namespace: Option<String>,
    /// How log lines look.
    pub log_format: Output,
    /// How much is logged.
    pub log_level: tracing::Level,
    /// Which verdicts are logged.
    pub log_verdicts: Verdicts,
    /// Of allowed connections one in so many is logged, if any is; at least 1.
    pub log_allowed_sample: u32,
    /// Whether verdicts are counted by policy.
    pub policy_metrics: bool,
}

/// Where policies and pods come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files or directories of manifests, at least one.
    Manifests(Vec<PathBuf>),
    /// The Kubernetes API.
    Kubernetes {
        /// None for the pod's service account, or the user's own.
        kubeconfig: Option<PathBuf>,
        /// What is watched there.
        kinds: Vec<Kind>,
    },
}

/// Which interfaces get the TC program.
#[derive(Clone, Debug, Default)]
pub struct InterfaceFilter {
    include: Vec<WildMatch>,
    exclude: Vec<WildMatch>,
}

impl Config {
    /// Resolves the command line; the first thing that is wrong ends it.
    pub fn resolve(args: AgentArgs) -> Result<Self, Failure> {
        let queues = args.queues.unwrap_or_else(default_queues);
        if args.queue_num.checked_add(queues - 1).is_none() {
            return Err(Failure::bad_input(format!(
                "--queue-num {} with --queues {queues}: queue numbers end at 65535",
                args.queue_num
            )));
        }
        let source = source(&args)?;
        Ok(Self {
            node_name: node_name(args.node_name),
            source,
            mode: args.mode,
            queue_num: args.queue_num,
            queues,
            fail_open: args.fail_open,
            revoke_established: args.revoke_established,
            metrics: bind_address(&args.metrics_bind_address)?,
            socket: args.socket,
            bpffs: args.bpffs,
            marks: mark_bits(args.mark_bits.as_deref())?,
            interfaces: InterfaceFilter::new(&args.interfaces, &args.exclude_interfaces),
            drop_spoofed: args.drop_spoofed,
            redirect_established: args.redirect_established,
            early_datagrams: args.netfilter_bug_1766_fix.unwrap_or_else(|| {
                loses_datagrams(&rustix::system::uname().release().to_string_lossy())
            }),
            report_events: args.report_events,
            namespace: std::env::var("POD_NAMESPACE")
                .ok()
                .filter(|name| !name.is_empty()),
            log_format: args.log_format,
            log_level: log_level(args.verbosity),
            log_verdicts: args.log_verdicts,
            log_allowed_sample: args.log_allowed_sample,
            policy_metrics: args.policy_metrics,
        })
    }
}

impl InterfaceFilter {
    /// From shell patterns, of which empty ones are none; without an `include` everything is included.
    pub fn new(include: &[String], exclude: &[String]) -> Self {
        let compile = |patterns: &[String]| {
            let named = patterns.iter().filter(|pattern| !pattern.is_empty());
            named.map(|pattern| WildMatch::new(pattern)).collect()
        };
        Self {
            include: compile(include),
            exclude: compile(exclude),
        }
    }

    /// Whether an interface of that name gets the TC program. Loopback never does: nothing of a pod crosses it.
    pub fn admits(&self, name: &str) -> bool {
        name != "lo"
            && (self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(name)))
            && !self.exclude.iter().any(|pattern| pattern.matches(name))
    }
}

fn source(args: &AgentArgs) -> Result<Source, Failure> {
    match (args.manifests.is_empty(), &args.kubeconfig) {
        (true, kubeconfig) => Ok(Source::Kubernetes {
            kubeconfig: kubeconfig.clone(),
            kinds: kinds(args),
        }),
        (false, None) => Ok(Source::Manifests(args.manifests.clone())),
        (false, Some(_)) => Err(Failure::bad_input(
            "--manifests and --kubeconfig: policies come from one source, give one of them",
        )),
    }
}

/// What is watched in an API.
fn kinds(args: &AgentArgs) -> Vec<Kind> {
    let admin = [
        (AdminKind::AdminNetworkPolicy, args.admin_network_policy),
        (
            AdminKind::BaselineAdminNetworkPolicy,
            args.baseline_admin_network_policy,
        ),
        (AdminKind::ClusterNetworkPolicy, args.cluster_network_policy),
    ];
    let wanted = admin.into_iter().filter(|(_, flag)| *flag != Some(false));
    let mut kinds = vec![Kind::Namespace, Kind::Node, Kind::Pod, Kind::NetworkPolicy];
    kinds.extend(wanted.map(|(kind, _)| Kind::Admin(kind)));
    kinds
}

fn default_queues() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores.min(4)).unwrap_or(4)
}

/// Whether a kernel of that release loses one of two datagrams that are queued at once behind the routing (netfilter bug
/// 1766). What does not look like a release may be an old one.
fn loses_datagrams(release: &str) -> bool {
    let mut numbers = release.split(['.', '-', '+']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (6, 12),
        _ => true,
    }
}

/// Kubernetes names a node after its host, in lower case; an empty name is none.
fn node_name(flag: Option<String>) -> String {
    let named = |name: &String| !name.is_empty();
    flag.filter(named)
        .or_else(|| std::env::var("NODE_NAME").ok().filter(named))
        .unwrap_or_else(|| {
            let host = rustix::system::uname();
            host.nodename().to_string_lossy().to_lowercase()
        })
}

fn bind_address(text: &str) -> Result<SocketAddr, Failure> {
    let parsed = match text.strip_prefix(':') {
        Some(port) => port
            .parse()
            .ok()
            .map(|port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| {
        Failure::bad_input(format!(
            "--metrics-bind-address {text}: not an address with a port, as :9080 or 127.0.0.1:9080"
        ))
    })
}

/// What `--mark-bits` says.
pub(crate) fn mark_bits(text: Option<&str>) -> Result<Marks, Failure> {
    let Some(text) = text else {
        return Marks::from_mask(Marks::DEFAULT_MASK).map_err(Failure::bad_input);
    };
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    let mask = number
        .ok_or_else(|| Failure::bad_input(format!("--mark-bits {text}: not a 32-bit number")))?;
    Marks::from_mask(mask)
        .map_err(|error| Failure::bad_input(format!("--mark-bits {text}: {error}")))
}

const fn log_level(verbosity: u8) -> tracing::Level {
    match verbosity {
        0 | 1 => tracing::Level::INFO,
        2 | 3 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_all_but_loopback_unless_said() {
        let everything = InterfaceFilter::default();
        assert!(
            everything.admits("eth0") && everything.admits("veth1234") && !everything.admits("lo")
        );
        let empty = InterfaceFilter::new(&[String::new()], &[String::new()]);
        assert!(empty.admits("eth0"), "`--interfaces=`");
    }

    #[test]
    fn kernels_before_6_12_lose_datagrams() {
        for (release, loses) in [
            ("6.1.0-56-amd64", true),
            ("5.15", true),
            ("6.11.11+", true),
            ("6.12.0", false),
            ("6.18.5-generic", false),
            ("7.0-rc1", false),
            ("unknown", true),
        ] {
            assert_eq!(loses_datagrams(release), loses, "{release}");
        }
    }

    #[test]
    fn exclusion_wins_over_inclusion() {
        let filter = InterfaceFilter::new(&["veth*".into(), "eth?".into()], &["vethx*".into()]);
        for (name, admitted) in [
            ("veth1", true),
            ("eth0", true),
            ("eth10", false),
            ("vethx1", false),
            ("wg0", false),
        ] {
            assert_eq!(filter.admits(name), admitted, "{name}");
        }
    }

    #[test]
    fn bind_addresses_take_the_short_form() {
        assert_eq!(bind_address(":9080").unwrap().to_string(), "[::]:9080");
        assert_eq!(
            bind_address("127.0.0.1:80").unwrap().to_string(),
            "127.0.0.1:80"
        );
        for bad in ["9080", ":", ":70000", "localhost:80", ""] {
            let message = bind_address(bad).unwrap_err().to_string();
            assert!(
                message.contains(&format!("--metrics-bind-address {bad}")),
                "{message}"
            );
        }
    }

    #[test]
    fn mark_bits_are_checked() {
        assert_eq!(mark_bits(None).unwrap().packet(), 0x70);
        assert_eq!(mark_bits(Some("0x700")).unwrap().accepted, 0x100);
        assert!(
            mark_bits(Some("0x3"))
                .unwrap_err()
                .to_string()
                .contains("three bits are needed")
        );
        assert!(
            mark_bits(Some("zz"))
                .unwrap_err()
                .to_string()
                .contains("not a 32-bit number")
        );
    }
}
