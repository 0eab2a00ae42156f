//! Lines and header fields (RFC 9112, 2.2 and 5), as lenient as servers and browsers are.

use super::event::{self, either};
use crate::{
    flow::Direction,
    protocol::{Buffer, Transaction},
};

/// Fields of one message. Each becomes an instance of its own, of which a transaction has a number.
const MAX_FIELDS: usize = 320;

/// Gathers a line across pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) held: Vec<u8>,
}

/// How far a line has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is whole, with its line feed.
    Whole,
    /// More is needed.
    Partial,
    /// It is longer than the limit.
    TooLong,
}

impl Lines {
    /// Moves bytes from `data` up to the end of the line.
    pub(super) fn gather(&mut self, data: &mut &[u8], most: usize) -> Progress {
        let end = data.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let length = end.unwrap_or(data.len());
        if self.held.len() + length > most {
            return Progress::TooLong;
        }
        let (line, rest) = data.split_at_checked(length).unwrap_or((data, &[]));
        self.held.extend_from_slice(line);
        *data = rest;
        if end.is_some() {
            Progress::Whole
        } else {
            Progress::Partial
        }
    }
}

/// A line without its end.
pub(super) fn chomp(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// White space of any kind, and NUL, which lenient readers pass over.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | 0)
}

/// Without white space around.
pub(in crate::protocol) fn trim(data: &[u8]) -> &[u8] {
    let start = data.iter().position(|byte| !is_space(*byte));
    let end = data.iter().rposition(|byte| !is_space(*byte));
    match (start, end) {
        (Some(start), Some(end)) => data.get(start..=end).unwrap_or_default(),
        _ => &[],
    }
}

/// `token` of RFC 9110, 5.6.2.
pub(super) fn is_token(data: &[u8]) -> bool {
    !data.is_empty()
        && data
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// One field. Fields of one name are joined.
#[derive(Debug)]
struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// The head of one message.
#[derive(Debug)]
pub(super) struct Head {
    direction: Direction,
    /// The first line, without its end.
    pub(super) start: Vec<u8>,
    /// What came between the first line and the body.
    pub(super) raw: Vec<u8>,
    /// The field that a folded line may still continue.
    open: Vec<u8>,
    fields: Vec<Field>,
    events: Vec<&'static str>,
}

impl Head {
    pub(super) fn new(direction: Direction, start: &[u8]) -> Self {
        Self {
            direction,
            start: start.to_vec(),
            raw: Vec::new(),
            open: Vec::new(),
            fields: Vec::new(),
            events: Vec::new(),
        }
    }

    fn note(&mut self, request: &'static str, response: &'static str) {
        let name = either(self.direction, request, response);
        if !self.events.contains(&name) {
            self.events.push(name);
        }
    }

    /// Takes a line with its end; whether the head is over.
    pub(super) fn line(&mut self, line: &[u8]) -> bool {
        self.raw.extend_from_slice(line);
        let line = chomp(line);
        if line.is_empty() {
            self.close();
            return true;
        }
        match self.direction {
            Direction::ToServer => self.field_line(line),
            // Browsers end lines of responses at a bare CR too.
            Direction::ToClient => {
                for part in line.split(|byte| *byte == b'\r') {
                    if !part.is_empty() {
                        self.field_line(part);
                    }
                }
            }
        }
        false
    }

    /// The rest of a status line after a bare CR: the first field.
    pub(super) fn first_field(&mut self, line: &[u8]) {
        self.field_line(line);
    }

    fn field_line(&mut self, line: &[u8]) {
        let folded = match (self.direction, line.first()) {
            (_, Some(b' ' | b'\t')) => true,
            (Direction::ToClient, Some(byte)) => is_space(*byte),
            _ => false,
        };
        if !folded {
            self.close();
            self.open.extend_from_slice(line);
            return;
        }
        let line = trim(line);
        if self.open.is_empty() || self.begins_field(line) {
            self.note(event::REQUEST_FOLDING, event::RESPONSE_FOLDING);
            self.close();
        } else if !line.is_empty() {
            while self.open.last().is_some_and(|byte| is_space(*byte)) {
                self.open.pop();
            }
            self.open.push(b' ');
        }
        self.open.extend_from_slice(line);
    }

    /// Whether a folded line of a response is a field of its own to a lenient reader.
    fn begins_field(&self, line: &[u8]) -> bool {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        self.direction == Direction::ToClient
            && self.open.contains(&b':')
            && name.len() < line.len()
            && is_token(trim(name))
    }

    /// Ends the open field.
    pub(super) fn close(&mut self) {
        let open = core::mem::take(&mut self.open);
        if trim(&open).is_empty() {
            return;
        }
        let Some(colon) = open.iter().position(|byte| *byte == b':') else {
            self.note(event::REQUEST_MISSING_COLON, event::RESPONSE_MISSING_COLON);
            return;
        };
        let name = open.get(..colon).unwrap_or_default();
        let value = trim(open.get(colon + 1..).unwrap_or_default());
        if !is_token(name) {
            self.note(
                event::REQUEST_HEADER_INVALID,
                event::RESPONSE_HEADER_INVALID,
            );
        }
        self.add(trim(name), value);
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        if self.fields.len() >= MAX_FIELDS {
            self.note(event::REQUEST_TOO_MANY, event::RESPONSE_TOO_MANY);
            return;
        }
        let known = self
            .fields
            .iter_mut()
            .find(|field| field.name.eq_ignore_ascii_case(name));
        let Some(field) = known else {
            self.fields.push(Field {
                name: name.to_vec(),
                value: value.to_vec(),
            });
            return;
        };
        if name.eq_ignore_ascii_case(b"content-length") {
            // The first is the one that counts.
            self.note(
                event::REQUEST_DUPLICATE_LENGTH,
                event::RESPONSE_DUPLICATE_LENGTH,
            );
            return;
        }
        field.value.extend_from_slice(b", ");
        field.value.extend_from_slice(value);
        if name.eq_ignore_ascii_case(b"host") {
            self.note(event::HOST_AMBIGUOUS, event::RESPONSE_REPETITION);
        }
        self.note(event::REQUEST_REPETITION, event::RESPONSE_REPETITION);
    }

    /// The value of a field, by its name in lower case.
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.as_slice())
    }

    /// Pushes what rules see of the fields.
    pub(super) fn push(&self, transaction: &mut Transaction) {
        let direction = self.direction;
        let mut block = Vec::with_capacity(self.raw.len());
        let mut names = b"\r\n".to_vec();
        for Field { name, value } in &self.fields {
            let field = [name.as_slice(), b": ", value].concat();
            let buffer = match direction {
                Direction::ToServer => Buffer::HttpRequestHeader,
                Direction::ToClient => Buffer::HttpResponseHeader,
            };
            transaction.push(direction, buffer, &field);
            if let Some(buffer) = named(direction, name) {
                transaction.push(direction, buffer, value);
            }
            // Cookies have a buffer of their own and are left out of this one.
            if named(direction, name) != Some(Buffer::HttpCookie) {
                block.extend_from_slice(&field);
                block.extend_from_slice(b"\r\n");
            }
            names.extend_from_slice(name);
            names.extend_from_slice(b"\r\n");
        }
        if !self.fields.is_empty() {
            names.extend_from_slice(b"\r\n");
            transaction.push(direction, Buffer::HttpHeaderNames, &names);
        }
        if !block.is_empty() {
            transaction.push(direction, Buffer::HttpHeader, &block);
        }
        if !self.raw.is_empty() {
            transaction.push(direction, Buffer::HttpRawHeader, &self.raw);
        }
        let start = [self.start.as_slice(), b"\r\n", &self.raw].concat();
        transaction.push(direction, Buffer::HttpStart, &start);
        for event in &self.events {
            transaction.event(direction, event);
        }
    }

    pub(super) fn footprint(&self) -> usize {
        let fields: usize = self
            .fields
            .iter()
            .map(|field| size_of::<Field>() + field.name.capacity() + field.value.capacity())
            .sum();
        self.start.capacity() + self.raw.capacity() + self.open.capacity() + fields
    }
}

/// Fields with buffers of their own.
pub(in crate::protocol) fn named(direction: Direction, name: &[u8]) -> Option<Buffer> {
    const REQUEST: &[(&[u8], Buffer)] = &[
        (b"user-agent", Buffer::HttpUserAgent),
        (b"cookie", Buffer::HttpCookie),
        (b"content-type", Buffer::HttpContentType),
        (b"content-length", Buffer::HttpContentLength),
        (b"referer", Buffer::HttpReferer),
        (b"accept", Buffer::HttpAccept),
        (b"accept-encoding", Buffer::HttpAcceptEncoding),
        (b"accept-language", Buffer::HttpAcceptLanguage),
        (b"connection", Buffer::HttpConnection),
    ];
    const RESPONSE: &[(&[u8], Buffer)] = &[
        (b"set-cookie", Buffer::HttpCookie),
        (b"content-type", Buffer::HttpContentType),
        (b"content-length", Buffer::HttpContentLength),
        (b"server", Buffer::HttpServer),
        (b"location", Buffer::HttpLocation),
    ];
    let table = match direction {
        Direction::ToServer => REQUEST,
        Direction::ToClient => RESPONSE,
    };
    table
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
        .map(|(_, buffer)| *buffer)
}
