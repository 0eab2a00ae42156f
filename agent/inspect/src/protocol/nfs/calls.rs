//! Calls and what answers them, for versions 2 (RFC 1094), 3 (RFC 1813) and 4 (RFC 7530).

use std::collections::VecDeque;

use super::compound::{self, Operation, Outcome};
use super::files::Files;
use super::rpc::{self, Message, content, opaque};
use super::{MALFORMED_DATA, Sink};
use crate::flow::Direction;
use crate::protocol::read::Reader;
use crate::protocol::{Field, Stage, Transactions};

const MAX_CALLS: usize = 256;
/// Bytes of a handle of version 2, and of attributes of versions 2 and 3.
const OLD_HANDLE: usize = 32;
const OLD_ATTRIBUTES: usize = 68;
const ATTRIBUTES: usize = 84;

/// Operations of version 4 that change directories.
const DIRECTORY: [u32; 4] = [
    compound::CREATE,
    compound::LINK,
    compound::REMOVE,
    compound::RENAME,
];

/// What a procedure does, whatever the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Names a thing and is answered with its handle.
    Lookup,
    /// Names a thing.
    Name,
    Read,
    Write,
    Commit,
    Compound,
    Other,
}

const fn kind(version: u32, procedure: u32) -> Kind {
    match (version, procedure) {
        (2, 4 | 9 | 14) | (3, 3 | 8 | 9) => Kind::Lookup,
        (2, 10 | 11 | 13 | 15) | (3, 10..=14) => Kind::Name,
        (2 | 3, 6) => Kind::Read,
        (2, 8) | (3, 7) => Kind::Write,
        (3, 21) => Kind::Commit,
        (4, 1) => Kind::Compound,
        _ => Kind::Other,
    }
}

#[derive(Debug)]
struct Call {
    xid: u32,
    version: u32,
    kind: Kind,
    transaction: Option<u64>,
    name: Vec<u8>,
    read: Option<(Vec<u8>, u64)>,
    close: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: VecDeque<Call>,
    pub(super) files: Files,
}

impl Calls {
    /// One message, and how many bytes of it have not come.
    pub(super) fn message(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        missing: usize,
        out: &mut Transactions,
    ) -> Option<Sink> {
        let sink = match rpc::message(bytes)? {
            Message::Call {
                xid,
                version,
                procedure,
                arguments,
            } => self.call(direction, (xid, version, procedure), arguments, out),
            Message::Reply { xid, results } => self.reply(direction, xid, results, out),
        }?;
        (missing > 0 && sink.left > 0).then(|| Sink {
            left: sink.left.min(missing),
            ..sink
        })
    }

    fn call(
        &mut self,
        direction: Direction,
        (xid, version, procedure): (u32, u32, u32),
        mut arguments: Reader<'_>,
        out: &mut Transactions,
    ) -> Option<Sink> {
        let mut call = Call {
            xid,
            version,
            kind: kind(version, procedure),
            transaction: None,
            name: Vec::new(),
            read: None,
            close: None,
        };
        let mut sink = None;
        if call.kind == Kind::Compound {
            sink = self.compound(&mut call, direction, &mut arguments, out);
        } else {
            let silent =
                version == 4 || matches!(call.kind, Kind::Read | Kind::Write | Kind::Commit);
            if !silent {
                call.transaction = Some(begin(version, &[procedure], out));
            }
            match self.arguments(&mut call, direction, &mut arguments, out) {
                Some(rest) => sink = rest,
                None => {
                    let id = call
                        .transaction
                        .unwrap_or_else(|| begin(version, &[procedure], out));
                    call.transaction = Some(id);
                    if let Some(transaction) = out.get(id) {
                        transaction.event(direction, MALFORMED_DATA);
                    }
                }
            }
        }
        if let Some(transaction) = call.transaction.and_then(|id| out.get(id)) {
            transaction.advance(direction, Stage::Complete);
        }
        if self.calls.len() >= MAX_CALLS
            && let Some(oldest) = self.calls.pop_front()
        {
            conclude(&oldest, direction.reverse(), out);
        }
        self.calls.push_back(call);
        sink
    }

    /// Reads what a call of version 2 or 3 is about.
    fn arguments(
        &mut self,
        call: &mut Call,
        direction: Direction,
        reader: &mut Reader<'_>,
        out: &mut Transactions,
    ) -> Option<Option<Sink>> {
        match call.kind {
            Kind::Lookup | Kind::Name => {
                handle(call.version, reader)?;
                call.name = opaque(reader)?.to_vec();
            }
            Kind::Read => {
                let file = handle(call.version, reader)?;
                let offset = offset(call.version, reader)?;
                call.read = Some((file.to_vec(), offset));
            }
            Kind::Write => {
                let file = handle(call.version, reader)?;
                if call.version == 2 {
                    reader.skip(4)?;
                }
                let offset = offset(call.version, reader)?;
                reader.skip(if call.version == 2 { 4 } else { 8 })?;
                let (length, data) = content(reader)?;
                let numbers = numbers(call.version, if call.version == 2 { 8 } else { 7 });
                return Some(self.content(direction, (file, offset, numbers), (length, data), out));
            }
            Kind::Commit => call.close = Some(handle(call.version, reader)?.to_vec()),
            Kind::Compound | Kind::Other => {}
        }
        Some(None)
    }

    fn compound(
        &mut self,
        call: &mut Call,
        direction: Direction,
        reader: &mut Reader<'_>,
        out: &mut Transactions,
    ) -> Option<Sink> {
        let operations = compound::request(reader)?;
        let mut file: &[u8] = &[];
        let mut told = Vec::new();
        let mut sink = None;
        for operation in operations {
            match operation {
                Operation::Handle(handle) => file = handle,
                Operation::Name(number, name) => {
                    if matches!(number, compound::LOOKUP | compound::OPEN) {
                        call.name = name.to_vec();
                    }
                    if DIRECTORY.contains(&number) {
                        told.push(number);
                    }
                }
                Operation::Read { offset } => call.read = Some((file.to_vec(), offset)),
                Operation::Write {
                    offset,
                    length,
                    data,
                } => {
                    let numbers = numbers(4, compound::WRITE);
                    sink = self.content(direction, (file, offset, numbers), (length, data), out);
                }
                Operation::Other(compound::COMMIT | compound::CLOSE) => {
                    call.close = Some(file.to_vec());
                }
                Operation::Other(_) => {}
            }
        }
        // Only what changes directories is a transaction: a compound is mostly housekeeping, and what
        // is opened is told when it is read or written.
        if !told.is_empty() {
            call.transaction = Some(begin(4, &told, out));
        }
        sink
    }

    fn content(
        &mut self,
        direction: Direction,
        (file, offset, numbers): (&[u8], u64, [(Field, u64); 2]),
        (length, data): (usize, &[u8]),
        out: &mut Transactions,
    ) -> Option<Sink> {
        self.files
            .content(direction, file, offset, data, &numbers, out);
        let left = length.saturating_sub(data.len());
        (left > 0).then(|| Sink {
            handle: file.to_vec(),
            numbers,
            offset: offset.saturating_add(data.len() as u64),
            left,
        })
    }

    fn reply(
        &mut self,
        direction: Direction,
        xid: u32,
        results: Option<Reader<'_>>,
        out: &mut Transactions,
    ) -> Option<Sink> {
        let at = self.calls.iter().position(|call| call.xid == xid)?;
        let call = self.calls.remove(at)?;
        let sink = results.and_then(|mut reader| self.results(&call, direction, &mut reader, out));
        if let Some(file) = &call.close {
            self.files.close(direction.reverse(), file, out);
            if call.version == 4 {
                self.files.close(direction, file, out);
            }
        }
        conclude(&call, direction, out);
        sink
    }

    fn results(
        &mut self,
        call: &Call,
        direction: Direction,
        reader: &mut Reader<'_>,
        out: &mut Transactions,
    ) -> Option<Sink> {
        if call.kind == Kind::Compound {
            return self.outcomes(call, direction, reader, out);
        }
        if !matches!(call.kind, Kind::Lookup | Kind::Read) || reader.u32()? != 0 {
            return None;
        }
        let Some((file, offset)) = &call.read else {
            // Only creation says whether a handle follows.
            let file = if call.version == 3 && reader.rest().starts_with(&[0, 0, 0, 1]) {
                reader.skip(4)?;
                opaque(reader)?
            } else {
                handle(call.version, reader)?
            };
            self.files.name(file, &call.name, out);
            return None;
        };
        let end = if call.version == 2 {
            reader.skip(OLD_ATTRIBUTES)?;
            false
        } else {
            if reader.u32()? != 0 {
                reader.skip(ATTRIBUTES)?;
            }
            reader.skip(4)?;
            reader.u32()? != 0
        };
        let body = content(reader)?;
        let place = (file.as_slice(), *offset, numbers(call.version, 6));
        let sink = self.content(direction, place, body, out);
        if end && sink.is_none() {
            self.files.close(direction, file, out);
        }
        sink
    }

    fn outcomes(
        &mut self,
        call: &Call,
        direction: Direction,
        reader: &mut Reader<'_>,
        out: &mut Transactions,
    ) -> Option<Sink> {
        let mut sink = None;
        for outcome in compound::reply(reader)? {
            match outcome {
                Outcome::Handle(file) if !call.name.is_empty() => {
                    self.files.name(file, &call.name, out);
                }
                Outcome::Handle(_) => {}
                Outcome::Read { end, length, data } => {
                    let (file, offset) = call.read.as_ref()?;
                    let place = (file.as_slice(), *offset, numbers(4, compound::READ));
                    sink = self.content(direction, place, (length, data), out);
                    if end && sink.is_none() {
                        self.files.close(direction, file, out);
                    }
                }
            }
        }
        sink
    }

    pub(super) fn end(&mut self, direction: Direction, out: &mut Transactions) {
        self.files.end(direction, out);
        if direction == Direction::ToClient {
            for call in self.calls.drain(..) {
                conclude(&call, direction, out);
            }
        }
    }

    pub(super) fn footprint(&self) -> usize {
        let calls: usize = self
            .calls
            .iter()
            .map(|call| {
                let read = call.read.as_ref().map_or(0, |(file, _)| file.capacity());
                let close = call.close.as_ref().map_or(0, Vec::capacity);
                call.name.capacity() + read + close
            })
            .sum();
        self.files.footprint() + calls + self.calls.capacity() * size_of::<Call>()
    }
}

fn conclude(call: &Call, direction: Direction, out: &mut Transactions) {
    if let Some(transaction) = call.transaction.and_then(|id| out.get(id)) {
        transaction.advance(direction, Stage::Complete);
    }
}

fn numbers(version: u32, procedure: u32) -> [(Field, u64); 2] {
    [
        (Field::NfsVersion, u64::from(version)),
        (Field::NfsProcedure, u64::from(procedure)),
    ]
}

fn begin(version: u32, procedures: &[u32], out: &mut Transactions) -> u64 {
    let id = out.begin();
    if let Some(transaction) = out.get(id) {
        for side in [Direction::ToServer, Direction::ToClient] {
            transaction.number(side, Field::NfsVersion, u64::from(version));
            for procedure in procedures {
                transaction.number(side, Field::NfsProcedure, u64::from(*procedure));
            }
        }
    }
    id
}

fn handle<'a>(version: u32, reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    if version == 2 {
        reader.take(OLD_HANDLE)
    } else {
        opaque(reader)
    }
}

fn offset(version: u32, reader: &mut Reader<'_>) -> Option<u64> {
    if version == 2 {
        reader.u32().map(u64::from)
    } else {
        reader.u64()
    }
}
