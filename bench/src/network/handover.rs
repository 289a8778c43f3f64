//! Results on their way through the log of an orchestrator's pod: there is no file of a pod that can be read once it has
//! ended. Runtimes cut long lines of a log, and what a program says besides may come in between; so they go in short lines
//! that are marked. Pure.

use super::task::Results;

/// How a line of results begins. What is said of tasks is indented, so that no worker can say this.
const MARK: &str = "results| ";
/// As much of the document is in a line, in bytes; containerd and others cut at 16 KiB.
const PIECE: usize = 4_096;

/// What was received so far.
#[derive(Clone, Debug, Default)]
pub struct Received {
    document: String,
}

/// The lines that a launcher puts together again.
///
/// # Errors
/// Where there is no document of these results.
pub fn lines(results: &Results) -> serde_json::Result<String> {
    let document = serde_json::to_string(results)?;
    let mut rest = &document[..];
    let mut lines = String::with_capacity(document.len() * 2);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.floor_char_boundary(PIECE));
        for part in [MARK, piece, "\n"] {
            lines.push_str(part);
        }
        rest = more;
    }
    Ok(lines)
}

impl Received {
    /// Takes a line of the log; whether it was one of results.
    pub fn hear(&mut self, line: &str) -> bool {
        let piece = line.strip_prefix(MARK);
        self.document.push_str(piece.unwrap_or_default());
        piece.is_some()
    }

    /// The results, once they are whole.
    pub fn results(&self) -> Option<Results> {
        serde_json::from_str(&self.document).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::network::task::{Measured, Status, Task, TaskOptions, Vm, Worker};

    fn results(output: &str) -> Results {
        let worker = Worker {
            worker: "a".to_owned(),
            ip: IpAddr::from([10, 0, 0, 1]),
            vm: Vm::default(),
            idle: true,
        };
        let task = Task {
            command: "qperf".to_owned(),
            args: Vec::new(),
            task_options: TaskOptions { timeout_seconds: 1 },
            status: Status::Done,
            client: worker.clone(),
            server: worker,
        };
        let output = output.to_owned();
        Results {
            results: vec![Measured { output, task }],
        }
    }

    #[test]
    fn what_goes_through_a_log_is_whole_again_whatever_comes_in_between() {
        for output in ["", "two\nlines ", &"µ".repeat(9_000), "results| {}\n"] {
            let sent = results(output);
            let lines = lines(&sent).unwrap();
            assert!(lines.lines().all(|line| line.len() <= MARK.len() + PIECE));
            let mut received = Received::default();
            for line in lines.lines() {
                assert_eq!(received.results(), None, "before it is whole");
                assert!(!received.hear("orchestrator: 1/1 qperf-tcp a → b: done"));
                assert!(!received.hear("  results| not of the orchestrator's"));
                assert!(received.hear(line));
            }
            assert_eq!(received.results(), Some(sent));
        }
    }
}
