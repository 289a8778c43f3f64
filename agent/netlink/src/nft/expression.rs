//! Rules as sequences of expressions, and the builder that writes them down. Register 1 is where everything happens;
//! register 2 is used for the port of an address translation alone.

use std::borrow::Cow;
use std::ffi::CStr;

/// A rule: the packet goes through the expressions in order, until one does not match or gives a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its comment, by which its counter is found again.
    pub(crate) name: Cow<'static, str>,
    pub(crate) expressions: Vec<Expression>,
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// A field of the packet, into the register.
    Load(Field),
    /// The register becomes (register & mask) ^ xor; both of the length of what is in it.
    Bitwise { mask: Vec<u8>, xor: Vec<u8> },
    /// Goes on if the register compares so.
    Compare(Comparison, Vec<u8>),
    /// Goes on if the register is an element of the set, or, `inverted`, is not.
    Lookup { set: &'static CStr, inverted: bool },
    /// The register, into the packet's mark.
    StoreMark,
    /// The register, into the connection's mark.
    StoreConntrackMark,
    /// Counts packets and bytes.
    Counter,
    /// Ends the rule.
    Verdict(Verdict),
    /// An xtables match: goes on if it matches.
    Match(Extension),
    /// An xtables target: ends the rule with a verdict of its own.
    Target(Extension),
    /// Hands the packet to userspace: `nf_tables`' own expression.
    Queue { first: u16, total: u16, flags: u16 },
    /// Translates the destination.
    DestinationNat(Nat),
}

/// What can be loaded. Numbers are in host byte order where the kernel keeps them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// The packet's mark.
    Mark,
    /// Name of the interface it came in by, padded to 16 bytes.
    InputName,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`, one byte.
    NetworkProtocol,
    /// IP protocol number, one byte.
    TransportProtocol,
    /// A bit of [`ct_state`].
    ConntrackState,
    /// 0 original, 1 reply; one byte.
    ConntrackDirection,
    /// Bits of `enum ip_conntrack_status`.
    ConntrackStatus,
    /// The connection's mark.
    ConntrackMark,
    /// `RTN_*` of the source address.
    SourceType,
    /// Bytes of the network header.
    Network { offset: u32, length: u32 },
    /// Bytes of the transport header.
    Transport { offset: u32, length: u32 },
    /// A random number below the modulus.
    Random { modulus: u32 },
}

impl Field {
    pub(crate) const IPV4_SOURCE: Self = Self::Network {
        offset: 12,
        length: 4,
    };
    pub(crate) const IPV4_DESTINATION: Self = Self::Network {
        offset: 16,
        length: 4,
    };
    pub(crate) const IPV6_SOURCE: Self = Self::Network {
        offset: 8,
        length: 16,
    };
    pub(crate) const IPV6_DESTINATION: Self = Self::Network {
        offset: 24,
        length: 16,
    };
    /// Of IPv6.
    pub(crate) const HOP_LIMIT: Self = Self::Network {
        offset: 7,
        length: 1,
    };
    /// The byte of TCP's flags from FIN to CWR.
    pub(crate) const TCP_FLAGS: Self = Self::Transport {
        offset: 13,
        length: 1,
    };
    /// Of TCP, UDP and SCTP alike.
    pub(crate) const DESTINATION_PORT: Self = Self::Transport {
        offset: 2,
        length: 2,
    };
}

/// The one byte of [`Field::NetworkProtocol`]: `NFPROTO_IPV4`.
pub(crate) const IPV4: &[u8] = &[2];
/// The one byte of [`Field::NetworkProtocol`]: `NFPROTO_IPV6`.
pub(crate) const IPV6: &[u8] = &[10];

/// `enum nft_cmp_ops`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
}

/// The verdicts that a rule of ours gives itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
}

/// An xtables extension and its settings, a C structure in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) name: &'static CStr,
    pub(crate) revision: u8,
    pub(crate) info: Vec<u8>,
}

/// Where a translated packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nat {
    pub(crate) to: std::net::SocketAddr,
}

/// The bits of [`Field::ConntrackState`].
pub(crate) mod ct_state {
    /// Packets were seen both ways.
    pub(crate) const ESTABLISHED: u32 = 2;
    /// An error message about a known connection, or the first packet of one that was expected.
    pub(crate) const RELATED: u32 = 4;
    /// The first packet of a connection.
    pub(crate) const NEW: u32 = 8;
    /// Conntrack was told to leave it alone.
    pub(crate) const UNTRACKED: u32 = 64;
}

impl Rule {
    pub(crate) fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            expressions: Vec::new(),
        }
    }

    /// Only if `field` is `value` in the bits of `mask`; both have the field's length.
    pub(crate) fn masked(self, field: Field, mask: &[u8], value: &[u8]) -> Self {
        self.bits(field, mask, Comparison::Equal, value)
    }

    /// Only if `field` is anything but `value` in the bits of `mask`; both have the field's length.
    pub(crate) fn unlike(self, field: Field, mask: &[u8], value: &[u8]) -> Self {
        self.bits(field, mask, Comparison::NotEqual, value)
    }

    /// Only if `field` has one of `bits` set.
    pub(crate) fn any_bits(self, field: Field, bits: u32) -> Self {
        self.bits(field, &bits.to_ne_bytes(), Comparison::NotEqual, &[0; 4])
    }

    /// Only if `field` has none of `bits` set.
    pub(crate) fn no_bits(self, field: Field, bits: u32) -> Self {
        self.masked(field, &bits.to_ne_bytes(), &[0; 4])
    }

    /// Only if `field` is `value`, which has the field's length.
    pub(crate) fn equals(self, field: Field, value: &[u8]) -> Self {
        self.then(Expression::Load(field))
            .then(Expression::Compare(Comparison::Equal, value.to_vec()))
    }

    /// Only if the single byte `field` lies in the range, ends included.
    pub(crate) fn between(self, field: Field, first: u8, last: u8) -> Self {
        self.then(Expression::Load(field))
            .then(Expression::Compare(Comparison::AtLeast, vec![first]))
            .then(Expression::Compare(Comparison::AtMost, vec![last]))
    }

    /// Only if `field` is no element of `set`.
    pub(crate) fn outside(self, field: Field, set: &'static CStr) -> Self {
        self.then(Expression::Load(field)).then(Expression::Lookup {
            set,
            inverted: true,
        })
    }

    /// Replaces the bits `clear` of the packet's mark by `set`; nobody else's bits are touched.
    pub(crate) fn mark(self, clear: u32, set: u32) -> Self {
        self.then(Expression::Load(Field::Mark))
            .then(replace(clear, set))
            .then(Expression::StoreMark)
    }

    /// Replaces the bits `clear` of the connection's mark by `set`; nobody else's bits are touched.
    pub(crate) fn conntrack_mark(self, clear: u32, set: u32) -> Self {
        self.then(Expression::Load(Field::ConntrackMark))
            .then(replace(clear, set))
            .then(Expression::StoreConntrackMark)
    }

    pub(crate) fn counted(self) -> Self {
        self.then(Expression::Counter)
    }

    pub(crate) fn accept(self) -> Self {
        self.counted().accept_uncounted()
    }

    pub(crate) fn accept_uncounted(self) -> Self {
        self.then(Expression::Verdict(Verdict::Accept))
    }

    pub(crate) fn drop(self) -> Self {
        self.counted().then(Expression::Verdict(Verdict::Drop))
    }

    pub(crate) fn then(mut self, expression: Expression) -> Self {
        self.expressions.push(expression);
        self
    }

    fn bits(self, field: Field, mask: &[u8], comparison: Comparison, value: &[u8]) -> Self {
        self.then(Expression::Load(field))
            .then(Expression::Bitwise {
                mask: mask.to_vec(),
                xor: vec![0; mask.len()],
            })
            .then(Expression::Compare(comparison, value.to_vec()))
    }
}

fn replace(clear: u32, set: u32) -> Expression {
    Expression::Bitwise {
        mask: (!(clear | set)).to_ne_bytes().to_vec(),
        xor: set.to_ne_bytes().to_vec(),
    }
}
