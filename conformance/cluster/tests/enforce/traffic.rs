//! Numbered traffic between pods of the cluster, counted where it arrives. The lab's, on other namespaces.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use sluice_lab::stream::{Hammer, Pace, Stream, Way};
use sluice_policy::Protocol;

use crate::world::World;

/// From one packet to the next.
pub(crate) const STEP: Duration = Duration::from_millis(1);

impl World {
    /// The way from a pod to a port of another.
    pub(crate) fn way(
        &self,
        from: &str,
        to: &str,
        protocol: Protocol,
        port: u16,
    ) -> Result<Way<'_>> {
        let (from, to) = (self.pod(from)?, self.pod(to)?);
        let at = SocketAddr::new(to.address, port);
        Ok(Way {
            protocol,
            from: (&from.netns, from.address),
            to: at,
            receivers: vec![(&to.netns, at)],
        })
    }

    /// A new connection every millisecond.
    pub(crate) fn hammer(
        &self,
        from: &str,
        to: &str,
        protocol: Protocol,
        port: u16,
    ) -> Result<Hammer> {
        Hammer::between(&self.way(from, to, protocol, port)?, STEP)
    }

    /// A number every millisecond, each of them answered. The port is one that nobody listens at.
    pub(crate) fn stream(
        &self,
        from: &str,
        to: &str,
        protocol: Protocol,
        port: u16,
    ) -> Result<Stream> {
        let pace = Pace {
            interval: STEP,
            answered: true,
        };
        Stream::between(&self.way(from, to, protocol, port)?, pace)
    }
}

/// When connections came out otherwise last: one arrived although it is `denied`, or none although it is not.
pub(crate) fn last_wrong(hammer: &Hammer, denied: bool) -> Option<Instant> {
    let arrived: Vec<_> = hammer
        .deliveries()
        .iter()
        .map(|delivery| delivery.sent)
        .collect();
    if denied {
        return arrived.into_iter().max();
    }
    // What has been sent just now may be under way.
    let newest = *arrived.iter().max()?;
    let attempts = hammer.attempts().into_iter();
    attempts
        .filter(|sent| *sent < newest && arrived.binary_search(sent).is_err())
        .max()
}
