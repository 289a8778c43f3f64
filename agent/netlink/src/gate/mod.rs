//! The gate: Sluice's table in the kernel, put there, kept up to date, read and removed. What its rules are is in
//! `rules`; who is isolated is told by the caller.

mod compat;
mod probe;
mod review;
mod rules;
mod sets;

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::net::IpAddr;
use std::path::PathBuf;

use rustix::io::Errno;
use sluice_ebpf::Marks;

use crate::Error;
use crate::nft::{self, Transaction};
use crate::socket::{Family, Socket};

use review::Review;
pub use sets::Isolated;
use sets::Sets;

/// The table, of the `inet` family.
const TABLE: &CStr = c"sluice";

/// What the gate's rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with each other"
)]
pub struct GateConfig {
    /// The mark bits that are ours.
    pub marks: Marks,
    /// The first queue's number.
    pub queue: u16,
    /// How many queues there are, from `queue` on; at least 1. A packet goes to the queue of its CPU.
    pub queues: u16,
    /// Whether what needs a verdict is accepted while nobody listens to its queue.
    pub fail_open: bool,
    /// Whether a connection that passed once goes on whatever becomes of its lease and of its pods' policies.
    pub accept_for_good: bool,
    /// Whether a TC program marks what may pass. Where none does, nobody clears the mark either, and whatever bit is
    /// there is another's.
    pub honour_pass: bool,
    /// Whether new UDP connections whose destination was translated are judged before they are routed. Of two packets of
    /// one, translated to different ends and queued at once, the later one gets the translation of the earlier, and
    /// kernels before 6.12 do not route it once more behind the queue: it goes to the wrong end, and is lost.
    pub early_datagrams: bool,
    /// A socket filter, pinned at this path (at most 511 bytes), that is shown the packets of established connections
    /// that TC has passed, nobody translates and no helper follows. Means nothing without `honour_pass`.
    pub redirect: Option<PathBuf>,
    /// How the kernel knows what needs a verdict.
    pub matcher: Matcher,
    /// How packets get into the queue.
    pub verb: QueueVerb,
}

/// How the kernel knows which packets need no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// It asks socket filters, pinned at these paths: `pass` matches what is to be accepted, `deny` what is to be
    /// dropped.
    Bpf {
        /// Where `gate_pass` is pinned; at most 511 bytes.
        pass: PathBuf,
        /// Where `gate_deny` is pinned; at most 511 bytes.
        deny: PathBuf,
    },
    /// It looks the addresses up in the table's own sets.
    Sets,
}

/// How packets get into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueVerb {
    /// By `nf_tables`' own `queue`.
    Nft,
    /// By xtables' `NFQUEUE`, where the kernel has no `nft_queue`.
    Xt,
}

/// The installed gate of a network namespace: that of the thread that installed it.
pub struct Gate {
    socket: Socket,
    /// None where the programs know who is isolated.
    sets: Option<Sets>,
    /// None where what was accepted once is accepted for good.
    review: Option<Review>,
    /// The names of the rules, chain by chain.
    rules: Vec<String>,
    /// The generation of the ruleset in which all was there.
    intact: Option<u32>,
}

impl Gate {
    /// How this kernel can queue. Fails if it cannot at all, or if this process may not ask.
    pub fn probe_verb() -> Result<QueueVerb, Error> {
        probe::verb(&mut Socket::open(Family::Netfilter)?)
    }

    /// Whether rules can call the socket filter that is pinned at `program`: the kernel has `xt_bpf`, and finds it.
    pub fn probe_bpf_match(program: &std::path::Path) -> Result<bool, Error> {
        probe::bpf_match(&mut Socket::open(Family::Netfilter)?, program)
    }

    /// Puts the gate in place, and in the place of an older one, without a moment in between. `elements` are the
    /// isolated addresses; they are kept only where the matcher is [`Matcher::Sets`]. `review` is under review from
    /// the first moment on, as [`Gate::update`] says.
    pub fn install(
        config: &GateConfig,
        elements: &[(IpAddr, Isolated)],
        review: &[IpAddr],
    ) -> Result<Self, Error> {
        let mut socket = Socket::open(Family::Netfilter)?;
        let ruleset = rules::ruleset(config)?;
        let mut transaction = Transaction::replace(&ruleset);
        let sets = (config.matcher == Matcher::Sets).then(|| {
            let mut sets = Sets::default();
            sets.stage(elements).write(&mut transaction);
            sets
        });
        let review = (!config.accept_for_good).then(|| {
            let mut reviewed = Review::default();
            let added = reviewed.missing(review);
            Review::write(&added, &mut transaction);
            reviewed.added(added);
            reviewed
        });
        transaction.commit("install the gate", &mut socket)?;
        Ok(Self {
            socket,
            sets,
            review,
            rules: ruleset.rule_names(),
            intact: None,
        })
    }

    /// Isolates and releases addresses, where the table's own sets say who is isolated, and puts `review` under
    /// review: from then on, packets of connections that touch these addresses need a verdict, whatever was accepted
    /// before, until [`Gate::reviewed`]. One transaction; returns how many elements were added or deleted. Nothing is
    /// under review where what was accepted once is accepted for good.
    pub fn update(
        &mut self,
        changes: &[(IpAddr, Isolated)],
        review: &[IpAddr],
    ) -> Result<usize, Error> {
        let mut transaction = Transaction::new();
        let staged = self.sets.as_mut().map(|sets| sets.stage(changes));
        let mut count = staged
            .as_ref()
            .map_or(0, |staged| staged.write(&mut transaction));
        let added = self
            .review
            .as_ref()
            .map_or_else(BTreeSet::new, |reviewed| reviewed.missing(review));
        Review::write(&added, &mut transaction);
        count += added.len();
        let outcome = transaction.commit("update the gate's sets", &mut self.socket);
        match (&outcome, &mut self.review) {
            (Ok(()), Some(reviewed)) => reviewed.added(added),
            (Ok(()), None) => {}
            (Err(_), _) => {
                if let Some((sets, staged)) = self.sets.as_mut().zip(staged) {
                    sets.revert(staged);
                }
            }
        }
        outcome.map(|()| count)
    }

    /// Whether anything is under review.
    pub fn is_reviewing(&self) -> bool {
        self.review
            .as_ref()
            .is_some_and(|review| !review.is_empty())
    }

    /// Ends every review: what is accepted by now is what is allowed. Returns how many addresses were under review.
    pub fn reviewed(&mut self) -> Result<usize, Error> {
        let Some(review) = &mut self.review else {
            return Ok(0);
        };
        let mut transaction = Transaction::new();
        review.write_end(&mut transaction);
        transaction.commit("end a review", &mut self.socket)?;
        Ok(review.ended())
    }

    /// How many packets ended at which rule since the gate was installed, both hooks together, in the order of the
    /// rules.
    pub fn counters() -> Result<Vec<(String, u64)>, Error> {
        let mut socket = Socket::open(Family::Netfilter)?;
        let mut sums: Vec<(String, u64)> = Vec::new();
        for count in nft::counters(&mut socket, TABLE)? {
            match sums.iter_mut().find(|(name, _)| *name == count.rule) {
                Some((_, packets)) => *packets += count.packets,
                None => sums.push((count.rule, count.packets)),
            }
        }
        Ok(sums)
    }

    /// Whether everything is there that was put there, and nothing else is in the table. Cheap where nobody has changed
    /// the ruleset since it was last asked.
    pub fn is_intact(&mut self) -> Result<bool, Error> {
        let generation = nft::generation(&mut self.socket)?;
        if generation != 0 && self.intact == Some(generation) {
            return Ok(true);
        }
        let intact = match self.is_complete() {
            Err(error) if error.errno() == Some(Errno::NOENT) => false,
            complete => complete?,
        };
        self.intact = intact.then_some(generation);
        Ok(intact)
    }

    fn is_complete(&mut self) -> Result<bool, Error> {
        if nft::rules(&mut self.socket, TABLE)? != self.rules {
            return Ok(false);
        }
        let isolated = self.sets.iter().flat_map(Sets::elements);
        let review = self.review.iter().flat_map(Review::elements);
        for (set, elements) in isolated.chain(review) {
            if nft::elements(&mut self.socket, TABLE, set.name)? != elements {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether there is a gate in this network namespace, whoever installed it.
    pub fn is_installed() -> Result<bool, Error> {
        nft::table_exists(&mut Socket::open(Family::Netfilter)?, TABLE)
    }

    /// Removes the gate from this network namespace; whether there was one.
    pub fn remove() -> Result<bool, Error> {
        nft::remove_table(&mut Socket::open(Family::Netfilter)?, TABLE)
    }
}
