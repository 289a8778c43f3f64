//! Being told to stop in the middle of a run.

/// Whoever was asked for a sign to go on said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// What a run tells of itself: how many slices there have been, of how many; told before each. It answers whether to go
/// on.
pub type Progress<'a> = &'a mut (dyn FnMut(usize, usize) -> bool + Send);

/// Goes on, or does not.
pub(crate) fn go_on(answer: bool) -> Result<(), Interrupted> {
    if answer { Ok(()) } else { Err(Interrupted) }
}
