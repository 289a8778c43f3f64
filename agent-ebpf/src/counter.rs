//! What the programs count, per CPU.

/// Sums or one CPU's share: the only value of the `counters` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// TC: a live allow lease, PASS set.
    pub lease_hits: u64,
    /// TC: a live flow entry, PASS set.
    pub flow_hits: u64,
    /// TC: neither end isolated, PASS set.
    pub unmatched: u64,
    /// TC: readable, and nothing that lets it pass or drops it: left to the gate.
    pub left: u64,
    /// TC: an address pair, but no ports that can be trusted (options, fragments, other protocols): left to the gate.
    pub unsure: u64,
    /// Gate: a live allow lease.
    pub gate_lease_hits: u64,
    /// Gate: a live flow entry.
    pub gate_flow_hits: u64,
    /// Gate: neither end isolated.
    pub gate_unmatched: u64,
    /// Gate: `gate_pass` did not match, so the packet goes to `gate_deny` and from there to the queue. Of TCP that a
    /// Service translates it is asked twice.
    pub gate_left: u64,
    /// TC and gate: dropped for a live deny lease.
    pub deny_lease_hits: u64,
    /// TC and gate: IPv4 or IPv6 by its link protocol, and not even the addresses can be read.
    pub parse_errors: u64,
    /// TC and gate: a source that is not behind the interface it came in by.
    pub spoofed: u64,
    /// TC: of an established connection between two local pods, handed to the other's link.
    pub redirected: u64,
}

const _: () = assert!(size_of::<Counters>() == 8 * Counters::COUNT);

/// A field of [`Counters`], by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(
    missing_docs,
    reason = "documented where they are counted, in `Counters`"
)]
pub enum Counter {
    LeaseHits,
    FlowHits,
    Unmatched,
    Left,
    Unsure,
    GateLeaseHits,
    GateFlowHits,
    GateUnmatched,
    GateLeft,
    DenyLeaseHits,
    ParseErrors,
    Spoofed,
    Redirected,
}

impl Counters {
    /// How many counters there are.
    pub const COUNT: usize = 13;

    /// The value of one.
    pub const fn get(&self, counter: Counter) -> u64 {
        match counter {
            Counter::LeaseHits => self.lease_hits,
            Counter::FlowHits => self.flow_hits,
            Counter::Unmatched => self.unmatched,
            Counter::Left => self.left,
            Counter::Unsure => self.unsure,
            Counter::GateLeaseHits => self.gate_lease_hits,
            Counter::GateFlowHits => self.gate_flow_hits,
            Counter::GateUnmatched => self.gate_unmatched,
            Counter::GateLeft => self.gate_left,
            Counter::DenyLeaseHits => self.deny_lease_hits,
            Counter::ParseErrors => self.parse_errors,
            Counter::Spoofed => self.spoofed,
            Counter::Redirected => self.redirected,
        }
    }

    /// Adds another CPU's share.
    pub const fn add(&mut self, other: &Self) {
        self.lease_hits += other.lease_hits;
        self.flow_hits += other.flow_hits;
        self.unmatched += other.unmatched;
        self.left += other.left;
        self.unsure += other.unsure;
        self.gate_lease_hits += other.gate_lease_hits;
        self.gate_flow_hits += other.gate_flow_hits;
        self.gate_unmatched += other.gate_unmatched;
        self.gate_left += other.gate_left;
        self.deny_lease_hits += other.deny_lease_hits;
        self.parse_errors += other.parse_errors;
        self.spoofed += other.spoofed;
        self.redirected += other.redirected;
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, Counters};

    #[test]
    fn a_counter_is_the_position_of_its_field() {
        let all = Counters {
            lease_hits: 0,
            flow_hits: 1,
            unmatched: 2,
            left: 3,
            unsure: 4,
            gate_lease_hits: 5,
            gate_flow_hits: 6,
            gate_unmatched: 7,
            gate_left: 8,
            deny_lease_hits: 9,
            parse_errors: 10,
            spoofed: 11,
            redirected: 12,
        };
        let order = [
            Counter::LeaseHits,
            Counter::FlowHits,
            Counter::Unmatched,
            Counter::Left,
            Counter::Unsure,
            Counter::GateLeaseHits,
            Counter::GateFlowHits,
            Counter::GateUnmatched,
            Counter::GateLeft,
            Counter::DenyLeaseHits,
            Counter::ParseErrors,
            Counter::Spoofed,
            Counter::Redirected,
        ];
        assert_eq!(order.len(), Counters::COUNT);
        for (position, counter) in order.into_iter().enumerate() {
            assert_eq!(counter as usize, position);
            assert_eq!(all.get(counter), position as u64);
        }
    }

    #[test]
    fn shares_add_up() {
        let mut sum = Counters {
            left: 1,
            parse_errors: 2,
            ..Counters::default()
        };
        sum.add(&Counters {
            left: 3,
            ..Counters::default()
        });
        assert_eq!(
            sum,
            Counters {
                left: 4,
                parse_errors: 2,
                ..Counters::default()
            }
        );
    }
}
