//! What was measured between whom, and what became of it, in the document that others read.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The document of results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// One for each task, in the order in which they are begun.
    pub results: Vec<Measured>,
}

/// A task and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// What the client printed; where the task is not done, with what is known of why.
    pub output: String,
    /// What was to be done.
    pub task: Task,
}

/// A client that measures the way to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The client's program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Under which conditions.
    pub task_options: TaskOptions,
    /// What became of it.
    pub status: Status,
    /// Who measures.
    pub client: Worker,
    /// Who answers.
    pub server: Worker,
}

/// Conditions of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// How long the client may take.
    pub timeout_seconds: u32,
}

/// What became of a task; a number in documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Status {
    /// 0: it was not begun.
    Waiting,
    /// 1: it is under way.
    Running,
    /// 2: the client says that it has measured.
    Done,
    /// 3: client or server could not, or was told to end before it had.
    Failed,
    /// 4: it took longer than it had.
    TimedOut,
    /// 5: one of its workers went away.
    Lost,
}

/// A number that is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no status of a task")]
pub struct NoStatus(u8);

/// Somebody who runs clients and servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name, unique among the workers.
    pub worker: String,
    /// Where it is reached.
    pub ip: IpAddr,
    /// What it runs on.
    pub vm: Vm,
    /// Whether it has nothing to do. One that was lost is not idle.
    pub idle: bool,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// Its name.
    pub hostname: String,
    /// Where it stands; empty where nobody said.
    pub availability_zone: String,
}

const STATUSES: [Status; 6] = [
    Status::Waiting,
    Status::Running,
    Status::Done,
    Status::Failed,
    Status::TimedOut,
    Status::Lost,
];

impl From<Status> for u8 {
    fn from(status: Status) -> Self {
        status as Self
    }
}

impl TryFrom<u8> for Status {
    type Error = NoStatus;

    fn try_from(number: u8) -> Result<Self, NoStatus> {
        let status = STATUSES.get(usize::from(number));
        status.copied().ok_or(NoStatus(number))
    }
}

impl Status {
    /// As people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "not begun",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Lost => "lost",
        }
    }

    /// Whether it is decided.
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// Longest name of a worker: that of a pod.
const NAME: usize = 253;

/// Whether a worker may have this name: it becomes part of addresses of the `PushGateway`.
pub fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    // Of dots alone it would be a way through directories.
    (1..=NAME).contains(&name.len()) && name.chars().all(is_part) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_document_has_the_shape_that_others_read() {
        let worker = |name: &str, ip: &str| Worker {
            worker: name.to_owned(),
            ip: ip.parse().unwrap(),
            vm: Vm {
                hostname: format!("node-{name}"),
                availability_zone: "north".to_owned(),
            },
            idle: true,
        };
        let results = Results {
            results: vec![Measured {
                output: "fine\n".to_owned(),
                task: Task {
                    command: "qperf".to_owned(),
                    args: vec!["tcp_lat".to_owned()],
                    task_options: TaskOptions {
                        timeout_seconds: 30,
                    },
                    status: Status::Done,
                    client: worker("a", "10.0.0.1"),
                    server: worker("b", "fd00::2"),
                },
            }],
        };
        let of = |name: &str, ip: &str| {
            json!({"worker": name, "ip": ip, "idle": true,
                   "vm": {"hostname": format!("node-{name}"), "availability_zone": "north"}})
        };
        let expected = json!({"results": [{"output": "fine\n", "task": {
            "command": "qperf", "args": ["tcp_lat"], "task_options": {"timeout_seconds": 30},
            "status": 2, "client": of("a", "10.0.0.1"), "server": of("b", "fd00::2"),
        }}]});
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }

    #[test]
    fn statuses_are_numbers_that_do_not_change() {
        for (number, status) in (0_u8..).zip(STATUSES) {
            assert_eq!(u8::from(status), number);
            assert_eq!(Status::try_from(number), Ok(status));
        }
        assert_eq!(Status::try_from(6), Err(NoStatus(6)));
    }

    #[test]
    fn names_of_workers_are_plain() {
        for (name, fine) in [
            ("worker-1", true),
            ("a.b_c", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
        ] {
            assert_eq!(is_name(name), fine, "{name}");
        }
    }
}
