//! Flags with one dash, as programs of Go have them: `-benchmark` is `--benchmark` to us.

use std::ffi::OsString;

/// The arguments of this program, where they are of `network` with two dashes before each long flag. Of one letter there
/// are `-h`, `-o` and `-V`, and `-ojson` is the second of them.
pub fn with_two_dashes(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|verb| verb == "network") {
        for arg in args.iter_mut().skip(2) {
            if is_long_with_one_dash(arg.to_str().unwrap_or_default()) {
                let mut longer = OsString::from("-");
                longer.push(&*arg);
                *arg = longer;
            }
        }
    }
    args
}

fn is_long_with_one_dash(arg: &str) -> bool {
    let Some(name) = arg.strip_prefix('-') else {
        return false;
    };
    let name = name.split('=').next().unwrap_or_default();
    let is_flag = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.len() > 1;
    is_flag && !matches!(name, "ojson" | "otable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_go_get_a_second_dash() {
        for (line, expected) in [
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
            let args = with_two_dashes(line.split(' ').map(OsString::from));
            let expected: Vec<_> = expected.split(' ').map(OsString::from).collect();
            assert_eq!(args, expected);
        }
    }
}
