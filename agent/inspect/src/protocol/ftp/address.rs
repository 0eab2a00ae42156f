//! Addresses and ports in commands and replies.

use core::net::{IpAddr, Ipv4Addr};

use super::super::line::decimal;

type Address = (Option<IpAddr>, u16);

/// `h1,h2,h3,h4,p1,p2` (RFC 959, 5.3.2).
pub(super) fn host_port(text: &[u8]) -> Option<Address> {
    let mut bytes = [0_u8; 6];
    let mut parts = text.split(|byte| *byte == b',');
    for byte in &mut bytes {
        let part = decimal(parts.next()?.trim_ascii())?;
        *byte = u8::try_from(part).ok()?;
    }
    let [a, b, c, d, high, low] = bytes;
    let port = u16::from_be_bytes([high, low]);
    (port != 0).then_some((Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))), port))
}

/// `|1|132.235.1.2|6275|` (RFC 2428, 2); the address is left out in replies (3).
pub(super) fn extended(text: &[u8]) -> Option<Address> {
    let (delimiter, rest) = text.trim_ascii().split_first()?;
    let mut parts = rest.split(|byte| byte == delimiter);
    parts.next()?;
    let address = core::str::from_utf8(parts.next()?).ok()?;
    let port = u16::try_from(decimal(parts.next()?)?).ok()?;
    (port != 0).then_some((address.parse().ok(), port))
}

/// `227 Entering Passive Mode (h1,h2,h3,h4,p1,p2).`; the parentheses may be missing (RFC 1123, 4.1.2.6).
pub(super) fn within_parentheses(line: &[u8]) -> Option<Address> {
    let rest = line.get(4..)?;
    let start = rest.iter().position(u8::is_ascii_digit)?;
    let numbers = rest.get(start..)?;
    let end = numbers
        .iter()
        .position(|byte| !matches!(byte, b'0'..=b'9' | b',' | b' '))
        .unwrap_or(numbers.len());
    host_port(numbers.get(..end)?)
}

/// `229 Entering Extended Passive Mode (|||6446|)`.
pub(super) fn extended_reply(line: &[u8]) -> Option<Address> {
    let start = line.iter().position(|byte| *byte == b'(')?;
    extended(line.get(start + 1..)?)
}
