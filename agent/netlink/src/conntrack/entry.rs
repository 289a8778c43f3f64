//! One connection of the kernel's table.

use std::net::{IpAddr, Ipv4Addr};

use netlink_bindings::conntrack::{
    ConntrackAttrs, IterableConntrackAttrs, IterableTupleAttrs, PushConntrackAttrs, PushTupleAttrs,
    TupleAttrs, TupleIpAttrs, TupleProtoAttrs,
};
use netlink_bindings::traits::Pusher;

use super::header;

/// IP protocol numbers.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// A connection. An entry is a copy: the kernel's may have changed, or be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As its first packet was when it arrived, before address translation.
    pub original: FlowTuple,
    /// As the packets that answer are when they arrive.
    pub reply: FlowTuple,
    /// The connection's mark.
    pub mark: u32,
    /// `IPS_*` bits of `enum ip_conntrack_status`.
    pub status: u32,
    /// Tells this entry from another one of the same tuple.
    pub id: u32,
    /// The conntrack zone; 0 is the default one.
    pub zone: u16,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowTuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Source port. ICMP: the identifier. 0 for other protocols without ports.
    pub sport: u16,
    /// Destination port. ICMP: type in the high byte, code in the low one. 0 for other protocols without ports.
    pub dport: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// What policies say something about: who opened a connection to whom, after destination translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Judged {
    /// Who opened it, before source translation.
    pub source: IpAddr,
    /// Who answers.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// The port that answers; 0 for protocols without ports.
    pub port: u16,
}

impl Entry {
    /// What its policies depend on.
    pub fn judged(&self) -> Judged {
        let protocol = self.original.protocol;
        Judged {
            source: self.original.src,
            destination: self.reply.src,
            protocol,
            port: if WITH_PORTS.contains(&protocol) {
                self.reply.sport
            } else {
                0
            },
        }
    }

    /// An entry that lacks an address is not one that Sluice could have judged.
    pub(crate) fn decode(attributes: IterableConntrackAttrs<'_>) -> Option<Self> {
        let (mut original, mut reply) = (None, None);
        let (mut mark, mut status, mut id, mut zone) = (0, 0, 0, 0);
        for attribute in attributes {
            match attribute.ok()? {
                ConntrackAttrs::TupleOrig(tuple) => original = FlowTuple::decode(tuple),
                ConntrackAttrs::TupleReply(tuple) => reply = FlowTuple::decode(tuple),
                ConntrackAttrs::Mark(value) => mark = value,
                ConntrackAttrs::Status(value) => status = value,
                ConntrackAttrs::Id(value) => id = value,
                ConntrackAttrs::Zone(value) => zone = value,
                _ => {}
            }
        }
        Some(Self {
            original: original?,
            reply: reply?,
            mark,
            status,
            id,
            zone,
        })
    }

    /// Writes the header and what identifies the entry.
    pub(super) fn encode<'a>(&self, bytes: &'a mut Vec<u8>) -> PushConntrackAttrs<&'a mut Vec<u8>> {
        bytes.extend_from_slice(header(Some(self.original.src)).as_slice());
        let attributes = PushConntrackAttrs::new(bytes);
        let attributes = self
            .original
            .encode(attributes.nested_tuple_orig())
            .end_nested();
        if self.zone == 0 {
            attributes
        } else {
            attributes.push_zone(self.zone)
        }
    }
}

impl FlowTuple {
    fn decode(attributes: IterableTupleAttrs<'_>) -> Option<Self> {
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut tuple = Self {
            src: unspecified,
            dst: unspecified,
            sport: 0,
            dport: 0,
            protocol: 0,
        };
        let mut parts = 0;
        for attribute in attributes {
            match attribute.ok()? {
                TupleAttrs::TupleIp(mut addresses) => {
                    parts += addresses.count();
                    addresses.try_for_each(|address| {
                        address.ok().map(|address| tuple.note_address(&address))
                    })?;
                }
                TupleAttrs::TupleProto(mut numbers) => {
                    numbers.try_for_each(|number| {
                        number.ok().map(|number| tuple.note_number(&number))
                    })?;
                }
                TupleAttrs::TupleZone(_) => {}
            }
        }
        (parts == 2).then_some(tuple)
    }

    fn note_address(&mut self, address: &TupleIpAttrs) {
        match address {
            TupleIpAttrs::IpV4Src(address) => self.src = (*address).into(),
            TupleIpAttrs::IpV4Dst(address) => self.dst = (*address).into(),
            TupleIpAttrs::IpV6Src(address) => self.src = (*address).into(),
            TupleIpAttrs::IpV6Dst(address) => self.dst = (*address).into(),
        }
    }

    fn note_number(&mut self, number: &TupleProtoAttrs) {
        match *number {
            TupleProtoAttrs::ProtoNum(number) => self.protocol = number,
            TupleProtoAttrs::ProtoSrcPort(value)
            | TupleProtoAttrs::ProtoIcmpId(value)
            | TupleProtoAttrs::ProtoIcmpv6Id(value) => self.sport = value,
            TupleProtoAttrs::ProtoDstPort(value) => self.dport = value,
            TupleProtoAttrs::ProtoIcmpType(value) | TupleProtoAttrs::ProtoIcmpv6Type(value) => {
                self.dport = self.dport & 0xff | u16::from(value) << 8;
            }
            TupleProtoAttrs::ProtoIcmpCode(value) | TupleProtoAttrs::ProtoIcmpv6Code(value) => {
                self.dport = self.dport & 0xff00 | u16::from(value);
            }
        }
    }

    fn encode<P: Pusher>(&self, tuple: PushTupleAttrs<P>) -> PushTupleAttrs<P> {
        let ip = tuple.nested_tuple_ip();
        let ip = match self.src {
            IpAddr::V4(address) => ip.push_ip_v4_src(address),
            IpAddr::V6(address) => ip.push_ip_v6_src(address),
        };
        let ip = match self.dst {
            IpAddr::V4(address) => ip.push_ip_v4_dst(address),
            IpAddr::V6(address) => ip.push_ip_v6_dst(address),
        };
        let protocol = ip
            .end_nested()
            .nested_tuple_proto()
            .push_proto_num(self.protocol);
        let [icmp_type, icmp_code] = self.dport.to_be_bytes();
        let protocol = match self.protocol {
            ICMP => protocol
                .push_proto_icmp_id(self.sport)
                .push_proto_icmp_type(icmp_type)
                .push_proto_icmp_code(icmp_code),
            ICMPV6 => protocol
                .push_proto_icmpv6_id(self.sport)
                .push_proto_icmpv6_type(icmp_type)
                .push_proto_icmpv6_code(icmp_code),
            _ => protocol
                .push_proto_src_port(self.sport)
                .push_proto_dst_port(self.dport),
        };
        protocol.end_nested()
    }
}
