//! The connectionless protocol, version 4 (C706, chapter 12).

use std::collections::VecDeque;

use super::conversation::interface;
use super::pdu;
use crate::flow::Direction;
use crate::protocol::read::Reader;
use crate::protocol::{Buffer, Field, Parser, Probe, Stage, Status, Transactions};

const HEADER: usize = 80;
const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const REJECT: u8 = 6;
const LAST_KIND: u8 = 10;
const LAST_FRAGMENT: u8 = 0x02;
const FRAGMENT: u8 = 0x04;
const MAX_CALLS: usize = 64;

#[derive(Debug)]
struct Call {
    activity: [u8; 16],
    sequence: u32,
    transaction: u64,
    stub: Vec<u8>,
}

/// Follows one pair of UDP ends.
#[derive(Debug, Default)]
pub struct DcerpcUdp {
    calls: VecDeque<Call>,
}

struct Header {
    kind: u8,
    little: bool,
    last: bool,
    interface: [u8; 16],
    activity: [u8; 16],
    version: u32,
    sequence: u32,
    operation: u16,
    length: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [_, kind, flags, _, representation, ..] = *bytes.first_chunk::<8>()?;
        let little = representation & 0x10 != 0;
        let mut reader = Reader::ordered(bytes.get(24..)?, little);
        let interface = pdu::uuid(reader.array()?, little);
        let activity = reader.array()?;
        reader.skip(4)?;
        let version = reader.u32()?;
        let sequence = reader.u32()?;
        let operation = reader.u16()?;
        reader.skip(4)?;
        let length = usize::from(reader.u16()?);
        Some(Self {
            kind,
            little,
            last: flags & LAST_FRAGMENT != 0 || flags & FRAGMENT == 0,
            interface,
            activity,
            version,
            sequence,
            operation,
            length,
        })
    }
}

impl DcerpcUdp {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn position(&self, header: &Header) -> Option<usize> {
        self.calls
            .iter()
            .position(|call| call.activity == header.activity && call.sequence == header.sequence)
    }

    fn request(
        &mut self,
        direction: Direction,
        header: &Header,
        stub: &[u8],
        out: &mut Transactions,
    ) {
        let at = self.position(header).unwrap_or_else(|| {
            if self.calls.len() >= MAX_CALLS {
                self.calls.pop_front();
            }
            let transaction = out.begin();
            describe(transaction, direction, header, out);
            self.calls.push_back(Call {
                activity: header.activity,
                sequence: header.sequence,
                transaction,
                stub: Vec::new(),
            });
            self.calls.len() - 1
        });
        let most = out.limits().body;
        if let Some(call) = self.calls.get_mut(at) {
            keep(&mut call.stub, stub, most);
            if header.last {
                give(call, direction, out);
            }
        }
    }

    fn response(
        &mut self,
        direction: Direction,
        header: &Header,
        stub: &[u8],
        out: &mut Transactions,
    ) {
        let Some(at) = self.position(header) else {
            return;
        };
        let most = out.limits().body;
        let Some(call) = self.calls.get_mut(at) else {
            return;
        };
        give(call, direction.reverse(), out);
        if header.kind == RESPONSE {
            keep(&mut call.stub, stub, most);
        }
        if header.last || header.kind != RESPONSE {
            describe(call.transaction, direction, header, out);
            give(call, direction, out);
            self.calls.remove(at);
        }
    }
}

fn keep(kept: &mut Vec<u8>, stub: &[u8], most: usize) {
    let room = most.saturating_sub(kept.len());
    kept.extend_from_slice(stub.get(..room).unwrap_or(stub));
}

fn describe(transaction: u64, direction: Direction, header: &Header, out: &mut Transactions) {
    if let Some(transaction) = out.get(transaction) {
        if header.little {
            transaction.set_little_endian(direction);
        }
        transaction.number(direction, Field::DcerpcOpnum, u64::from(header.operation));
        let text = interface(&header.interface, header.version & 0xffff);
        transaction.push(direction, Buffer::DcerpcInterface, text.as_bytes());
        transaction.advance(direction, Stage::Headers);
    }
}

/// Gives the stub data that has been gathered, unless that direction is over.
fn give(call: &mut Call, direction: Direction, out: &mut Transactions) {
    let stub = core::mem::take(&mut call.stub);
    if let Some(transaction) = out.get(call.transaction)
        && transaction.stage(direction) < Stage::Complete
    {
        if !stub.is_empty() {
            transaction.push(direction, Buffer::DcerpcStubData, &stub);
        }
        transaction.advance(direction, Stage::Complete);
    }
}

impl Parser for DcerpcUdp {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        if probe(direction, data) != Probe::Yes {
            return Status::Ok;
        }
        if let Some(header) = Header::parse(data)
            && let Some(body) = data.get(HEADER..)
        {
            let stub = body.get(..header.length).unwrap_or(body);
            match header.kind {
                REQUEST => self.request(direction, &header, stub, out),
                RESPONSE | FAULT | REJECT => self.response(direction, &header, stub, out),
                _ => {}
            }
        }
        Status::Ok
    }

    fn gap(&mut self, _: Direction, _: u64, _: &mut Transactions) -> Status {
        Status::Ok
    }

    fn end(&mut self, _: Direction, _: &mut Transactions) {}

    fn footprint(&self) -> usize {
        let stubs: usize = self.calls.iter().map(|call| call.stub.capacity()).sum();
        size_of::<Self>() + stubs + self.calls.capacity() * size_of::<Call>()
    }
}

/// Whether a datagram is one of the connectionless protocol.
#[must_use]
pub fn probe(_: Direction, data: &[u8]) -> Probe {
    let Some(&[version, kind, _, flags2, representation, floats, _, serial]) =
        data.first_chunk::<8>()
    else {
        return Probe::No;
    };
    let _ = serial;
    let plausible = version == 4
        && kind <= LAST_KIND
        && flags2 & 0xfc == 0
        && representation & 0xee == 0
        && floats <= 3
        && data.len() >= HEADER;
    if plausible { Probe::Yes } else { Probe::No }
}
