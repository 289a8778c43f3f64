//! Which programs a worker runs, and with which arguments: whoever reaches a worker's orchestrator, or is it, can have
//! nothing else run.

use std::net::{IpAddr, SocketAddr};

use super::benchmark::Call;

/// A call that may be run. There is no other way to one than [`Invocation::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation(Call);

/// Why a call may not be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// No program of ours.
    #[error("`{0}` is no program that workers run")]
    Command(String),
    /// An argument that is not on the program's list.
    #[error("`{command}` is not run with `{argument}`")]
    Argument {
        /// The program.
        command: String,
        /// What is wrong.
        argument: String,
    },
}

/// What a program may be told.
struct Allowed {
    command: &'static str,
    /// Arguments that stand for themselves.
    words: &'static [&'static str],
    /// Flags that an argument of some kind follows.
    flags: &'static [(&'static str, Kind)],
    /// What may stand alone besides.
    free: &'static [Kind],
}

/// A kind of values.
#[derive(Clone, Copy)]
enum Kind {
    Address,
    /// Names in capitals, with commas in between.
    Fields,
    OneOf(&'static [&'static str]),
    /// 1 to 65535.
    Port,
    /// A port, or `disabled`.
    PortOrNone,
    /// 1 to [`LONGEST`].
    Seconds,
    /// The same, with `s` behind it.
    SecondsWithUnit,
    /// `http://IP:PORT/` or `tcp://IP:PORT`.
    Url,
}

/// Nothing measures for longer than an hour, in seconds.
const LONGEST: u32 = 3_600;

const ALLOWED: [Allowed; 5] = [
    Allowed {
        command: "iperf3",
        words: &["-s", "-J"],
        flags: &[
            ("-c", Kind::Address),
            ("-p", Kind::Port),
            ("-t", Kind::Seconds),
        ],
        free: &[],
    },
    Allowed {
        command: "netserver",
        words: &["-D"],
        flags: &[("-p", Kind::Port)],
        free: &[],
    },
    Allowed {
        command: "netperf",
        words: &["-4", "-6", "-j", "--"],
        flags: &[
            ("-H", Kind::Address),
            ("-p", Kind::Port),
            ("-t", Kind::OneOf(&["TCP_RR", "TCP_STREAM"])),
            ("-l", Kind::Seconds),
            ("-P", Kind::OneOf(&["0"])),
            ("-r", Kind::OneOf(&["1,1"])),
            ("-k", Kind::Fields),
        ],
        free: &[],
    },
    Allowed {
        command: "qperf",
        words: &["tcp_bw", "tcp_lat"],
        flags: &[("-lp", Kind::Port), ("-t", Kind::Seconds)],
        free: &[Kind::Address],
    },
    Allowed {
        command: "fortio",
        words: &["load", "server", "tcp-echo"],
        flags: &[
            ("-qps", Kind::OneOf(&["0"])),
            ("-c", Kind::OneOf(&["4"])),
            ("-r", Kind::OneOf(&["0.00001"])),
            ("-t", Kind::SecondsWithUnit),
            ("-json", Kind::OneOf(&["-"])),
            ("-http-port", Kind::PortOrNone),
            ("-tcp-port", Kind::PortOrNone),
            ("-udp-port", Kind::PortOrNone),
            ("-grpc-port", Kind::PortOrNone),
            ("-redirect-port", Kind::PortOrNone),
        ],
        free: &[Kind::Url],
    },
];

impl Invocation {
    /// # Errors
    /// The first thing that is not on the list.
    pub fn parse(call: Call) -> Result<Self, NotAllowed> {
        let Some(allowed) = ALLOWED.iter().find(|it| it.command == call.command) else {
            return Err(NotAllowed::Command(call.command));
        };
        let mut args = call.args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            let (wrong, is_fine) = if allowed.words.contains(&arg) {
                (arg, true)
            } else if let Some((_, kind)) = allowed.flags.iter().find(|(flag, _)| *flag == arg) {
                // A flag without its value is wrong itself.
                let value = args.next().unwrap_or(arg);
                (value, kind.takes(value))
            } else {
                (arg, allowed.free.iter().any(|kind| kind.takes(arg)))
            };
            if !is_fine {
                return Err(NotAllowed::Argument {
                    command: call.command.clone(),
                    argument: wrong.to_owned(),
                });
            }
        }
        Ok(Self(call))
    }

    /// The program.
    pub fn command(&self) -> &str {
        &self.0.command
    }

    /// Its arguments.
    pub fn args(&self) -> &[String] {
        &self.0.args
    }
}

impl Kind {
    fn takes(self, value: &str) -> bool {
        match self {
            Self::Address => value.parse::<IpAddr>().is_ok(),
            Self::Fields => {
                let is_part =
                    |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_,".contains(c);
                !value.is_empty() && value.chars().all(is_part)
            }
            Self::OneOf(values) => values.contains(&value),
            Self::Port => value.parse().is_ok_and(|port: u16| port > 0),
            Self::PortOrNone => value == "disabled" || Self::Port.takes(value),
            Self::Seconds => value
                .parse()
                .is_ok_and(|seconds: u32| (1..=LONGEST).contains(&seconds)),
            Self::SecondsWithUnit => value
                .strip_suffix('s')
                .is_some_and(|seconds| Self::Seconds.takes(seconds)),
            Self::Url => {
                let http = value
                    .strip_prefix("http://")
                    .and_then(|it| it.strip_suffix('/'));
                let socket = http.or_else(|| value.strip_prefix("tcp://"));
                socket.is_some_and(|it| it.parse::<SocketAddr>().is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::super::benchmark::Benchmark;
    use super::*;

    #[test]
    fn whatever_benchmarks_call_may_be_run() {
        for benchmark in Benchmark::value_variants() {
            for server in ["10.244.1.7", "fd00::7"] {
                let client = benchmark.client(server.parse().unwrap(), 10);
                for call in [benchmark.server(), client] {
                    let parsed = Invocation::parse(call.clone());
                    assert!(parsed.is_ok(), "{call:?}: {parsed:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_else_is() {
        for (line, wrong) in [
            ("sh -c id", None),
            ("/usr/bin/iperf3 -s", None),
            ("iperf3 -s --logfile /etc/passwd", Some("--logfile")),
            ("iperf3 -s -p 0", Some("0")),
            ("iperf3 -s -p", Some("-p")),
            ("iperf3 -c evil.example", Some("evil.example")),
            ("iperf3 -c 10.0.0.1 -t 3601", Some("3601")),
            ("netserver -D -L 10.0.0.1", Some("-L")),
            ("netperf -H 10.0.0.1;id", Some("10.0.0.1;id")),
            ("netperf -F /etc/shadow", Some("-F")),
            ("netperf -- -k $(id)", Some("$(id)")),
            ("qperf 10.0.0.1 quit", Some("quit")),
            ("fortio load file:///etc/passwd", Some("file:///etc/passwd")),
            (
                "fortio load http://10.0.0.1:80/../x",
                Some("http://10.0.0.1:80/../x"),
            ),
            ("fortio load -t 0s http://10.0.0.1:80/", Some("0s")),
            ("fortio server -data-dir /", Some("-data-dir")),
        ] {
            let (command, args) = line.split_once(' ').unwrap();
            let call = Call {
                command: command.to_owned(),
                args: args.split(' ').map(str::to_owned).collect(),
            };
            let expected = match wrong {
                None => NotAllowed::Command(command.to_owned()),
                Some(argument) => NotAllowed::Argument {
                    command: command.to_owned(),
                    argument: argument.to_owned(),
                },
            };
            assert_eq!(Invocation::parse(call), Err(expected), "{line}");
        }
    }
}
