//! Streams (RFC 9113, 5), each with its transaction.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{content::Content, details, doh, event, fields, frame::Kind, hpack::Block};
use crate::{
    flow::Direction::{self, ToClient, ToServer},
    protocol::{Field, Stage, Transaction, Transactions, http::uri::Target},
};

/// Begins a transaction that is over at once.
pub(super) fn single(direction: Direction, out: &mut Transactions) -> Option<&mut Transaction> {
    let id = out.begin();
    let transaction = out.get(id)?;
    transaction.advance(direction, Stage::Complete);
    transaction.advance(direction.reverse(), Stage::Complete);
    Some(transaction)
}

/// Raises an event: on this transaction, or on one of its own.
pub(super) fn note(
    direction: Direction,
    transaction: Option<u64>,
    event: &'static str,
    out: &mut Transactions,
) {
    if let Some(transaction) = transaction.and_then(|id| out.get(id)) {
        transaction.event(direction, event);
    } else if let Some(transaction) = single(direction, out) {
        transaction.event(direction, event);
    }
}

/// One direction of a stream.
#[derive(Debug, Default)]
struct Half {
    /// The head came; what comes else of fields are trailers.
    head: bool,
    over: bool,
    content: Option<Content>,
}

/// A stream that is not over.
#[derive(Debug)]
struct Stream {
    transaction: u64,
    /// The path, as the name of a file.
    path: Vec<u8>,
    to_server: Half,
    to_client: Half,
}

impl Stream {
    fn begin(direction: Direction, out: &mut Transactions) -> Self {
        let mut stream = Self {
            transaction: out.begin(),
            path: Vec::new(),
            to_server: Half::default(),
            to_client: Half::default(),
        };
        if direction == ToClient {
            // The request came by HTTP/1, or not at all.
            stream.finish(ToServer, out);
        }
        stream
    }

    const fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            ToServer => &mut self.to_server,
            ToClient => &mut self.to_client,
        }
    }

    /// Ends a direction; whether the stream is over.
    fn finish(&mut self, direction: Direction, out: &mut Transactions) -> bool {
        let transaction = self.transaction;
        let half = self.half(direction);
        half.over = true;
        let content = half.content.take();
        let mut exceeded = false;
        if let Some(transaction) = out.get(transaction) {
            if let Some(mut content) = content {
                exceeded = content.finish(transaction);
            }
            transaction.advance(direction, Stage::Complete);
        }
        out.counters.decompression_exceeded += u64::from(exceeded);
        self.to_server.over && self.to_client.over
    }
}

/// The streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Stream>,
    /// The highest stream that the client began.
    last: u32,
    dns: bool,
}

impl Streams {
    pub(super) const fn has_dns(&self) -> bool {
        self.dns
    }

    /// The transaction of a stream that is not over.
    pub(super) fn transaction(&self, stream: u32) -> Option<u64> {
        self.open.get(&stream).map(|stream| stream.transaction)
    }

    /// The stream that fields came for, which may begin with them.
    fn stream(&mut self, direction: Direction, id: u32, out: &mut Transactions) -> &mut Stream {
        let full = self.open.len() >= out.limits().transactions.max(1);
        let crowded = full && !self.open.contains_key(&id);
        if crowded && let Some((_, mut oldest)) = self.open.pop_first() {
            oldest.finish(ToServer, out);
            oldest.finish(ToClient, out);
        }
        let reused = direction == ToServer && id <= self.last;
        if direction == ToServer {
            self.last = self.last.max(id);
        }
        match self.open.entry(id) {
            Entry::Occupied(stream) => stream.into_mut(),
            Entry::Vacant(place) => {
                let stream = place.insert(Stream::begin(direction, out));
                if let Some(transaction) = out.get(stream.transaction) {
                    for (raised, event) in [
                        (crowded, event::TOO_MANY_STREAMS),
                        (reused, event::STREAM_ID_REUSE),
                    ] {
                        if raised {
                            transaction.event(direction, event);
                        }
                    }
                }
                stream
            }
        }
    }

    /// A whole header block.
    pub(super) fn headers(
        &mut self,
        direction: Direction,
        id: u32,
        block: &Block,
        end: bool,
        out: &mut Transactions,
    ) {
        let status = fields::get(block, b":status");
        // The response itself is still to come (RFC 9110, 15.2).
        let interim = direction == ToClient
            && !end
            && status.is_some_and(|status| status.len() == 3 && status.starts_with(b"1"));
        let limits = *out.limits();
        let stream = self.stream(direction, id, out);
        let transaction = stream.transaction;
        let mut dns = false;
        if !interim {
            let first = !core::mem::replace(&mut stream.half(direction).head, true);
            if first && direction == ToServer {
                stream.path = path(block);
            }
            if first && !end {
                let content = Content::of(direction, block, &stream.path, &limits);
                dns |= content.has_dns();
                stream.half(direction).content = Some(content);
            }
            if let Some(transaction) = out.get(transaction) {
                details::push_block(direction, block, transaction);
                dns |= push(direction, block, first, transaction);
            }
        }
        self.dns |= dns;
        if end {
            self.finish(direction, id, out);
        }
    }

    /// A request that the server makes up itself (RFC 9113, 8.4).
    pub(super) fn promise(&mut self, id: u32, block: &Block, out: &mut Transactions) {
        if self.open.contains_key(&id) {
            note(ToClient, self.transaction(id), event::STREAM_ID_REUSE, out);
            return;
        }
        let stream = self.stream(ToClient, id, out);
        stream.path = path(block);
        let transaction = stream.transaction;
        if let Some(transaction) = out.get(transaction) {
            details::push_kind(ToClient, Kind::PushPromise, transaction);
            self.dns |= push(ToServer, block, true, transaction);
        }
    }

    pub(super) fn body(
        &mut self,
        direction: Direction,
        id: u32,
        bytes: &[u8],
        out: &mut Transactions,
    ) {
        let Some(stream) = self.open.get_mut(&id) else {
            return;
        };
        let transaction = stream.transaction;
        if let Some(content) = &mut stream.half(direction).content
            && let Some(transaction) = out.get(transaction)
        {
            content.give(bytes, transaction);
        }
    }

    /// Bytes of a body were not captured.
    pub(super) fn gap(&mut self, direction: Direction, id: u32) {
        let stream = self.open.get_mut(&id);
        let content = stream.and_then(|stream| stream.half(direction).content.as_mut());
        if let Some(content) = content {
            content.gap();
        }
    }

    /// Nothing more comes of this direction of a stream.
    pub(super) fn finish(&mut self, direction: Direction, id: u32, out: &mut Transactions) {
        let stream = self.open.get_mut(&id);
        if stream.is_some_and(|stream| stream.finish(direction, out)) {
            self.open.remove(&id);
        }
    }

    /// `RST_STREAM` (RFC 9113, 6.4).
    pub(super) fn reset(
        &mut self,
        direction: Direction,
        id: u32,
        code: Option<u32>,
        out: &mut Transactions,
    ) {
        let stream = self.open.remove(&id);
        let transaction = match &stream {
            Some(stream) => out.get(stream.transaction),
            None => single(direction, out),
        };
        if let Some(transaction) = transaction {
            details::push_kind(direction, Kind::Reset, transaction);
            if let Some(code) = code {
                transaction.number(direction, Field::Http2ErrorCode, code.into());
            }
        }
        if let Some(mut stream) = stream {
            stream.finish(ToServer, out);
            stream.finish(ToClient, out);
        }
    }

    /// Nothing more comes in this direction.
    pub(super) fn end(&mut self, direction: Direction, out: &mut Transactions) {
        self.open.retain(|_, stream| !stream.finish(direction, out));
    }

    pub(super) fn footprint(&self) -> usize {
        let half = |half: &Half| half.content.as_ref().map_or(0, Content::footprint);
        self.open
            .values()
            .map(|stream| {
                size_of::<Stream>()
                    + stream.path.capacity()
                    + half(&stream.to_server)
                    + half(&stream.to_client)
            })
            .sum()
    }
}

/// Pushes what a block had; whether DNS is in it.
fn push(direction: Direction, block: &Block, first: bool, transaction: &mut Transaction) -> bool {
    let mut dns = false;
    if first {
        match direction {
            ToServer => fields::push_request(block, transaction),
            ToClient => fields::push_response(block, transaction),
        }
        if direction == ToServer
            && let Some(message) = fields::get(block, b":path").and_then(|it| doh::in_target(&it))
        {
            let mut whole = doh::Message::default();
            whole.feed(&message, direction, transaction);
            whole.finish(direction, transaction);
            dns = true;
        }
    }
    fields::push(direction, block, transaction);
    if first {
        transaction.advance(direction, Stage::Headers);
    }
    dns
}

fn path(block: &Block) -> Vec<u8> {
    let path = fields::get(block, b":path").unwrap_or_default();
    Target::of(&path, false).file_name()
}
