//! One direction of a connection.

use super::{HEADER, handshake::Assembler};

/// What one direction has come to.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) header: Vec<u8>,
    /// The type of the record.
    pub(super) kind: u8,
    /// Bytes of the record, and how many of them are still to come.
    pub(super) length: u16,
    pub(super) missing: u16,
    pub(super) handshake: Assembler,
    /// The beginning of a heartbeat, or a message of SSL 2.0.
    pub(super) head: Vec<u8>,
    pub(super) started: bool,
    pub(super) encrypted: bool,
    /// Nothing more is read.
    pub(super) opaque: bool,
}

impl Side {
    /// Completes the header at the front of `data`.
    pub(super) fn header(&mut self, data: &mut &[u8]) -> Option<[u8; HEADER]> {
        let wanted = HEADER - self.header.len().min(HEADER);
        let (piece, rest) = data.split_at_checked(wanted).unwrap_or((data, &[]));
        *data = rest;
        self.header.extend_from_slice(piece);
        let header = <[u8; HEADER]>::try_from(self.header.as_slice()).ok()?;
        self.header.clear();
        Some(header)
    }

    pub(super) const fn is_sslv2(&self, first: u8) -> bool {
        !self.started && first & 0x80 != 0
    }
}
