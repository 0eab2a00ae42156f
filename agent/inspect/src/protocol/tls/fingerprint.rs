//! What tells one client or server from another: JA3, JA3S and JA4.

use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::hello::{
    ALPN, GROUPS, Hello, POINT_FORMATS, SERVER_NAME, SIGNATURE_ALGORITHMS, Transport, is_grease,
};
use crate::protocol::read::{Reader, hex, numbers16};

/// Version, ciphers, extensions, groups and point formats.
pub(crate) fn ja3(hello: &Hello<'_>) -> String {
    let mut groups = Reader::big(hello.extension(GROUPS).unwrap_or_default());
    let mut formats = Reader::big(hello.extension(POINT_FORMATS).unwrap_or_default());
    let groups = numbers16(groups.sized16().unwrap_or_default());
    let formats = formats.sized8().unwrap_or_default();
    format!(
        "{},{},{},{},{}",
        hello.version,
        dashed(hello.ciphers.iter().copied()),
        dashed(hello.extensions.iter().map(|(kind, _)| *kind)),
        dashed(groups),
        dashed(formats.iter().map(|format| u16::from(*format))),
    )
}

/// Version, cipher and extensions.
pub(crate) fn ja3s(hello: &Hello<'_>) -> String {
    format!(
        "{},{},{}",
        hello.version,
        dashed(hello.ciphers.iter().copied()),
        dashed(hello.extensions.iter().map(|(kind, _)| *kind)),
    )
}

fn dashed(numbers: impl Iterator<Item = u16>) -> String {
    joined(
        numbers.filter(|number| !is_grease(*number)),
        '-',
        |number| number.to_string(),
    )
}

fn joined(
    numbers: impl Iterator<Item = u16>,
    separator: char,
    text: impl Fn(u16) -> String,
) -> String {
    let mut all = String::new();
    for number in numbers {
        if !all.is_empty() {
            all.push(separator);
        }
        all.push_str(&text(number));
    }
    all
}

/// JA4 as its specification has it: three parts, the last two of which do not depend on the order
/// that clients shuffle.
pub(crate) fn ja4(hello: &Hello<'_>, transport: Transport) -> String {
    let mut ciphers: Vec<u16> = meant(hello.ciphers.iter().copied()).collect();
    let kinds: Vec<u16> = meant(hello.extensions.iter().map(|(kind, _)| *kind)).collect();
    // Drafts have numbers above, and are no versions that the specification has letters for.
    let version = hello
        .versions()
        .filter(|version| *version <= 0x0304)
        .max()
        .unwrap_or(hello.version);
    let mut text = format!(
        "{}{}{}{:02}{:02}{}",
        match transport {
            Transport::Tcp => 't',
            Transport::Quic => 'q',
        },
        match version {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        },
        if kinds.contains(&SERVER_NAME) {
            'd'
        } else {
            'i'
        },
        ciphers.len().min(99),
        kinds.len().min(99),
        ends(hello.protocols().first().copied().unwrap_or_default()),
    );
    ciphers.sort_unstable();
    let mut sorted: Vec<u16> = kinds
        .iter()
        .copied()
        .filter(|kind| *kind != SERVER_NAME && *kind != ALPN)
        .collect();
    sorted.sort_unstable();
    let mut extensions = hexed(sorted.into_iter());
    let mut outer = Reader::big(hello.extension(SIGNATURE_ALGORITHMS).unwrap_or_default());
    let algorithms = hexed(meant(numbers16(outer.sized16().unwrap_or_default())));
    if !algorithms.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(extensions, "_{algorithms}");
    }
    let _ = write!(
        text,
        "_{}_{}",
        truncated_hash(&hexed(ciphers.into_iter())),
        truncated_hash(&extensions)
    );
    text
}

fn meant(numbers: impl Iterator<Item = u16>) -> impl Iterator<Item = u16> {
    numbers.filter(|number| !is_grease(*number))
}

fn hexed(numbers: impl Iterator<Item = u16>) -> String {
    joined(numbers, ',', |number| format!("{number:04x}"))
}

fn truncated_hash(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    hex(digest.get(..6).unwrap_or_default())
}

/// First and last character of a protocol, or of its hexadecimal form if it has others than
/// letters and digits there.
fn ends(protocol: &[u8]) -> String {
    let (Some(first), Some(last)) = (protocol.first(), protocol.last()) else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)].iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 0xf)
}
