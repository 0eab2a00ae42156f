//! Files in forms (RFC 7578; RFC 2046, 5.1).

use super::head::trim;
use crate::{flow::Direction, protocol::Transaction};

/// Bytes of the head of a part; a longer one ends the search for files.
const PART_HEAD: usize = 8 << 10;
/// A delimiter is at most so long (RFC 2046, 5.1.1, has 70; clients are less strict).
const BOUNDARY: usize = 256;

/// Finds the files of a form.
#[derive(Debug)]
pub(in crate::protocol) struct Multipart {
    /// CR LF, two dashes and the boundary.
    delimiter: Vec<u8>,
    held: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Content of a part or what precedes the first; whether it is a file.
    Content {
        file: bool,
    },
    /// Behind a delimiter.
    Delimiter,
    Head,
    /// Behind the last delimiter.
    Over,
}

/// The value of a parameter, quoted or not (RFC 9110, 5.6.6).
pub(in crate::protocol) fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut quoted = false;
    let mut parts = value.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == b';' && !quoted
    });
    parts.find_map(|part| {
        let equals = part.iter().position(|byte| *byte == b'=')?;
        if !trim(part.get(..equals)?).eq_ignore_ascii_case(name) {
            return None;
        }
        let value = trim(part.get(equals + 1..)?);
        match value.strip_prefix(b"\"") {
            Some(inner) => inner.split(|byte| *byte == b'"').next(),
            None => Some(value),
        }
    })
}

fn find(data: &[u8], pattern: &[u8]) -> Option<usize> {
    let first = *pattern.first()?;
    let mut from = 0;
    loop {
        let rest = data.get(from..)?;
        from += rest.iter().position(|byte| *byte == first)?;
        if data.get(from..)?.starts_with(pattern) {
            return Some(from);
        }
        from += 1;
    }
}

impl Multipart {
    /// A form by its `Content-Type`, if it is one.
    pub(in crate::protocol) fn of(content_type: &[u8]) -> Option<Self> {
        let kind = content_type.split(|byte| *byte == b';').next()?;
        if !trim(kind).eq_ignore_ascii_case(b"multipart/form-data") {
            return None;
        }
        let boundary = parameter(content_type, b"boundary")?;
        if boundary.is_empty() || boundary.len() > BOUNDARY {
            return None;
        }
        Some(Self {
            delimiter: [b"\r\n--", boundary].concat(),
            // The first delimiter needs no line before it.
            held: b"\r\n".to_vec(),
            state: State::Content { file: false },
        })
    }

    /// Takes what comes next of the body.
    pub(in crate::protocol) fn feed(&mut self, data: &[u8], transaction: &mut Transaction) {
        if self.state == State::Over {
            return;
        }
        self.held.extend_from_slice(data);
        while self.step(transaction) {}
    }

    /// Goes on by one state; whether it could.
    fn step(&mut self, transaction: &mut Transaction) -> bool {
        match self.state {
            State::Over => {
                self.held = Vec::new();
                false
            }
            State::Content { file } => {
                let found = find(&self.held, &self.delimiter);
                // The beginning of a delimiter may be at the end.
                let until = found
                    .unwrap_or_else(|| (self.held.len() + 1).saturating_sub(self.delimiter.len()));
                if file {
                    let content = self.held.get(..until).unwrap_or_default();
                    transaction.file_data(Direction::ToServer, content);
                }
                self.drop(until);
                if found.is_some() {
                    if file {
                        transaction.file_close(Direction::ToServer);
                    }
                    self.drop(self.delimiter.len());
                    self.state = State::Delimiter;
                }
                found.is_some()
            }
            State::Delimiter => {
                let Some(next) = self.held.get(..2) else {
                    return false;
                };
                self.state = if next == b"--" {
                    State::Over
                } else {
                    State::Head
                };
                true
            }
            State::Head => self.head(transaction),
        }
    }

    fn head(&mut self, transaction: &mut Transaction) -> bool {
        let Some(end) = find(&self.held, b"\r\n\r\n") else {
            if self.held.len() > PART_HEAD {
                self.state = State::Over;
            }
            return self.state == State::Over;
        };
        let head = self.held.get(..end).unwrap_or_default();
        let name = head.split(|byte| *byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            trim(name)
                .eq_ignore_ascii_case(b"content-disposition")
                .then(|| parameter(value, b"filename"))?
        });
        let file = name.is_some();
        if file {
            transaction.file_open(Direction::ToServer, name);
        }
        self.drop(end + 4);
        self.state = State::Content { file };
        true
    }

    /// The body is over.
    pub(in crate::protocol) fn finish(&mut self, transaction: &mut Transaction) {
        if self.state == (State::Content { file: true }) {
            let rest = core::mem::take(&mut self.held);
            transaction.file_data(Direction::ToServer, &rest);
            transaction.file_close(Direction::ToServer);
        }
        self.state = State::Over;
    }

    fn drop(&mut self, length: usize) {
        self.held.drain(..length.min(self.held.len()));
    }

    pub(in crate::protocol) fn footprint(&self) -> usize {
        self.held.capacity() + self.delimiter.capacity()
    }
}
