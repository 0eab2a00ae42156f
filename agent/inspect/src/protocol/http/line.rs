//! First lines: of requests (RFC 9112, 3) and of responses (RFC 9112, 4).

use super::{
    event,
    head::{is_space, is_token, trim},
    uri::{Target, is_double_encoded},
};
use crate::{
    flow::Direction::{ToClient, ToServer},
    protocol::{AppProtocol, Buffer, Transaction},
};

/// What a client offers in `Upgrade` (RFC 9110, 7.8).
pub(super) fn upgrade(value: &[u8]) -> Option<AppProtocol> {
    value.split(|byte| *byte == b',').find_map(|name| {
        match trim(name).to_ascii_lowercase().as_slice() {
            b"websocket" => Some(AppProtocol::Websocket),
            b"h2c" => Some(AppProtocol::Http2),
            _ => None,
        }
    })
}

/// Whether text begins with the name of the protocol.
pub(super) fn starts_protocol(text: &[u8]) -> bool {
    text.get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"HTTP/"))
}

/// A request line in its parts.
pub(super) struct Parts<'a> {
    pub(super) method: &'a [u8],
    pub(super) uri: &'a [u8],
    pub(super) protocol: &'a [u8],
    /// Between method and target.
    pub(super) gap: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn of(line: &'a [u8]) -> Self {
        let end = line
            .iter()
            .position(|byte| is_space(*byte))
            .unwrap_or(line.len());
        let (method, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
        let target = trim(rest);
        let gap = rest
            .get(..rest.iter().take_while(|byte| is_space(**byte)).count())
            .unwrap_or_default();
        // Targets with spaces in them exist: the protocol is what comes last, if it looks like one.
        let last = target.iter().rposition(|byte| is_space(*byte));
        let (uri, protocol) = match last.and_then(|at| target.split_at_checked(at + 1)) {
            Some((uri, protocol)) if starts_protocol(protocol) => (trim(uri), protocol),
            _ => (target, &[][..]),
        };
        Self {
            method,
            uri,
            protocol,
            gap,
        }
    }

    /// Pushes what rules see of the line.
    pub(super) fn push(&self, transaction: &mut Transaction, line: &[u8]) {
        let target = Target::of(self.uri, self.method == b"CONNECT");
        let normalised = if self.method == b"CONNECT" {
            self.uri.to_vec()
        } else {
            target.normalised()
        };
        transaction.push(ToServer, Buffer::HttpRequestLine, line);
        transaction.push(ToServer, Buffer::HttpMethod, self.method);
        transaction.push(ToServer, Buffer::HttpUri, &normalised);
        transaction.push(ToServer, Buffer::HttpRawUri, self.uri);
        if !self.protocol.is_empty() {
            transaction.push(ToServer, Buffer::HttpProtocol, self.protocol);
        }
        if !is_token(self.method) {
            transaction.event(ToServer, event::REQUEST_LINE_INVALID);
        }
        if !matches!(self.gap, b" " | b"") {
            transaction.event(ToServer, event::METHOD_DELIMITER);
        }
        if self.uri.iter().any(|byte| is_space(*byte)) {
            transaction.event(ToServer, event::URI_DELIMITER);
        }
        if is_double_encoded(self.uri) {
            transaction.event(ToServer, event::DOUBLE_ENCODED);
        }
    }
}

/// A status line in its parts.
pub(super) struct StatusLine<'a> {
    pub(super) protocol: &'a [u8],
    pub(super) code: &'a [u8],
    pub(super) message: &'a [u8],
}

impl<'a> StatusLine<'a> {
    pub(super) fn of(line: &'a [u8]) -> Self {
        let word = |text: &'a [u8]| {
            let text = trim(text);
            let end = text
                .iter()
                .position(|byte| is_space(*byte))
                .unwrap_or(text.len());
            text.split_at_checked(end).unwrap_or((text, &[]))
        };
        let (protocol, rest) = word(line);
        let (code, message) = word(rest);
        Self {
            protocol,
            code,
            message: trim(message),
        }
    }

    pub(super) fn number(&self) -> Option<u32> {
        core::str::from_utf8(self.code).ok()?.parse().ok()
    }

    pub(super) fn push(&self, transaction: &mut Transaction, line: &[u8]) {
        transaction.push(ToClient, Buffer::HttpResponseLine, line);
        transaction.push(ToClient, Buffer::HttpProtocol, self.protocol);
        if !self.code.is_empty() {
            transaction.push(ToClient, Buffer::HttpStatCode, self.code);
        }
        if !self.message.is_empty() {
            transaction.push(ToClient, Buffer::HttpStatMsg, self.message);
        }
    }
}
