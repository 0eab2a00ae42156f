//! What binary parsers share: reading numbers and pieces, and writing digests.

use core::fmt::Write as _;

use md5::{Digest as _, Md5};

/// Reads from the front of bytes, in either byte order. Nothing is read past their end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    little: bool,
}

impl<'a> Reader<'a> {
    /// In network byte order.
    pub(crate) const fn big(bytes: &'a [u8]) -> Self {
        Self::ordered(bytes, false)
    }

    pub(crate) const fn little(bytes: &'a [u8]) -> Self {
        Self::ordered(bytes, true)
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

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (piece, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(piece)
    }

    pub(crate) fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (piece, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*piece)
    }

    /// The next bytes as those of a number in network byte order.
    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = self.array()?;
        if self.little {
            bytes.reverse();
        }
        Some(bytes)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.number().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Option<usize> {
        let [a, b, c] = self.number::<3>()?;
        Some(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.number().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.number().map(u64::from_be_bytes)
    }

    /// A 32-bit length as a number of bytes.
    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u32()?).ok()
    }

    /// A piece with its length in one byte before it.
    pub(crate) fn sized8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    /// A piece with its length in two bytes before it.
    pub(crate) fn sized16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

/// The numbers of two bytes that `bytes` are.
pub(crate) fn numbers16(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_be_bytes(*pair))
}

/// In lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The MD5 that fingerprints are compared by, in lower case.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}
