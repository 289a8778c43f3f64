//! Flags that mean nothing to the runner that was chosen: whoever typed one believes that somebody else is judged.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};

use super::Stopped;

/// Flags, and whose they are.
pub(super) struct Owned {
    flags: Vec<(String, String)>,
    runners: &'static [&'static str],
}

impl Owned {
    /// All flags of a group.
    pub(super) fn group<A: Args>(runners: &'static [&'static str]) -> Self {
        let command = A::augment_args(Command::new("flags"));
        let flags = command.get_arguments().filter_map(|flag| {
            let long = flag.get_long()?;
            Some((flag.get_id().to_string(), format!("--{long}")))
        });
        Self {
            flags: flags.collect(),
            runners,
        }
    }

    /// One flag, by the name of its field.
    pub(super) fn one(name: &str, runners: &'static [&'static str]) -> Self {
        Self {
            flags: vec![(name.to_owned(), format!("--{name}"))],
            runners,
        }
    }
}

/// Refuses the first flag that was typed and is another runner's.
pub(super) fn check(given: &ArgMatches, runner: &str, owned: &[Owned]) -> Result<(), Stopped> {
    let is_typed = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    let foreign = owned.iter().filter(|it| !it.runners.contains(&runner));
    for Owned { flags, runners } in foreign {
        if let Some((_, flag)) = flags.iter().find(|(id, _)| is_typed(id)) {
            let runners = runners.join(" and ");
            let message = format!("{flag} is for --runner {runners}, and this is {runner}");
            return Err(Stopped(2, message));
        }
    }
    Ok(())
}
