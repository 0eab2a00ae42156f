//! What still speaks the first published SSL: old clients that offer it beside TLS, and scanners
//! (RFC 5246, appendix E.2).

use super::certificate;
use crate::flow::Direction;
use crate::protocol::read::Reader;
use crate::protocol::{Field, Probe, Transaction};

const ERROR: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 4;
const VERSION: u16 = 2;

/// What comes behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Tls,
    /// Nothing that is read.
    Nothing,
}

pub(super) fn probe(direction: Direction, data: &[u8]) -> Probe {
    let mut reader = Reader::big(data);
    let (Some(_), Some(kind)) = (reader.u16(), reader.u8()) else {
        return Probe::NeedMore;
    };
    // A ServerHello has two bytes before its version.
    match (direction, kind) {
        (Direction::ToServer, CLIENT_HELLO) => {}
        (Direction::ToClient, SERVER_HELLO) => {
            reader.take(2);
        }
        _ => return Probe::No,
    }
    let Some(version) = reader.u16() else {
        return Probe::NeedMore;
    };
    let ciphers = match direction {
        Direction::ToServer => reader.u16(),
        Direction::ToClient => Some(0),
    };
    match ciphers {
        None => Probe::NeedMore,
        Some(length) if length % 3 == 0 && matches!(version, VERSION | 0x0300..=0x0303) => {
            Probe::Yes
        }
        Some(_) => Probe::No,
    }
}

/// Takes what completes a message off the front of `data`, and returns it without its length.
pub(super) fn next(held: &mut Vec<u8>, data: &mut &[u8]) -> Option<Vec<u8>> {
    loop {
        let wanted = match *held.as_slice() {
            [high, low, ..] => 2 + usize::from(u16::from_be_bytes([high & 0x7f, low])),
            _ => 2,
        };
        if held.len() >= 2 && held.len() >= wanted {
            let message = held.get(2..).map(<[u8]>::to_vec);
            *held = Vec::new();
            return message;
        }
        let missing = wanted - held.len();
        let (piece, rest) = data.split_at_checked(missing).unwrap_or((data, &[]));
        *data = rest;
        held.extend_from_slice(piece);
        if piece.len() < missing {
            return None;
        }
    }
}

/// Pushes what a message tells.
pub(super) fn push(
    message: &[u8],
    now: u64,
    direction: Direction,
    transaction: &mut Transaction,
) -> Result<Follows, &'static str> {
    const INVALID: &str = "tls.invalid_sslv2_header";
    let mut reader = Reader::big(message);
    match reader.u8() {
        Some(CLIENT_HELLO) => {
            let version = reader.u16().ok_or(INVALID)?;
            transaction.number(direction, Field::TlsVersion, version.into());
            Ok(if version == VERSION {
                Follows::Nothing
            } else {
                Follows::Tls
            })
        }
        Some(SERVER_HELLO) => {
            reader.take(2).ok_or(INVALID)?;
            let version = reader.u16().ok_or(INVALID)?;
            transaction.number(direction, Field::TlsVersion, version.into());
            let length = reader.u16().ok_or(INVALID)?;
            reader.take(4).ok_or(INVALID)?;
            let certificate = reader.take(length.into()).ok_or(INVALID)?;
            if !certificate.is_empty() {
                certificate::push_first(certificate, now, direction, transaction);
            }
            Ok(Follows::Nothing)
        }
        Some(ERROR) => {
            transaction.event(direction, "tls.error_message_encountered");
            Ok(Follows::Nothing)
        }
        _ => Err(INVALID),
    }
}
