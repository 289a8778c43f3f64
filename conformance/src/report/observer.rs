//! Somebody who sees how a run goes.

use crate::case::Case;
use crate::runner::CaseResult;

/// Sees cases begin and end, and may end the run.
pub trait Observer {
    /// A case is judged next.
    fn begins(&mut self, case: &Case);

    /// A case was judged.
    fn ended(&mut self, result: &CaseResult);

    /// Whether no further case is to be judged.
    fn is_stopped(&self) -> bool;
}

/// Nobody looks.
impl Observer for () {
    fn begins(&mut self, _case: &Case) {}

    fn ended(&mut self, _result: &CaseResult) {}

    fn is_stopped(&self) -> bool {
        false
    }
}
