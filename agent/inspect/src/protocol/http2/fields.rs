//! What rules see of header fields: the same as of HTTP/1.

use super::{
    event,
    hpack::{Block, Field},
};
use crate::{
    flow::Direction::{self, ToClient, ToServer},
    protocol::{
        Buffer, Transaction,
        http::{
            head::named,
            range::is_range,
            uri::{Host, Target},
        },
    },
};

/// The value of a field, by its name in lower case. Fields of one name are joined.
pub(super) fn get(block: &Block, name: &[u8]) -> Option<Vec<u8>> {
    // A cookie may come in pieces (RFC 9113, 8.2.3).
    let glue: &[u8] = if name == b"cookie" { b"; " } else { b", " };
    let mut values = block
        .fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value.as_slice());
    let mut joined = values.next()?.to_vec();
    for value in values {
        joined.extend_from_slice(glue);
        joined.extend_from_slice(value);
    }
    Some(joined)
}

/// Pushes all but what only a head has.
pub(super) fn push(direction: Direction, block: &Block, transaction: &mut Transaction) {
    let mut lines = Vec::new();
    let mut raw = Vec::new();
    let mut names = b"\r\n".to_vec();
    for Field { name, value } in &block.fields {
        let line = [name.as_slice(), b": ", value, b"\r\n"].concat();
        names.extend_from_slice(name);
        names.extend_from_slice(b"\r\n");
        raw.extend_from_slice(&line);
        // Cookies have a buffer of their own and are left out of this one.
        if named(direction, name) != Some(Buffer::HttpCookie) {
            lines.extend_from_slice(&line);
        }
    }
    if !block.fields.is_empty() {
        names.extend_from_slice(b"\r\n");
        transaction.push(direction, Buffer::HttpHeaderNames, &names);
        transaction.push(direction, Buffer::HttpHeader, &lines);
        transaction.push(direction, Buffer::HttpRawHeader, &raw);
    }
    let buffer = match direction {
        ToServer => Buffer::HttpRequestHeader,
        ToClient => Buffer::HttpResponseHeader,
    };
    for Field { name, value } in &block.fields {
        transaction.push(direction, Buffer::Http2HeaderName, name);
        let field = [name.as_slice(), b": ", value].concat();
        transaction.push(direction, buffer, &field);
    }
    for (raised, event) in [
        (block.invalid || block.cut, event::HEADER),
        (block.overflow, event::INTEGER_OVERFLOW),
        (block.extra, event::EXTRA_HEADER_DATA),
    ] {
        if raised {
            transaction.event(direction, event);
        }
    }
}

/// Pushes the fields that have buffers of their own, each once.
fn push_named(direction: Direction, block: &Block, transaction: &mut Transaction) {
    let mut pushed: Vec<Buffer> = Vec::new();
    for field in &block.fields {
        if let Some(buffer) = named(direction, &field.name)
            && !pushed.contains(&buffer)
            && let Some(value) = get(block, &field.name.to_ascii_lowercase())
        {
            pushed.push(buffer);
            transaction.push(direction, buffer, &value);
        }
    }
}

/// Pushes what a request begins with.
pub(super) fn push_request(block: &Block, transaction: &mut Transaction) {
    let method = get(block, b":method");
    let path = get(block, b":path");
    if let Some(method) = &method {
        transaction.push(ToServer, Buffer::HttpMethod, method);
    }
    if let Some(path) = &path {
        let normalised = Target::of(path, false).normalised();
        transaction.push(ToServer, Buffer::HttpUri, &normalised);
        transaction.push(ToServer, Buffer::HttpRawUri, path);
    }
    transaction.push(ToServer, Buffer::HttpProtocol, b"HTTP/2");
    if let (Some(method), Some(path)) = (&method, &path) {
        let line = [method.as_slice(), b" ", path, b" HTTP/2\r\n"].concat();
        transaction.push(ToServer, Buffer::HttpRequestLine, &line);
    }
    let authority = get(block, b":authority");
    let host = get(block, b"host");
    if authority.as_ref().is_some_and(|it| it.contains(&b'@')) {
        transaction.event(ToServer, event::USERINFO_IN_URI);
    }
    if let (Some(authority), Some(host)) = (&authority, &host)
        && !authority.eq_ignore_ascii_case(host)
    {
        transaction.event(ToServer, event::AUTHORITY_HOST_MISMATCH);
    }
    if let Some(raw) = authority.or(host) {
        transaction.push(ToServer, Buffer::HttpHost, &Host::of(&raw).name);
        transaction.push(ToServer, Buffer::HttpRawHost, &raw);
    }
    push_named(ToServer, block, transaction);
}

/// Pushes what a response begins with.
pub(super) fn push_response(block: &Block, transaction: &mut Transaction) {
    transaction.push(ToClient, Buffer::HttpProtocol, b"HTTP/2");
    if let Some(status) = get(block, b":status") {
        transaction.push(ToClient, Buffer::HttpStatCode, &status);
        let line = [b"HTTP/2 ", status.as_slice(), b"\r\n"].concat();
        transaction.push(ToClient, Buffer::HttpResponseLine, &line);
    }
    if get(block, b"content-range").is_some_and(|range| !is_range(&range)) {
        transaction.event(ToClient, event::RANGE);
    }
    push_named(ToClient, block, transaction);
}
