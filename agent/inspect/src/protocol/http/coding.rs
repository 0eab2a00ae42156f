//! Content codings (RFC 9110, 8.4): bodies are decoded as they come.
//!
//! What does not decode is passed on as it is: a client may be just as lenient, and a rule then
//! still sees the bytes.

use core::fmt;
use std::{
    borrow::Cow,
    io::{self, Write},
};

use brotli_decompressor::DecompressorWriter;
use flate2::{Decompress, FlushDecompress, Status};

use super::event;
use crate::{flow::Direction, protocol::Transaction};

/// Bytes that a layer gives at a time.
const STEP: usize = 16 << 10;
/// Bytes of a gzip header, and of input kept for another attempt.
const HELD: usize = 16 << 10;
/// What the brotli decoder holds beside its window, of which only what was written is in memory.
const BROTLI: usize = 128 << 10;

/// The codings of one body, outermost first.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Decoder {
    layers: Vec<Layer>,
    /// Bytes that may still be given.
    room: usize,
    /// A limit ended the decoding.
    pub(in crate::protocol) exceeded: bool,
    /// Something could not be decoded.
    pub(in crate::protocol) failed: bool,
}

#[derive(Debug)]
enum Layer {
    Inflate(Box<Inflate>),
    Brotli(Brotli),
}

/// What `Content-Encoding` says.
#[derive(Debug, Default)]
pub(in crate::protocol) struct Codings {
    layers: Vec<Coding>,
    /// A name that is none, or not written as it should be.
    abnormal: bool,
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    Inflate,
    Brotli,
}

impl Codings {
    /// Reads a header value. The last coding of the list was applied last.
    pub(in crate::protocol) fn of(value: &[u8]) -> Self {
        let mut codings = Self::default();
        for name in value.split(|byte| *byte == b',') {
            let name: Vec<u8> = name
                .iter()
                .filter(|byte| **byte > b' ')
                .map(u8::to_ascii_lowercase)
                .collect();
            let exact = matches!(
                name.as_slice(),
                b"gzip" | b"x-gzip" | b"deflate" | b"x-deflate" | b"br" | b"identity"
            );
            codings.abnormal |= !exact;
            let has = |word: &[u8]| name.windows(word.len()).any(|window| window == word);
            if name == b"br" {
                codings.layers.push(Coding::Brotli);
            } else if has(b"gzip") || has(b"deflate") {
                codings.layers.push(Coding::Inflate);
            }
        }
        codings.layers.reverse();
        codings
    }

    /// Raises events for what is odd about them.
    pub(in crate::protocol) fn oddities(&self, most: usize, events: &mut Vec<&'static str>) {
        if self.abnormal {
            events.push(event::ABNORMAL_CONTENT_ENCODING);
        }
        if self.too_many(most) {
            events.push(event::TOO_MANY_LAYERS);
        }
    }

    /// More than the limit allows, which counts layers beyond the first as the reference does.
    const fn too_many(&self, most: usize) -> bool {
        self.layers.len() > most.saturating_add(1)
    }
}

impl Decoder {
    pub(in crate::protocol) fn new(codings: &Codings, most: usize, room: usize) -> Self {
        Self {
            layers: codings
                .layers
                .iter()
                .take(most.saturating_add(1))
                .map(|coding| match coding {
                    Coding::Inflate => Layer::Inflate(Box::default()),
                    Coding::Brotli => Layer::Brotli(Brotli::new()),
                })
                .collect(),
            room,
            exceeded: codings.too_many(most),
            failed: false,
        }
    }

    /// Whether bytes come out as they go in.
    pub(in crate::protocol) const fn is_plain(&self) -> bool {
        self.layers.is_empty()
    }

    /// Decodes what comes next.
    pub(in crate::protocol) fn decode<'a>(&mut self, data: &'a [u8]) -> Cow<'a, [u8]> {
        if self.is_plain() {
            Cow::Borrowed(data)
        } else {
            Cow::Owned(self.run(data, false))
        }
    }

    /// What was held back, when nothing more comes.
    pub(in crate::protocol) fn finish(&mut self) -> Vec<u8> {
        self.run(&[], true)
    }

    /// Raises what went wrong as events of HTTP/1. Whether a limit was met.
    pub(super) fn report(&self, direction: Direction, transaction: &mut Transaction) -> bool {
        if self.failed {
            transaction.event(direction, event::DECOMPRESSION_FAILED);
        }
        if self.exceeded {
            transaction.event(direction, event::COMPRESSION_BOMB);
        }
        self.exceeded
    }

    fn run(&mut self, data: &[u8], last: bool) -> Vec<u8> {
        let mut input = data.to_vec();
        for layer in &mut self.layers {
            let mut output = Output {
                data: Vec::new(),
                room: self.room,
                full: false,
            };
            self.failed |= match layer {
                Layer::Inflate(inflate) => inflate.feed(&input, last, &mut output),
                Layer::Brotli(brotli) => brotli.feed(&input, &mut output),
            };
            self.exceeded |= output.full;
            input = output.data;
        }
        self.room = self.room.saturating_sub(input.len());
        input
    }

    pub(in crate::protocol) fn footprint(&self) -> usize {
        self.layers
            .iter()
            .map(|layer| match layer {
                // The window of the inflater is in it.
                Layer::Inflate(inflate) => (48 << 10) + inflate.held.capacity(),
                Layer::Brotli(brotli) => BROTLI + brotli.given,
            })
            .sum()
    }
}

/// Bytes with a cap.
#[derive(Debug, Default)]
struct Output {
    data: Vec<u8>,
    room: usize,
    full: bool,
}

impl Output {
    fn push(&mut self, bytes: &[u8]) {
        let room = self.room.saturating_sub(self.data.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.full |= kept.len() < bytes.len();
        self.data.extend_from_slice(kept);
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wrapper {
    /// Not known yet.
    #[default]
    Unknown,
    Gzip,
    Zlib,
    Bare,
    /// Not compressed, or broken: passed on.
    Plain,
    /// Over: what follows is dropped.
    Over,
}

/// gzip (RFC 1952), zlib (RFC 1950) or bare deflate (RFC 1951). Senders mix up the names, so the
/// content decides.
#[derive(Debug, Default)]
struct Inflate {
    wrapper: Wrapper,
    state: Option<Decompress>,
    /// Input that gave no output yet.
    held: Vec<u8>,
    given: bool,
    /// Bytes of a gzip trailer to pass over.
    trailer: usize,
    /// A whole gzip member came before.
    member: bool,
}

impl Inflate {
    /// Returns whether it failed.
    fn feed(&mut self, data: &[u8], last: bool, output: &mut Output) -> bool {
        let mut data = data;
        let joined;
        if self.trailer > 0 {
            let passed = self.trailer.min(data.len());
            self.trailer -= passed;
            data = data.get(passed..).unwrap_or_default();
        }
        if self.wrapper == Wrapper::Unknown {
            self.held.extend_from_slice(data);
            let Some(skip) = self.recognise(last) else {
                return false;
            };
            joined = self.held.clone();
            data = joined.get(skip..).unwrap_or_default();
        } else if !self.given && self.held.len() < HELD && self.wrapper != Wrapper::Plain {
            self.held.extend_from_slice(data);
        }
        match self.wrapper {
            Wrapper::Unknown | Wrapper::Over => false,
            Wrapper::Plain => {
                output.push(data);
                false
            }
            Wrapper::Gzip | Wrapper::Zlib | Wrapper::Bare => self.inflate(data, last, output),
        }
    }

    /// Finds out the wrapper of what is held; the length of its header.
    fn recognise(&mut self, last: bool) -> Option<usize> {
        let (wrapper, skip) = match *self.held.as_slice() {
            [0x1f, 0x8b, ..] => match gzip_header(&self.held) {
                Some(length) => (Wrapper::Gzip, length),
                None if last || self.held.len() > HELD => (Wrapper::Plain, 0),
                None => return None,
            },
            _ if self.member && self.held.len() >= 2 => (Wrapper::Over, 0),
            [a, b, ..] if a & 0x0f == 8 && a >> 4 <= 7 && is_zlib(a, b) => (Wrapper::Zlib, 2),
            [_, _, ..] => (Wrapper::Bare, 0),
            [_] if last => (Wrapper::Plain, 0),
            _ => return None,
        };
        self.wrapper = wrapper;
        Some(skip)
    }

    fn inflate(&mut self, data: &[u8], last: bool, output: &mut Output) -> bool {
        let state = self.state.get_or_insert_with(|| Decompress::new(false));
        let mut data = data;
        let mut step = [0; STEP];
        loop {
            let (read, written) = (state.total_in(), state.total_out());
            let result = state.decompress(data, &mut step, FlushDecompress::None);
            let read = usize::try_from(state.total_in() - read).unwrap_or(usize::MAX);
            let written = usize::try_from(state.total_out() - written).unwrap_or(usize::MAX);
            let given = step.get(..written).unwrap_or_default();
            output.push(given);
            if written > 0 {
                self.given = true;
                self.held = Vec::new();
            }
            data = data.get(read..).unwrap_or_default();
            match result {
                Err(_) => return self.broken(output, last),
                Ok(Status::StreamEnd) => return self.over(data, last, output),
                Ok(_) if output.full => {
                    self.wrapper = Wrapper::Over;
                    return false;
                }
                // Nothing to do without more input.
                Ok(_) if (read == 0 && written == 0) || (data.is_empty() && written < STEP) => {
                    return false;
                }
                Ok(_) => {}
            }
        }
    }

    /// Tries what it may be instead, if nothing was given yet.
    fn broken(&mut self, output: &mut Output, last: bool) -> bool {
        self.state = None;
        if self.given {
            self.wrapper = Wrapper::Over;
            return true;
        }
        let held = core::mem::take(&mut self.held);
        if self.wrapper == Wrapper::Zlib {
            self.wrapper = Wrapper::Bare;
            self.held.clone_from(&held);
            return self.inflate(&held, last, output);
        }
        self.wrapper = Wrapper::Plain;
        output.push(&held);
        true
    }

    /// The compressed data is over: another gzip member may follow (RFC 1952, 2.2).
    fn over(&mut self, rest: &[u8], last: bool, output: &mut Output) -> bool {
        self.state = None;
        self.held = Vec::new();
        if self.wrapper != Wrapper::Gzip || last {
            self.wrapper = Wrapper::Over;
            return false;
        }
        self.wrapper = Wrapper::Unknown;
        self.member = true;
        self.trailer = 8;
        // Members shrink what is left, so this ends.
        if rest.len() > self.trailer {
            return self.feed(rest, last, output);
        }
        self.trailer -= rest.len();
        false
    }
}

const fn is_zlib(a: u8, b: u8) -> bool {
    (((a as u16) << 8) | b as u16).is_multiple_of(31) && b & 0x20 == 0
}

/// The length of a gzip header (RFC 1952, 2.3), `None` if it is not whole. Reserved flags are ignored.
fn gzip_header(data: &[u8]) -> Option<usize> {
    let flags = *data.get(3)?;
    let mut at = 10_usize;
    if flags & 4 != 0 {
        let length = u16::from_le_bytes([*data.get(at)?, *data.get(at + 1)?]);
        at += 2 + usize::from(length);
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += data.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (at <= data.len()).then_some(at)
}

/// Brotli (RFC 7932).
struct Brotli {
    writer: Option<Box<DecompressorWriter<Output>>>,
    /// Bytes of output so far.
    given: usize,
    plain: bool,
}

impl fmt::Debug for Brotli {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Brotli").finish_non_exhaustive()
    }
}

impl Brotli {
    fn new() -> Self {
        Self {
            writer: Some(Box::new(DecompressorWriter::new(Output::default(), STEP))),
            given: 0,
            plain: false,
        }
    }

    /// Returns whether it failed.
    fn feed(&mut self, data: &[u8], output: &mut Output) -> bool {
        let Some(writer) = &mut self.writer else {
            if self.plain {
                output.push(data);
            }
            return false;
        };
        writer.get_mut().room = output.room;
        let result = writer.write_all(data);
        let sink = writer.get_mut();
        output.full |= sink.full;
        let full = sink.full;
        self.given += sink.data.len();
        output.data.append(&mut sink.data);
        if result.is_err() {
            self.writer = None;
            if !full && self.given == 0 {
                self.plain = true;
                output.push(data);
            }
            return !full;
        }
        false
    }
}
