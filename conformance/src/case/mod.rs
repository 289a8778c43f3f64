//! A case as data: a world, policies, what happens to them, and which connections are open afterwards.

mod check;
mod file;
mod kept;
mod matrix;
mod object;
pub(crate) mod yaml;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sluice_oracle::Port;

use crate::world::{WorldError, world};
use crate::{State, StateError};

pub use file::{CaseError, read_case};
pub use matrix::{Mark, Matrix, MatrixError, Part, PartError};
pub(crate) use object::KINDS;
pub use object::{Object, ObjectName, ObjectNameError};

/// One test of the suite.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique and the same in all releases: `THEME/NAME`.
    pub id: Arc<str>,
    /// What is tested, as a sentence that is true of a right enforcer.
    pub sentence: String,
    /// By what to choose it.
    pub tags: BTreeSet<Arc<str>>,
    /// What an enforcer must offer for the case to mean anything, such as `np.endport`.
    pub features: BTreeSet<Arc<str>>,
    /// The built-in world that it takes place in, by name.
    pub world: Arc<str>,
    /// What there is besides, before the first step.
    pub objects: Vec<Object>,
    /// Ports that are asked about besides those of the world's containers.
    pub ports: Vec<Port>,
    /// Where the sentence comes from: the API's documentation, a report.
    pub source: Option<String>,
    /// What happens, one step after another. At least one.
    pub steps: Vec<Step>,
    /// Where the case was read from.
    pub origin: Origin,
    /// Where in it its objects are, in their order; empty for what was made by a rule.
    pub places: Vec<Place>,
}

impl Case {
    /// The first part of its id.
    pub fn theme(&self) -> &str {
        self.id.split_once('/').map_or("", |(theme, _)| theme)
    }
}

/// Why a case cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// Its objects.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Where a case comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of the suite's own, by its path below `cases`.
    BuiltIn(PathBuf),
    /// A file.
    File(PathBuf),
    /// A generator, by its name.
    Generated(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(path) => write!(f, "cases/{}", path.display()),
            Self::File(path) => path.display().fmt(f),
            Self::Generated(by) => write!(f, "generated: {by}"),
        }
    }
}

/// What happens, and what is so afterwards.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// What is special about it.
    pub title: Option<String>,
    /// What happens.
    pub events: Vec<Event>,
    /// Whether the events may happen in any order.
    pub any_order: bool,
    /// What a person wrote down, for all connections or parts of them. The oracle must agree.
    pub matrix: Vec<(Part, Matrix)>,
    /// Connections that were opened before and still go on.
    pub alive: Vec<Arc<str>>,
    /// Connections that were opened before and no longer go on.
    pub cut: Vec<Arc<str>>,
    /// Objects that an API server takes.
    pub accepted: Vec<Object>,
    /// Objects that an API server refuses, each with the field that it names.
    pub rejected: Vec<(Object, String)>,
    /// Where it and what it says stand.
    pub places: Places,
}

/// Where something stands in the file of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// One-based; 0 for what was made by a rule.
    pub line: u64,
    /// Which field it is, such as `steps[0].events[1]`.
    pub field: String,
}

/// Where a step and what it says stand; empty for what was made by a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Itself.
    pub step: Place,
    /// Its matrix.
    pub matrix: Place,
    /// Its events, in their order.
    pub events: Vec<Place>,
    /// The names of its connections that go on.
    pub alive: Vec<Place>,
    /// The names of its connections that no longer do.
    pub cut: Vec<Place>,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An object is made, or takes the place of the one of its name.
    Apply(Object),
    /// An object goes.
    Delete(ObjectName),
    /// Labels are set, or taken away where there is no value.
    Label(ObjectName, Vec<(String, Option<String>)>),
    /// A connection is opened and kept; it must be allowed.
    Open(Connection),
    /// Something happens to the enforcer of every node.
    Agent(AgentEvent),
}

/// A connection that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// What the case calls it.
    pub name: Arc<str>,
    /// Who opens it: `NAMESPACE/NAME`.
    pub from: Arc<str>,
    /// To whom: a pod, or `service:NAMESPACE/NAME`.
    pub to: Arc<str>,
    /// The port.
    pub port: Port,
}

/// What happens to an enforcer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// It is asked to end, and another one is started.
    Restart,
    /// It is killed, and another one is started.
    Kill,
}

impl Event {
    /// Whether it is a change of objects, which needs no enforcer to be judged.
    pub fn is_of_objects(&self) -> bool {
        matches!(self, Self::Apply(_) | Self::Delete(_) | Self::Label(..))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(object) => write!(f, "apply {object}"),
            Self::Delete(name) => write!(f, "delete {name}"),
            Self::Label(name, labels) => {
                write!(f, "label {name}")?;
                labels.iter().try_for_each(|(key, value)| match value {
                    Some(value) => write!(f, " {key}={value}"),
                    None => write!(f, " {key}-"),
                })
            }
            Self::Open(Connection {
                name,
                from,
                to,
                port,
            }) => {
                write!(f, "open {name}: {from} > {to} {port}")
            }
            Self::Agent(AgentEvent::Restart) => f.write_str("restart the agents"),
            Self::Agent(AgentEvent::Kill) => f.write_str("kill the agents"),
        }
    }
}

impl Case {
    /// What there is before the first step.
    pub fn start(&self) -> Result<State, StartError> {
        let mut state = world(&self.world)?;
        for object in &self.objects {
            state.put(object)?;
        }
        Ok(state)
    }

    /// Whether objects in it are meant to be wrong: it fails closed for what they select.
    pub fn is_about_problems(&self) -> bool {
        self.tags.contains("invalid")
    }

    /// Whether it can be judged without sending a packet.
    pub fn is_static(&self) -> bool {
        let is_static = |step: &Step| {
            step.alive.is_empty()
                && step.cut.is_empty()
                && step.events.iter().all(Event::is_of_objects)
        };
        self.steps.iter().all(is_static)
    }
}
