//! Datagrams taken apart as if the kernel had sent them: for fuzzing alone.

use netlink_bindings::conntrack::OpGetDump;
use netlink_bindings::traits::NetlinkRequest as _;

use crate::conntrack::Entry;
use crate::links::Known;
use crate::message::Messages;
use crate::routes::Row;

/// Reads every message of a datagram as whatever it could be.
pub fn replies(datagram: &[u8]) {
    let mut links = Known::default();
    for message in Messages(datagram) {
        if message.is_final() {
            drop(message.explanation());
        }
        drop(links.note(message));
        let _whichever = Row::decode(message.payload);
        let (_, attributes) = OpGetDump::decode_reply(message.payload);
        if let Some(entry) = Entry::decode(attributes) {
            assert_eq!(entry.judged().protocol, entry.original.protocol);
        }
    }
}
