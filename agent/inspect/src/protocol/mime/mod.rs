//! Mails: header fields, and parts that become files (RFC 5322, RFC 2046).

mod decode;
mod header;
#[cfg(test)]
mod tests;
mod url;

use md5::{Digest, Md5};

use self::decode::{Decoder, Encoding};
use self::url::Links;
use super::line::{Ending, Piece, split_once, strip_prefix_ignore_case, trim};
use super::{Buffer, Stage, Transaction};
use crate::flow::Direction;

/// Nested multiparts that are followed.
const MAX_DEPTH: usize = 16;
/// Bytes of one header field that are kept.
const MAX_FIELD: usize = 8_192;
/// RFC 5322, 2.1.1.
const LONG_LINE: usize = 998;
/// RFC 2045, 6.7 and 6.8.
const LONG_ENCODED_LINE: usize = 76;
/// The values from which Suricata raises the events.
const LONG_NAME: usize = 75;
const LONG_VALUE: usize = 2_000;
const LONG_BOUNDARY: usize = 254;
const LONG_FILE_NAME: usize = 255;

/// What a part is, as its header says.
#[derive(Debug, Default)]
struct Part {
    boundary: Option<Vec<u8>>,
    nested: bool,
    text: bool,
    encoding: Encoding,
    name: Option<Vec<u8>>,
}

/// Content of a part.
#[derive(Debug)]
struct Leaf {
    decoder: Decoder,
    encoded: bool,
    file: bool,
    links: Option<Links>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    /// Between parts: nobody's content.
    Between,
    Leaf(Box<Leaf>),
}

/// One mail, fed line by line.
#[derive(Debug)]
pub(crate) struct Mail {
    direction: Direction,
    state: State,
    /// Whether the header is that of the mail itself.
    top: bool,
    field: Vec<u8>,
    part: Part,
    boundaries: Vec<Vec<u8>>,
    line_length: usize,
    /// The line being taken is a boundary: the rest of it says nothing.
    skip_line: bool,
    md5: Option<Md5>,
    /// What ended the last line of the body: hashed only when another line follows.
    md5_ending: &'static [u8],
    scratch: Vec<u8>,
}

impl Mail {
    /// Whether its body is to be hashed.
    pub(crate) fn new(direction: Direction, hashed: bool) -> Self {
        Self {
            direction,
            state: State::default(),
            top: true,
            field: Vec::new(),
            part: Part::default(),
            boundaries: Vec::new(),
            line_length: 0,
            skip_line: false,
            md5: hashed.then(Md5::new),
            md5_ending: b"",
            scratch: Vec::new(),
        }
    }

    /// Takes the next line, or a piece of it.
    pub(crate) fn piece(&mut self, piece: &Piece<'_>, out: &mut Transaction) {
        if piece.first {
            self.line_length = 0;
            self.skip_line = false;
        }
        self.line_length += piece.bytes.len();
        if self.line_length > LONG_LINE {
            out.event(self.direction, "smtp.mime_long_line");
        }
        self.hash(piece);
        if piece.first && self.boundary(&piece.bytes, out) {
            self.skip_line = true;
        }
        if self.skip_line {
            return;
        }
        match self.state {
            State::Head => self.head(piece, out),
            State::Between => {}
            State::Leaf(_) => self.content(&piece.bytes, piece.ending.bytes(), out),
        }
    }

    /// The mail is over.
    pub(crate) fn end(&mut self, out: &mut Transaction) {
        if matches!(self.state, State::Head) {
            self.field_end(out);
        }
        self.leaf_end(out);
        if let Some(md5) = self.md5.take()
            && !self.top
        {
            let hash = super::file::hex(&md5.finalize());
            out.push(self.direction, Buffer::EmailBodyMd5, &hash);
        }
    }

    pub(crate) fn footprint(&self) -> usize {
        let leaf = match &self.state {
            State::Leaf(leaf) => {
                size_of::<Leaf>() + leaf.links.as_ref().map_or(0, Links::footprint)
            }
            _ => 0,
        };
        let boundaries: usize = self.boundaries.iter().map(Vec::capacity).sum();
        leaf + boundaries + self.field.capacity() + self.scratch.capacity()
    }

    fn hash(&mut self, piece: &Piece<'_>) {
        if self.top {
            return;
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(core::mem::take(&mut self.md5_ending));
            md5.update(&piece.bytes);
            self.md5_ending = piece.ending.bytes();
        }
    }

    /// Whether a line is a boundary, of the innermost multipart or of one around it.
    fn boundary(&mut self, line: &[u8], out: &mut Transaction) -> bool {
        let Some(text) = line.strip_prefix(b"--") else {
            return false;
        };
        let text = text.trim_ascii_end();
        let found = self
            .boundaries
            .iter()
            .enumerate()
            .rev()
            .find_map(|(at, own)| match text.strip_prefix(own.as_slice())? {
                [] => Some((at, false)),
                [b'-', b'-'] => Some((at, true)),
                _ => None,
            });
        let Some((at, last)) = found else {
            return false;
        };
        if matches!(self.state, State::Head) {
            self.field_end(out);
            if self.top {
                self.head_over(out);
            }
        }
        self.leaf_end(out);
        self.boundaries.truncate(if last { at } else { at + 1 });
        self.part = Part::default();
        self.state = if last { State::Between } else { State::Head };
        true
    }

    fn head(&mut self, piece: &Piece<'_>, out: &mut Transaction) {
        if piece.first {
            if piece.bytes.is_empty() && piece.ending != Ending::Open {
                self.field_end(out);
                self.head_end(out);
                return;
            }
            // A folded field goes on without the blanks, as Suricata puts it together.
            if !matches!(piece.bytes.first(), Some(b' ' | b'\t')) {
                self.field_end(out);
            }
        }
        let bytes = if piece.first {
            piece.bytes.trim_ascii_start()
        } else {
            &piece.bytes
        };
        let room = MAX_FIELD.saturating_sub(self.field.len());
        self.field
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn field_end(&mut self, out: &mut Transaction) {
        let field = core::mem::take(&mut self.field);
        let Some((name, value)) = split_once(&field, b':') else {
            return;
        };
        let (name, value) = (trim(name), trim(value));
        if name.len() > LONG_NAME {
            out.event(self.direction, "smtp.mime_long_header_name");
        }
        if value.len() > LONG_VALUE {
            out.event(self.direction, "smtp.mime_long_header_value");
        }
        if self.top
            && let Some(buffer) = header::buffer(name)
        {
            out.push(self.direction, buffer, value);
        }
        if name.eq_ignore_ascii_case(b"Content-Type") {
            self.content_type(value, out);
        } else if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
            self.part.encoding = Encoding::of(header::value(value));
        } else if name.eq_ignore_ascii_case(b"Content-Disposition") {
            let name = header::parameter(value, b"filename");
            self.part.name = name.or(self.part.name.take());
        }
    }

    fn content_type(&mut self, value: &[u8], out: &mut Transaction) {
        let kind = header::value(value);
        if strip_prefix_ignore_case(kind, b"multipart/").is_some() {
            self.part.boundary = header::parameter(value, b"boundary").filter(|it| !it.is_empty());
            let length = self.part.boundary.as_ref().map_or(0, Vec::len);
            if length > LONG_BOUNDARY {
                out.event(self.direction, "smtp.mime_long_boundary");
            }
        }
        self.part.nested = kind.eq_ignore_ascii_case(b"message/rfc822");
        self.part.text = strip_prefix_ignore_case(kind, b"text/").is_some();
        // What `Content-Disposition` says goes before.
        if self.part.name.is_none() {
            self.part.name = header::parameter(value, b"name");
        }
    }

    fn head_over(&mut self, out: &mut Transaction) {
        self.top = false;
        out.advance(self.direction, Stage::Headers);
    }

    fn head_end(&mut self, out: &mut Transaction) {
        let untyped = self.top && self.part.boundary.is_none();
        if self.top {
            self.head_over(out);
        }
        let part = core::mem::take(&mut self.part);
        if let Some(boundary) = part.boundary {
            if self.boundaries.len() < MAX_DEPTH {
                self.boundaries.push(boundary);
            }
            self.state = State::Between;
            return;
        }
        if part.nested && part.name.is_none() {
            self.state = State::Head;
            return;
        }
        if let Some(name) = &part.name {
            if name.len() > LONG_FILE_NAME {
                out.event(self.direction, "smtp.mime_long_filename");
            }
            let kept = name.get(..LONG_FILE_NAME).unwrap_or(name);
            out.file_open(self.direction, Some(kept));
        }
        let text = part.text || untyped && part.name.is_none();
        self.state = State::Leaf(Box::new(Leaf {
            decoder: Decoder::new(part.encoding),
            encoded: part.encoding != Encoding::Plain,
            file: part.name.is_some(),
            links: text.then(Links::default),
        }));
    }

    fn content(&mut self, bytes: &[u8], ending: &'static [u8], out: &mut Transaction) {
        let State::Leaf(leaf) = &mut self.state else {
            return;
        };
        if leaf.encoded && self.line_length > LONG_ENCODED_LINE {
            out.event(self.direction, "smtp.mime_long_enc_line");
        }
        if !leaf.file && leaf.links.is_none() {
            return;
        }
        self.scratch.clear();
        leaf.decoder.piece(bytes, ending, &mut self.scratch);
        give(leaf, &self.scratch, self.direction, out);
    }

    fn leaf_end(&mut self, out: &mut Transaction) {
        let State::Leaf(mut leaf) = core::mem::take(&mut self.state) else {
            return;
        };
        self.scratch.clear();
        leaf.decoder.end(&mut self.scratch);
        give(&mut leaf, &self.scratch, self.direction, out);
        if let Some(links) = &mut leaf.links {
            links.end(|link| out.push(self.direction, Buffer::EmailUrl, link));
        }
        if leaf.file {
            out.file_close(self.direction);
        }
        self.state = State::Between;
    }
}

/// Hands on what was decoded.
fn give(leaf: &mut Leaf, bytes: &[u8], direction: Direction, out: &mut Transaction) {
    if leaf.decoder.invalid {
        out.event(
            direction,
            match leaf.decoder.encoding() {
                Encoding::QuotedPrintable => "smtp.mime_invalid_qp",
                _ => "smtp.mime_invalid_base64",
            },
        );
    }
    if leaf.file {
        out.file_data(direction, bytes);
    }
    if let Some(links) = &mut leaf.links {
        links.text(bytes, |link| out.push(direction, Buffer::EmailUrl, link));
    }
}
