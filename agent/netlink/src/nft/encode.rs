//! Expressions as netlink attributes.

use std::ffi::CStr;
use std::net::SocketAddr;

use netlink_bindings::nftables::{
    CmpOps, CtKeys, FibFlags, LookupFlags, MetaKeys, NumgenTypes, PayloadBase, PushExprAttrs,
    PushExprListAttrs, Registers, VerdictCode,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_header, push_nested_header};

use super::expression::{Comparison, Expression, Extension, Field, Nat, Verdict};

const REGISTER: u32 = Registers::Reg1 as u32;
const PORT_REGISTER: u32 = Registers::Reg2 as u32;
/// `NFT_FIB_RESULT_ADDRTYPE`: the specification counts this enumeration from 0, the kernel's header from 1.
const FIB_RESULT_ADDRTYPE: u32 = 3;
/// `NFTA_LOOKUP_SREG`, `NFTA_LOOKUP_FLAGS`: the specification has these attributes in another order than the kernel.
const LOOKUP_SREG: u16 = 2;
const LOOKUP_FLAGS: u16 = 5;
/// `NFT_NAT_DNAT`.
const DNAT: u32 = 1;
/// `NFTA_EXPR_DATA`, `NFTA_QUEUE_NUM`, `_TOTAL`, `_FLAGS`: the specification has no `queue` expression.
const EXPR_DATA: u16 = 2;
const QUEUE_NUM: u16 = 1;
const QUEUE_TOTAL: u16 = 2;
const QUEUE_FLAGS: u16 = 3;

/// Appends `expressions` to a rule's list.
pub(super) fn expressions<P: Pusher>(
    mut list: PushExprListAttrs<P>,
    expressions: &[Expression],
) -> PushExprListAttrs<P> {
    for expression in expressions {
        list = match expression {
            // A rule says it once, the kernel hears it as three.
            Expression::DestinationNat(Nat { to }) => destination_nat(list, *to),
            expression => one(list.nested_elem(), expression),
        };
    }
    list
}

fn one<L: Pusher>(elem: PushExprAttrs<L>, expression: &Expression) -> L {
    match expression {
        Expression::Load(field) => load(elem, *field),
        Expression::Bitwise { mask, xor } => bitwise(elem, mask, xor),
        Expression::Compare(comparison, value) => compare(elem, *comparison, value),
        Expression::Lookup { set, inverted } => lookup(elem, set, *inverted),
        Expression::StoreMark => elem
            .nested_data_meta()
            .push_key(MetaKeys::Mark as u32)
            .push_sreg(REGISTER)
            .end_nested()
            .end_nested(),
        Expression::StoreConntrackMark => elem
            .nested_data_ct()
            .push_key(CtKeys::Mark as u32)
            .push_sreg(REGISTER)
            .end_nested()
            .end_nested(),
        Expression::Counter => elem
            .nested_data_counter()
            .push_bytes(0)
            .push_packets(0)
            .end_nested()
            .end_nested(),
        Expression::Verdict(verdict) => self::verdict(elem, *verdict),
        Expression::Match(Extension {
            name,
            revision,
            info,
        }) => {
            let revision = u32::from(*revision);
            elem.nested_data_match()
                .push_name(name)
                .push_rev(revision)
                .push_info(info)
                .end_nested()
                .end_nested()
        }
        Expression::Target(Extension {
            name,
            revision,
            info,
        }) => {
            let revision = u32::from(*revision);
            elem.nested_data_target()
                .push_name(name)
                .push_rev(revision)
                .push_info(info)
                .end_nested()
                .end_nested()
        }
        Expression::Queue {
            first,
            total,
            flags,
        } => queue(elem, *first, *total, *flags),
        Expression::DestinationNat(_) => unreachable!("encoded by the caller"),
    }
}

fn load<L: Pusher>(elem: PushExprAttrs<L>, field: Field) -> L {
    match field {
        Field::Mark => meta(elem, MetaKeys::Mark),
        Field::InputName => meta(elem, MetaKeys::Iifname),
        Field::NetworkProtocol => meta(elem, MetaKeys::Nfproto),
        Field::TransportProtocol => meta(elem, MetaKeys::L4Proto),
        Field::ConntrackState => ct(elem, CtKeys::State),
        Field::ConntrackDirection => ct(elem, CtKeys::Direction),
        Field::ConntrackStatus => ct(elem, CtKeys::Status),
        Field::ConntrackMark => ct(elem, CtKeys::Mark),
        Field::SourceType => {
            let fib = elem
                .nested_data_fib()
                .push_dreg(REGISTER)
                .push_result(FIB_RESULT_ADDRTYPE);
            fib.push_flags(FibFlags::Saddr as u32)
                .end_nested()
                .end_nested()
        }
        Field::Network { offset, length } => {
            payload(elem, PayloadBase::NetworkHeader, offset, length)
        }
        Field::Transport { offset, length } => {
            payload(elem, PayloadBase::TransportHeader, offset, length)
        }
        Field::Random { modulus } => {
            // The specification has this one register in host byte order; the kernel wants it as all others.
            let numgen = elem
                .nested_data_numgen()
                .push_dreg(REGISTER.to_be())
                .push_modulus(modulus);
            numgen
                .push_type(NumgenTypes::Random as u32)
                .end_nested()
                .end_nested()
        }
    }
}

fn meta<L: Pusher>(elem: PushExprAttrs<L>, key: MetaKeys) -> L {
    elem.nested_data_meta()
        .push_key(key as u32)
        .push_dreg(REGISTER)
        .end_nested()
        .end_nested()
}

fn ct<L: Pusher>(elem: PushExprAttrs<L>, key: CtKeys) -> L {
    elem.nested_data_ct()
        .push_key(key as u32)
        .push_dreg(REGISTER)
        .end_nested()
        .end_nested()
}

fn payload<L: Pusher>(elem: PushExprAttrs<L>, base: PayloadBase, offset: u32, length: u32) -> L {
    let payload = elem
        .nested_data_payload()
        .push_dreg(REGISTER)
        .push_base(base as u32);
    payload
        .push_offset(offset)
        .push_len(length)
        .end_nested()
        .end_nested()
}

fn bitwise<L: Pusher>(elem: PushExprAttrs<L>, mask: &[u8], xor: &[u8]) -> L {
    let length = u32::try_from(mask.len()).expect("a register is short");
    let bitwise = elem
        .nested_data_bitwise()
        .push_sreg(REGISTER)
        .push_dreg(REGISTER)
        .push_len(length);
    let bitwise = bitwise.nested_mask().push_value(mask).end_nested();
    bitwise
        .nested_xor()
        .push_value(xor)
        .end_nested()
        .end_nested()
        .end_nested()
}

fn compare<L: Pusher>(elem: PushExprAttrs<L>, comparison: Comparison, value: &[u8]) -> L {
    let operation = match comparison {
        Comparison::Equal => CmpOps::Eq,
        Comparison::NotEqual => CmpOps::Neq,
        Comparison::AtMost => CmpOps::Lte,
        Comparison::AtLeast => CmpOps::Gte,
    };
    let cmp = elem
        .nested_data_cmp()
        .push_sreg(REGISTER)
        .push_op(operation as u32);
    cmp.nested_data()
        .push_value(value)
        .end_nested()
        .end_nested()
        .end_nested()
}

fn lookup<L: Pusher>(elem: PushExprAttrs<L>, set: &CStr, inverted: bool) -> L {
    let flags = if inverted {
        LookupFlags::Invert as u32
    } else {
        0
    };
    let mut lookup = elem.nested_data_lookup().push_set(set);
    let bytes = lookup.as_vec_mut();
    for (attribute, value) in [(LOOKUP_SREG, REGISTER), (LOOKUP_FLAGS, flags)] {
        push_header(bytes, attribute, 4);
        bytes.extend_from_slice(&value.to_be_bytes());
    }
    lookup.end_nested().end_nested()
}

fn verdict<L: Pusher>(elem: PushExprAttrs<L>, verdict: Verdict) -> L {
    let code = match verdict {
        Verdict::Accept => VerdictCode::Accept,
        Verdict::Drop => VerdictCode::Drop,
    };
    let immediate = elem
        .nested_data_immediate()
        .push_dreg(Registers::RegVerdict as u32);
    let verdict = immediate
        .nested_data()
        .nested_verdict()
        .push_code(code as u32);
    verdict.end_nested().end_nested().end_nested().end_nested()
}

fn queue<L: Pusher>(elem: PushExprAttrs<L>, first: u16, total: u16, flags: u16) -> L {
    let mut elem = elem.push_name(c"queue");
    let bytes = elem.as_vec_mut();
    let data = push_nested_header(bytes, EXPR_DATA);
    for (attribute, value) in [
        (QUEUE_NUM, first),
        (QUEUE_TOTAL, total),
        (QUEUE_FLAGS, flags),
    ] {
        push_header(bytes, attribute, 2);
        bytes.extend_from_slice(&value.to_be_bytes());
    }
    finalize_nested_header(bytes, data);
    elem.end_nested()
}

fn destination_nat<P: Pusher>(list: PushExprListAttrs<P>, to: SocketAddr) -> PushExprListAttrs<P> {
    let (family, address) = match to {
        SocketAddr::V4(to) => (libc::NFPROTO_IPV4, to.ip().octets().to_vec()),
        SocketAddr::V6(to) => (libc::NFPROTO_IPV6, to.ip().octets().to_vec()),
    };
    let list = constant(list, REGISTER, &address);
    let list = constant(list, PORT_REGISTER, &to.port().to_be_bytes());
    let nat = list
        .nested_elem()
        .nested_data_nat()
        .push_type(DNAT)
        .push_family(family.cast_unsigned());
    nat.push_reg_addr_min(REGISTER)
        .push_reg_proto_min(PORT_REGISTER)
        .end_nested()
        .end_nested()
}

fn constant<P: Pusher>(
    list: PushExprListAttrs<P>,
    register: u32,
    value: &[u8],
) -> PushExprListAttrs<P> {
    let immediate = list
        .nested_elem()
        .nested_data_immediate()
        .push_dreg(register);
    immediate
        .nested_data()
        .push_value(value)
        .end_nested()
        .end_nested()
        .end_nested()
}
