//! Frames of Initial packets, and the handshake that they carry (RFC 9000, section 19).

use super::header::varint;
use crate::protocol::read::Reader;

/// Pieces of one handshake message. Clients cut and shuffle it, but not that much.
const MAX_PIECES: usize = 64;

/// Bytes of type and length before a handshake message.
const HEADER: usize = 4;

const PADDING: u64 = 0x00;
const PING: u64 = 0x01;
const ACK: u64 = 0x02;
const ACK_ECN: u64 = 0x03;
const CRYPTO: u64 = 0x06;

/// What the CRYPTO frames of one direction carry.
#[derive(Debug, Default)]
pub(super) struct Crypto {
    pieces: Vec<(u64, Vec<u8>)>,
    /// Bytes of messages that were read.
    start: usize,
}

/// Why frames cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Malformed,
    TooLong,
}

impl Crypto {
    /// Takes the frames of one packet.
    pub(super) fn frames(&mut self, payload: &[u8], most: usize) -> Result<(), Unreadable> {
        let mut reader = Reader::big(payload);
        while !reader.is_empty() {
            let mut number = || varint(&mut reader).ok_or(Unreadable::Malformed);
            match number()? {
                PADDING | PING => {}
                kind @ (ACK | ACK_ECN) => {
                    let (_largest, _delay, ranges, _first) =
                        (number()?, number()?, number()?, number()?);
                    let counts = if kind == ACK_ECN { 3 } else { 0 };
                    let numbers = ranges.saturating_mul(2).saturating_add(counts);
                    for _ in 0..numbers {
                        number()?;
                    }
                }
                CRYPTO => {
                    let (offset, length) = (number()?, number()?);
                    let data = usize::try_from(length)
                        .ok()
                        .and_then(|length| reader.take(length))
                        .ok_or(Unreadable::Malformed)?;
                    let end = offset.saturating_add(length);
                    if self.pieces.len() >= MAX_PIECES
                        || usize::try_from(end).map_or(true, |end| end > most)
                    {
                        return Err(Unreadable::TooLong);
                    }
                    self.pieces.push((offset, data.to_vec()));
                }
                // Nothing of interest is behind the others: they end the connection.
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The type and body of the next handshake message, once it is whole.
    pub(super) fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        self.pieces.sort_by_key(|(offset, _)| *offset);
        let mut whole = Vec::new();
        for (offset, piece) in &self.pieces {
            // What was sent twice counts as it was sent first.
            let known = (whole.len() as u64).checked_sub(*offset)?;
            let new = usize::try_from(known)
                .ok()
                .and_then(|known| piece.get(known..));
            whole.extend_from_slice(new.unwrap_or_default());
        }
        let mut reader = Reader::big(whole.get(self.start..)?);
        let kind = reader.u8()?;
        let length = reader.u24()?;
        Some((kind, reader.take(length)?.to_vec()))
    }

    /// Goes on behind the message whose body is so long.
    pub(super) const fn skip(&mut self, length: usize) {
        self.start += HEADER + length;
    }

    pub(super) fn footprint(&self) -> usize {
        let held: usize = self.pieces.iter().map(|(_, piece)| piece.capacity()).sum();
        held + self.pieces.capacity() * size_of::<(u64, Vec<u8>)>()
    }
}
