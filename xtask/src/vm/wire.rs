//! What host and guest tell each other: the steps as a file, and what came of them as lines on a serial port.
//!
//! A line of the guest's own starts with a mark, since a program may print anything.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Job, Step};

/// What happens in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The next [`Step::Run`] begins.
    Begun,
    /// Its program has printed a line.
    Printed(String),
    /// It has ended, and whether well.
    Ended(bool),
    /// It has ended, and has left a process behind that holds on to its output.
    Left(bool),
    /// A step could not be taken; the last event but [`Event::Finished`].
    Refused(String),
    /// The machine has done what it was told, and is about to switch itself off.
    Finished,
}

const PRINTED: &str = "| ";
const BEGUN: &str = "+ begun";
const ENDED: &str = "+ ended ";
const LEFT: &str = "+ left ";
const REFUSED: &str = "+ refused ";
const FINISHED: &str = "+ finished";

/// An event as a line, without its end.
pub(super) fn encode(event: &Event) -> String {
    match event {
        Event::Begun => BEGUN.to_owned(),
        Event::Printed(line) => format!("{PRINTED}{line}"),
        Event::Ended(well) => format!("{ENDED}{well}"),
        Event::Left(well) => format!("{LEFT}{well}"),
        Event::Refused(why) => format!("{REFUSED}{}", why.replace('\n', "; ")),
        Event::Finished => FINISHED.to_owned(),
    }
}

/// None where the line is nobody's. Terminals put a carriage return before the end of a line.
pub(super) fn decode(line: &str) -> Option<Event> {
    let line = line.trim_end_matches('\r');
    let well = |text: &str| text.parse().ok();
    if let Some(text) = line.strip_prefix(PRINTED) {
        Some(Event::Printed(text.to_owned()))
    } else if let Some(text) = line.strip_prefix(ENDED) {
        well(text).map(Event::Ended)
    } else if let Some(text) = line.strip_prefix(LEFT) {
        well(text).map(Event::Left)
    } else if let Some(why) = line.strip_prefix(REFUSED) {
        Some(Event::Refused(why.to_owned()))
    } else {
        [Event::Begun, Event::Finished]
            .into_iter()
            .find(|event| encode(event) == line)
    }
}

/// The steps as a document.
pub(super) fn write_steps(steps: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Load(modules) => {
            let modules = modules.iter().map(|module| module.to_string_lossy());
            json!({ "load": modules.collect::<Vec<_>>() })
        }
        Step::Run(job) => json!({ "run": {
            "program": job.program.to_string_lossy(),
            "arguments": job.arguments,
            "directory": job.directory.to_string_lossy(),
            "environment": job.environment,
        } }),
    };
    Value::Array(steps.iter().map(step).collect()).to_string()
}

/// Reads what [`write_steps`] wrote.
pub(super) fn read_steps(text: &str) -> anyhow::Result<Vec<Step>> {
    let document: Value = serde_json::from_str(text).context("reading the steps")?;
    Ok(array(&document).iter().map(read_step).collect())
}

fn read_step(step: &Value) -> Step {
    let run = &step["run"];
    if run.is_null() {
        let modules = array(&step["load"]).iter();
        return Step::Load(modules.map(|module| string(module).into()).collect());
    }
    let pairs = array(&run["environment"]).iter();
    Step::Run(Job {
        program: PathBuf::from(string(&run["program"])),
        arguments: strings(&run["arguments"]),
        directory: PathBuf::from(string(&run["directory"])),
        environment: pairs
            .map(|pair| (string(&pair[0]), string(&pair[1])))
            .collect(),
    })
}

fn strings(value: &Value) -> Vec<String> {
    array(value).iter().map(string).collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Event, Job, Step, decode, encode, read_steps, write_steps};

    #[test]
    fn events_cross_a_terminal() {
        for event in [
            Event::Begun,
            Event::Printed("test result: ok".into()),
            Event::Printed("+ finished".into()),
            Event::Printed(String::new()),
            Event::Ended(true),
            Event::Left(false),
            Event::Refused("no module sctp".into()),
            Event::Finished,
        ] {
            assert_eq!(decode(&format!("{}\r", encode(&event))), Some(event));
        }
        assert_eq!(decode("SeaBIOS (version 1.16)"), None);
    }

    #[test]
    fn steps_are_read_as_they_were_written() {
        let steps = vec![
            Step::Load(vec!["/lib/veth.ko".into(), "/lib/sctp.ko".into()]),
            Step::Run(Job {
                program: "/target/debug/deps/lab".into(),
                arguments: vec!["--skip".into(), "a \"name\"".into()],
                directory: "/work".into(),
                environment: vec![("NAME".into(), "value".into())],
            }),
        ];
        assert_eq!(read_steps(&write_steps(&steps)).unwrap(), steps);
    }
}
