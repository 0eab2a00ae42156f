//! One SIP message: first line, header fields and what the body is.

use super::super::line::{split_once, strip_prefix_ignore_case, trim};
use super::super::{Buffer, Transaction, Transactions};
use super::{INVALID, length, sdp};
use crate::flow::Direction;

/// Header fields that rules look into, with their compact form (RFC 3261, 7.3.3).
const HEADERS: &[(&[u8], &[u8], Buffer)] = &[
    (b"From", b"f", Buffer::SipFrom),
    (b"To", b"t", Buffer::SipTo),
    (b"Via", b"v", Buffer::SipVia),
    (b"User-Agent", b"User-Agent", Buffer::SipUserAgent),
    (b"Content-Type", b"c", Buffer::SipContentType),
    (b"Content-Length", b"l", Buffer::SipContentLength),
];

/// The length of the body that a head announces.
pub(super) fn content_length(head: &[u8]) -> Option<u64> {
    fields(head).find_map(|(name, value)| {
        (buffer(name) == Some(Buffer::SipContentLength))
            .then(|| length(&value))
            .flatten()
    })
}

fn buffer(name: &[u8]) -> Option<Buffer> {
    HEADERS
        .iter()
        .find(|(long, short, _)| {
            name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
        })
        .map(|(_, _, buffer)| *buffer)
}

/// Frames of a message by its first word: line, headers, body.
const FRAMES: [[Buffer; 3]; 2] = [
    [
        Buffer::FrameSipRequestLine,
        Buffer::FrameSipRequestHeaders,
        Buffer::FrameSipRequestBody,
    ],
    [
        Buffer::FrameSipResponseLine,
        Buffer::FrameSipResponseHeaders,
        Buffer::FrameSipResponseBody,
    ],
];

/// Hands out the frames of a message, of whose body more may follow.
pub(super) fn frames(
    direction: Direction,
    head: &[u8],
    body: &[u8],
    whole: bool,
    out: &mut Transactions,
) {
    let [requests, responses] = FRAMES;
    let is_response = strip_prefix_ignore_case(head, b"SIP/").is_some();
    let [line, headers, content] = if is_response { responses } else { requests };
    if !out
        .frames
        .wants(&[Buffer::FrameSipPdu, line, headers, content])
    {
        return;
    }
    let end = head.iter().position(|byte| *byte == b'\n');
    let end = end.map_or(head.len(), |at| at + 1);
    let (first, fields) = head.split_at_checked(end).unwrap_or((head, &[]));
    // The empty line belongs to neither the headers nor the body.
    let fields = fields.strip_suffix(b"\n").unwrap_or(fields);
    let fields = fields.strip_suffix(b"\r").unwrap_or(fields);
    out.frames.push(direction, line, first);
    out.frames.push(direction, headers, fields);
    out.frames.append(direction, Buffer::FrameSipPdu, head);
    if !body.is_empty() {
        out.frames.append(direction, content, body);
    }
    out.frames.append(direction, Buffer::FrameSipPdu, body);
    if whole {
        close(direction, out);
    }
}

/// More of a body that is longer than what is held.
pub(super) fn more(direction: Direction, body: &[u8], end: bool, out: &mut Transactions) {
    let grows = [
        Buffer::FrameSipPdu,
        Buffer::FrameSipRequestBody,
        Buffer::FrameSipResponseBody,
    ];
    for frame in grows {
        out.frames.more(direction, frame, body);
    }
    if end {
        close(direction, out);
    }
}

fn close(direction: Direction, out: &mut Transactions) {
    for [_, _, body] in FRAMES {
        out.frames.close(direction, body);
    }
    out.frames.close(direction, Buffer::FrameSipPdu);
}

/// Pushes what a message is made of.
pub(super) fn push(direction: Direction, head: &[u8], body: &[u8], out: &mut Transaction) {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    let known = if strip_prefix_ignore_case(first, b"SIP/").is_some() {
        response(direction, first, out)
    } else {
        request(direction, first, out)
    };
    if known.is_none() {
        out.event(direction, INVALID);
        return;
    }
    let mut described = false;
    for (name, value) in fields(head) {
        if let Some(buffer) = buffer(name) {
            described |= buffer == Buffer::SipContentType && is_sdp(&value);
            out.push(direction, buffer, &value);
        }
    }
    if described {
        sdp::push(direction, body, out);
    }
}

fn is_sdp(value: &[u8]) -> bool {
    strip_prefix_ignore_case(trim(value), b"application/sdp")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b';' | b' ' | b'\t')))
}

fn request(direction: Direction, line: &[u8], out: &mut Transaction) -> Option<()> {
    let (method, rest) = split_once(line, b' ')?;
    let (uri, protocol) = split_once(trim(rest), b' ')?;
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
    if method.is_empty() || !method.iter().all(token) {
        return None;
    }
    strip_prefix_ignore_case(protocol, b"SIP/")?;
    out.push(direction, Buffer::SipRequestLine, line);
    out.push(direction, Buffer::SipMethod, method);
    out.push(direction, Buffer::SipUri, uri);
    out.push(direction, Buffer::SipProtocol, protocol);
    Some(())
}

fn response(direction: Direction, line: &[u8], out: &mut Transaction) -> Option<()> {
    let (protocol, rest) = split_once(line, b' ')?;
    let (code, message) = split_once(rest, b' ').unwrap_or((rest, &[]));
    if code.len() != 3 || !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    out.push(direction, Buffer::SipResponseLine, line);
    out.push(direction, Buffer::SipProtocol, protocol);
    out.push(direction, Buffer::SipStatCode, code);
    out.push(direction, Buffer::SipStatMsg, message);
    Some(())
}

/// Header fields by name and value; a value that goes on in the next lines is joined (RFC 3261, 7.3.1).
fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    let mut lines = head.split(|byte| *byte == b'\n').skip(1).peekable();
    core::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let Some((name, value)) = split_once(line, b':') else {
                continue;
            };
            let mut value = trim(value).to_vec();
            while let Some(more) = lines.next_if(|line| matches!(line.first(), Some(b' ' | b'\t')))
            {
                value.push(b' ');
                value.extend_from_slice(trim(more));
            }
            return Some((trim(name), value));
        }
    })
}
