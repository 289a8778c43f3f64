//! The packet and conntrack mark bits that are Sluice's.

/// Three single-bit masks of a 32-bit mark. Packet mark and conntrack mark are different words, so a bit may mean
/// one thing in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Packet: the agent accepted it. Conntrack: the connection was accepted.
    pub accepted: u32,
    /// Packet: the TC program found it covered.
    pub pass: u32,
    /// Conntrack: the connection was accepted once and is denied now. The same bit as `pass`.
    pub revoked: u32,
    /// Packet on its way to the queue: conntrack says that it is a reply.
    pub reply: u32,
}

/// Too few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkError {
    /// How many bits the mask has.
    pub bits: u32,
}

impl core::fmt::Display for MarkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "three bits are needed, the mask has {}", self.bits)
    }
}

impl core::error::Error for MarkError {}

impl Marks {
    /// Bits 4 to 6: free of kube-proxy (14, 15), the portmap plugin (13), and the AWS VPC CNI (7).
    pub const DEFAULT_MASK: u32 = 0x70;

    /// The three lowest bits of `mask`.
    pub const fn from_mask(mask: u32) -> Result<Self, MarkError> {
        if mask.count_ones() < 3 {
            return Err(MarkError {
                bits: mask.count_ones(),
            });
        }
        let accepted = mask & mask.wrapping_neg();
        let rest = mask & !accepted;
        let pass = rest & rest.wrapping_neg();
        let rest = rest & !pass;
        let reply = rest & rest.wrapping_neg();
        Ok(Self {
            accepted,
            pass,
            revoked: pass,
            reply,
        })
    }

    /// All bits of the packet mark that are Sluice's.
    pub const fn packet(self) -> u32 {
        self.accepted | self.pass | self.reply
    }

    /// All bits of the conntrack mark that are Sluice's.
    pub const fn conntrack(self) -> u32 {
        self.accepted | self.revoked
    }
}
