//! The arguments as this program takes them: also by the names of perf-tests' programs and of the parts of a measurement of
//! the network, and with one dash before a long flag, as programs of Go have them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Programs that this one can take the place of, with the words that this means.
const NAMES: [(&str, &[&str]); 5] = [
    (
        "pod-creation-reachability-latency",
        &["latency", "pod", "--Client"],
    ),
    (
        "policy-creation-enforcement-latency",
        &["latency", "policy", "--Client"],
    ),
    ("launcher", &["network", "launcher"]),
    ("orchestrator", &["network", "orchestrator"]),
    ("worker", &["network", "worker"]),
];
/// The verbs that take the place of programs of Go.
const OF_GO: [&str; 2] = ["latency", "network"];

/// Where it is called by the name of another program, with the words that this means; where a program of Go is meant, with
/// two dashes before each long flag.
pub(crate) fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given = given.into_iter();
    let program = given.next().unwrap_or_default();
    let rest: Vec<_> = given.collect();
    let words = match meant(&program) {
        Some(words) => words,
        None if is_of_go(rest.first()) => &[],
        None => return std::iter::once(program).chain(rest).collect(),
    };
    let words = words.iter().map(OsString::from);
    let rest = rest.into_iter().map(two_dashes);
    [program].into_iter().chain(words).chain(rest).collect()
}

/// The words that the name of another program means.
fn meant(program: &OsStr) -> Option<&'static [&'static str]> {
    let name = Path::new(program).file_name()?;
    let mut names = NAMES.iter();
    names
        .find(|(known, _)| name == *known)
        .map(|(_, words)| *words)
}

fn is_of_go(verb: Option<&OsString>) -> bool {
    verb.is_some_and(|verb| OF_GO.iter().any(|known| verb == known))
}

fn two_dashes(argument: OsString) -> OsString {
    if !is_long_with_one_dash(argument.as_bytes()) {
        return argument;
    }
    let mut dashed = OsString::from("-");
    dashed.push(argument);
    dashed
}

/// Of one letter there are `-h`, `-o` and `-V`, and `-ojson` is the second of them.
fn is_long_with_one_dash(argument: &[u8]) -> bool {
    let Some(flag) = argument.strip_prefix(b"-") else {
        return false;
    };
    let name = flag.split(|byte| *byte == b'=').next().unwrap_or_default();
    let is_long = name.len() > 1 && name[0].is_ascii_alphabetic();
    is_long && !matches!(name, b"ojson" | b"otable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_others_are_this_one() {
        for (given, taken) in [
            (
                "/pod-creation-reachability-latency -HostNamespace=default -TargetPort 80",
                "/pod-creation-reachability-latency latency pod --Client --HostNamespace=default --TargetPort 80",
            ),
            (
                "./policy-creation-enforcement-latency",
                "./policy-creation-enforcement-latency latency policy --Client",
            ),
            (
                "/launcher -benchmark iperf3-tcp -inject",
                "/launcher network launcher --benchmark iperf3-tcp --inject",
            ),
            ("/worker -port=1", "/worker network worker --port=1"),
            (
                "/orchestrator --quick",
                "/orchestrator network orchestrator --quick",
            ),
            (
                "sluice-bench latency pod -MaxTargets=3 -o json",
                "sluice-bench latency pod --MaxTargets=3 -o json",
            ),
            (
                "sluice-bench compare --quick",
                "sluice-bench compare --quick",
            ),
            ("sluice-bench", "sluice-bench"),
            (
                "x network launcher -benchmark iperf3-tcp -inject=true --quick -o json",
                "x network launcher --benchmark iperf3-tcp --inject=true --quick -o json",
            ),
            (
                "x network worker -h -V -ojson -5",
                "x network worker -h -V -ojson -5",
            ),
            ("x compare -quick", "x compare -quick"),
        ] {
            let words = given.split(' ').map(OsString::from);
            let expected: Vec<_> = taken.split(' ').map(OsString::from).collect();
            assert_eq!(arguments(words), expected);
        }
    }

    #[test]
    fn a_long_flag_with_one_dash_gets_another() {
        for (given, expected) in [
            ("-HostNamespace=default", "--HostNamespace=default"),
            ("--HostNamespace=default", "--HostNamespace=default"),
            ("-MetricsPort", "--MetricsPort"),
            ("-o", "-o"),
            ("-ojson", "-ojson"),
            ("-V", "-V"),
            ("-5", "-5"),
            ("target=x", "target=x"),
        ] {
            assert_eq!(two_dashes(given.into()), OsString::from(expected));
        }
    }
}
