//! Running other programs so that stdout stays ours: their output goes to stderr, they get no stdin.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;

use crate::exit;

/// Runs `command` to its end, everything it prints on our stderr.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    let line = shown(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .with_context(|| format!("running {line}"))?;
    Ok(exit::unless_interrupted(status)?)
}

/// What `command` prints, without surrounding blanks; none where it is not there or fails.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The lines of `reader` as they come; a thread of its own, since a pipe cannot be asked with a time limit.
pub(crate) fn lines_of(reader: io::PipeReader) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(reader).split(b'\n').map_while(Result::ok);
        // An error means that nobody listens any more.
        lines
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .try_for_each(|line| sender.send(line))
    });
    receiver
}
