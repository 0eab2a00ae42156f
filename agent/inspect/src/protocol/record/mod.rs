//! What the parsers of binary protocols share: reading without running past the end, records cut out
//! of a stream, and pieces of files put in order.

mod chunks;
mod feed;
mod transfer;

pub(crate) use chunks::Chunks;
pub(crate) use feed::{Feed, Measure, Piece};
pub(crate) use transfer::Transfer;

/// Reads numbers of either byte order from the front of a slice. Running out is `None`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    little: bool,
}

impl<'a> Reader<'a> {
    pub(crate) const fn little(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            little: true,
        }
    }

    pub(crate) const fn big(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            little: false,
        }
    }

    /// One whose byte order the sender chose.
    pub(crate) const fn ordered(bytes: &'a [u8], little: bool) -> Self {
        Self {
            rest: bytes,
            little,
        }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        let bytes = self.array()?;
        Some(if self.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let bytes = self.array()?;
        Some(if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let bytes = self.array()?;
        Some(if self.little {
            u64::from_le_bytes(bytes)
        } else {
            u64::from_be_bytes(bytes)
        })
    }

    /// A 32-bit length as a number of bytes.
    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }
}

/// The slot of a direction in a pair.
pub(crate) const fn side(direction: crate::flow::Direction) -> usize {
    match direction {
        crate::flow::Direction::ToServer => 0,
        crate::flow::Direction::ToClient => 1,
    }
}
