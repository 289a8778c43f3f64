//! Every mutant against every case, until the first that it fails.

use std::sync::Arc;

use super::fault::Fault;
use super::mutant::Mutant;
use crate::case::{Case, Origin};
use crate::judge::Seen;
use crate::profile::Profile;
use crate::runner::{Evaluator as _, Failure, Player, Questions, Scene, is_right, observed, play};

/// What became of a mutant.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Its fault, by name.
    pub id: &'static str,
    /// What it does.
    pub sentence: &'static str,
    /// The first case that it failed; none where it lives.
    pub killed: Option<Kill>,
}

/// What told a mutant from a right evaluator.
#[derive(Clone, Debug)]
pub struct Kill {
    /// The case.
    pub case: Arc<str>,
    /// The case's theme.
    pub theme: String,
    /// The step, from 1.
    pub step: usize,
    /// The first cell that was wrong.
    pub wrong: Seen,
}

/// Why there is nothing to say about mutants.
#[derive(Debug, thiserror::Error)]
#[error("{case}, step {step}: {reason}", step = failure.step, reason = failure.reason)]
pub struct TrialError {
    /// The case that an evaluator without a fault does not pass, or that is wrong itself.
    pub case: Arc<str>,
    /// What it fails by.
    pub failure: Failure,
}

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Cases that were played.
    pub cases: usize,
    /// Cases that are played in all.
    pub of: usize,
    /// Mutants that still live.
    pub living: usize,
}

/// Tries every mutant by cases that need no packets, and one without a fault by all of them. What persons wrote comes
/// first, so that a mutant is killed by a generated case where no other tells it.
pub fn trial(
    cases: &[&Case],
    profile: Profile,
    mut progress: impl FnMut(Progress),
) -> Result<Vec<Tried>, TrialError> {
    let cases = cases.iter().filter(|case| case.is_static());
    let mut cases: Vec<&Case> = cases.copied().collect();
    cases.sort_by_key(|case| cost(case));
    let mut ward = Ward::new();
    for (number, case) in (1..).zip(&cases) {
        ward.case = Some((Arc::clone(&case.id), case.theme().to_owned()));
        let played = play(case, profile, &mut ward);
        played.map_err(|failure| TrialError {
            case: Arc::clone(&case.id),
            failure,
        })?;
        progress(Progress {
            cases: number,
            of: cases.len(),
            living: ward.living.len(),
        });
    }
    Ok(ward.tried)
}

/// What is short comes first, as it says more about a fault, and what is played in many orders last, as few mutants are
/// left by then.
fn cost(case: &Case) -> (bool, bool, usize) {
    let has_orders = case.steps.iter().any(|step| step.any_order);
    let is_generated = matches!(case.origin, Origin::Generated(_));
    (is_generated, has_orders, case.steps.len())
}

/// All mutants, living side by side through one case after another.
struct Ward {
    case: Option<(Arc<str>, String)>,
    right: Mutant,
    /// Those that live, each with its place in `tried`.
    living: Vec<(usize, Mutant)>,
    tried: Vec<Tried>,
}

impl Ward {
    fn new() -> Self {
        let mutant = |fault: &Fault| Mutant::with(*fault);
        let tried = |fault: &Fault| Tried {
            id: fault.id(),
            sentence: fault.sentence(),
            killed: None,
        };
        Self {
            case: None,
            right: Mutant::default(),
            living: Fault::ALL.iter().map(mutant).enumerate().collect(),
            tried: Fault::ALL.iter().map(tried).collect(),
        }
    }
}

impl Player for Ward {
    fn begin(&mut self, scene: &Arc<Scene>) {
        self.right.begin(scene);
        for (_, mutant) in &mut self.living {
            mutant.begin(scene);
        }
    }

    fn follow(&mut self, scene: &Arc<Scene>) {
        self.right.follow(scene);
        for (_, mutant) in &mut self.living {
            mutant.follow(scene);
        }
    }

    fn answer(&mut self, step: usize, questions: &Questions) -> Result<(), Failure> {
        if let Some(wrong) = first_wrong(&self.right, questions) {
            let reason = format!("an evaluator without a fault fails: {wrong}");
            return Err(Failure::new(step, reason));
        }
        let Self {
            case,
            living,
            tried,
            ..
        } = self;
        living.retain(|(place, mutant)| {
            let wrong = first_wrong(mutant, questions);
            let kill = wrong.zip(case.clone()).map(|(wrong, (case, theme))| Kill {
                case,
                theme,
                step,
                wrong,
            });
            let lives = kill.is_none();
            tried[*place].killed = kill;
            lives
        });
        Ok(())
    }
}

fn first_wrong(mutant: &Mutant, questions: &Questions) -> Option<Seen> {
    let probes = questions.probes.iter().enumerate();
    let mut wrong = probes.filter_map(|(at, probe)| {
        let observed = observed(mutant, &questions.scene.world, probe);
        let expected = &questions.expected[at];
        (!is_right(expected, &observed)).then(|| Seen {
            cell: questions.cells[at].clone(),
            expected: expected.clone(),
            observed,
        })
    });
    wrong.next()
}
