//! Which of the server's ports comes next.

use crate::world::{FIRST, PORTS};

/// The server's ports, round and round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    next: u16,
}

impl Ports {
    /// The next one. After [`PORTS`] calls each was given once.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u16 {
        let port = FIRST + self.next;
        self.next = (self.next + 1) % PORTS;
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
}
