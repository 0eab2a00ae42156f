//! Frames (RFC 9113, 4 and 6).

use crate::protocol::read::Reader;

/// Bytes of a frame header.
pub(super) const HEADER: usize = 9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// Bytes of the fields of a priority.
const PRIORITY_LENGTH: usize = 5;
/// Bytes of one setting.
pub(super) const SETTING: usize = 6;
/// The setting of the longest frame (RFC 9113, 6.5.2).
pub(super) const MAX_FRAME_SIZE: u16 = 5;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Data = 0,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// To be ignored (RFC 9113, 4.1).
    Unknown,
}

/// The first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) length: usize,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Header {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::big(bytes);
        let length = reader.u24()?;
        let kind = match reader.u8()? {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::Reset,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Unknown,
        };
        let flags = reader.u8()?;
        // The first bit is reserved, and ignored.
        let stream = reader.u32()? & 0x7fff_ffff;
        Some(Self {
            length,
            kind,
            flags,
            stream,
        })
    }

    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether such frames are about a stream, or about the connection, as this one says.
    pub(super) const fn fits_stream(&self) -> bool {
        match self.kind {
            Kind::Settings | Kind::Ping | Kind::GoAway => self.stream == 0,
            Kind::WindowUpdate | Kind::Unknown => true,
            _ => self.stream != 0,
        }
    }

    /// Whether such frames may have this length.
    pub(super) const fn fits_length(&self) -> bool {
        match self.kind {
            Kind::Priority => self.length == PRIORITY_LENGTH,
            Kind::Reset | Kind::WindowUpdate => self.length == 4,
            Kind::Ping => self.length == 8,
            Kind::GoAway => self.length >= 8,
            Kind::Settings => self.length.is_multiple_of(SETTING),
            _ => true,
        }
    }

    /// The weight in the payload of a frame with fields, if it has one.
    pub(super) fn weight(&self, payload: &[u8]) -> Option<u8> {
        let padding = usize::from(self.has(PADDED));
        let weight = payload.get(padding + PRIORITY_LENGTH - 1)?;
        (self.kind == Kind::Headers && self.has(PRIORITY)).then_some(*weight)
    }

    /// The header block fragment in a payload: without padding and priority.
    pub(super) fn fragment<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        if self.kind == Kind::Continuation {
            return Some(payload);
        }
        let mut rest = payload;
        if self.has(PADDED) {
            let (padding, after) = rest.split_first()?;
            let kept = after.len().checked_sub(usize::from(*padding))?;
            rest = after.get(..kept)?;
        }
        if self.kind == Kind::Headers && self.has(PRIORITY) {
            rest = rest.get(PRIORITY_LENGTH..)?;
        }
        Some(rest)
    }
}
