//! The connection-oriented protocol data units of DCE 1.1: RPC (C706, chapter 12).

use crate::protocol::read::Reader;
use crate::protocol::record::Measure;

pub(super) const REQUEST: u8 = 0;
pub(super) const RESPONSE: u8 = 2;
pub(super) const FAULT: u8 = 3;
pub(super) const BIND: u8 = 11;
pub(super) const BIND_ACK: u8 = 12;
pub(super) const BIND_NAK: u8 = 13;
pub(super) const ALTER_CONTEXT: u8 = 14;
pub(super) const ALTER_CONTEXT_RESPONSE: u8 = 15;
const LAST_KIND: u8 = 19;

const FIRST_FRAGMENT: u8 = 0x01;
const LAST_FRAGMENT: u8 = 0x02;
const OBJECT: u8 = 0x80;

/// Bytes of the common header.
pub(super) const HEADER: usize = 16;

/// The common header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: u8,
    flags: u8,
    pub(super) little: bool,
    pub(super) length: usize,
    auth: usize,
    pub(super) call: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [_, _, kind, flags, representation, ..] = *bytes.first_chunk::<8>()?;
        let little = representation & 0x10 != 0;
        let mut reader = Reader::ordered(bytes.get(8..)?, little);
        Some(Self {
            kind,
            flags,
            little,
            length: usize::from(reader.u16()?),
            auth: usize::from(reader.u16()?),
            call: reader.u32()?,
        })
    }

    pub(super) const fn is_first(&self) -> bool {
        self.flags & FIRST_FRAGMENT != 0
    }

    pub(super) const fn is_last(&self) -> bool {
        self.flags & LAST_FRAGMENT != 0
    }

    /// What follows the header, without the verifier of authentication.
    pub(super) fn body<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let trailer = if self.auth > 0 { self.auth + 8 } else { 0 };
        let end = self.length.saturating_sub(trailer).min(bytes.len());
        bytes.get(HEADER..end)
    }
}

/// Whether this may be the front of a header. `None` when too little has come.
pub(super) fn plausible(bytes: &[u8]) -> Option<bool> {
    let checks: [fn(u8) -> bool; 6] = [
        |version| version == 5,
        |minor| minor <= 1,
        |kind| kind <= LAST_KIND,
        |_| true,
        |representation| representation & 0xee == 0,
        |floats| floats <= 3,
    ];
    if bytes.iter().zip(checks).any(|(byte, check)| !check(*byte)) {
        return Some(false);
    }
    let length = bytes.get(8..10)?;
    let little = bytes.get(4).is_some_and(|byte| byte & 0x10 != 0);
    let length = Reader::ordered(length, little).u16()?;
    Some(usize::from(length) >= HEADER)
}

/// Where the unit at the front ends.
pub(super) fn measure(bytes: &[u8]) -> Measure {
    match plausible(bytes) {
        None => Measure::More,
        Some(false) => {
            let next = bytes.iter().skip(1).position(|byte| *byte == 5);
            Measure::Skip(next.map_or(bytes.len(), |at| at + 1))
        }
        Some(true) => {
            Header::parse(bytes).map_or(Measure::More, |header| Measure::Record(header.length))
        }
    }
}

/// The context, operation number and stub data of a request.
pub(super) fn request<'a>(header: &Header, bytes: &'a [u8]) -> Option<(u16, u16, &'a [u8])> {
    let mut reader = Reader::ordered(header.body(bytes)?, header.little);
    reader.skip(4)?;
    let context = reader.u16()?;
    let operation = reader.u16()?;
    if header.flags & OBJECT != 0 {
        reader.skip(16)?;
    }
    Some((context, operation, reader.rest()))
}

/// The stub data of a response.
pub(super) fn response<'a>(header: &Header, bytes: &'a [u8]) -> Option<&'a [u8]> {
    header.body(bytes)?.get(8..)
}

/// One interface that a bind offers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) context: u16,
    /// As text would have it: big endian.
    pub(super) uuid: [u8; 16],
    pub(super) major: u16,
    /// The unit says that it is the first fragment of its bind.
    pub(super) first: bool,
}

/// Brings the three numbers at the front of a UUID into the order of its text.
pub(super) fn uuid(mut raw: [u8; 16], little: bool) -> [u8; 16] {
    if little {
        for range in [0..4, 4..6, 6..8] {
            if let Some(part) = raw.get_mut(range) {
                part.reverse();
            }
        }
    }
    raw
}

/// The interfaces that a bind or alter-context offers.
pub(super) fn offers(header: &Header, bytes: &[u8]) -> Vec<Offer> {
    let mut offers = Vec::new();
    let mut reader = Reader::ordered(header.body(bytes).unwrap_or_default(), header.little);
    let count = reader.skip(8).and_then(|()| {
        let count = reader.u8()?;
        reader.skip(3)?;
        Some(count)
    });
    for _ in 0..count.unwrap_or(0) {
        let Some(offer) = offer(&mut reader, header) else {
            break;
        };
        offers.push(offer);
    }
    offers
}

fn offer(reader: &mut Reader<'_>, header: &Header) -> Option<Offer> {
    let context = reader.u16()?;
    let syntaxes = usize::from(reader.u8()?);
    reader.skip(1)?;
    let uuid = uuid(reader.array()?, header.little);
    let major = reader.u16()?;
    reader.skip(2 + syntaxes * 20)?;
    Some(Offer {
        context,
        uuid,
        major,
        first: header.is_first(),
    })
}

/// Whether each interface offered was accepted, in the order of the offers.
pub(super) fn results(header: &Header, bytes: &[u8]) -> Vec<bool> {
    let mut results = Vec::new();
    let mut reader = Reader::ordered(header.body(bytes).unwrap_or_default(), header.little);
    let count = reader.skip(8).and_then(|()| {
        let address = usize::from(reader.u16()?);
        // The list begins at a multiple of four from the start of the unit.
        let padding = (4 - (2 + address) % 4) % 4;
        reader.skip(address + padding)?;
        let count = reader.u8()?;
        reader.skip(3)?;
        Some(count)
    });
    for _ in 0..count.unwrap_or(0) {
        let Some(result) = reader.u16() else { break };
        results.push(result == 0);
        if reader.skip(22).is_none() {
            break;
        }
    }
    results
}
