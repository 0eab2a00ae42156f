//! What rules want of certificates (RFC 5280).

use core::fmt::Write as _;
use core::net::{Ipv4Addr, Ipv6Addr};

use sha1::{Digest as _, Sha1};

use super::der::{
    BOOLEAN, Elements, INTEGER, Malformed, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, dotted,
};
use super::time;
use crate::flow::Direction;
use crate::protocol::read::Reader;
use crate::protocol::{Buffer, Field, Transaction};

/// `2.5.29.17`
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// Parts of one name, and names of one certificate.
const MAX_PARTS: usize = 128;
/// Certificates of one chain.
const MAX_CHAIN: usize = 64;

/// Pushes what a Certificate message tells (RFC 5246, section 7.4.2): all certificates, and the
/// fields of the first. Returns whether all of it could be read.
/// `now` is in seconds since 1970.
pub(super) fn push_chain(
    body: &[u8],
    now: u64,
    direction: Direction,
    transaction: &mut Transaction,
) -> bool {
    let mut outer = Reader::big(body);
    let Some(list) = outer.u24().and_then(|length| outer.take(length)) else {
        transaction.event(direction, "tls.certificate_invalid_length");
        return false;
    };
    let mut list = Reader::big(list);
    let mut count = 0;
    let mut readable = true;
    while !list.is_empty() && count < MAX_CHAIN {
        let Some(certificate) = list.u24().and_then(|length| list.take(length)) else {
            transaction.event(direction, "tls.certificate_invalid_length");
            readable = false;
            break;
        };
        transaction.push(direction, Buffer::TlsCerts, certificate);
        if count == 0 {
            readable &= push_first(certificate, now, direction, transaction);
        }
        count += 1;
    }
    transaction.number(direction, Field::TlsCertChainLength, count as u64);
    readable
}

/// Pushes the fields of one certificate, and says whether it could be read.
pub(super) fn push_first(
    certificate: &[u8],
    now: u64,
    direction: Direction,
    transaction: &mut Transaction,
) -> bool {
    let digest = Sha1::digest(certificate);
    let fingerprint = separated(&digest, Case::Lower);
    transaction.push(
        direction,
        Buffer::TlsCertFingerprint,
        fingerprint.as_bytes(),
    );
    let result = match Elements::new(certificate).expect(SEQUENCE) {
        // Of the whole certificate it is the length that is wrong.
        Err(Malformed::Truncated) => Err(Malformed::Length),
        Err(malformed) => Err(malformed),
        Ok(content) => push_fields(content, now, direction, transaction),
    };
    let events: &[&'static str] = match result {
        Ok(()) => return true,
        Err(Malformed::Missing) => &["tls.invalid_certificate", "tls.certificate_missing_element"],
        Err(Malformed::Unknown) => &["tls.invalid_certificate", "tls.certificate_unknown_element"],
        Err(Malformed::Truncated) => &["tls.invalid_certificate"],
        Err(Malformed::Length) => &["tls.certificate_invalid_length"],
    };
    for event in events {
        transaction.event(direction, event);
    }
    false
}

fn push_fields(
    content: &[u8],
    now: u64,
    direction: Direction,
    transaction: &mut Transaction,
) -> Result<(), Malformed> {
    let mut fields = Elements::new(Elements::new(content).expect(SEQUENCE)?);
    let _version = fields.optional(0xa0)?;
    let serial = separated(fields.expect(INTEGER)?, Case::Upper);
    transaction.push(direction, Buffer::TlsCertSerial, serial.as_bytes());
    let _algorithm = fields.expect(SEQUENCE)?;
    let name = |transaction: &mut Transaction, content, buffer| -> Result<(), Malformed> {
        let (text, all_valid) = distinguished_name(content)?;
        transaction.push(direction, buffer, &text);
        if !all_valid {
            transaction.event(direction, "tls.certificate_invalid_string");
        }
        Ok(())
    };
    let issuer = fields.expect(SEQUENCE)?;
    name(transaction, issuer, Buffer::TlsCertIssuer)?;
    push_validity(fields.expect(SEQUENCE)?, now, direction, transaction);
    let subject = fields.expect(SEQUENCE)?;
    name(transaction, subject, Buffer::TlsCertSubject)?;
    let _key = fields.expect(SEQUENCE)?;
    // Unique identifiers of issuer and subject.
    for tag in [0x81, 0xa1, 0x82, 0xa2] {
        let _ = fields.optional(tag)?;
    }
    let Some(extensions) = fields.optional(0xa3)? else {
        return Ok(());
    };
    let mut extensions = Elements::new(Elements::new(extensions).expect(SEQUENCE)?);
    while !extensions.is_empty() {
        let mut extension = Elements::new(extensions.expect(SEQUENCE)?);
        let identifier = extension.expect(OBJECT_IDENTIFIER)?;
        let _critical = extension.optional(BOOLEAN)?;
        let value = extension.expect(OCTET_STRING)?;
        if identifier == SUBJECT_ALT_NAME {
            push_alternatives(value, direction, transaction)?;
        }
    }
    Ok(())
}

/// When it begins and ends to be valid, and whether that is over.
fn push_validity(content: &[u8], now: u64, direction: Direction, transaction: &mut Transaction) {
    let mut times = Elements::new(content);
    let mut next = || {
        let (tag, content) = times.any().ok()?;
        time::of_der(tag, content)
    };
    let (from, until) = (next(), next());
    if let Some(from) = from {
        transaction.number(direction, Field::TlsCertNotBefore, from);
    }
    if let Some(until) = until {
        transaction.number(direction, Field::TlsCertNotAfter, until);
        transaction.number(direction, Field::TlsCertExpired, u64::from(until < now));
    }
}

fn push_alternatives(
    value: &[u8],
    direction: Direction,
    transaction: &mut Transaction,
) -> Result<(), Malformed> {
    let mut names = Elements::new(Elements::new(value).expect(SEQUENCE)?);
    for _ in 0..MAX_PARTS {
        if names.is_empty() {
            break;
        }
        let (tag, name) = names.any()?;
        match tag {
            // Mail address, host, URI.
            0x81 | 0x82 | 0x86 => transaction.push(direction, Buffer::TlsSubjectAltName, name),
            0x87 => {
                if let Some(address) = address(name) {
                    transaction.push(direction, Buffer::TlsSubjectAltName, address.as_bytes());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).to_string());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(bytes).to_string())
}

/// A name as `C=FR, O=Stamus, CN=SELKS`, in the order of the certificate, and whether all its
/// strings are valid.
fn distinguished_name(content: &[u8]) -> Result<(Vec<u8>, bool), Malformed> {
    let mut text = Vec::new();
    let mut all_valid = true;
    let mut parts = 0;
    let mut sets = Elements::new(content);
    while !sets.is_empty() {
        let mut set = Elements::new(sets.expect(SET)?);
        let mut separator: &[u8] = b", ";
        while !set.is_empty() {
            parts += 1;
            if parts > MAX_PARTS {
                return Ok((text, all_valid));
            }
            let mut attribute = Elements::new(set.expect(SEQUENCE)?);
            let identifier = attribute.expect(OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.any()?;
            if !text.is_empty() {
                text.extend_from_slice(separator);
            }
            separator = b" + ";
            match attribute_name(identifier) {
                Some(name) => text.extend_from_slice(name.as_bytes()),
                None => text.extend_from_slice(dotted(identifier).as_bytes()),
            }
            text.push(b'=');
            all_valid &= append_string(&mut text, tag, value);
        }
    }
    Ok((text, all_valid))
}

/// Appends a string in UTF-8, and says whether it was valid.
fn append_string(text: &mut Vec<u8>, tag: u8, value: &[u8]) -> bool {
    match tag {
        // UTF8String: as it is, since what is wrong in it is worth a rule too.
        0x0c => {
            text.extend_from_slice(value);
            core::str::from_utf8(value).is_ok()
        }
        // NumericString, PrintableString, T61String, IA5String, VisibleString, GeneralString.
        0x12..=0x14 | 0x16 | 0x1a | 0x1b => {
            text.extend_from_slice(value);
            true
        }
        // UniversalString.
        0x1c => {
            let (codes, odd) = value.as_chunks::<4>();
            let decoded: Option<String> = codes
                .iter()
                .map(|code| char::from_u32(u32::from_be_bytes(*code)))
                .collect();
            text.extend_from_slice(decoded.as_deref().unwrap_or_default().as_bytes());
            decoded.is_some() && odd.is_empty()
        }
        // BMPString.
        0x1e => {
            let (pairs, odd) = value.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            text.extend_from_slice(String::from_utf16_lossy(&units).as_bytes());
            odd.is_empty()
        }
        _ => {
            text.push(b'#');
            text.extend_from_slice(crate::protocol::read::hex(value).as_bytes());
            false
        }
    }
}

fn attribute_name(identifier: &[u8]) -> Option<&'static str> {
    Some(match identifier {
        [0x55, 0x04, kind] => match kind {
            3 => "CN",
            4 => "surname",
            5 => "serialNumber",
            6 => "C",
            7 => "L",
            8 => "ST",
            9 => "streetAddress",
            10 => "O",
            11 => "OU",
            12 => "title",
            13 => "description",
            15 => "businessCategory",
            17 => "postalCode",
            41 => "name",
            42 => "givenName",
            43 => "initials",
            44 => "generationQualifier",
            46 => "dnQualifier",
            65 => "pseudonym",
            97 => "organizationIdentifier",
            _ => return None,
        },
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01" => "Email",
        b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19" => "DC",
        b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01" => "UID",
        _ => return None,
    })
}

fn separated(bytes: &[u8], case: Case) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        if !text.is_empty() {
            text.push(':');
        }
        // Writing to a string cannot fail.
        let _ = match case {
            Case::Lower => write!(text, "{byte:02x}"),
            Case::Upper => write!(text, "{byte:02X}"),
        };
    }
    text
}

#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
}
