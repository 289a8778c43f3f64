//! Netlink messages as they lie in a datagram: headers, numbers, and the kernel's words about what it refuses.

use netlink_bindings::builtin::NlmsgerrAttrs;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// One message as it came.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// Several messages that are sent as one; the kernel acknowledges the last.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the header of the message starts that is to be acknowledged.
    last: usize,
    count: u32,
    transaction: bool,
}

/// The messages of one datagram.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl Batch {
    /// Messages that are done or refused one by one.
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            last: 0,
            count: 0,
            transaction: false,
        }
    }

    /// Messages of which all or none are done; the first opens the transaction, a trailer ends it.
    pub(crate) fn transaction() -> Self {
        Self {
            transaction: true,
            ..Self::new()
        }
    }

    /// Appends a message whose body `write` appends to the bytes that it is given.
    pub(crate) fn push_with(&mut self, kind: u16, flags: u16, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER]);
        write(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let header = &mut self.bytes[start..start + HEADER];
        header[0..4].copy_from_slice(&length.to_ne_bytes());
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        header[6..8].copy_from_slice(&(flags | flag(libc::NLM_F_REQUEST)).to_ne_bytes());
        header[8..12].copy_from_slice(&self.count.to_ne_bytes());
        self.last = start;
        self.count += 1;
    }

    /// Appends the end of a transaction, which old kernels do not acknowledge: the message before it stays the last.
    pub(crate) fn push_trailer(&mut self, kind: u16, payload: &[u8]) {
        let last = self.last;
        self.push_with(kind, 0, |bytes| bytes.extend_from_slice(payload));
        self.last = last;
        self.count -= 1;
    }

    /// How many messages are to be acknowledged or refused.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// All messages, as they are sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a refusal of the first message is one of all.
    pub(crate) const fn is_transaction(&self) -> bool {
        self.transaction
    }

    /// Numbers the messages from `first` on and asks for the acknowledgement; returns how many numbers are used.
    pub(crate) fn seal(&mut self, first: u32) -> u32 {
        let mut start = 0;
        while start < self.bytes.len() {
            let header = &mut self.bytes[start..start + HEADER];
            let number = u32_at(header, 8).wrapping_add(first);
            header[8..12].copy_from_slice(&number.to_ne_bytes());
            if start == self.last {
                let flags = u16_at(header, 6) | flag(libc::NLM_F_ACK);
                header[6..8].copy_from_slice(&flags.to_ne_bytes());
            }
            start += (u32_at(header, 0) as usize).next_multiple_of(4);
        }
        self.count
    }
}

impl Message<'_> {
    /// Whether it ends an exchange, with or without success.
    pub(crate) fn is_final(&self) -> bool {
        matches!(i32::from(self.kind), libc::NLMSG_ERROR | libc::NLMSG_DONE)
    }

    /// The kernel's own words about an error. `NETLINK_CAP_ACK` makes it echo no more than the request's header.
    pub(crate) fn explanation(&self) -> Option<String> {
        if self.flags & flag(libc::NLM_F_ACK_TLVS) == 0 {
            return None;
        }
        let echoed = if i32::from(self.kind) == libc::NLMSG_DONE {
            4
        } else {
            4 + HEADER
        };
        let attributes = NlmsgerrAttrs::new(self.payload.get(echoed..)?);
        Some(attributes.get_msg().ok()?.to_string_lossy().into_owned())
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        if self.0.len() < HEADER {
            return None;
        }
        let length = (u32_at(self.0, 0) as usize).clamp(HEADER, self.0.len());
        let (message, rest) = (
            &self.0[..length],
            &self.0[length.next_multiple_of(4).min(self.0.len())..],
        );
        self.0 = rest;
        Some(Message {
            kind: u16_at(message, 4),
            flags: u16_at(message, 6),
            sequence: u32_at(message, 8),
            payload: &message[HEADER..],
        })
    }
}

/// Header flags are declared as `int`, and are 16 bits on the wire.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "all flags are below 2^16"
)]
pub(crate) const fn flag(flag: libc::c_int) -> u16 {
    flag as u16
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_before_the_trailer_is_to_be_acknowledged() {
        let mut batch = Batch::transaction();
        batch.push_with(0x10, 0, |_| ());
        batch.push_with(0xa00, 0, |bytes| bytes.extend_from_slice(&[1, 2, 3]));
        batch.push_trailer(0x11, &[]);
        assert_eq!(batch.seal(7), 2);
        let messages: Vec<_> = Messages(batch.bytes())
            .map(|message| (message.kind, message.sequence))
            .collect();
        assert_eq!(messages, [(0x10, 7), (0xa00, 8), (0x11, 9)]);
        let acknowledged =
            Messages(batch.bytes()).filter(|message| message.flags & flag(libc::NLM_F_ACK) != 0);
        assert_eq!(
            acknowledged
                .map(|message| message.payload)
                .collect::<Vec<_>>(),
            [[1, 2, 3]]
        );
    }

    #[test]
    fn numbers_go_on_beyond_the_largest() {
        let mut batch = Batch::new();
        (0..3).for_each(|_| batch.push_with(1, 0, |_| ()));
        assert_eq!(batch.seal(u32::MAX), 3);
        let numbers: Vec<u32> = Messages(batch.bytes())
            .map(|message| message.sequence)
            .collect();
        assert_eq!(numbers, [u32::MAX, 0, 1]);
    }

    #[test]
    fn a_truncated_datagram_has_only_whole_headers() {
        let mut batch = Batch::new();
        batch.push_with(1, 0, |bytes| bytes.extend_from_slice(&[0; 8]));
        assert_eq!(
            Messages(&batch.bytes()[..20])
                .map(|message| message.payload.len())
                .collect::<Vec<_>>(),
            [4]
        );
        assert_eq!(Messages(&batch.bytes()[..10]).count(), 0);
    }
}
