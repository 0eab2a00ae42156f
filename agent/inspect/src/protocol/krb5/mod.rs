//! Kerberos over UDP and TCP (RFC 4120). Each message is a transaction of its own, over at once.

#[cfg(test)]
mod tests;

use super::annotation::{RecordFrames, RecordNames};
use super::ber::{self, Elements, INTEGER, Missing, SEQUENCE};
use super::frames::BothFrames;
use super::{Buffer, Field, Parser, Probe, Stage, Status, Transaction, Transactions};
use crate::flow::Direction;

/// Events that are raised.
pub const EVENTS: &[&str] = &["krb5.malformed_data", "krb5.weak_encryption"];

/// Message types, which are the numbers of the application tags as well (RFC 4120, 5.10).
const AS_REQ: u8 = 10;
const AS_REP: u8 = 11;
const TGS_REQ: u8 = 12;
const TGS_REP: u8 = 13;
const ERROR: u8 = 30;
const TYPES: &[u8] = &[AS_REQ, AS_REP, TGS_REQ, TGS_REP, 14, 15, 20, 21, 22, ERROR];

/// Encryption that is not weak (RFC 8429): AES and Camellia.
pub(crate) const STRONG: &[u64] = &[17, 18, 19, 20, 25, 26];

/// The length before each message in a stream (RFC 4120, 7.2.2).
/// The frames of a record.
const RECORD: RecordNames = RecordNames {
    pdu: Buffer::FrameKrb5Pdu,
    header: Buffer::FrameKrb5Hdr,
    data: Buffer::FrameKrb5Data,
};
/// Bytes of the length before a message in a stream.
const PREFIX: usize = 4;

/// Whether data begins as a Kerberos message does, with the length before it or without.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    let message = match data.first() {
        None => return Probe::NeedMore,
        Some(0) if data.len() <= PREFIX => return Probe::NeedMore,
        Some(0) => data.get(PREFIX..).unwrap_or_default(),
        Some(_) => data,
    };
    let Some(tag) = message.first() else {
        return Probe::NeedMore;
    };
    if tag & 0xe0 != 0x60 || !TYPES.contains(&(tag & 0x1f)) {
        return Probe::No;
    }
    match ber::header(message) {
        Err(Missing::More) => Probe::NeedMore,
        Err(Missing::Never) => Probe::No,
        Ok((_, start, _)) => match message.get(start) {
            None => Probe::NeedMore,
            Some(&SEQUENCE) => Probe::Yes,
            Some(_) => Probe::No,
        },
    }
}

/// The length of a message in a stream, with what is before it.
fn length(data: &[u8]) -> Result<u64, Missing> {
    let prefix = data.first_chunk::<PREFIX>().ok_or(Missing::More)?;
    // The highest bit is reserved.
    match u32::from_be_bytes(*prefix) {
        length @ 1..0x8000_0000 => Ok(u64::from(length) + PREFIX as u64),
        _ => Err(Missing::Never),
    }
}

/// Follows one flow.
#[derive(Debug)]
pub struct Krb5 {
    stream: bool,
    frames: BothFrames,
}

impl Krb5 {
    /// Each piece of data is a datagram with one message.
    #[must_use]
    pub fn udp() -> Self {
        Self {
            stream: false,
            frames: Default::default(),
        }
    }

    /// Messages follow each other in streams.
    #[must_use]
    pub fn tcp() -> Self {
        Self {
            stream: true,
            frames: Default::default(),
        }
    }
}

fn transaction(direction: Direction, message: Option<&[u8]>, out: &mut Transactions) {
    let id = out.begin();
    if let Some(transaction) = out.get(id) {
        if message
            .and_then(|it| push(direction, it, transaction))
            .is_none()
        {
            transaction.event(direction, "krb5.malformed_data");
        }
        transaction.advance(Direction::ToServer, Stage::Complete);
        transaction.advance(Direction::ToClient, Stage::Complete);
    }
}

/// The tag of a field by its number.
const fn field(number: u8) -> u8 {
    0xa0 | number
}

fn push(direction: Direction, message: &[u8], out: &mut Transaction) -> Option<()> {
    let (tag, content) = Elements(message).next()?;
    let kind = tag & 0x1f;
    if tag & 0xe0 != 0x60 || !TYPES.contains(&kind) {
        return None;
    }
    let body = Elements(Elements(content).content(SEQUENCE)?);
    out.number(direction, Field::Krb5MessageType, kind.into());
    match kind {
        AS_REQ | TGS_REQ => {
            let request = Elements(body.find_tag(field(4))?).content(SEQUENCE)?;
            let request = Elements(request);
            names(
                direction,
                Buffer::Krb5Cname,
                request.find_tag(field(1)),
                out,
            );
            names(
                direction,
                Buffer::Krb5Sname,
                request.find_tag(field(3)),
                out,
            );
        }
        AS_REP | TGS_REP => {
            names(direction, Buffer::Krb5Cname, body.find_tag(field(4)), out);
            // Ticket ::= [APPLICATION 1] SEQUENCE.
            let ticket = body
                .find_tag(field(5))
                .and_then(|it| Elements(it).content(0x61));
            let ticket = ticket.and_then(|it| Elements(it).content(SEQUENCE));
            let name = ticket.and_then(|it| Elements(it).find_tag(field(2)));
            names(direction, Buffer::Krb5Sname, name, out);
            let sealed = ticket.and_then(|it| Elements(it).find_tag(field(3)));
            if let Some(cipher) = encryption(sealed).and_then(ber::unsigned) {
                out.number(direction, Field::Krb5TicketEncryption, cipher);
            }
            let cipher = encryption(body.find_tag(field(6)));
            // Negative numbers are private use, and old.
            if cipher.is_some_and(|it| ber::unsigned(it).is_none_or(|it| !STRONG.contains(&it))) {
                out.event(direction, "krb5.weak_encryption");
            }
        }
        ERROR => {
            let code = Elements(body.find_tag(field(6))?).content(INTEGER)?;
            out.number(direction, Field::Krb5ErrorCode, ber::unsigned(code)?);
            names(direction, Buffer::Krb5Cname, body.find_tag(field(8)), out);
            names(direction, Buffer::Krb5Sname, body.find_tag(field(10)), out);
        }
        _ => {}
    }
    Some(())
}

/// The type of an `EncryptedData` (RFC 4120, 5.2.9).
fn encryption(sealed: Option<&[u8]>) -> Option<&[u8]> {
    let sealed = Elements(Elements(sealed?).content(SEQUENCE)?);
    Elements(sealed.find_tag(field(0))?).content(INTEGER)
}

/// Each component of a `PrincipalName` (RFC 4120, 5.2.2).
fn names(direction: Direction, buffer: Buffer, name: Option<&[u8]>, out: &mut Transaction) {
    let parts = name
        .and_then(|name| Elements(name).content(SEQUENCE))
        .and_then(|name| Elements(name).find_tag(field(1)))
        .and_then(|parts| Elements(parts).content(SEQUENCE));
    for (_, part) in Elements(parts.unwrap_or_default()) {
        out.push(direction, buffer, part);
    }
}

impl Parser for Krb5 {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        if !self.stream {
            out.frames.push(direction, Buffer::FrameKrb5Pdu, data);
            transaction(direction, Some(data), out);
            return Status::Ok;
        }
        let frames = self.frames.of(direction);
        let mut data = data;
        let most = out.limits().partial;
        loop {
            match frames.next(&mut data, most, length) {
                Ok(Some(record)) => {
                    RecordFrames::new(direction, RECORD, out).whole(&record, PREFIX);
                    transaction(direction, record.get(PREFIX..), out);
                }
                Ok(None) => return Status::Ok,
                Err(_) => {
                    transaction(direction, None, out);
                    return Status::Failed;
                }
            }
        }
    }

    fn gap(&mut self, direction: Direction, length: u64, _out: &mut Transactions) -> Status {
        self.frames.gap(direction, length)
    }

    fn end(&mut self, _direction: Direction, _out: &mut Transactions) {}

    fn footprint(&self) -> usize {
        size_of::<Self>() + self.frames.footprint()
    }
}
