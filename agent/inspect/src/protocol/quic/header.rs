//! Headers of packets (RFC 9000, section 17; RFC 8999 has what all versions share).

use crate::protocol::read::Reader;

/// Longest connection identifier of the versions that are known.
const MAX_CONNECTION_ID: usize = 20;

pub(super) const VERSION_1: u32 = 1;
pub(super) const VERSION_2: u32 = 0x6b33_43cf;
/// The first draft whose keys are those that follow.
pub(super) const DRAFT_29: u32 = 0xff00_001d;
pub(super) const DRAFT_33: u32 = 0xff00_0021;
const DRAFT_34: u32 = 0xff00_0022;

/// Whether packets of this version can be read.
pub(super) const fn is_known(version: u32) -> bool {
    matches!(version, VERSION_1 | VERSION_2 | DRAFT_29..=DRAFT_34)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    /// The server names the versions that it speaks.
    Negotiation,
    /// Of a version that is not known.
    Unknown,
}

/// One packet with a long header.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) version: u32,
    pub(super) kind: Kind,
    pub(super) destination: &'a [u8],
    /// From the first byte to where the packet number is.
    pub(super) header: &'a [u8],
    /// Packet number and payload, both protected.
    pub(super) protected: &'a [u8],
    /// What comes behind in the datagram.
    pub(super) rest: &'a [u8],
}

/// Whether a packet has a long header.
pub(super) fn is_long(data: &[u8]) -> bool {
    data.first().is_some_and(|first| first & 0x80 != 0)
}

impl<'a> Packet<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::big(data);
        let first = reader.u8()?;
        let version = reader.u32()?;
        let destination = connection_id(&mut reader)?;
        let _source = connection_id(&mut reader)?;
        let kind = kind(first, version);
        let mut length = reader.rest().len();
        if kind == Kind::Initial {
            let token = varint(&mut reader)?;
            reader.take(usize::try_from(token).ok()?)?;
        }
        if matches!(kind, Kind::Initial | Kind::ZeroRtt | Kind::Handshake) {
            length = usize::try_from(varint(&mut reader)?).ok()?;
        }
        let header = data.get(..data.len() - reader.rest().len())?;
        let protected = reader.take(length)?;
        Some(Self {
            version,
            kind,
            destination,
            header,
            protected,
            rest: reader.rest(),
        })
    }
}

fn connection_id<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    reader.sized8().filter(|id| id.len() <= MAX_CONNECTION_ID)
}

const fn kind(first: u8, version: u32) -> Kind {
    if version == 0 {
        return Kind::Negotiation;
    }
    if !is_known(version) || first & 0x40 == 0 {
        return Kind::Unknown;
    }
    // RFC 9369, section 3.2: version 2 counts from another.
    let number = first >> 4 & 3;
    match if version == VERSION_2 {
        number.wrapping_sub(1) & 3
    } else {
        number
    } {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    }
}

/// A number of one, two, four or eight bytes (RFC 9000, section 16).
pub(super) fn varint(reader: &mut Reader<'_>) -> Option<u64> {
    let first = reader.u8()?;
    let mut number = u64::from(first & 0x3f);
    for byte in reader.take((1 << (first >> 6)) - 1)? {
        number = number << 8 | u64::from(*byte);
    }
    Some(number)
}
