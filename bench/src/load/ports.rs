//! Which of the server's ports comes next, and which of the client's.

use std::ops::RangeInclusive;

use crate::world::{FIRST, PORTS};

/// The ports that UDP flows come from, each once before one comes again. Their number shares no factor with that of the
/// server's ports, so that it takes fifty million flows until one comes again.
const SOURCES: RangeInclusive<u16> = 1_027..=65_535;

/// The server's ports, and the client's, round and round.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    next: u16,
    source: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            next: 0,
            source: *SOURCES.start(),
        }
    }
}

impl Ports {
    /// The next one. After [`PORTS`] calls each was given once.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u16 {
        let port = FIRST + self.next;
        self.next = (self.next + 1) % PORTS;
        port
    }

    /// Leaves so many of the server's ports out.
    pub(super) fn skip(&mut self, count: u64) {
        let next = (u64::from(self.next) + count) % u64::from(PORTS);
        self.next = u16::try_from(next).unwrap_or_default();
    }

    /// The port that the next flow comes from.
    pub fn next_source(&mut self) -> u16 {
        let port = self.source;
        let following = port.checked_add(1);
        self.source = following.unwrap_or(*SOURCES.start());
        port
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_port_comes_once_a_round() {
        let mut ports = Ports::default();
        let round: BTreeSet<_> = (0..PORTS).map(|_| ports.next()).collect();
        assert_eq!(round.len(), usize::from(PORTS));
        assert_eq!(ports.next(), FIRST);
    }

    #[test]
    fn ports_that_are_left_out_come_a_round_later() {
        let mut ports = Ports::default();
        ports.skip(u64::from(PORTS) * 3 + 7);
        assert_eq!(ports.next(), FIRST + 7);
    }

    #[test]
    fn no_flow_comes_again_before_all_others() {
        let mut ports = Ports::default();
        let first = (ports.next(), ports.next_source());
        let all = usize::from(PORTS) * SOURCES.len();
        let again = (1..=all).find(|_| (ports.next(), ports.next_source()) == first);
        assert_eq!(again, Some(all));
    }
}
