//! Where a body ends (RFC 9112, 6 and 7).

use super::{
    event::{self, either},
    head::{Head, Lines, Progress, chomp, is_space, trim},
};
use crate::flow::Direction;

/// Bytes of a chunk-size line; what is longer is none.
const SIZE_LINE: usize = 8 << 10;
/// Larger chunks are nonsense.
const LARGEST_CHUNK: u64 = i32::MAX as u64;

/// How the end is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    #[default]
    Empty,
    /// So many bytes are left.
    Length(u64),
    /// In chunks (RFC 9112, 7.1).
    Chunked(Chunk),
    /// The end of the connection.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Size,
    Data(u64),
    Trailer,
}

/// A body on its way.
#[derive(Debug)]
pub(super) struct Body {
    direction: Direction,
    pub(super) framing: Framing,
    /// What it is when the first chunk shows that it is not chunked.
    fallback: Framing,
    lines: Lines,
    chunks: bool,
}

/// The next piece of a body.
pub(super) enum Piece<'a> {
    Borrowed(&'a [u8]),
    /// A line that turned out to be content.
    Owned(Vec<u8>),
    /// Nothing more in this data.
    Nothing,
    /// The body is over.
    End,
}

/// What the head says about the framing, and what is odd about it.
pub(super) fn framing(direction: Direction, head: &Head, events: &mut Vec<&'static str>) -> Body {
    let open_end = match direction {
        Direction::ToServer => Framing::Empty,
        Direction::ToClient => Framing::Close,
    };
    let length = match head.get(b"content-length").map(content_length) {
        None => open_end,
        Some(Some(length)) => Framing::Length(length),
        Some(None) => {
            events.push(either(
                direction,
                event::REQUEST_CONTENT_LENGTH,
                event::RESPONSE_CONTENT_LENGTH,
            ));
            open_end
        }
    };
    let mut framing = length;
    if let Some(encoding) = head.get(b"transfer-encoding") {
        let squeezed: Vec<u8> = encoding
            .iter()
            .filter(|byte| !is_space(**byte))
            .map(u8::to_ascii_lowercase)
            .collect();
        if squeezed.windows(7).any(|window| window == b"chunked") {
            framing = Framing::Chunked(Chunk::Size);
        } else {
            events.push(either(
                direction,
                event::REQUEST_TRANSFER_ENCODING,
                event::RESPONSE_TRANSFER_ENCODING,
            ));
        }
        if direction == Direction::ToClient && !encoding.eq_ignore_ascii_case(b"chunked") {
            events.push(event::ABNORMAL_TRANSFER_ENCODING);
        }
    }
    Body {
        direction,
        framing,
        fallback: if length == Framing::Empty {
            Framing::Close
        } else {
            length
        },
        lines: Lines::default(),
        chunks: false,
    }
}

/// The digits at the beginning, whatever follows.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    let mut any = false;
    let length = digits.fold(0_u64, |length, digit| {
        any = true;
        length
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    any.then_some(length)
}

impl Body {
    /// One that is as long as the connection.
    pub(super) fn until_close(direction: Direction) -> Self {
        Self {
            direction,
            framing: Framing::Close,
            fallback: Framing::Close,
            lines: Lines::default(),
            chunks: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    /// Takes the next piece off `data`.
    pub(super) fn next<'a>(
        &mut self,
        data: &mut &'a [u8],
        events: &mut Vec<&'static str>,
    ) -> Piece<'a> {
        loop {
            if self.is_over() {
                return Piece::End;
            }
            if data.is_empty() {
                return Piece::Nothing;
            }
            match &mut self.framing {
                Framing::Empty => return Piece::End,
                Framing::Close => return Piece::Borrowed(core::mem::take(data)),
                Framing::Length(left) => return Piece::Borrowed(take(data, left)),
                Framing::Chunked(Chunk::Data(0)) => {
                    self.framing = Framing::Chunked(Chunk::Size);
                }
                Framing::Chunked(Chunk::Data(left)) => return Piece::Borrowed(take(data, left)),
                Framing::Chunked(Chunk::Size) => {
                    if let Some(content) = self.size_line(data, events) {
                        return Piece::Owned(content);
                    }
                }
                Framing::Chunked(Chunk::Trailer) => self.trailer_line(data),
            }
        }
    }

    /// Reads a chunk-size line. Returns what it had if it is none: then this is not chunked at all.
    fn size_line(&mut self, data: &mut &[u8], events: &mut Vec<&'static str>) -> Option<Vec<u8>> {
        let progress = self.lines.gather(data, SIZE_LINE);
        let line = trim(&self.lines.held);
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let size = line
            .get(..digits)
            .and_then(|digits| core::str::from_utf8(digits).ok())
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .filter(|size| *size <= LARGEST_CHUNK);
        let readable = line.is_empty() || size.is_some();
        if progress == Progress::TooLong || !readable {
            events.push(either(
                self.direction,
                event::REQUEST_CHUNK_LENGTH,
                event::RESPONSE_CHUNK_LENGTH,
            ));
            let mut content = core::mem::take(&mut self.lines.held);
            self.framing = if self.chunks {
                Framing::Close
            } else {
                self.fallback
            };
            if let Framing::Length(left) = &mut self.framing {
                let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
                let over = usize::try_from(length.saturating_sub(*left)).unwrap_or(usize::MAX);
                content.truncate(content.len().saturating_sub(over));
                *left = left.saturating_sub(length);
            }
            return Some(content);
        }
        if progress == Progress::Whole {
            if let Some(size) = size {
                if line.contains(&b';') {
                    events.push(either(
                        self.direction,
                        event::REQUEST_CHUNK_EXTENSION,
                        event::RESPONSE_CHUNK_EXTENSION,
                    ));
                }
                self.chunks = true;
                self.framing = Framing::Chunked(match size {
                    0 => Chunk::Trailer,
                    size => Chunk::Data(size),
                });
            }
            self.lines.held.clear();
        }
        None
    }

    fn trailer_line(&mut self, data: &mut &[u8]) {
        match self.lines.gather(data, SIZE_LINE) {
            Progress::Partial => {}
            Progress::TooLong => self.framing = Framing::Empty,
            Progress::Whole => {
                if chomp(&self.lines.held).is_empty() {
                    self.framing = Framing::Empty;
                }
                self.lines.held.clear();
            }
        }
    }

    /// Passes over bytes that were not captured; whether the framing survives it.
    pub(super) fn skip(&mut self, length: u64) -> bool {
        match &mut self.framing {
            Framing::Length(left) | Framing::Chunked(Chunk::Data(left)) if *left >= length => {
                *left -= length;
                true
            }
            Framing::Close => true,
            _ => false,
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.lines.held.capacity()
    }
}

fn take<'a>(data: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
    let (piece, rest) = data.split_at_checked(length).unwrap_or((data, &[]));
    *data = rest;
    *left -= length as u64;
    piece
}
