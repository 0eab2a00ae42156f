//! DNS in HTTP (RFC 8484).

use crate::{
    flow::Direction,
    protocol::{
        Transaction, dns,
        http::{head::trim, uri::Target},
    },
};

use super::event;

/// What DNS can be long.
const LONGEST: usize = 0xffff;

/// Whether a `Content-Type` is of DNS messages.
pub(super) fn is_dns(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next();
    kind.is_some_and(|kind| trim(kind).eq_ignore_ascii_case(b"application/dns-message"))
}

/// The message in the target of a `GET` (RFC 8484, 4.1).
pub(super) fn in_target(path: &[u8]) -> Option<Vec<u8>> {
    let target = Target::of(path, false);
    if !target.path.ends_with(b"/dns-query") {
        return None;
    }
    let query = target.query.strip_prefix(b"?")?;
    let mut parameters = query.split(|byte| *byte == b'&');
    base64url(parameters.find_map(|parameter| parameter.strip_prefix(b"dns="))?)
}

/// Base64 of URLs (RFC 4648, 5), with padding or without.
pub(super) fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let end = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |at| at + 1);
    let text = text.get(..end)?;
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'-' | b'+' => 62,
                b'_' | b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        // A group that is not whole ends early.
        bits <<= 6 * (4 - group.len().min(4));
        let [_, a, b, c] = bits.to_be_bytes();
        match group.len() {
            4 => bytes.extend_from_slice(&[a, b, c]),
            3 => bytes.extend_from_slice(&[a, b]),
            2 => bytes.push(a),
            _ => return None,
        }
    }
    Some(bytes)
}

/// A message on its way.
#[derive(Debug, Default)]
pub(super) struct Message {
    data: Vec<u8>,
    long: bool,
}

impl Message {
    /// Takes what comes next of it.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        direction: Direction,
        transaction: &mut Transaction,
    ) {
        if self.long {
            return;
        }
        if self.data.len() + bytes.len() > LONGEST {
            self.long = true;
            self.data = Vec::new();
            let event = match direction {
                Direction::ToServer => event::DNS_REQUEST_TOO_LONG,
                Direction::ToClient => event::DNS_RESPONSE_TOO_LONG,
            };
            transaction.event(direction, event);
            return;
        }
        self.data.extend_from_slice(bytes);
    }

    /// It is whole.
    pub(super) fn finish(&mut self, direction: Direction, transaction: &mut Transaction) {
        let data = core::mem::take(&mut self.data);
        if !data.is_empty() {
            dns::read(&data, direction, transaction);
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.data.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_urls_is_read_with_and_without_padding() {
        assert_eq!(base64url(b"_-8").as_deref(), Some(&[0xff, 0xef][..]));
        assert_eq!(base64url(b"YWJjZA==").as_deref(), Some(&b"abcd"[..]));
        assert_eq!(base64url(b"YWJj").as_deref(), Some(&b"abc"[..]));
        assert_eq!(base64url(b"").as_deref(), Some(&b""[..]));
        assert_eq!(base64url(b"A"), None);
        assert_eq!(base64url(b"A?=="), None);
    }

    #[test]
    fn only_targets_of_dns_have_messages() {
        assert_eq!(
            in_target(b"/dns-query?a=b&dns=YWJj").as_deref(),
            Some(&b"abc"[..])
        );
        assert_eq!(in_target(b"/?dns=YWJj"), None);
        assert_eq!(in_target(b"/dns-query"), None);
    }
}
