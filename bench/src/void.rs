//! Why a slice does not count.

use std::time::Duration;

use crate::noise;
use crate::proof::Doubt;
use crate::stage::Slice;

/// Where more than this share of the slices do not count, they say nothing.
pub(crate) const MOST: f64 = 0.4;

/// What is wrong with a slice, the gravest first: something was not answered, its mode is not `proven`, or the machine was
/// not quiet, by what is `usual` in its round, which is no reason where the run is `noisy`.
pub(crate) fn why(
    slice: &Slice,
    proven: Result<(), Doubt>,
    usual: Duration,
    noisy: bool,
) -> Option<String> {
    let disturbed = noise::judge(slice.machine, slice.spins, usual).filter(|_| !noisy);
    let failed = slice.sent.failed.clone();
    failed
        .or_else(|| proven.err().map(|doubt| doubt.to_string()))
        .or_else(|| disturbed.map(|noise| noise.to_string()))
}

/// What a reason is without its numbers: the same for all slices that it is about.
pub(crate) fn kind(reason: &str) -> String {
    reason.chars().filter(|it| !it.is_ascii_digit()).collect()
}
