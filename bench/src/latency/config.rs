//! What a client is told on its command line, and whether that makes sense. Pure.

use std::time::Duration;

use clap::Args;

/// Port numbers end here.
const HIGHEST_PORT: i64 = 65_535;

/// Flags of both clients, spelt and defaulted as in perf-tests; any of them makes this the client of a cluster.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "cluster", multiple = true)]
pub struct Flags {
    /// The namespace of test client pods
    #[arg(
        long = "HostNamespace",
        value_name = "NAME",
        help_heading = "In a cluster"
    )]
    pub host_namespace: Option<String>,
    /// The port where Prometheus metrics are exposed [default: 9154]
    #[arg(
        long = "MetricsPort",
        value_name = "PORT",
        allow_negative_numbers = true,
        help_heading = "In a cluster"
    )]
    pub metrics_port: Option<i64>,
    /// The label selector of target pods to send requests to
    #[arg(
        long = "TargetLabelSelector",
        value_name = "SELECTOR",
        help_heading = "In a cluster"
    )]
    pub target_label_selector: Option<String>,
    /// The namespace of target pods to send requests to
    #[arg(
        long = "TargetNamespace",
        value_name = "NAME",
        help_heading = "In a cluster"
    )]
    pub target_namespace: Option<String>,
    /// The port of target pods to send requests to
    #[arg(
        long = "TargetPort",
        value_name = "PORT",
        allow_negative_numbers = true,
        help_heading = "In a cluster"
    )]
    pub target_port: Option<i64>,
    /// The maximum number of target pods to send requests to [default: 100]
    #[arg(
        long = "MaxTargets",
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "In a cluster"
    )]
    pub max_targets: Option<i64>,
    /// From one attempt to reach a pod to the next, in milliseconds; perf-tests' clients wait 1000 [default: 10]
    #[arg(long = "ProbeInterval", value_name = "MS", help_heading = "In a cluster",
          allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub probe_interval: Option<u64>,
    /// End when every target answered, rather than idle
    #[arg(long = "Once", help_heading = "In a cluster")]
    pub once: bool,
    /// Be the client, also where none of its flags is given
    #[arg(long = "Client", hide = true)]
    pub client: bool,
}

/// The flag of the policy client alone.
#[derive(Clone, Debug, Default, Args)]
pub struct PolicyFlags {
    /// The egress policy that allows traffic from test client pods to target pods
    #[arg(
        long = "AllowPolicyName",
        value_name = "NAME",
        group = "cluster",
        help_heading = "In a cluster"
    )]
    pub allow_policy_name: Option<String>,
    /// Then delete that policy and make it again so often, and time both at the first target [default: 0]
    #[arg(long = "Transitions", value_name = "N", group = "cluster", help_heading = "In a cluster",
          allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub transitions: Option<u16>,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// How long until a new pod has an address, and until it is reached.
    PodCreation,
    /// How long until a new policy lets traffic through.
    PolicyCreation {
        /// Its name, in the client's namespace.
        allow_policy: String,
        /// How often it is deleted and made again afterwards.
        transitions: u16,
    },
}

/// Flags that make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is measured.
    pub test: Test,
    /// Where the client is, and the policy.
    pub host_namespace: String,
    /// Where `/metrics` is served.
    pub metrics_port: u16,
    /// Which pods are targets.
    pub target_label_selector: String,
    /// Where they are.
    pub target_namespace: String,
    /// What is connected to.
    pub target_port: u16,
    /// At most so many.
    pub max_targets: usize,
    /// From one attempt to the next.
    pub probe_interval: Duration,
}

/// What is wrong with the flags; the first thing, in perf-tests' order and words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Of `HostNamespace` or `MetricsPort`.
    #[error("failed to verify host configuration, error: {0}")]
    Host(String),
    /// Of the flags that start with `Target`, or `MaxTargets`.
    #[error("failed to verify target configuration, error: {0}")]
    Target(String),
    /// The policy has no name.
    #[error("AllowPolicyName is not specified for policy creation test")]
    Policy,
}

impl Flags {
    /// Whether any of them was given.
    pub fn any(&self) -> bool {
        let texts = [
            &self.host_namespace,
            &self.target_label_selector,
            &self.target_namespace,
        ];
        let numbers = [self.metrics_port, self.target_port, self.max_targets];
        texts.iter().any(|text| text.is_some())
            || numbers.iter().any(Option::is_some)
            || self.probe_interval.is_some()
            || self.once
            || self.client
    }

    /// `--Flag=value` of each flag of perf-tests, in order of their names; those of the policy client with `policy`.
    pub fn lines(&self, policy: Option<&PolicyFlags>) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut lines = Vec::new();
        if let Some(policy) = policy {
            lines.push(("AllowPolicyName", text(&policy.allow_policy_name)));
        }
        lines.extend([
            ("HostNamespace", text(&self.host_namespace)),
            ("MaxTargets", self.max_targets().to_string()),
            ("MetricsPort", self.metrics_port().to_string()),
            ("TargetLabelSelector", text(&self.target_label_selector)),
            ("TargetNamespace", text(&self.target_namespace)),
            ("TargetPort", self.target_port().to_string()),
        ]);
        let line = |(name, value)| format!("--{name}={value}");
        lines.into_iter().map(line).collect()
    }

    /// What the client goes by; `policy` makes it the policy client.
    pub fn check(&self, policy: Option<&PolicyFlags>) -> Result<Config, ConfigError> {
        let host = |text: &str| ConfigError::Host(text.to_owned());
        let target = |text: &str| ConfigError::Target(text.to_owned());
        let test = match policy {
            None => Test::PodCreation,
            Some(policy) => Test::PolicyCreation {
                allow_policy: given(policy.allow_policy_name.as_ref())
                    .ok_or(ConfigError::Policy)?,
                transitions: policy.transitions.unwrap_or_default(),
            },
        };
        let host_namespace = given(self.host_namespace.as_ref())
            .ok_or(host("HostNamespace parameter is not specified"))?;
        let metrics_port = port(self.metrics_port());
        let metrics_port = metrics_port.ok_or(host("MetricsPort is out of range [1..65535]"))?;
        let target_label_selector = given(self.target_label_selector.as_ref())
            .ok_or(target("TargetLabelSelector parameter is not specified"))?;
        let target_namespace = given(self.target_namespace.as_ref())
            .ok_or(target("TargetNamespace parameter is not specified"))?;
        let target_port = port(self.target_port())
            .ok_or(target("TargetPort parameter is out of range [1..65535]"))?;
        let max_targets = match usize::try_from(self.max_targets()) {
            Ok(most) if most > 0 => most,
            _ => {
                let most = self.max_targets();
                return Err(target(&format!("MaxTargets parameter is invalid: {most}")));
            }
        };
        Ok(Config {
            test,
            host_namespace,
            metrics_port,
            target_label_selector,
            target_namespace,
            target_port,
            max_targets,
            probe_interval: Duration::from_millis(self.probe_interval.unwrap_or(10)),
        })
    }

    fn metrics_port(&self) -> i64 {
        self.metrics_port.unwrap_or(9_154)
    }

    fn target_port(&self) -> i64 {
        self.target_port.unwrap_or_default()
    }

    fn max_targets(&self) -> i64 {
        self.max_targets.unwrap_or(100)
    }
}

fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn port(number: i64) -> Option<u16> {
    (1..=HIGHEST_PORT)
        .contains(&number)
        .then(|| u16::try_from(number).ok())?
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        policy: PolicyFlags,
    }

    fn parsed(line: &str) -> Line {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Line::parse_from(words)
    }

    const WHOLE: &str = "--HostNamespace=default --MaxTargets=20 --MetricsPort=9160 \
        --TargetLabelSelector=target=test-policy --TargetNamespace=test-policy --TargetPort=80";

    #[test]
    fn the_first_flag_that_makes_no_sense_is_named_in_the_same_words() {
        for (line, expected) in [
            (
                "",
                "failed to verify host configuration, error: HostNamespace parameter is not specified",
            ),
            (
                "--HostNamespace=a --MetricsPort=0",
                "failed to verify host configuration, error: MetricsPort is out of range [1..65535]",
            ),
            (
                "--HostNamespace=a --MetricsPort=65536",
                "failed to verify host configuration, error: MetricsPort is out of range [1..65535]",
            ),
            (
                "--HostNamespace=a",
                "failed to verify target configuration, error: TargetLabelSelector parameter is not specified",
            ),
            (
                "--HostNamespace=a --TargetLabelSelector=a",
                "failed to verify target configuration, error: TargetNamespace parameter is not specified",
            ),
            (
                "--HostNamespace=a --TargetLabelSelector=a --TargetNamespace=b",
                "failed to verify target configuration, error: TargetPort parameter is out of range [1..65535]",
            ),
            (
                "--HostNamespace=a --TargetLabelSelector=a --TargetNamespace=b --TargetPort=-1",
                "failed to verify target configuration, error: TargetPort parameter is out of range [1..65535]",
            ),
            (
                "--HostNamespace=a --TargetLabelSelector=a --TargetNamespace=b --TargetPort=80 --MaxTargets=0",
                "failed to verify target configuration, error: MaxTargets parameter is invalid: 0",
            ),
        ] {
            let error = parsed(line).flags.check(None).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        for line in ["", WHOLE] {
            let line = parsed(line);
            let error = line.flags.check(Some(&line.policy)).unwrap_err();
            assert_eq!(error, ConfigError::Policy);
        }
        let policy = ConfigError::Policy.to_string();
        assert_eq!(
            policy,
            "AllowPolicyName is not specified for policy creation test"
        );
    }

    #[test]
    fn flags_that_make_sense_are_taken_over() {
        let line = parsed(&format!("{WHOLE} --AllowPolicyName=allow-egress-to-target"));
        let config = line.flags.check(Some(&line.policy)).unwrap();
        assert_eq!(
            config,
            Config {
                test: Test::PolicyCreation {
                    allow_policy: "allow-egress-to-target".to_owned(),
                    transitions: 0,
                },
                host_namespace: "default".to_owned(),
                metrics_port: 9_160,
                target_label_selector: "target=test-policy".to_owned(),
                target_namespace: "test-policy".to_owned(),
                target_port: 80,
                max_targets: 20,
                probe_interval: Duration::from_millis(10),
            }
        );
        let pod = line.flags.check(None).unwrap();
        assert_eq!(pod.test, Test::PodCreation);
    }

    #[test]
    fn flags_are_listed_by_name_with_their_defaults() {
        let line = parsed("--HostNamespace=default --TargetPort 80 --AllowPolicyName=a");
        let expected = "--AllowPolicyName=a --HostNamespace=default --MaxTargets=100 --MetricsPort=9154 \
            --TargetLabelSelector= --TargetNamespace= --TargetPort=80";
        let listed = line.flags.lines(Some(&line.policy));
        assert_eq!(listed, expected.split_whitespace().collect::<Vec<_>>());
        assert_eq!(line.flags.lines(None).len(), 6);
    }

    #[test]
    fn any_flag_makes_a_client() {
        assert!(!parsed("").flags.any());
        for line in [
            "--HostNamespace=",
            "--MaxTargets=1",
            "--Once",
            "--ProbeInterval=5",
            "--Client",
        ] {
            assert!(parsed(line).flags.any(), "{line}");
        }
    }
}
