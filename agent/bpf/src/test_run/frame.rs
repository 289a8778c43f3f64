//! Packets that never saw a wire.

use std::net::IpAddr;

use sluice_ebpf::{Addr, LeaseKey};

/// Its protocol number.
pub const TCP: u8 = 6;
/// Its protocol number.
pub const UDP: u8 = 17;
/// Its protocol number.
pub const SCTP: u8 = 132;
/// A flag of TCP.
pub const FIN: u8 = 1;
/// A flag of TCP.
pub const SYN: u8 = 2;
/// A flag of TCP.
pub const RST: u8 = 4;
/// A flag of TCP.
pub const ACK: u8 = 16;
/// The type of an SCTP chunk: the first of an association.
pub const INIT: u8 = 1;

/// A packet, field by field, so that any of them can be wrong.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Who says to have sent it.
    pub source: IpAddr,
    /// Of the same family.
    pub destination: IpAddr,
    /// Of what is behind the header of the network.
    pub protocol: u8,
    /// Whatever the protocol.
    pub source_port: u16,
    /// Likewise.
    pub destination_port: u16,
    /// TCP flags, or the first SCTP chunk's type.
    pub flags: u8,
    /// IPv4 options, in words.
    pub options: u8,
    /// IPv4 flags and fragment offset.
    pub fragment: u16,
    /// IPv6 extension headers: type and bytes.
    pub extension: Option<(u8, Vec<u8>)>,
    /// Bytes behind the header of the transport.
    pub payload: usize,
    /// Not IP by its Ethernet header.
    pub foreign: bool,
}

impl Frame {
    /// An ordinary packet of 32 bytes.
    ///
    /// # Panics
    /// Where an address is none.
    pub fn new(
        source: &str,
        destination: &str,
        protocol: u8,
        ports: (u16, u16),
        flags: u8,
    ) -> Self {
        Self {
            source: source.parse().expect("a source address"),
            destination: destination.parse().expect("a destination address"),
            protocol,
            source_port: ports.0,
            destination_port: ports.1,
            flags,
            options: 0,
            fragment: 0,
            extension: None,
            payload: 32,
            foreign: false,
        }
    }

    /// What goes back.
    #[must_use]
    pub fn reply(&self, flags: u8) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            flags,
            ..self.clone()
        }
    }

    /// The key of the lease that covers it.
    pub fn lease_key(&self) -> LeaseKey {
        LeaseKey::new(
            self.source.into(),
            self.destination.into(),
            self.protocol,
            self.destination_port,
        )
    }

    /// The epochs' places of source and destination.
    pub fn slots(&self) -> (u32, u32) {
        (
            Addr::from(self.source).slot(),
            Addr::from(self.destination).slot(),
        )
    }

    /// With an Ethernet header.
    ///
    /// # Panics
    /// Where it is longer than a packet may be, or source and destination are of different families.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend(match self.source {
            _ if self.foreign => [0x88, 0xb5],
            IpAddr::V4(_) => [0x08, 0x00],
            IpAddr::V6(_) => [0x86, 0xdd],
        });
        frame.extend(self.network());
        frame
    }

    fn network(&self) -> Vec<u8> {
        let transport = self.transport();
        let mut packet = Vec::new();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = 20 + 4 * usize::from(self.options);
                let total = u16::try_from(header + transport.len()).expect("a small packet");
                packet.extend([0x45 + self.options, 0]);
                packet.extend(total.to_be_bytes());
                packet.extend([0, 1]);
                packet.extend(self.fragment.to_be_bytes());
                packet.extend([64, self.protocol, 0, 0]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
                packet.extend(std::iter::repeat_n(1, 4 * usize::from(self.options)));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (next, extension) = self
                    .extension
                    .clone()
                    .unwrap_or((self.protocol, Vec::new()));
                let length =
                    u16::try_from(extension.len() + transport.len()).expect("a small packet");
                packet.extend([0x60, 0, 0, 0]);
                packet.extend(length.to_be_bytes());
                packet.extend([next, 64]);
                packet.extend(source.octets());
                packet.extend(destination.octets());
                packet.extend(extension);
            }
            _ => panic!("mixed families"),
        }
        packet.extend(transport);
        packet
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        match self.protocol {
            TCP => bytes.extend([
                0, 0, 0, 1, 0, 0, 0, 1, 0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0,
            ]),
            SCTP => bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, self.flags, 0, 0, 4]),
            _ => bytes.extend([0, 8, 0, 0]),
        }
        bytes.extend(std::iter::repeat_n(0, self.payload));
        bytes
    }
}
