//! Whether a case can happen as it is written: what the text alone does not show. Of whether it is
//! right, only that what a person wrote down is what the API text says.

use std::collections::{BTreeMap, BTreeSet};

use super::kept::Kept;
use super::{Case, CaseError, Event, Object, ObjectName, Place, Step};
use crate::State;
use crate::expect;
use crate::judge;
use crate::world::world;
use sluice_kubernetes::{Problem, World};
use sluice_oracle::{Cell, Family};

impl Case {
    /// What keeps it from being judged: an object that is not what it seems, an event that cannot happen, a connection
    /// to somebody who is not there, a matrix of other pods than those of the world, or one that the API text does not
    /// bear out.
    pub fn check(&self) -> Result<(), CaseError> {
        Checker::of(self)?.steps()
    }
}

/// A case as it happens.
struct Checker<'c> {
    case: &'c Case,
    state: State,
    /// Where its objects are from, by name; those of its world are from elsewhere.
    made: BTreeMap<String, &'c Place>,
    /// That are there at any time.
    namespaces: BTreeSet<String>,
    kept: Kept<'c>,
}

/// Of what was made by a rule.
static NOWHERE: Place = Place {
    line: 0,
    field: String::new(),
};

fn at(places: &[Place], at: usize) -> &Place {
    places.get(at).unwrap_or(&NOWHERE)
}

impl<'c> Checker<'c> {
    /// Before the first step.
    fn of(case: &'c Case) -> Result<Self, CaseError> {
        let state = world(&case.world);
        let state = state.map_err(|error| wrong(case, &NOWHERE, &error))?;
        let mut checker = Self {
            case,
            namespaces: namespaces(case, &state),
            state,
            made: BTreeMap::new(),
            kept: Kept::default(),
        };
        for (number, object) in case.objects.iter().enumerate() {
            let place = at(&case.places, number);
            let put = checker.state.put(object);
            put.map_err(|error| wrong(case, place, &error))?;
            if let Some(first) = checker.make(object, place)? {
                let message = format!("{} is there already, as {}", object.name(), first.field);
                return Err(wrong(case, place, &message));
            }
        }
        Ok(checker)
    }

    /// Where the object was made before, if it was.
    fn make(&mut self, object: &Object, place: &'c Place) -> Result<Option<&'c Place>, CaseError> {
        let name = object.name();
        if name.is_policy()
            && !name.namespace.is_empty()
            && !self.namespaces.contains(&name.namespace)
        {
            let message = format!("{name}: the case has no namespace {}", name.namespace);
            return Err(wrong(self.case, place, &message));
        }
        Ok(self.made.insert(name.to_string(), place))
    }

    fn steps(&mut self) -> Result<(), CaseError> {
        let case = self.case;
        for step in &case.steps {
            for (number, event) in step.events.iter().enumerate() {
                self.happen(event, at(&step.places.events, number))?;
            }
            self.connections(step)?;
            self.step(step)?;
        }
        Ok(())
    }

    /// What a step says of connections.
    fn connections(&self, step: &Step) -> Result<(), CaseError> {
        let said = [
            (&step.alive, &step.places.alive),
            (&step.cut, &step.places.cut),
        ];
        for (names, places) in said {
            for (number, name) in names.iter().enumerate() {
                let is_said = self.kept.is_said(step, name);
                is_said.map_err(|error| wrong(self.case, at(places, number), &error))?;
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: &'c Event, place: &'c Place) -> Result<(), CaseError> {
        let applied = self.state.apply(event);
        applied.map_err(|error| wrong(self.case, place, &error))?;
        match event {
            Event::Apply(object) => {
                self.make(object, place)?;
            }
            Event::Open(connection) => {
                let world = self.state.load(&self.case.id).world;
                let opened = self.kept.open(connection, &world);
                opened.map_err(|error| wrong(self.case, place, &error))?;
            }
            Event::Delete(_) | Event::Label(..) | Event::Agent(_) => {}
        }
        Ok(())
    }

    fn step(&self, step: &'c Step) -> Result<(), CaseError> {
        let loaded = self.state.load(&self.case.id);
        let mut problems = loaded.problems.iter().filter(|problem| !problem.harmless);
        if let Some(problem) = problems.next().filter(|_| !self.case.is_about_problems()) {
            return Err(self.problem(problem, step));
        }
        if step.matrix.is_empty() {
            return Ok(());
        }
        let ports = expect::ports(&loaded.world, &self.case.ports);
        let cells = expect::cells(&loaded.world, &ports, &Family::ALL);
        let misfit = judge::misfit(step, &Family::ALL, &cells);
        let misfit = misfit.or_else(|| contradiction(step, &loaded.world, &cells));
        misfit.map_or(Ok(()), |message| {
            Err(wrong(self.case, &step.places.matrix, &message))
        })
    }

    /// Where an object stands of which the problem is said without its name.
    fn alone(&self, problem: &Problem) -> Option<&'c Place> {
        let is_same = |it: &Problem| it.field == problem.field && it.message == problem.message;
        let mut objects = self.state.objects().iter();
        let found = objects.find(|object| {
            let alone = State::new(vec![(*object).clone()]).load(&self.case.id);
            alone.problems.iter().any(is_same)
        })?;
        self.made.get(&found.name().to_string()).copied()
    }

    fn problem(&self, problem: &Problem, step: &Step) -> CaseError {
        let object = problem.object.as_deref();
        let place = object.and_then(|object| self.made.get(object).copied());
        let place = place.or_else(|| self.alone(problem));
        let words = [object, problem.field.as_deref(), Some(&*problem.message)];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        wrong(
            self.case,
            place.unwrap_or(&step.places.step),
            &words.join(": "),
        )
    }
}

/// The namespaces of a world, and those that a case makes, be it with a pod alone.
fn namespaces(case: &Case, world: &State) -> BTreeSet<String> {
    let events = case.steps.iter().flat_map(|step| &step.events);
    let applied = events.filter_map(|event| match event {
        Event::Apply(object) => Some(object),
        _ => None,
    });
    let all = world.objects().iter().chain(&case.objects).chain(applied);
    let names = all.map(Object::name).filter(|name| !name.is_policy());
    let own = |name: &ObjectName| match name.kind.as_str() {
        "Namespace" => name.name.clone(),
        _ => name.namespace.clone(),
    };
    names.map(own).collect()
}

/// Where a step's matrix is not what the API text says. No enforcer is to blame for that.
fn contradiction(step: &Step, world: &World, cells: &[Cell]) -> Option<String> {
    let all = judge::disagreements(step, world, &Family::ALL, cells);
    let first = all.first()?;
    let cells = match all.len() {
        1 => "1 cell differs".to_owned(),
        count => format!("{count} cells differ"),
    };
    Some(format!(
        "{cells} from what the API text says, the first: {first}"
    ))
}

fn wrong(case: &Case, place: &Place, message: &dyn ToString) -> CaseError {
    let field = match place.field.as_str() {
        "" => "case",
        field => field,
    };
    CaseError {
        origin: case.origin.to_string(),
        line: place.line.max(1),
        field: field.to_owned(),
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::case::{Case, Origin, read_case};

    /// What is said of a file that is no case, or of a case that cannot be judged.
    fn refused(text: &str, wanted: &str) {
        let read = read_case(Origin::File("c".into()), text);
        let error = read.and_then(|case: Case| case.check()).unwrap_err();
        let (wanted, error) = (format!("c:{wanted}"), error.to_string());
        assert!(error.starts_with(&wanted), "{wanted}: {error}");
    }

    #[test]
    fn what_cannot_be_judged_is_said_with_its_line_and_field() {
        let head = "id: a/b\nsentence: s\n";
        for (text, wanted) in [
            (
                format!(
                    "{head}policies:\n  - x/q: {{podSelector: {{}}}}\n  - x/p: {{podSelector: {{}}, ingres: []}}\n"
                ),
                "5: policies[1]: NetworkPolicy x/p: spec.ingres: ",
            ),
            (
                format!(
                    "{head}steps:\n  - events:\n      - apply: {{x/p: {{podSelector: {{}}, ingres: []}}}}\n"
                ),
                "5: steps[0].events[0]: NetworkPolicy x/p: spec.ingres: ",
            ),
            (
                format!(
                    "{head}policies:\n  - x/p: {{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: $4(x/q/24)}}}}]}}]}}\n"
                ),
                "4: policies[0]: $4(x/q/24): no address",
            ),
            (
                format!(
                    "{head}policies:\n  - x/p: {{podSelector: {{}}}}\n  - x/p: {{podSelector: {{}}}}\n"
                ),
                "5: policies[1]: NetworkPolicy x/p is there already, as policies[0]",
            ),
            (
                format!(
                    "{head}objects:\n  - {{apiVersion: v1, kind: Namespace, metadata: {{name: w}}}}\n  - {{kind: Namespace, metadata: {{name: v}}}}\n"
                ),
                "5: objects[1]: ",
            ),
            (
                format!("{head}policies:\n  - q/p: {{podSelector: {{}}}}\n"),
                "4: policies[0]: NetworkPolicy q/p: the case has no namespace q",
            ),
            (
                format!("{head}steps:\n  - matrix: X * > x/q\n"),
                "4: steps[0].matrix: clause `X * > x/q` is about nobody",
            ),
            (
                format!("{head}steps:\n  - matrix: {{80/TCP: X x/a > x/b; X x/a > x/c}}\n"),
                "4: steps[0].matrix: 4 cells differ from what the API text says, the first: x/a > x/b",
            ),
        ] {
            refused(&text, wanted);
        }
    }

    #[test]
    fn a_connection_is_between_those_who_are_there() {
        let open = |name: &str, from: &str, to: &str, port: &str| {
            format!("      - open: {{name: {name}, from: {from}, to: '{to}', port: {port}}}\n")
        };
        let right = open("c", "x/a", "x/b", "80/TCP");
        for (events, more, wanted) in [
            (
                open("c", "q/a", "x/b", "80/TCP"),
                "",
                "5: steps[0].events[0]: from: no pod q/a is there",
            ),
            (
                open("c", "xa", "x/b", "80/TCP"),
                "",
                "5: steps[0].events[0]: from: no pod xa is there",
            ),
            (
                open("c", "x/a", "service:nope/no", "80/TCP"),
                "",
                "5: steps[0].events[0]: to: no pod service:nope/no is there, and no Service",
            ),
            (
                open("c", "x/a", "x/b", "8888/TCP"),
                "",
                "5: steps[0].events[0]: port: x/b serves 80/TCP 80/UDP",
            ),
            (
                format!("{right}{right}"),
                "",
                "6: steps[0].events[1]: connection c is opened twice",
            ),
            (
                right.clone(),
                "    alive: [c, nosuch]\n",
                "6: steps[0].alive[1]: connection nosuch was not opened",
            ),
            (
                right.clone(),
                "    cut: [c2]\n",
                "6: steps[0].cut[0]: connection c2 was not opened",
            ),
            (
                right,
                "    alive: [c]\n    cut: [c]\n",
                "6: steps[0].alive[0]: connection c is both alive and cut",
            ),
        ] {
            let text = format!("id: a/b\nsentence: s\nsteps:\n  - events:\n{events}{more}");
            refused(&text, wanted);
        }
    }
}
