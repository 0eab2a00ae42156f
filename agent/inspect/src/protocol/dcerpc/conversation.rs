//! Binds and calls of one association, over whatever carries it.

use core::fmt::Write as _;
use std::collections::VecDeque;

use super::pdu::{self, Header};
use crate::flow::Direction;
use crate::protocol::record::{Feed, Piece};
use crate::protocol::{Buffer, Field, Stage, Transactions};

/// Interfaces offered that are remembered.
const MAX_CONTEXTS: usize = 256;
/// Calls not answered that are remembered.
const MAX_CALLS: usize = 64;

/// Before the text of an interface that no first fragment offered: only rules with `any_frag` look
/// behind it.
const NOT_FIRST: char = ' ';

#[derive(Debug)]
struct Context {
    offer: pdu::Offer,
    /// The call that offered it, while it is not answered.
    asked: Option<u32>,
    accepted: bool,
}

#[derive(Debug)]
struct Call {
    id: u32,
    bind: bool,
    transaction: u64,
    context: u16,
    operation: u16,
    stub: [Vec<u8>; 2],
    answered: bool,
    over: [bool; 2],
}

/// One association: a TCP connection or a named pipe of SMB.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    feeds: [Feed; 2],
    contexts: Vec<Context>,
    calls: VecDeque<Call>,
    /// What every transaction is given besides.
    numbers: Vec<(Field, u64)>,
}

impl Conversation {
    /// One whose transactions have these numbers besides.
    pub(crate) fn with_numbers(numbers: &[(Field, u64)]) -> Self {
        Self {
            numbers: numbers.to_vec(),
            ..Self::default()
        }
    }

    /// Bytes of one direction.
    pub(crate) fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) {
        let mut feed = self
            .feeds
            .get_mut(direction.index())
            .map(core::mem::take)
            .unwrap_or_default();
        feed.push(data);
        let most = out.limits().partial;
        while let Some(piece) = feed.next(most, pdu::measure) {
            if let Piece::Record { bytes, missing } = piece {
                if missing > 0 {
                    out.counters.partial_exceeded += 1;
                }
                self.unit(direction, bytes, out);
            }
        }
        feed.compact();
        if let Some(slot) = self.feeds.get_mut(direction.index()) {
            *slot = feed;
        }
    }

    /// Bytes were lost.
    pub(crate) fn gap(&mut self, direction: Direction, length: u64) {
        if let Some(feed) = self.feeds.get_mut(direction.index()) {
            feed.gap(length);
        }
    }

    /// Nothing more comes: what is not whole is given as it is.
    pub(crate) fn end(&mut self, direction: Direction, out: &mut Transactions) {
        let mut calls = core::mem::take(&mut self.calls);
        for call in &mut calls {
            finish(call, direction, out);
        }
        calls.retain(|call| call.over != [true; 2]);
        self.calls = calls;
    }

    /// One whole unit.
    pub(crate) fn unit(&mut self, direction: Direction, bytes: &[u8], out: &mut Transactions) {
        let Some(header) = Header::parse(bytes) else {
            return;
        };
        match header.kind {
            pdu::REQUEST => self.request(direction, &header, bytes, out),
            pdu::RESPONSE | pdu::FAULT => self.response(direction, &header, bytes, out),
            pdu::BIND | pdu::ALTER_CONTEXT => self.bind(direction, &header, bytes, out),
            pdu::BIND_ACK | pdu::ALTER_CONTEXT_RESPONSE | pdu::BIND_NAK => {
                self.answer(direction, &header, bytes, out);
            }
            _ => {}
        }
    }

    fn begin(&mut self, id: u32, bind: bool, context: u16, out: &mut Transactions) {
        if self.calls.len() >= MAX_CALLS
            && let Some(mut oldest) = self.calls.pop_front()
        {
            finish(&mut oldest, Direction::ToServer, out);
            finish(&mut oldest, Direction::ToClient, out);
        }
        let transaction = out.begin();
        if let Some(transaction) = out.get(transaction) {
            for side in [Direction::ToServer, Direction::ToClient] {
                for (field, value) in &self.numbers {
                    transaction.number(side, *field, *value);
                }
            }
        }
        self.calls.push_back(Call {
            id,
            bind,
            transaction,
            context,
            operation: 0,
            stub: [Vec::new(), Vec::new()],
            answered: false,
            over: [false; 2],
        });
    }

    fn bind(
        &mut self,
        direction: Direction,
        header: &Header,
        bytes: &[u8],
        out: &mut Transactions,
    ) {
        for offer in pdu::offers(header, bytes) {
            if self.contexts.len() >= MAX_CONTEXTS {
                self.contexts.remove(0);
            }
            self.contexts.push(Context {
                offer,
                asked: Some(header.call),
                accepted: false,
            });
        }
        self.begin(header.call, true, 0, out);
        if let Some(call) = self.calls.back_mut() {
            finish(call, direction, out);
        }
    }

    fn answer(
        &mut self,
        direction: Direction,
        header: &Header,
        bytes: &[u8],
        out: &mut Transactions,
    ) {
        let mut results = if header.kind == pdu::BIND_NAK {
            Vec::new()
        } else {
            pdu::results(header, bytes)
        }
        .into_iter();
        let call = header.call;
        for context in &mut self.contexts {
            if context.asked == Some(call) {
                context.asked = None;
                context.accepted = results.next().unwrap_or(false);
            }
        }
        // A refused offer leaves a context that was bound before as it was; one bound again is kept once.
        let mut bound = Vec::new();
        self.contexts.retain(|context| {
            let offer = &context.offer;
            let this = (offer.context, offer.uuid, offer.first);
            let again = context.accepted && bound.contains(&this);
            if context.accepted {
                bound.push(this);
            }
            context.asked.is_some() || (context.accepted && !again)
        });
        self.conclude(|entry| entry.bind && entry.id == call, direction, out);
    }

    fn conclude(
        &mut self,
        is_it: impl Fn(&Call) -> bool,
        direction: Direction,
        out: &mut Transactions,
    ) {
        if let Some(at) = self.calls.iter().position(is_it)
            && let Some(mut call) = self.calls.remove(at)
        {
            finish(&mut call, direction.reverse(), out);
            finish(&mut call, direction, out);
        }
    }

    fn request(
        &mut self,
        direction: Direction,
        header: &Header,
        bytes: &[u8],
        out: &mut Transactions,
    ) {
        let Some((context, operation, stub)) = pdu::request(header, bytes) else {
            return;
        };
        let open = self.open_request(header.call, direction);
        if header.is_first() || open.is_none() {
            self.begin(header.call, false, context, out);
            if let Some(call) = self.calls.back_mut() {
                call.operation = operation;
            }
            if let Some(call) = self.calls.back() {
                self.describe(call, direction, header, out);
            }
        }
        let at = self.open_request(header.call, direction);
        let room = out.limits().body.saturating_sub(self.held());
        if let Some(call) = at.and_then(|at| self.calls.get_mut(at)) {
            keep(&mut call.stub, direction, stub, room);
            if header.is_last() {
                finish(call, direction, out);
            }
        }
    }

    /// The youngest request of this number that is not whole.
    fn open_request(&self, id: u32, direction: Direction) -> Option<usize> {
        self.calls.iter().rposition(|call| {
            !call.bind && call.id == id && call.over.get(direction.index()) == Some(&false)
        })
    }

    fn response(
        &mut self,
        direction: Direction,
        header: &Header,
        bytes: &[u8],
        out: &mut Transactions,
    ) {
        let id = header.call;
        let is_it = |call: &Call| !call.bind && call.id == id;
        let Some(at) = self.calls.iter().position(is_it) else {
            return;
        };
        if let Some(call) = self.calls.get_mut(at)
            && !core::mem::replace(&mut call.answered, true)
            && let Some(call) = self.calls.get(at)
        {
            self.describe(call, direction, header, out);
        }
        let room = out.limits().body.saturating_sub(self.held());
        if header.kind == pdu::RESPONSE
            && let Some(stub) = pdu::response(header, bytes)
            && let Some(call) = self.calls.get_mut(at)
        {
            keep(&mut call.stub, direction, stub, room);
        }
        if header.is_last() || header.kind == pdu::FAULT {
            self.conclude(is_it, direction, out);
        }
    }

    /// Bytes of stub data of all calls. They share one budget, so that many open calls hold no more than one.
    fn held(&self) -> usize {
        self.calls
            .iter()
            .flat_map(|call| call.stub.iter().map(Vec::len))
            .sum()
    }

    /// Says which operation of which interface it is, and the byte order of what is sent.
    fn describe(&self, call: &Call, direction: Direction, header: &Header, out: &mut Transactions) {
        let Some(transaction) = out.get(call.transaction) else {
            return;
        };
        if header.little {
            transaction.set_little_endian(direction);
        }
        transaction.number(direction, Field::DcerpcOpnum, u64::from(call.operation));
        for context in &self.contexts {
            if context.accepted && context.offer.context == call.context {
                let mut text = interface(&context.offer.uuid, u32::from(context.offer.major));
                if !context.offer.first {
                    text.insert(0, NOT_FIRST);
                }
                transaction.push(direction, Buffer::DcerpcInterface, text.as_bytes());
            }
        }
        transaction.advance(direction, Stage::Headers);
    }

    /// Bytes of memory held.
    pub(crate) fn footprint(&self) -> usize {
        let calls: usize = self
            .calls
            .iter()
            .flat_map(|call| call.stub.iter().map(Vec::capacity))
            .sum();
        let feeds: usize = self.feeds.iter().map(Feed::footprint).sum();
        size_of::<Self>()
            + calls
            + feeds
            + self.calls.capacity() * size_of::<Call>()
            + self.contexts.capacity() * size_of::<Context>()
    }
}

fn keep(stubs: &mut [Vec<u8>; 2], direction: Direction, stub: &[u8], room: usize) {
    if let Some(kept) = stubs.get_mut(direction.index()) {
        kept.extend_from_slice(stub.get(..room).unwrap_or(stub));
    }
}

/// Gives what one direction of a call has, once.
fn finish(call: &mut Call, direction: Direction, out: &mut Transactions) {
    let at = direction.index();
    if call
        .over
        .get_mut(at)
        .is_none_or(|over| core::mem::replace(over, true))
    {
        return;
    }
    let stub = call
        .stub
        .get_mut(at)
        .map(core::mem::take)
        .unwrap_or_default();
    if let Some(transaction) = out.get(call.transaction) {
        if !stub.is_empty() {
            transaction.push(direction, Buffer::DcerpcStubData, &stub);
        }
        transaction.advance(direction, Stage::Complete);
    }
}

/// An interface as rules compare it: `UUID|major version`.
pub(super) fn interface(uuid: &[u8; 16], major: u32) -> String {
    let mut text = String::with_capacity(44);
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    let _ = write!(text, "|{major}");
    text
}
