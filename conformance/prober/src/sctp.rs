//! The packets of an SCTP handshake's first half (RFC 9260), written and read: all that a probe needs where the kernel
//! has no SCTP sockets. No associations, no retransmission, no I/O.

/// Length of the common header (RFC 9260 §3.1).
const HEADER: usize = 12;
/// Length of INIT and INIT ACK without parameters, chunk header included (§3.3.2).
const INIT: usize = 20;
/// The parameter type of a state cookie (§3.3.3.1).
const STATE_COOKIE: u16 = 7;
/// Any window will do: no data follows. The least that §3.3.2 permits is 1500.
const WINDOW: u32 = 65_536;

/// An SCTP packet with one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// 0 in a packet with INIT, otherwise the tag that the receiver asked for.
    pub(crate) verification_tag: u32,
    pub(crate) chunk: Chunk,
}

/// The chunks that are understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// Asks for an association; `tag` is to be in every packet that comes back, and is not 0.
    Init { tag: u32 },
    /// Agrees to it. The cookie is the server's to choose.
    InitAck { tag: u32, cookie: Vec<u8> },
    /// Says no.
    Abort,
}

impl Packet {
    /// The bytes after the IP header, checksum included.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + INIT);
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        bytes.extend(self.verification_tag.to_be_bytes());
        bytes.extend([0; 4]);
        match &self.chunk {
            Chunk::Init { tag } => encode_init(&mut bytes, 1, *tag, &[]),
            Chunk::InitAck { tag, cookie } => encode_init(&mut bytes, 2, *tag, cookie),
            Chunk::Abort => bytes.extend([6, 0, 0, 4]),
        }
        let checksum = crc32c(&bytes);
        bytes[8..HEADER].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The packet whose first chunk is one of those understood, if the checksum is right.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, chunk) = bytes.split_at_checked(HEADER)?;
        let mut unsigned = bytes.to_vec();
        unsigned[8..HEADER].fill(0);
        if crc32c(&unsigned).to_le_bytes() != header[8..HEADER] {
            return None;
        }
        Some(Self {
            source_port: be16(header, 0)?,
            destination_port: be16(header, 2)?,
            verification_tag: be32(header, 4)?,
            chunk: Chunk::decode(chunk)?,
        })
    }
}

impl Chunk {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let chunk = bytes.get(..usize::from(be16(bytes, 2)?))?;
        match *chunk.first()? {
            1 => Some(Self::Init {
                tag: be32(chunk, 4)?,
            }),
            2 => Some(Self::InitAck {
                tag: be32(chunk, 4)?,
                cookie: state_cookie(chunk.get(INIT..)?)?,
            }),
            6 => Some(Self::Abort),
            _ => None,
        }
    }
}

fn encode_init(bytes: &mut Vec<u8>, kind: u8, tag: u32, cookie: &[u8]) {
    let parameter = if cookie.is_empty() {
        0
    } else {
        4 + cookie.len()
    };
    bytes.extend([kind, 0]);
    bytes.extend(length(INIT + parameter));
    bytes.extend(tag.to_be_bytes());
    bytes.extend(WINDOW.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes()); // outbound streams
    bytes.extend(1_u16.to_be_bytes()); // inbound streams
    bytes.extend(tag.to_be_bytes()); // first sequence number: any
    if parameter > 0 {
        bytes.extend(STATE_COOKIE.to_be_bytes());
        bytes.extend(length(parameter));
        bytes.extend(cookie);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

fn state_cookie(mut parameters: &[u8]) -> Option<Vec<u8>> {
    loop {
        let (kind, length) = (be16(parameters, 0)?, usize::from(be16(parameters, 2)?));
        if kind == STATE_COOKIE {
            return Some(parameters.get(4..length)?.to_vec());
        }
        parameters = parameters.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// CRC-32C (Castagnoli), reflected, as RFC 9260 appendix A has it. Bit by bit: packets are short and few.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            (crc >> 1) ^ POLYNOMIAL
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        // the check value of the CRC catalogue, and RFC 3720 appendix B.4
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for chunk in [
            Chunk::Init { tag: 0x0102_0304 },
            Chunk::InitAck {
                tag: 5,
                cookie: b"x/a".to_vec(),
            },
            Chunk::InitAck {
                tag: 5,
                cookie: b"namespace/pod-with-a-longer-name".to_vec(),
            },
            Chunk::Abort,
        ] {
            let packet = Packet {
                source_port: 40_000,
                destination_port: 80,
                verification_tag: 9,
                chunk,
            };
            assert_eq!(Packet::decode(&packet.encode()), Some(packet));
        }
    }

    #[test]
    fn an_init_has_the_layout_of_the_rfc() {
        let chunk = Chunk::Init { tag: 0xaabb_ccdd };
        let bytes = Packet {
            source_port: 0x1234,
            destination_port: 80,
            verification_tag: 0,
            chunk,
        }
        .encode();
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..8], [0x12, 0x34, 0, 80, 0, 0, 0, 0]);
        assert_eq!(bytes[12..20], [1, 0, 0, 20, 0xaa, 0xbb, 0xcc, 0xdd]);
    }

    #[test]
    fn a_packet_that_was_damaged_or_cut_is_nothing() {
        let packet = Packet {
            source_port: 1,
            destination_port: 2,
            verification_tag: 3,
            chunk: Chunk::InitAck {
                tag: 4,
                cookie: b"x/a".to_vec(),
            },
        };
        let bytes = packet.encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Packet::decode(&damaged), None, "byte {at}");
            assert_eq!(Packet::decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
