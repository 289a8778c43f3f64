//! Changes to the ruleset: all of a transaction, or nothing.

use std::ffi::CStr;
use std::net::IpAddr;

use netlink_bindings::nftables::{
    Nfgenmsg, OpBatchBeginDo, OpBatchEndDo, OpDelsetelemDo, OpDeltableDo, OpNewchainDo,
    OpNewruleDo, OpNewsetDo, OpNewsetelemDo, OpNewtableDo, PushSetelemListAttrs,
};
use rustix::io::Errno;

use super::{Chain, ChainKind, Key, Rule, Ruleset, Set, display, encode};
use crate::Error;
use crate::message::{Batch, flag};
use crate::socket::Socket;

/// `NFNL_SUBSYS_NFTABLES`, the high byte of message types.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0xa00;
const DELETE_TABLE: u16 = 0xa02;
const NEW_CHAIN: u16 = 0xa03;
const NEW_RULE: u16 = 0xa06;
const NEW_SET: u16 = 0xa09;
const NEW_ELEMENTS: u16 = 0xa0c;
const DELETE_ELEMENTS: u16 = 0xa0e;
/// An attribute's length has 16 bits, and an IPv6 element 28 bytes.
const ELEMENTS_PER_MESSAGE: usize = 2000;
/// What `nft` writes into a rule's user data: type, length, text with its NUL.
pub(super) const USERDATA_COMMENT: u8 = 0;

/// Messages on their way to becoming a change.
pub(crate) struct Transaction {
    batch: Batch,
    /// What each message is about, for the error if it is refused.
    steps: Vec<String>,
}

impl Transaction {
    pub(crate) fn new() -> Self {
        let mut batch = Batch::transaction();
        batch.push_with(BATCH_BEGIN, 0, |bytes| {
            drop(OpBatchBeginDo::encode_request(bytes, &batch_header()));
        });
        Self {
            batch,
            steps: vec!["transaction".into()],
        }
    }

    /// Puts `ruleset` in place of whatever its table was, without a moment in between.
    pub(crate) fn replace(ruleset: &Ruleset) -> Self {
        let mut transaction = Self::new();
        // Deleting a table that is not there is an error, creating one that is there is not.
        transaction.create_table(ruleset.table);
        transaction.delete_table(ruleset.table);
        transaction.create_table(ruleset.table);
        for (id, set) in (1..).zip(&ruleset.sets) {
            transaction.create_set(ruleset.table, *set, id);
        }
        for chain in &ruleset.chains {
            transaction.create_chain(ruleset.table, chain);
            for rule in &chain.rules {
                transaction.create_rule(ruleset.table, chain.name, rule);
            }
        }
        transaction
    }

    pub(crate) fn create_table(&mut self, table: &CStr) {
        self.step(format!("table {}", display(table)));
        let flags = flag(libc::NLM_F_CREATE);
        self.batch.push_with(NEW_TABLE, flags, |bytes| {
            drop(OpNewtableDo::encode_request(bytes, &header()).push_name(table));
        });
    }

    pub(crate) fn delete_table(&mut self, table: &CStr) {
        self.step(format!("table {}", display(table)));
        self.batch.push_with(DELETE_TABLE, 0, |bytes| {
            drop(OpDeltableDo::encode_request(bytes, &header()).push_name(table));
        });
    }

    /// A set; `id` tells the sets of a transaction apart.
    fn create_set(&mut self, table: &CStr, set: Set, id: u32) {
        let (kind, length) = match set.key {
            // the numbers by which `nft` knows `ipv4_addr` and `ipv6_addr`; the kernel does not care
            Key::Ipv4 => (7, 4),
            Key::Ipv6 => (8, 16),
        };
        self.step(format!("set {}", display(set.name)));
        self.batch.push_with(
            NEW_SET,
            flag(libc::NLM_F_CREATE | libc::NLM_F_EXCL),
            |bytes| {
                let attributes = OpNewsetDo::encode_request(bytes, &header())
                    .push_table(table)
                    .push_name(set.name);
                drop(
                    attributes
                        .push_flags(0)
                        .push_key_type(kind)
                        .push_key_len(length)
                        .push_id(id),
                );
            },
        );
    }

    /// A chain without rules, on its hook.
    pub(crate) fn create_chain(&mut self, table: &CStr, chain: &Chain) {
        let kind = match chain.kind {
            ChainKind::Filter => c"filter",
            ChainKind::Nat => c"nat",
        };
        self.step(format!("chain {}", display(chain.name)));
        self.batch.push_with(
            NEW_CHAIN,
            flag(libc::NLM_F_CREATE | libc::NLM_F_EXCL),
            |bytes| {
                let attributes = OpNewchainDo::encode_request(bytes, &header())
                    .push_table(table)
                    .push_name(chain.name);
                let hook = attributes
                    .nested_hook()
                    .push_num(chain.hook as u32)
                    .push_priority(chain.priority);
                drop(
                    hook.end_nested()
                        .push_policy(libc::NF_ACCEPT.cast_unsigned())
                        .push_type(kind),
                );
            },
        );
    }

    /// A rule at the end of `chain`.
    pub(crate) fn create_rule(&mut self, table: &CStr, chain: &CStr, rule: &Rule) {
        let mut comment = vec![
            USERDATA_COMMENT,
            u8::try_from(rule.name.len() + 1).unwrap_or(u8::MAX),
        ];
        comment.extend_from_slice(rule.name.as_bytes());
        comment.push(0);
        self.step(format!("rule {}/{}", display(chain), rule.name));
        self.batch.push_with(
            NEW_RULE,
            flag(libc::NLM_F_CREATE | libc::NLM_F_APPEND),
            |bytes| {
                let attributes = OpNewruleDo::encode_request(bytes, &header())
                    .push_table(table)
                    .push_chain(chain);
                let list = encode::expressions(attributes.nested_expressions(), &rule.expressions);
                drop(list.end_nested().push_userdata(&comment));
            },
        );
    }

    /// Adds addresses to a set; one that is there already stays.
    pub(crate) fn add_elements(&mut self, table: &CStr, set: &CStr, elements: &[IpAddr]) {
        for elements in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.step(format!("elements of {}", display(set)));
            self.batch
                .push_with(NEW_ELEMENTS, flag(libc::NLM_F_CREATE), |bytes| {
                    push_elements(
                        OpNewsetelemDo::encode_request(bytes, &header()),
                        table,
                        set,
                        elements,
                    );
                });
        }
    }

    /// Takes addresses out of a set, which must all be there.
    pub(crate) fn delete_elements(&mut self, table: &CStr, set: &CStr, elements: &[IpAddr]) {
        for elements in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.step(format!("elements of {}", display(set)));
            self.batch.push_with(DELETE_ELEMENTS, 0, |bytes| {
                push_elements(
                    OpDelsetelemDo::encode_request(bytes, &header()),
                    table,
                    set,
                    elements,
                );
            });
        }
    }

    /// Makes it happen.
    pub(crate) fn commit(mut self, what: &'static str, socket: &mut Socket) -> Result<(), Error> {
        if self.batch.count() == 1 {
            return Ok(());
        }
        let mut end = Vec::new();
        drop(OpBatchEndDo::encode_request(&mut end, &batch_header()));
        self.batch.push_trailer(BATCH_END, &end);
        let mut refused = None;
        socket.batch(what, self.batch, |refusal| {
            refused.get_or_insert(refusal);
        })?;
        let Some(refusal) = refused else {
            return Ok(());
        };
        let step = self
            .steps
            .get(refusal.position as usize)
            .cloned()
            .unwrap_or_default();
        let message = match refusal.message {
            Some(message) => format!("{step}: {message}"),
            None => step,
        };
        Err(Error::Refused {
            what,
            errno: refusal.errno,
            message: Some(message),
        })
    }

    fn step(&mut self, name: String) {
        self.steps.push(name);
    }
}

/// Deletes the table and all that is in it; whether there was one.
pub(crate) fn remove_table(socket: &mut Socket, table: &CStr) -> Result<bool, Error> {
    let mut transaction = Transaction::new();
    transaction.delete_table(table);
    match transaction.commit("remove a table", socket) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn push_elements(
    attributes: PushSetelemListAttrs<&mut Vec<u8>>,
    table: &CStr,
    set: &CStr,
    elements: &[IpAddr],
) {
    let mut list = attributes.push_table(table).push_set(set).nested_elements();
    for element in elements {
        let key = list.nested_elem().nested_key();
        let key = match element {
            IpAddr::V4(address) => key.push_value(&address.octets()),
            IpAddr::V6(address) => key.push_value(&address.octets()),
        };
        list = key.end_nested().end_nested();
    }
    drop(list);
}

#[expect(clippy::cast_possible_truncation, reason = "NFPROTO_INET is 1")]
pub(super) fn header() -> Nfgenmsg {
    Nfgenmsg {
        nfgen_family: libc::NFPROTO_INET as u8,
        ..Nfgenmsg::new()
    }
}

fn batch_header() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.set_res_id(SUBSYSTEM);
    header
}
