//! HTTP/2 (RFC 9113), known from its first bytes or agreed on by `Upgrade: h2c`, and DNS in it (RFC 8484).
//!
//! Each stream is a transaction, and so is each frame about the connection. Rules see of a stream
//! what they see of HTTP/1.

mod block;
mod content;
pub(crate) mod details;
mod doh;
mod event;
mod fields;
mod frame;
mod hpack;
mod huffman;
mod stream;
mod table;

#[cfg(test)]
mod tests;

pub use event::EVENTS;
pub(in crate::protocol) use event::HTTP1_SETTINGS;

use super::annotation::{RecordFrames, RecordNames};
use super::{AppProtocol, Buffer, Field, Parser, Probe, Status, Transactions};
use crate::flow::Direction;
use block::OpenBlock;
use frame::{Header, Kind};
use hpack::Hpack;
use stream::{Streams, note, single};

/// What a client begins with (RFC 9113, 3.4).
const MAGIC: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of that by which it is recognised.
const RECOGNISED: usize = 14;
/// Bytes of a payload without leave to send more, and the most there can be leave for (RFC 9113, 4.2).
const FRAME_SIZES: [u32; 2] = [16_384, 16_777_215];

/// What rules call its frames.
const FRAME: RecordNames = RecordNames {
    pdu: Buffer::FrameHttp2Pdu,
    header: Buffer::FrameHttp2Hdr,
    data: Buffer::FrameHttp2Data,
};

/// Whether data begins as HTTP/2 does: a client with its preface, a server with its settings.
#[must_use]
pub fn probe(direction: Direction, data: &[u8]) -> Probe {
    match direction {
        Direction::ToServer => {
            let begin = data.get(..RECOGNISED).unwrap_or(data);
            match MAGIC.starts_with(begin) {
                true if begin.len() == RECOGNISED => Probe::Yes,
                true => Probe::NeedMore,
                false => Probe::No,
            }
        }
        Direction::ToClient => {
            let fits = |at: usize, byte: u8| match at {
                2 => usize::from(byte).is_multiple_of(frame::SETTING),
                3 => byte == 4,
                _ => byte == 0,
            };
            let begin = data.get(..frame::HEADER).unwrap_or(data);
            let same = begin.iter().enumerate().all(|(at, byte)| fits(at, *byte));
            match same {
                true if begin.len() == frame::HEADER => Probe::Yes,
                true => Probe::NeedMore,
                false => Probe::No,
            }
        }
    }
}

/// Whether a `HTTP2-Settings` field of HTTP/1 is what it has to be (RFC 7540, 3.2.1).
pub(in crate::protocol) fn are_settings(value: &[u8]) -> bool {
    doh::base64url(value).is_some_and(|settings| settings.len().is_multiple_of(frame::SETTING))
}

/// What is read next of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Magic,
    Header,
    /// To be held until it is whole.
    Payload(Header),
    /// To be passed on as it comes.
    Data(Data),
    /// Bytes to be passed over.
    Skip(usize),
}

/// A `DATA` frame on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Data {
    stream: u32,
    /// The length of the padding is still to come.
    padded: bool,
    /// Bytes to come, and how many of them are padding.
    left: usize,
    padding: usize,
    end: bool,
}

/// One direction.
#[derive(Debug)]
struct Side {
    state: State,
    held: Vec<u8>,
    hpack: Hpack,
    block: Option<OpenBlock>,
    /// Bytes that the payload of a frame may have.
    longest: u32,
}

impl Side {
    fn new(state: State) -> Self {
        let [longest, _] = FRAME_SIZES;
        Self {
            state,
            held: Vec::new(),
            hpack: Hpack::default(),
            block: None,
            longest,
        }
    }

    /// Moves bytes until `wanted` are held; whether they are.
    fn gather(&mut self, data: &mut &[u8], wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.held.len());
        self.held.extend_from_slice(take(data, missing));
        self.held.len() >= wanted
    }
}

/// At most so many bytes off the front.
fn take<'a>(data: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (piece, rest) = data.split_at_checked(most).unwrap_or((data, &[]));
    *data = rest;
    piece
}

/// Follows one connection.
#[derive(Debug)]
pub struct Http2 {
    to_server: Side,
    to_client: Side,
    streams: Streams,
}

impl Default for Http2 {
    fn default() -> Self {
        Self::new()
    }
}

impl Http2 {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            to_server: Side::new(State::Magic),
            to_client: Side::new(State::Header),
            streams: Streams::default(),
        }
    }

    const fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    fn step(&mut self, direction: Direction, data: &mut &[u8], out: &mut Transactions) {
        let (before, was) = (*data, self.side(direction).state);
        self.advance(direction, data, out);
        let taken = before.get(..before.len() - data.len()).unwrap_or_default();
        let side = self.side(direction);
        let over = side.state == State::Header && side.held.is_empty();
        let mut frames = RecordFrames::new(direction, FRAME, out);
        match was {
            State::Magic => {}
            State::Header if over => frames.data(&[], true),
            State::Header => {}
            State::Payload(_) | State::Data(_) | State::Skip(_) => frames.data(taken, over),
        }
    }

    fn advance(&mut self, direction: Direction, data: &mut &[u8], out: &mut Transactions) {
        let side = self.side(direction);
        match side.state {
            State::Magic => {
                if side.gather(data, MAGIC.len()) {
                    side.state = State::Header;
                    let held = core::mem::take(&mut side.held);
                    if held != MAGIC {
                        note(direction, None, event::CLIENT_MAGIC, out);
                        // There may be frames all the same.
                        self.data(direction, &held, out);
                    }
                }
            }
            State::Header => {
                if side.gather(data, frame::HEADER) {
                    let header = Header::of(&side.held);
                    RecordFrames::new(direction, FRAME, out).header(&side.held);
                    side.held.clear();
                    if let Some(header) = header {
                        self.begin(direction, header, out);
                    }
                }
            }
            State::Payload(header) => {
                if side.gather(data, header.length) {
                    side.state = State::Header;
                    let payload = core::mem::take(&mut side.held);
                    self.frame(direction, header, &payload, out);
                }
            }
            State::Data(frame) => self.content(direction, frame, data, out),
            State::Skip(left) => {
                let left = left - take(data, left).len();
                side.state = match left {
                    0 => State::Header,
                    left => State::Skip(left),
                };
            }
        }
    }

    /// Decides about the payload of a frame.
    fn begin(&mut self, direction: Direction, header: Header, out: &mut Transactions) {
        let partial = out.limits().partial;
        let longest = usize::try_from(self.side(direction).longest).unwrap_or(usize::MAX);
        let transaction = self.streams.transaction(header.stream);
        if header.length > longest {
            note(direction, transaction, event::LONG_FRAME_DATA, out);
        }
        let refused = if !header.fits_stream() {
            Some(event::FRAME_HEADER)
        } else if !header.fits_length() {
            Some(event::FRAME_LENGTH)
        } else {
            None
        };
        if let Some(event) = refused {
            note(direction, transaction, event, out);
        }
        let side = self.side(direction);
        if refused.is_none() && header.kind == Kind::Data {
            let frame = Data {
                stream: header.stream,
                padded: header.has(frame::PADDED),
                left: header.length,
                padding: 0,
                end: header.has(frame::END_STREAM),
            };
            side.state = State::Data(frame);
            if let Some(transaction) = transaction.and_then(|id| out.get(id)) {
                details::push_kind(direction, Kind::Data, transaction);
            }
            if header.length == 0 {
                self.content(direction, frame, &mut &[][..], out);
            }
            return;
        }
        let held = header.length <= partial;
        if refused.is_some() || !held || header.kind == Kind::Unknown {
            if !held {
                out.counters.partial_exceeded += 1;
            }
            if has_fields(header.kind) {
                side.hpack.lose();
                side.block = None;
            }
            if header.length > 0 {
                side.state = State::Skip(header.length);
            }
            return;
        }
        if header.length == 0 {
            self.frame(direction, header, &[], out);
        } else {
            side.state = State::Payload(header);
        }
    }

    /// Takes content off `data`.
    fn content(
        &mut self,
        direction: Direction,
        mut frame: Data,
        data: &mut &[u8],
        out: &mut Transactions,
    ) {
        if frame.padded {
            let Some((padding, rest)) = data.split_first() else {
                if frame.left == 0 {
                    frame.padded = false;
                    self.misplaced(direction, frame.stream, out);
                    self.passed(direction, frame, out);
                }
                return;
            };
            *data = rest;
            frame.padded = false;
            frame.left = frame.left.saturating_sub(1);
            frame.padding = usize::from(*padding).min(frame.left);
            if usize::from(*padding) > frame.left {
                self.misplaced(direction, frame.stream, out);
            }
        }
        let piece = take(data, frame.left.saturating_sub(frame.padding));
        frame.left -= piece.len();
        if !piece.is_empty() {
            self.streams.body(direction, frame.stream, piece, out);
        }
        if frame.left <= frame.padding {
            let passed = take(data, frame.left).len();
            frame.left -= passed;
            frame.padding = frame.left;
        }
        self.passed(direction, frame, out);
    }

    /// Goes on behind what came of a `DATA` frame.
    fn passed(&mut self, direction: Direction, frame: Data, out: &mut Transactions) {
        if frame.left > 0 {
            self.side(direction).state = State::Data(frame);
            return;
        }
        self.side(direction).state = State::Header;
        if frame.end {
            self.streams.finish(direction, frame.stream, out);
        }
    }

    /// A frame that is not what it has to be.
    fn misplaced(&self, direction: Direction, stream: u32, out: &mut Transactions) {
        let transaction = self.streams.transaction(stream);
        note(direction, transaction, event::FRAME_DATA, out);
    }

    /// A whole frame.
    fn frame(
        &mut self,
        direction: Direction,
        header: Header,
        payload: &[u8],
        out: &mut Transactions,
    ) {
        match header.kind {
            Kind::Headers | Kind::PushPromise => self.fields(direction, header, payload, out),
            Kind::Continuation => self.continuation(direction, header, payload, out),
            Kind::Reset => {
                let code = error_code(payload);
                self.streams.reset(direction, header.stream, code, out);
            }
            Kind::Settings => {
                self.settings(direction, payload);
                if let Some(transaction) = single(direction, out) {
                    details::push(direction, header, payload, transaction);
                }
                if header.has(frame::ACK) && !payload.is_empty() {
                    note(direction, None, event::FRAME_LENGTH, out);
                }
            }
            Kind::GoAway => {
                let code = payload.get(4..).and_then(error_code);
                if let Some(transaction) = single(direction, out) {
                    details::push(direction, header, payload, transaction);
                    if let Some(code) = code {
                        transaction.number(direction, Field::Http2ErrorCode, code.into());
                    }
                }
            }
            Kind::Ping | Kind::WindowUpdate | Kind::Priority => {
                let transaction = match self.streams.transaction(header.stream) {
                    Some(id) => out.get(id),
                    None => single(direction, out),
                };
                if let Some(transaction) = transaction {
                    details::push(direction, header, payload, transaction);
                }
            }
            Kind::Data | Kind::Unknown => {}
        }
    }

    /// What one side says it takes, the other may send.
    fn settings(&mut self, direction: Direction, payload: &[u8]) {
        let [least, most] = FRAME_SIZES;
        let other = self.side(direction.reverse());
        for setting in payload.chunks_exact(frame::SETTING) {
            if let &[high, low, a, b, c, d] = setting
                && u16::from_be_bytes([high, low]) == frame::MAX_FRAME_SIZE
            {
                other.longest = u32::from_be_bytes([a, b, c, d]).clamp(least, most);
            }
        }
    }
}

/// Whether frames of this kind have to do with header compression.
const fn has_fields(kind: Kind) -> bool {
    matches!(kind, Kind::Headers | Kind::PushPromise | Kind::Continuation)
}

fn error_code(payload: &[u8]) -> Option<u32> {
    payload
        .first_chunk::<4>()
        .map(|code| u32::from_be_bytes(*code))
}

impl Parser for Http2 {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let mut data = data;
        while !data.is_empty() {
            self.step(direction, &mut data, out);
        }
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, length: u64, out: &mut Transactions) -> Status {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        RecordFrames::new(direction, FRAME, out).cut();
        let side = self.side(direction);
        match side.state {
            State::Data(mut frame) if !frame.padded && length <= frame.left => {
                frame.left -= length;
                frame.padding = frame.padding.min(frame.left);
                self.streams.gap(direction, frame.stream);
                self.passed(direction, frame, out);
                return Status::Ok;
            }
            State::Skip(left) if length < left => side.state = State::Skip(left - length),
            State::Skip(left) if length == left => side.state = State::Header,
            State::Payload(header) if side.held.len() + length <= header.length => {
                let left = header.length - side.held.len() - length;
                side.held.clear();
                if has_fields(header.kind) {
                    side.hpack.lose();
                    side.block = None;
                }
                side.state = if left == 0 {
                    State::Header
                } else {
                    State::Skip(left)
                };
            }
            _ => {
                // Where the next frame begins is not known.
                self.end(Direction::ToServer, out);
                self.end(Direction::ToClient, out);
                return Status::Failed;
            }
        }
        Status::Ok
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        self.streams.end(direction, out);
    }

    fn refined(&self) -> Option<AppProtocol> {
        self.streams.has_dns().then_some(AppProtocol::Doh2)
    }

    fn footprint(&self) -> usize {
        let sides: usize = [&self.to_server, &self.to_client]
            .into_iter()
            .map(|side| {
                let block = side.block.as_ref().map_or(0, |block| block.data.capacity());
                side.held.capacity() + side.hpack.footprint() + block
            })
            .sum();
        size_of::<Self>() + sides + self.streams.footprint()
    }
}
