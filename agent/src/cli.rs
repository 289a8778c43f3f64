//! The command line as typed: names, defaults and help. What it means is resolved in [`crate::config`].

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::offline::{ExplainArgs, MatrixArgs};

/// Where the agent answers status and explain unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/sluice/agent.sock";
/// Where maps, programs and links are pinned unless told otherwise.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf/sluice";

/// Enforces Kubernetes network policies on a node, and answers who can reach whom.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "Exit codes: 0 it holds, 1 it was judged and does not hold, 2 bad usage or bad input, \
                        3 the machine cannot do this."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Enforce the policies of this node's pods (the daemon; needs root)
    Agent(Box<AgentArgs>),
    /// Show who can reach whom under a set of manifests, without a cluster
    Matrix(MatrixArgs),
    /// Show why a connection is allowed or denied, from manifests or by the agent of this node
    Explain(ExplainArgs),
    /// Show the agent of this node, or what is pinned where none runs
    Status(StatusArgs),
    /// Remove everything that Sluice has put into the kernel; refused while an agent runs
    Cleanup(CleanupArgs),
    /// Wait until a DaemonSet has a ready pod on each of its nodes, as the chart's hooks do
    Rollout(RolloutArgs),
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// With or without the eBPF half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// New connections of known pairs and established ones stay in the kernel.
    #[default]
    Hybrid,
    /// Every new connection of an isolated pod is queued; no eBPF.
    Nfqueue,
}

impl Mode {
    /// As the flag spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Nfqueue => "nfqueue",
        }
    }
}

/// Which verdicts are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Verdicts {
    /// No verdict.
    None,
    /// Denied connections.
    #[default]
    Denied,
    /// Denied connections, and of the allowed ones those that are judged by the agent.
    All,
}

/// `sluice agent`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with each other"
)]
pub struct AgentArgs {
    /// Which pods are local: those with this node name.
    #[arg(
        long,
        visible_alias = "hostname-override",
        env = "SLUICE_NODE_NAME",
        value_name = "NAME",
        help = "Which pods are local: those with this `spec.nodeName` [default: $NODE_NAME, then the host's name]"
    )]
    pub node_name: Option<String>,

    /// The Kubernetes API to watch [default: in-cluster, then ~/.kube/config]
    #[arg(long, env = "SLUICE_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// Policies and pods from files or directories instead of an API; re-read on change. Repeatable
    #[arg(
        long,
        env = "SLUICE_MANIFESTS",
        value_name = "PATH",
        value_delimiter = ','
    )]
    pub manifests: Vec<PathBuf>,

    /// With the eBPF fast path, or pure NFQUEUE
    #[arg(long, env = "SLUICE_MODE", value_enum, default_value_t)]
    pub mode: Mode,

    /// The first NFQUEUE number
    #[arg(
        long,
        visible_alias = "nfqueue-id",
        env = "SLUICE_QUEUE_NUM",
        default_value_t = 100,
        value_name = "N"
    )]
    pub queue_num: u16,

    /// How many queues, a thread each [default: one per core, up to 4]
    #[arg(long, env = "SLUICE_QUEUES", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub queues: Option<u16>,

    /// Accept what needs a verdict while no agent answers, instead of dropping it
    #[arg(long, env = "SLUICE_FAIL_OPEN", value_name = "BOOL", value_parser = BoolishValueParser::new(), default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true")]
    pub fail_open: bool,

    /// Judge live connections again when policy changes
    #[arg(long, visible_alias = "strict-mode", env = "SLUICE_REVOKE_ESTABLISHED", value_name = "BOOL", value_parser = BoolishValueParser::new(),
          default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub revoke_established: bool,

    /// Where /metrics, /healthz and /readyz are served
    #[arg(
        long,
        env = "SLUICE_METRICS_BIND_ADDRESS",
        default_value = ":9080",
        value_name = "ADDR"
    )]
    pub metrics_bind_address: String,

    /// Where status and explain are answered (mode 0600)
    #[arg(long, env = "SLUICE_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    pub socket: PathBuf,

    /// Where maps, programs and links are pinned; if it is on no bpffs, one is mounted on its parent, which has to be empty
    #[arg(long, env = "SLUICE_BPFFS", default_value = DEFAULT_BPFFS, value_name = "PATH")]
    pub bpffs: PathBuf,

    /// The packet and conntrack mark bits that are Sluice's: at least three [default: 0x70]
    #[arg(long, env = "SLUICE_MARK_BITS", value_name = "MASK")]
    pub mark_bits: Option<String>,

    /// Interfaces that get the TC program: patterns of `*` and `?` [default: all but loopback]
    #[arg(
        long,
        env = "SLUICE_INTERFACES",
        value_name = "GLOB",
        value_delimiter = ','
    )]
    pub interfaces: Vec<String>,

    /// Interfaces that do not get it: patterns of `*` and `?`
    #[arg(
        long,
        env = "SLUICE_EXCLUDE_INTERFACES",
        value_name = "GLOB",
        value_delimiter = ','
    )]
    pub exclude_interfaces: Vec<String>,

    /// Drop what a pod sends with an address that is not its own; without, it is judged as what it claims
    #[arg(long, env = "SLUICE_DROP_SPOOFED", value_name = "BOOL", value_parser = BoolishValueParser::new(), default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true")]
    pub drop_spoofed: bool,

    /// Hand packets of established connections between two pods of this node straight from link to link, past the node's
    /// netfilter and traffic control; hybrid mode, routed pod networks, and three settings of conntrack, named if missing
    #[arg(long, env = "SLUICE_REDIRECT_ESTABLISHED", value_name = "BOOL", value_parser = BoolishValueParser::new(), default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true")]
    pub redirect_established: bool,

    /// Log level: 0 or 1 info, 2 or 3 debug, 4 and up trace
    #[arg(short = 'v', long = "v", env = "SLUICE_V", value_name = "N", default_value_t = 0, num_args = 0..=1,
          default_missing_value = "2")]
    pub verbosity: u8,

    /// Log lines as text, or a JSON document each
    #[arg(
        long,
        visible_alias = "logging-format",
        env = "SLUICE_LOG_FORMAT",
        value_enum,
        default_value_t
    )]
    pub log_format: Output,

    /// Which verdicts are logged: a line a connection, and after some at once, a line a second
    #[arg(long, env = "SLUICE_LOG_VERDICTS", value_enum, default_value_t)]
    pub log_verdicts: Verdicts,

    /// Of the allowed connections that `--log-verdicts all` logs, one in so many
    #[arg(long, env = "SLUICE_LOG_ALLOWED_SAMPLE", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub log_allowed_sample: u32,

    /// Count verdicts by policy in /metrics: up to four series a policy of this node's pods
    #[arg(long, env = "SLUICE_POLICY_METRICS", value_name = "BOOL", value_parser = BoolishValueParser::new(), default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true")]
    pub policy_metrics: bool,

    /// Enforce AdminNetworkPolicies [default: where the API serves them]
    #[arg(long, env = "SLUICE_ADMIN_NETWORK_POLICY", value_name = "BOOL", value_parser = BoolishValueParser::new(), num_args = 0..=1, default_missing_value = "true")]
    pub admin_network_policy: Option<bool>,

    /// Enforce the BaselineAdminNetworkPolicy [default: where the API serves it]
    #[arg(long, env = "SLUICE_BASELINE_ADMIN_NETWORK_POLICY", value_name = "BOOL", value_parser = BoolishValueParser::new(), num_args = 0..=1,
          default_missing_value = "true")]
    pub baseline_admin_network_policy: Option<bool>,

    /// Enforce ClusterNetworkPolicies [default: where the API serves them]
    #[arg(long, env = "SLUICE_CLUSTER_NETWORK_POLICY", value_name = "BOOL", value_parser = BoolishValueParser::new(), num_args = 0..=1,
          default_missing_value = "true")]
    pub cluster_network_policy: Option<bool>,

    /// Judge UDP through Services before it is routed [default: on kernels before 6.12, which lose packets otherwise]
    #[arg(long, env = "SLUICE_NETFILTER_BUG_1766_FIX", value_name = "BOOL", value_parser = BoolishValueParser::new(), num_args = 0..=1,
          default_missing_value = "true", require_equals = true)]
    pub netfilter_bug_1766_fix: Option<bool>,

    /// Write Events on policies that are invalid, tied or select nothing, and conditions on the admin kinds
    #[arg(long, env = "SLUICE_REPORT_EVENTS", value_name = "BOOL", value_parser = BoolishValueParser::new(), default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, default_missing_value = "true")]
    pub report_events: bool,

    /// Flags of kube-network-policies.
    #[command(flatten)]
    pub compatible: CompatibleArgs,
}

/// Flags that a kube-network-policies `DaemonSet` passes: accepted, without effect, and warned of once.
#[derive(Debug, Args)]
pub struct CompatibleArgs {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    disable_nri: Option<String>,
    #[arg(long, hide = true)]
    vmodule: Option<String>,
    #[arg(long, hide = true)]
    log_flush_frequency: Option<String>,
    #[arg(long, hide = true)]
    log_json_info_buffer_size: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    log_json_split_stream: Option<String>,
    #[arg(long, hide = true)]
    log_text_info_buffer_size: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    log_text_split_stream: Option<String>,
}

impl CompatibleArgs {
    /// The names of those that were given.
    pub fn given(&self) -> Vec<&'static str> {
        [
            ("--disable-nri", &self.disable_nri),
            ("--vmodule", &self.vmodule),
            ("--log-flush-frequency", &self.log_flush_frequency),
            (
                "--log-json-info-buffer-size",
                &self.log_json_info_buffer_size,
            ),
            ("--log-json-split-stream", &self.log_json_split_stream),
            (
                "--log-text-info-buffer-size",
                &self.log_text_info_buffer_size,
            ),
            ("--log-text-split-stream", &self.log_text_split_stream),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|_| name))
        .collect()
    }
}

/// `sluice status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where the agent answers
    #[arg(long, env = "SLUICE_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    pub socket: PathBuf,
    /// Where to look for pins when no agent answers
    #[arg(long, env = "SLUICE_BPFFS", default_value = DEFAULT_BPFFS, value_name = "PATH")]
    pub bpffs: PathBuf,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// `sluice cleanup`.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Where the pins are
    #[arg(long, env = "SLUICE_BPFFS", default_value = DEFAULT_BPFFS, value_name = "PATH")]
    pub bpffs: PathBuf,
    /// The agent's socket: who has it runs, and a stale one is removed too
    #[arg(long, env = "SLUICE_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    pub socket: PathBuf,
    /// The conntrack mark bits that are Sluice's, as the agent had them [default: 0x70]
    #[arg(long, env = "SLUICE_MARK_BITS", value_name = "MASK")]
    pub mark_bits: Option<String>,
    /// How long an agent that is being stopped may take to end
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,
    /// Once all is removed, keep agents from starting until told to stop by SIGTERM
    #[arg(long)]
    pub stay: bool,
}

/// `sluice rollout`.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    /// Which one
    #[arg(value_name = "NAMESPACE/NAME")]
    pub daemonset: String,
    /// How long that may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// The Kubernetes API to ask [default: in-cluster, then ~/.kube/config]
    #[arg(long, env = "SLUICE_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn agent(args: &[&str]) -> AgentArgs {
        let line = ["sluice", "agent"].iter().chain(args);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Agent(args) => *args,
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_kube_network_policies_command_line_is_accepted() {
        let args = agent(&[
            "--hostname-override=node-7",
            "--v=2",
            "--nfqueue-id=98",
            "--disable-nri",
            "--netfilter-bug-1766-fix=true",
            "--vmodule=x=4",
            "--log-flush-frequency=5s",
            "--logging-format=json",
            "--strict-mode=false",
            "--fail-open",
        ]);
        assert_eq!(args.node_name.as_deref(), Some("node-7"));
        assert_eq!(
            (args.queue_num, args.verbosity, args.log_format),
            (98, 2, Output::Json)
        );
        assert_eq!((args.fail_open, args.revoke_established), (true, false));
        assert_eq!(args.compatible.given().len(), 3);
    }

    /// The DaemonSet as the chart renders it.
    const MANIFESTS: &str = include_str!("../../helm/manifests/sluice.yaml");
    const TEMPLATE: &str = include_str!("../../helm/sluice/templates/daemonset.yaml");

    #[test]
    fn the_arguments_of_the_chart_are_accepted() {
        let flags = MANIFESTS
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- "))
            .map(|flag| flag.trim_matches('"'))
            .filter(|flag| flag.starts_with("--"));
        let flags: Vec<_> = flags.collect();
        assert!(flags.len() > 5, "{flags:?}");
        let args = agent(&flags);
        assert_eq!(
            (args.mode, args.fail_open, args.queue_num),
            (Mode::Hybrid, false, 100)
        );
    }

    #[test]
    fn every_flag_has_a_value_in_the_chart() {
        // Where the chart has the paths, it gives them to every command; the node's name comes from the pod.
        let by_environment = ["node-name", "socket", "bpffs"];
        let command = Cli::command();
        let agent = command.find_subcommand("agent").unwrap();
        let shown = agent.get_arguments().filter(|it| !it.is_hide_set());
        for flag in shown.filter_map(clap::Arg::get_long) {
            let given = by_environment.contains(&flag) || TEMPLATE.contains(&format!("--{flag}="));
            assert!(given, "--{flag}: no value of the chart sets it");
        }
    }

    #[test]
    fn booleans_take_a_value_either_way() {
        for form in [
            &["--fail-open=true"][..],
            &["--fail-open", "1"],
            &["--fail-open"],
        ] {
            assert!(agent(form).fail_open, "{form:?}");
        }
        assert!(!agent(&["--fail-open=false"]).fail_open);
    }
}
