//! Compounds of NFS 4 (RFC 7530 and 8881): as far as files and their names need them.

use super::rpc::{content, opaque};
use crate::protocol::read::Reader;

pub(super) const CLOSE: u32 = 4;
pub(super) const COMMIT: u32 = 5;
pub(super) const CREATE: u32 = 6;
pub(super) const LINK: u32 = 11;
pub(super) const LOOKUP: u32 = 15;
pub(super) const OPEN: u32 = 18;
pub(super) const READ: u32 = 25;
pub(super) const REMOVE: u32 = 28;
pub(super) const RENAME: u32 = 29;
pub(super) const WRITE: u32 = 38;
const ACCESS: u32 = 3;
const GET_ATTRIBUTES: u32 = 9;
const GET_HANDLE: u32 = 10;
const PUT_HANDLE: u32 = 22;
const SEQUENCE: u32 = 53;

const MAX_OPERATIONS: u32 = 64;

/// What an operation of a request was about.
#[derive(Debug)]
pub(super) enum Operation<'a> {
    Handle(&'a [u8]),
    Name(u32, &'a [u8]),
    Read {
        offset: u64,
    },
    Write {
        offset: u64,
        length: usize,
        data: &'a [u8],
    },
    Other(u32),
}

/// The operations of a request, up to the first that is not known.
pub(super) fn request<'a>(reader: &mut Reader<'a>) -> Option<Vec<Operation<'a>>> {
    opaque(reader)?;
    reader.skip(4)?;
    let count = reader.u32()?;
    let mut operations = Vec::new();
    for _ in 0..count.min(MAX_OPERATIONS) {
        let Some(operation) = reader.u32().and_then(|number| one(number, reader)) else {
            break;
        };
        operations.push(operation);
    }
    Some(operations)
}

fn one<'a>(number: u32, reader: &mut Reader<'a>) -> Option<Operation<'a>> {
    match number {
        PUT_HANDLE => return Some(Operation::Handle(opaque(reader)?)),
        LOOKUP | REMOVE | LINK | 33 => return Some(Operation::Name(number, opaque(reader)?)),
        READ => {
            reader.skip(16)?;
            let offset = reader.u64()?;
            reader.skip(4)?;
            return Some(Operation::Read { offset });
        }
        WRITE => {
            reader.skip(16)?;
            let offset = reader.u64()?;
            reader.skip(4)?;
            let (length, data) = content(reader)?;
            return Some(Operation::Write {
                offset,
                length,
                data,
            });
        }
        OPEN => {
            return Some(
                open(reader)?.map_or(Operation::Other(OPEN), |name| Operation::Name(OPEN, name)),
            );
        }
        CREATE => {
            match reader.u32()? {
                3 | 4 => reader.skip(8)?,
                5 => {
                    opaque(reader)?;
                }
                _ => {}
            }
            let name = opaque(reader)?;
            attributes(reader)?;
            return Some(Operation::Name(CREATE, name));
        }
        RENAME => {
            let name = opaque(reader)?;
            opaque(reader)?;
            return Some(Operation::Name(RENAME, name));
        }
        _ => skip(number, reader)?,
    }
    Some(Operation::Other(number))
}

/// Passes over the arguments of what carries neither name nor content.
fn skip(number: u32, reader: &mut Reader<'_>) -> Option<()> {
    match number {
        GET_HANDLE | 16 | 23 | 24 | 27 | 31 | 32 => Some(()),
        ACCESS | 52 | 58 => reader.skip(4),
        30 => reader.skip(8),
        COMMIT => reader.skip(12),
        8 | 36 => reader.skip(16),
        CLOSE | 20 => reader.skip(20),
        SEQUENCE => reader.skip(32),
        GET_ATTRIBUTES => bitmap(reader),
        26 => {
            reader.skip(24)?;
            bitmap(reader)
        }
        17 | 37 => attributes(reader),
        34 => {
            reader.skip(16)?;
            attributes(reader)
        }
        35 => {
            reader.skip(8)?;
            opaque(reader)?;
            reader.skip(4)?;
            opaque(reader)?;
            opaque(reader)?;
            reader.skip(4)
        }
        39 => {
            reader.skip(8)?;
            opaque(reader).map(|_| ())
        }
        _ => None,
    }
}

fn bitmap(reader: &mut Reader<'_>) -> Option<()> {
    let words = reader.length()?;
    reader.skip(words.checked_mul(4)?)
}

fn attributes(reader: &mut Reader<'_>) -> Option<()> {
    bitmap(reader)?;
    opaque(reader).map(|_| ())
}

/// The name that is opened, if it is opened by name.
fn open<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    reader.skip(12 + 8)?;
    opaque(reader)?;
    if reader.u32()? == 1 {
        match reader.u32()? {
            0 | 1 => attributes(reader)?,
            2 => reader.skip(8)?,
            _ => {
                reader.skip(8)?;
                attributes(reader)?;
            }
        }
    }
    match reader.u32()? {
        0 | 3 => Some(Some(opaque(reader)?)),
        1 => reader.skip(4).map(|()| None),
        2 => {
            reader.skip(16)?;
            Some(Some(opaque(reader)?))
        }
        4 | 6 => Some(None),
        5 => reader.skip(16).map(|()| None),
        _ => None,
    }
}

/// What an operation of a reply told.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    /// The handle of what was opened or looked up.
    Handle(&'a [u8]),
    Read {
        end: bool,
        length: usize,
        data: &'a [u8],
    },
}

/// The outcomes of a reply, up to the first that failed or is not known.
pub(super) fn reply<'a>(reader: &mut Reader<'a>) -> Option<Vec<Outcome<'a>>> {
    reader.skip(4)?;
    opaque(reader)?;
    let count = reader.u32()?;
    let mut outcomes = Vec::new();
    for _ in 0..count.min(MAX_OPERATIONS) {
        let Some(outcome) = outcome(reader) else {
            break;
        };
        outcomes.extend(outcome);
    }
    Some(outcomes)
}

fn outcome<'a>(reader: &mut Reader<'a>) -> Option<Option<Outcome<'a>>> {
    let number = reader.u32()?;
    if reader.u32()? != 0 {
        return None;
    }
    match number {
        GET_HANDLE => return Some(Some(Outcome::Handle(opaque(reader)?))),
        READ => {
            let end = reader.u32()? != 0;
            let (length, data) = content(reader)?;
            return Some(Some(Outcome::Read { end, length, data }));
        }
        PUT_HANDLE | LOOKUP | 16 | 23 | 24 | 31 | 32 | 17 | 37 | 30 | 36 => {}
        ACCESS => reader.skip(8)?,
        COMMIT => reader.skip(8)?,
        CLOSE | WRITE | 20 => reader.skip(16)?,
        REMOVE | LINK => reader.skip(20)?,
        RENAME => reader.skip(40)?,
        SEQUENCE => reader.skip(36)?,
        GET_ATTRIBUTES => attributes(reader)?,
        34 => bitmap(reader)?,
        CREATE => {
            reader.skip(20)?;
            bitmap(reader)?;
        }
        OPEN => {
            reader.skip(16 + 20 + 4)?;
            bitmap(reader)?;
            delegation(reader)?;
        }
        _ => return None,
    }
    Some(None)
}

fn delegation(reader: &mut Reader<'_>) -> Option<()> {
    match reader.u32()? {
        0 => return Some(()),
        1 => reader.skip(20)?,
        2 => reader.skip(20 + 12)?,
        _ => {
            // Why there is none; resource and contention say whether one will be.
            return match reader.u32()? {
                1 | 2 => reader.skip(4),
                _ => Some(()),
            };
        }
    }
    reader.skip(12)?;
    opaque(reader).map(|_| ())
}
