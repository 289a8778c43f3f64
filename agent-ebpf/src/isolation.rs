//! Whether both ends of a packet are free of policies in its direction, and whether an address is a local pod's.
//!
//! The `slots` array answers for most packets without a hash; where it cannot, the `pods` map does.

use crate::{Addr, EGRESS, INGRESS, LOCAL, Maps, PodEntry};

/// Which program asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// The destination may be a Service that is yet to be translated, so it proves nothing unless it is a local pod.
    Tc,
    /// All translation of destinations is done.
    Gate,
}

/// What the two slots tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Openness {
    /// Neither end is isolated, in either direction.
    Open,
    /// Neither end is isolated in the packet's direction, and one may be for its replies.
    OneWay,
    /// Ask the pods.
    Unsure,
}

impl Openness {
    /// By the slots alone. Never open unless [`open`] is.
    #[inline(always)]
    pub(crate) fn glance(
        source: &Addr,
        destination: &Addr,
        place: Where,
        maps: &impl Maps,
    ) -> Self {
        let (Some(from), Some(to)) = (maps.slot(source.slot()), maps.slot(destination.slot()))
        else {
            return Self::Unsure;
        };
        let settled = place == Where::Gate || to.is_of(destination);
        if !(settled && from.lacks(EGRESS) && to.lacks(INGRESS) && maps.pods_complete()) {
            Self::Unsure
        } else if from.lacks(INGRESS) && to.lacks(EGRESS) {
            Self::Open
        } else {
            Self::OneWay
        }
    }
}

/// Whether neither end is isolated in the packet's direction.
#[inline(always)]
pub(crate) fn open(source: &Addr, destination: &Addr, place: Where, maps: &impl Maps) -> bool {
    let (Some(from), Some(to)) = (maps.slot(source.slot()), maps.slot(destination.slot())) else {
        return false;
    };
    if !maps.pods_complete() || (place == Where::Tc && to.lacks(LOCAL)) {
        return false;
    }
    let settled = place == Where::Gate || to.is_of(destination);
    if !(settled && to.lacks(INGRESS)) {
        match maps.pod(destination) {
            Some(pod) if pod.ingress() => return false,
            None if place == Where::Tc => return false,
            _ => {}
        }
    }
    from.lacks(EGRESS) || !maps.pod(source).is_some_and(PodEntry::egress)
}

/// Whether the address is surely a local pod's, so that nothing translates it.
#[inline(always)]
pub(crate) fn local(address: &Addr, maps: &impl Maps) -> bool {
    let Some(slot) = maps.slot(address.slot()) else {
        return false;
    };
    slot.is_of(address) || (!slot.lacks(LOCAL) && maps.pod(address).is_some())
}
