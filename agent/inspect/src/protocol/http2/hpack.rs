//! Header compression (RFC 7541).
//!
//! What cannot be read is left out, and reading goes on as long as it is known where the next field
//! begins: one odd field must not hide the others.

use std::collections::VecDeque;

use super::{huffman, table::STATIC};
use crate::protocol::read::Reader;

/// Bytes of the dynamic table until the sender says otherwise (RFC 9113, 6.5.2).
const CAPACITY: usize = 4 << 10;
/// Bytes of the dynamic table that a sender may ask for.
const MAX_CAPACITY: usize = 64 << 10;
/// What an entry counts beside its bytes (RFC 7541, 4.1).
const OVERHEAD: usize = 32;
/// Fields of one block. Each becomes an instance of its own, of which a transaction has a number.
const MAX_FIELDS: usize = 320;

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// Changes of the table's size in one block that are told: two make sense (RFC 7541, 4.2).
const MAX_SIZES: usize = 4;

/// What one header block was.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) fields: Vec<Field>,
    /// A field could not be read, or not all of it.
    pub(super) invalid: bool,
    /// An integer is larger than any that makes sense.
    pub(super) overflow: bool,
    /// Bytes are left that are no whole field.
    pub(super) extra: bool,
    /// Fields were left out for want of room.
    pub(super) cut: bool,
    /// Sizes that the sender asked for the table to have (RFC 7541, 6.3).
    pub(super) sizes: Vec<u32>,
    /// The weight in the frame that began it.
    pub(super) priority: Option<u8>,
    /// It came in several frames.
    pub(super) continued: bool,
    room: usize,
}

/// Why reading cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Short,
    Overflow,
}

/// What one sender's fields refer to.
#[derive(Debug)]
pub(super) struct Hpack {
    /// The newest first.
    entries: VecDeque<Field>,
    size: usize,
    capacity: usize,
    /// Blocks were not captured: references to what they had lead nowhere, through no fault of the
    /// sender.
    lost: bool,
}

impl Default for Hpack {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            capacity: CAPACITY,
            lost: false,
        }
    }
}

impl Hpack {
    /// Reads a block; fields that are more than `room` bytes are left out.
    pub(super) fn decode(&mut self, data: &[u8], room: usize) -> Block {
        let mut block = Block {
            room,
            ..Block::default()
        };
        let mut reader = Reader::big(data);
        while let Some(first) = reader.u8() {
            match self.field(first, &mut reader, &mut block) {
                Ok(()) => {}
                Err(Stop::Short) => {
                    block.extra = true;
                    break;
                }
                Err(Stop::Overflow) => {
                    block.overflow = true;
                    break;
                }
            }
        }
        block
    }

    /// Forgets everything: a block was not captured.
    pub(super) fn lose(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.lost = true;
    }

    fn field(&mut self, first: u8, reader: &mut Reader<'_>, block: &mut Block) -> Result<(), Stop> {
        if first & 0x80 != 0 {
            let index = integer(first, 7, reader)?;
            match self.get(index) {
                Some((name, value)) => {
                    let field = Field {
                        name: name.to_vec(),
                        value: value.to_vec(),
                    };
                    block.add(field);
                }
                None => block.invalid |= !self.lost || index == 0,
            }
            return Ok(());
        }
        if first & 0xe0 == 0x20 {
            let capacity = integer(first, 5, reader)?;
            if block.sizes.len() < MAX_SIZES {
                block.sizes.push(capacity);
            }
            let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
            block.invalid |= capacity > MAX_CAPACITY;
            self.capacity = capacity.min(MAX_CAPACITY);
            self.evict();
            return Ok(());
        }
        let indexed = first & 0x40 != 0;
        let index = integer(first, if indexed { 6 } else { 4 }, reader)?;
        let name = if index == 0 {
            Some(string(reader, block)?)
        } else {
            let name = self.get(index).map(|(name, _)| name.to_vec());
            block.invalid |= name.is_none() && !self.lost;
            name
        };
        let value = string(reader, block)?;
        let known = name.is_some();
        let field = Field {
            name: name.unwrap_or_default(),
            value,
        };
        if indexed {
            // Even without its name: what comes before must keep its index.
            self.insert(field.clone());
        }
        if known {
            block.add(field);
        }
        Ok(())
    }

    fn get(&self, index: u32) -> Option<(&[u8], &[u8])> {
        let at = usize::try_from(index).ok()?.checked_sub(1)?;
        match at.checked_sub(STATIC.len()) {
            None => STATIC.get(at).copied(),
            Some(at) => self
                .entries
                .get(at)
                .map(|field| (field.name.as_slice(), field.value.as_slice())),
        }
    }

    fn insert(&mut self, field: Field) {
        self.size += field.size();
        self.entries.push_front(field);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.capacity {
            let Some(oldest) = self.entries.pop_back() else {
                break;
            };
            self.size -= oldest.size();
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.size + self.entries.capacity() * size_of::<Field>()
    }
}

impl Field {
    const fn size(&self) -> usize {
        self.name.len() + self.value.len() + OVERHEAD
    }
}

impl Block {
    fn add(&mut self, field: Field) {
        // References make a lot of few bytes.
        let size = field.size();
        if self.fields.len() >= MAX_FIELDS || size > self.room {
            self.cut = true;
            return;
        }
        self.room -= size;
        self.fields.push(field);
    }
}

/// An integer whose first byte, with `prefix` bits of it, was read (RFC 7541, 5.1).
fn integer(first: u8, prefix: u32, reader: &mut Reader<'_>) -> Result<u32, Stop> {
    let most = (1_u32 << prefix) - 1;
    let mut value = u32::from(first) & most;
    if value < most {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21, 28] {
        let byte = reader.u8().ok_or(Stop::Short)?;
        let part = u64::from(byte & 0x7f) << shift;
        let part = u32::try_from(part).map_err(|_| Stop::Overflow)?;
        value = value.checked_add(part).ok_or(Stop::Overflow)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Stop::Overflow)
}

/// A string (RFC 7541, 5.2).
fn string(reader: &mut Reader<'_>, block: &mut Block) -> Result<Vec<u8>, Stop> {
    let first = reader.u8().ok_or(Stop::Short)?;
    let length = integer(first, 7, reader)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let bytes = reader.take(length).ok_or(Stop::Short)?;
    if first & 0x80 == 0 {
        return Ok(bytes.to_vec());
    }
    let mut text = Vec::with_capacity(length);
    block.invalid |= huffman::decode(bytes, &mut text).is_err();
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(block: &Block) -> Vec<(&str, &str)> {
        let text = |bytes| core::str::from_utf8(bytes).unwrap();
        block
            .fields
            .iter()
            .map(|field| (text(&field.name), text(&field.value)))
            .collect()
    }

    #[test]
    fn the_requests_of_the_standard_are_read() {
        // RFC 7541, C.4: the second refers to what the first put into the table.
        let mut hpack = Hpack::default();
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        let start = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
        let block = hpack.decode(first, 4096);
        let mut expected = start.to_vec();
        expected.push((":authority", "www.example.com"));
        assert_eq!(pairs(&block), expected);
        let block = hpack.decode(second, 4096);
        expected.push(("cache-control", "no-cache"));
        assert_eq!(pairs(&block), expected);
        assert_eq!(hpack.size, 110);
        assert!(!block.invalid && !block.overflow && !block.extra && !block.cut);
    }

    #[test]
    fn nonsense_is_noted_and_passed_over() {
        let mut hpack = Hpack::default();
        // Index 0, and one beyond the table, before one that is.
        let block = hpack.decode(b"\x80\xc0\x82", 4096);
        assert!(block.invalid);
        assert_eq!(pairs(&block), [(":method", "GET")]);
        assert!(hpack.decode(b"\xff\xff\xff\xff\xff\xff", 4096).overflow);
        assert!(hpack.decode(b"\x40\x05abc", 4096).extra);
        // A table of 1 MiB.
        assert!(hpack.decode(b"\x3f\xe1\xff\x3f", 4096).invalid);
        assert_eq!(hpack.capacity, MAX_CAPACITY);
    }

    #[test]
    fn references_cannot_make_more_than_the_room() {
        let mut hpack = Hpack::default();
        let mut data = b"\x40\x01a\x7f\x91\x01".to_vec();
        data.resize(data.len() + 272, b'x');
        data.resize(data.len() + 10_000, 0xbe);
        let block = hpack.decode(&data, 4096);
        assert!(block.cut);
        assert_eq!(block.fields.len(), 13);
        let block = hpack.decode(&[0x82; 1_000], usize::MAX);
        assert_eq!(block.fields.len(), MAX_FIELDS);
    }

    #[test]
    fn entries_make_room_for_others() {
        let mut hpack = Hpack::default();
        for _ in 0..1_000 {
            hpack.decode(b"\x40\x01a\x01b", 4096);
        }
        assert!(hpack.size <= CAPACITY);
        hpack.decode(b"\x20", 4096);
        assert_eq!((hpack.size, hpack.entries.len()), (0, 0));
    }
}
