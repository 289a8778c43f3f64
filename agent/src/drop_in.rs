//! The command line of kube-network-policies, so that its `DaemonSet` needs another image and nothing else: the program
//! is called `netpol` there, and Go's flags take one dash as well as two. What the flags mean is in [`crate::cli`].

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The file name of its program, in all of its images.
const NETPOL: &str = "netpol";

/// The arguments as `sluice` takes them. Untouched where the program is not called, or first told to run, `netpol`.
pub fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given = given.into_iter();
    let Some(program) = given.next() else {
        return Vec::new();
    };
    let mut rest: Vec<_> = given.collect();
    let is_first = rest.first().is_some_and(|first| names_netpol(first));
    if is_first {
        rest.remove(0);
    } else if !names_netpol(&program) {
        return std::iter::once(program).chain(rest).collect();
    }
    let flags = rest.into_iter().map(two_dashes);
    [program, "agent".into()].into_iter().chain(flags).collect()
}

fn names_netpol(argument: &OsStr) -> bool {
    Path::new(argument).file_name() == Some(OsStr::new(NETPOL))
}

/// `-nfqueue-id=98` is `--nfqueue-id=98` in Go; `-v=2` is the same in both.
fn two_dashes(flag: OsString) -> OsString {
    let name = flag.as_bytes().split(|&byte| byte == b'=').next();
    let long = name.is_some_and(|it| it.len() > 2 && it[0] == b'-' && it[1].is_ascii_alphabetic());
    if !long {
        return flag;
    }
    let mut dashed = OsString::from("-");
    dashed.push(flag);
    dashed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netpol_is_the_agent_and_everything_else_stays() {
        for (given, taken) in [
            ("sluice agent --v=2", "sluice agent --v=2"),
            ("sluice status -o json", "sluice status -o json"),
            (
                "sluice matrix --from x/netpol",
                "sluice matrix --from x/netpol",
            ),
            ("sluice", "sluice"),
            ("/sluice /bin/netpol --v=2", "/sluice agent --v=2"),
            ("/sluice netpol", "/sluice agent"),
            ("/bin/netpol -v=2 -v 4", "/bin/netpol agent -v=2 -v 4"),
            (
                "/bin/netpol -admin-network-policy=true -fail-open",
                "/bin/netpol agent --admin-network-policy=true --fail-open",
            ),
            (
                "/bin/netpol --nfqueue-id -1",
                "/bin/netpol agent --nfqueue-id -1",
            ),
        ] {
            let words = given.split(' ').map(OsString::from);
            let words: Vec<_> = arguments(words)
                .into_iter()
                .map(|word| word.into_string().unwrap())
                .collect();
            assert_eq!(words.join(" "), taken, "{given}");
        }
        assert!(arguments([]).is_empty());
    }
}
