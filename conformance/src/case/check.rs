//! Whether a case can happen as it is written: what the text alone does not show. Whether it is right is not asked here.

use super::{Case, CaseError, StartError, Step};
use crate::State;
use crate::expect;
use crate::judge;
use sluice_oracle::Family;

impl Case {
    /// What keeps it from being judged: an object that is not what it seems, an event that cannot happen, a matrix of
    /// other pods than those of the world.
    pub fn check(&self) -> Result<(), CaseError> {
        let first = self.steps.first();
        let mut state = self.start().map_err(|error| {
            let field = match error {
                StartError::World(_) => "world",
                StartError::State(_) => "objects",
            };
            self.error(first.map_or(1, |step| step.lines.step), field, &error)
        })?;
        for step in &self.steps {
            for event in &step.events {
                let applied = state.apply(event);
                applied.map_err(|error| self.error(step.lines.step, "steps.events", &error))?;
            }
            self.check_step(&state, step)?;
        }
        Ok(())
    }

    fn check_step(&self, state: &State, step: &Step) -> Result<(), CaseError> {
        let loaded = state.load(&self.id);
        let mut problems = loaded.problems.iter().filter(|problem| !problem.harmless);
        if let Some(problem) = problems.next().filter(|_| !self.is_about_problems()) {
            let object = problem.object.as_deref().unwrap_or("objects");
            let field = problem.field.iter().map(|field| format!("{field}: "));
            let message = format!("{}{}", field.collect::<String>(), problem.message);
            return Err(self.error(step.lines.step, object, &message));
        }
        if step.matrix.is_empty() {
            return Ok(());
        }
        let ports = expect::ports(&loaded.world, &self.ports);
        let cells = expect::cells(&loaded.world, &ports, &Family::ALL);
        let misfit = judge::misfit(step, &Family::ALL, &cells);
        misfit.map_or(Ok(()), |message| {
            Err(self.error(step.lines.matrix, "matrix", &message))
        })
    }

    fn error(&self, line: u64, field: &str, message: &dyn ToString) -> CaseError {
        CaseError {
            origin: self.origin.to_string(),
            line: line.max(1),
            field: field.to_owned(),
            message: message.to_string(),
        }
    }
}
