//! Covering arrays: few rows in which every two values of every two factors come together at least once.

use std::collections::BTreeSet;

/// Two values of two factors, the lesser factor first: `((factor, value), (factor, value))`.
type Pair = ((usize, usize), (usize, usize));

/// Rows with one value for each factor, whose sizes these are. Greedy: a row begins with the first pair that no row
/// before it has, and takes for every other factor what makes the most new pairs. The same sizes give the same rows.
pub(super) fn array(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut missing = every_pair(sizes);
    let mut rows = Vec::new();
    while let Some(first) = missing.first().copied() {
        let row = row(sizes, first, &missing);
        missing.retain(|pair| !has(&row, pair));
        rows.push(row);
    }
    rows
}

fn every_pair(sizes: &[usize]) -> BTreeSet<Pair> {
    let values = |factor: usize| (0..sizes[factor]).map(move |value| (factor, value));
    let factors = 0..sizes.len();
    let pairs = factors.flat_map(|one| (one + 1..sizes.len()).map(move |other| (one, other)));
    pairs
        .flat_map(|(one, other)| {
            values(one).flat_map(move |left| values(other).map(move |right| (left, right)))
        })
        .collect()
}

fn has(row: &[usize], (left, right): &Pair) -> bool {
    row[left.0] == left.1 && row[right.0] == right.1
}

fn row(sizes: &[usize], first: Pair, missing: &BTreeSet<Pair>) -> Vec<usize> {
    let mut chosen: Vec<Option<usize>> = vec![None; sizes.len()];
    chosen[first.0.0] = Some(first.0.1);
    chosen[first.1.0] = Some(first.1.1);
    for factor in 0..sizes.len() {
        if chosen[factor].is_none() {
            let new = |value: &usize| new_pairs((factor, *value), &chosen, missing);
            // Of equally good ones the first, so that the outcome is the same everywhere.
            let best = (0..sizes[factor]).rev().max_by_key(new);
            chosen[factor] = best;
        }
    }
    chosen.into_iter().flatten().collect()
}

/// How many missing pairs a value makes with those that are chosen.
fn new_pairs(own: (usize, usize), chosen: &[Option<usize>], missing: &BTreeSet<Pair>) -> usize {
    let others = chosen.iter().enumerate();
    let others = others.filter_map(|(factor, value)| Some((factor, (*value)?)));
    others
        .filter(|other| missing.contains(&(own.min(*other), own.max(*other))))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_in_a_row() {
        for sizes in [&[2, 2][..], &[2, 3, 4], &[2, 5, 13, 5, 13, 4, 4, 3, 5]] {
            let rows = array(sizes);
            for row in &rows {
                assert_eq!(row.len(), sizes.len());
                assert!(row.iter().zip(sizes).all(|(value, size)| value < size));
            }
            for pair in every_pair(sizes) {
                assert!(rows.iter().any(|row| has(row, &pair)), "{pair:?}");
            }
        }
    }

    #[test]
    fn rows_are_few() {
        // No array can have fewer rows than the two largest factors have pairs.
        let rows = array(&[2, 5, 13, 5, 13, 4, 4, 3, 5]).len();
        assert!((169..=210).contains(&rows), "{rows}");
    }
}
