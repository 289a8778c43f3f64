//! Files of cases: YAML, one case each. What is not understood is an error with its line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;
use sluice_oracle::Port;

use super::matrix::{Matrix, Part, texts};
use super::yaml;
use super::{AgentEvent, Case, Connection, Event, Object, ObjectName, Origin, Place, Places, Step};

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}:{line}: {field}: {message}")]
pub struct CaseError {
    /// The file.
    pub origin: String,
    /// One-based.
    pub line: u64,
    /// Of the case.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A file as it is written; README.md of the suite describes every field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: Spanned<String>,
    sentence: Spanned<String>,
    #[serde(default)]
    tags: Vec<Arc<str>>,
    #[serde(default)]
    features: Vec<Spanned<Arc<str>>>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    world: Option<Spanned<Arc<str>>>,
    #[serde(default)]
    ports: Vec<Spanned<String>>,
    #[serde(default)]
    objects: Vec<Spanned<Value>>,
    #[serde(default)]
    policies: Vec<Spanned<Value>>,
    #[serde(default)]
    matrix: Option<Spanned<Value>>,
    #[serde(default)]
    accepted: Vec<Spanned<Value>>,
    #[serde(default)]
    rejected: Vec<Spanned<RejectedFile>>,
    #[serde(default)]
    steps: Vec<Spanned<StepFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    events: Vec<Spanned<EventFile>>,
    #[serde(default)]
    order: Order,
    #[serde(default)]
    matrix: Option<Spanned<Value>>,
    #[serde(default)]
    alive: Vec<Spanned<Arc<str>>>,
    #[serde(default)]
    cut: Vec<Spanned<Arc<str>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Fixed,
    Any,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum EventFile {
    Apply(Value),
    Delete(String),
    Label(BTreeMap<String, BTreeMap<String, Option<String>>>),
    Open(OpenFile),
    Agent(AgentFile),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenFile {
    name: Arc<str>,
    from: Arc<str>,
    to: Arc<str>,
    port: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AgentFile {
    Restart,
    Kill,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RejectedFile {
    object: Value,
    field: String,
}

/// The world of cases that name none.
const GRID: &str = "grid";

/// Reads one case.
pub fn read_case(origin: Origin, text: &str) -> Result<Case, CaseError> {
    let reader = Reader {
        origin: origin.to_string(),
    };
    let file: File = yaml::read(text).map_err(|fault| {
        let field = fault.field.as_deref().unwrap_or("case");
        reader.error(fault.line, field, &fault.message)
    })?;
    reader.case(file, origin)
}

struct Reader {
    origin: String,
}

impl Reader {
    fn error(&self, line: u64, field: &str, message: impl std::fmt::Display) -> CaseError {
        CaseError {
            origin: self.origin.clone(),
            line,
            field: field.to_owned(),
            message: message.to_string(),
        }
    }

    fn at<T>(&self, at: &Spanned<T>, field: &str, message: impl std::fmt::Display) -> CaseError {
        self.error(at.referenced.line(), field, message)
    }

    fn case(&self, file: File, origin: Origin) -> Result<Case, CaseError> {
        self.check_id(&file.id, &origin)?;
        if file.sentence.value.trim().is_empty() {
            return Err(self.at(&file.sentence, "sentence", "a case without a sentence"));
        }
        let mut objects = self.objects("objects", &file.objects)?;
        objects.extend(self.objects("policies", &file.policies)?);
        let first = self.before(&file)?;
        let mut steps = Vec::new();
        for (number, step) in file.steps.iter().enumerate() {
            steps.push(self.step(number, step)?);
        }
        // What is so before anything happens is a step of its own, where something is said about it or nothing happens.
        let says_something =
            !first.matrix.is_empty() || !first.accepted.is_empty() || !first.rejected.is_empty();
        if says_something || steps.is_empty() {
            steps.insert(0, first);
        }
        let mut places = places("objects", &file.objects);
        places.extend(self::places("policies", &file.policies));
        Ok(Case {
            id: file.id.value.into(),
            sentence: file.sentence.value,
            tags: file.tags.into_iter().collect(),
            features: self.features(&file.features)?,
            world: self.world(file.world)?,
            objects,
            ports: self.ports(&file.ports)?,
            source: file.source,
            steps,
            origin,
            places,
        })
    }

    /// What is so before anything happens.
    fn before(&self, file: &File) -> Result<Step, CaseError> {
        let place = |line, field: &str| Place {
            line,
            field: field.to_owned(),
        };
        let own = file.id.referenced.line();
        let matrix = file.matrix.as_ref();
        let line = matrix.map_or(own, |matrix| matrix.referenced.line());
        Ok(Step {
            matrix: self.matrix("matrix", matrix)?,
            accepted: self.objects("accepted", &file.accepted)?,
            rejected: self.rejected(&file.rejected)?,
            places: Places {
                step: place(own, "objects"),
                matrix: place(line, "matrix"),
                ..Places::default()
            },
            ..Step::default()
        })
    }

    /// An id is the file's path, so that it is unique and found.
    fn check_id(&self, id: &Spanned<String>, origin: &Origin) -> Result<(), CaseError> {
        let is_word = |word: &str| {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !word.is_empty() && word.chars().all(is_plain)
        };
        let is_id = matches!(id.value.split_once('/'), Some((theme, name)) if is_word(theme) && is_word(name));
        if !is_id {
            let message = "THEME/NAME, both of a-z, 0-9 and -";
            return Err(self.at(id, "id", message));
        }
        let path = PathBuf::from(format!("{}.yaml", id.value));
        match origin {
            Origin::BuiltIn(own) if *own != path => {
                Err(self.at(id, "id", format!("the file would be {}", path.display())))
            }
            _ => Ok(()),
        }
    }

    fn features(
        &self,
        features: &[Spanned<Arc<str>>],
    ) -> Result<std::collections::BTreeSet<Arc<str>>, CaseError> {
        for (number, feature) in features.iter().enumerate() {
            if !crate::features::is_known(&feature.value) {
                let field = format!("features[{number}]");
                let known = crate::features::NAMES.join(", ");
                return Err(self.at(feature, &field, format!("none of {known}")));
            }
        }
        Ok(features
            .iter()
            .map(|feature| Arc::clone(&feature.value))
            .collect())
    }

    fn world(&self, world: Option<Spanned<Arc<str>>>) -> Result<Arc<str>, CaseError> {
        let Some(world) = world else {
            return Ok(GRID.into());
        };
        if crate::world::is_known(&world.value) {
            Ok(world.value)
        } else {
            let unknown = crate::world::WorldError::Unknown(world.value.to_string());
            Err(self.at(&world, "world", unknown))
        }
    }

    fn ports(&self, ports: &[Spanned<String>]) -> Result<Vec<Port>, CaseError> {
        let port = |(number, port): (usize, &Spanned<String>)| {
            let wrong = |error| self.at(port, &format!("ports[{number}]"), error);
            Port::from_str(&port.value).map_err(wrong)
        };
        ports.iter().enumerate().map(port).collect()
    }

    fn objects(&self, field: &str, values: &[Spanned<Value>]) -> Result<Vec<Object>, CaseError> {
        let object = |(number, value): (usize, &Spanned<Value>)| {
            let wrong = |error| self.at(value, &format!("{field}[{number}]"), error);
            object(&value.value).map_err(wrong)
        };
        values.iter().enumerate().map(object).collect()
    }

    fn rejected(
        &self,
        rejected: &[Spanned<RejectedFile>],
    ) -> Result<Vec<(Object, String)>, CaseError> {
        let one = |(number, it): (usize, &Spanned<RejectedFile>)| {
            let wrong = |error| self.at(it, &format!("rejected[{number}].object"), error);
            let object = object(&it.value.object).map_err(wrong)?;
            Ok((object, it.value.field.clone()))
        };
        rejected.iter().enumerate().map(one).collect()
    }

    fn matrix(
        &self,
        field: &str,
        matrix: Option<&Spanned<Value>>,
    ) -> Result<Vec<(Part, Matrix)>, CaseError> {
        let Some(matrix) = matrix else {
            return Ok(Vec::new());
        };
        let wrong = |message: String| self.at(matrix, field, message);
        let texts = texts(&matrix.value)
            .ok_or_else(|| wrong("a text, or a text for each port or family".to_owned()))?;
        let one = |(part, text): (Option<&str>, &str)| {
            let part = part.map_or_else(|| Ok(Part::default()), Part::from_str);
            let part = part.map_err(|error| wrong(error.to_string()))?;
            let matrix = Matrix::parse(text).map_err(|error| wrong(error.to_string()))?;
            Ok((part, matrix))
        };
        texts.into_iter().map(one).collect()
    }

    fn step(&self, number: usize, step: &Spanned<StepFile>) -> Result<Step, CaseError> {
        let StepFile {
            title,
            events,
            order,
            matrix,
            alive,
            cut,
        } = &step.value;
        let own = format!("steps[{number}]");
        let places = places_of(&own, step);
        let (mut happens, mut happens_at) = (Vec::new(), Vec::new());
        for (event, place) in events.iter().zip(&places.events) {
            let read = events_of(&event.value);
            let read = read.map_err(|error| self.at(event, &place.field, error))?;
            // One label of a file may be about several objects.
            happens_at.extend(read.iter().map(|_| place.clone()));
            happens.extend(read);
        }
        Ok(Step {
            title: title.clone(),
            events: happens,
            any_order: matches!(order, Order::Any),
            matrix: self.matrix(&places.matrix.field, matrix.as_ref())?,
            alive: values(alive),
            cut: values(cut),
            places: Places {
                events: happens_at,
                ..places
            },
            ..Step::default()
        })
    }
}

fn values(names: &[Spanned<Arc<str>>]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::clone(&name.value)).collect()
}

fn places_of(own: &str, step: &Spanned<StepFile>) -> Places {
    let line = step.referenced.line();
    let matrix = step.value.matrix.as_ref();
    Places {
        step: Place {
            line,
            field: own.to_owned(),
        },
        matrix: Place {
            line: matrix.map_or(line, |matrix| matrix.referenced.line()),
            field: format!("{own}.matrix"),
        },
        events: places(&format!("{own}.events"), &step.value.events),
        alive: places(&format!("{own}.alive"), &step.value.alive),
        cut: places(&format!("{own}.cut"), &step.value.cut),
    }
}

/// Where the items of a list stand.
fn places<T>(field: &str, items: &[Spanned<T>]) -> Vec<Place> {
    let place = |(number, item): (usize, &Spanned<T>)| Place {
        line: item.referenced.line(),
        field: format!("{field}[{number}]"),
    };
    items.iter().enumerate().map(place).collect()
}

fn events_of(event: &EventFile) -> Result<Vec<Event>, String> {
    let said = |error: &dyn ToString| error.to_string();
    Ok(match event {
        EventFile::Apply(value) => vec![Event::Apply(object(value)?)],
        EventFile::Delete(name) => {
            vec![Event::Delete(name.parse().map_err(|error| said(&error))?)]
        }
        EventFile::Label(labels) => {
            let label = |(name, labels): (&String, &BTreeMap<String, Option<String>>)| {
                let name = ObjectName::from_str(name).map_err(|error| said(&error))?;
                let labels = labels
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone()));
                Ok::<_, String>(Event::Label(name, labels.collect()))
            };
            labels.iter().map(label).collect::<Result<_, _>>()?
        }
        EventFile::Open(open) => vec![Event::Open(Connection {
            name: Arc::clone(&open.name),
            from: Arc::clone(&open.from),
            to: Arc::clone(&open.to),
            port: open.port.parse().map_err(|error| said(&error))?,
        })],
        EventFile::Agent(AgentFile::Restart) => vec![Event::Agent(AgentEvent::Restart)],
        EventFile::Agent(AgentFile::Kill) => vec![Event::Agent(AgentEvent::Kill)],
    })
}

/// An object of the API as it is, or `KIND NAMESPACE/NAME: SPEC`, where a `NetworkPolicy` needs no kind.
fn object(value: &Value) -> Result<Object, String> {
    let Some(map) = value.as_object() else {
        return Err("an object of the API, or NAME: SPEC".to_owned());
    };
    if map.contains_key("kind") {
        return Object::new(value.clone()).map_err(|error| error.to_string());
    }
    match map.iter().collect::<Vec<_>>().as_slice() {
        [(name, spec)] => {
            let name = ObjectName::from_str(name).map_err(|error| error.to_string())?;
            Object::with_spec(name, spec).map_err(|error| error.to_string())
        }
        _ => Err("an object without a kind has one field, NAME: SPEC".to_owned()),
    }
}
