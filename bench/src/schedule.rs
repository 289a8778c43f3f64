//! In which order the modes take turns.

/// The order of each round: every one of `modes` once, in a random order that `seed` decides. Whatever the machine does
/// at some time, or the one slice leaves behind for the next, falls on all of them alike.
pub fn rounds(modes: usize, rounds: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let round = |_| {
        let mut order: Vec<_> = (0..modes).collect();
        random.shuffle(&mut order);
        order
    };
    (0..rounds).map(round).collect()
}

#[cfg(test)]
mod tests {
    use super::rounds;

    #[test]
    fn every_round_has_every_mode_once_in_an_order_of_its_own() {
        let plan = rounds(6, 40, 1);
        assert_eq!(plan.len(), 40);
        for round in &plan {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        }
        for mode in 0..6 {
            let first = plan.iter().filter(|round| round[0] == mode).count();
            assert!(first > 0, "{mode} never begins");
        }
        assert_eq!(plan, rounds(6, 40, 1));
        assert_ne!(plan, rounds(6, 40, 2));
    }
}
