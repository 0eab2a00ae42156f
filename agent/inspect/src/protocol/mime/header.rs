//! Header fields and their parameters (RFC 5322, RFC 2045, RFC 2231).

use super::super::Buffer;
use super::super::line::{split_once, strip_prefix_ignore_case, trim};

/// Fields of a mail that rules look into.
const FIELDS: &[(&[u8], Buffer)] = &[
    (b"From", Buffer::EmailFrom),
    (b"To", Buffer::EmailTo),
    (b"Cc", Buffer::EmailCc),
    (b"Subject", Buffer::EmailSubject),
    (b"Date", Buffer::EmailDate),
    (b"Message-ID", Buffer::EmailMessageId),
    (b"X-Mailer", Buffer::EmailXMailer),
    (b"Received", Buffer::EmailReceived),
];

/// The buffer of a field.
pub(super) fn buffer(name: &[u8]) -> Option<Buffer> {
    let field = FIELDS
        .iter()
        .find(|(field, _)| name.eq_ignore_ascii_case(field));
    field.map(|(_, buffer)| *buffer)
}

/// The value before the parameters.
pub(super) fn value(field: &[u8]) -> &[u8] {
    trim(split_once(field, b';').map_or(field, |(value, _)| value))
}

/// A parameter, with the parts it is continued in (RFC 2231, section 3) put together.
pub(super) fn parameter(field: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Option<Vec<u8>> = None;
    let mut rest = split_once(field, b';')?.1;
    while !rest.is_empty() {
        let (key, value, after) = next(rest);
        rest = after;
        let Some(suffix) = strip_prefix_ignore_case(key, name) else {
            continue;
        };
        match suffix {
            [] => return Some(value),
            [b'*'] => return Some(extended(&value)),
            [b'*', digits @ ..] => {
                let encoded = digits.strip_suffix(b"*");
                if encoded.unwrap_or(digits).iter().all(u8::is_ascii_digit) {
                    let first = parts.is_none();
                    let parts = parts.get_or_insert_default();
                    match encoded {
                        Some(_) if first => parts.extend(extended(&value)),
                        Some(_) => parts.extend(percent(&value)),
                        None => parts.extend_from_slice(&value),
                    }
                }
            }
            _ => {}
        }
    }
    parts
}

/// The first `key=value` and what follows its semicolon.
fn next(text: &[u8]) -> (&[u8], Vec<u8>, &[u8]) {
    let key_end = text
        .iter()
        .position(|byte| matches!(byte, b'=' | b';'))
        .unwrap_or(text.len());
    let (key, rest) = text.split_at_checked(key_end).unwrap_or((text, &[]));
    let rest = match rest {
        [b'=', rest @ ..] => rest.trim_ascii_start(),
        [_, rest @ ..] => return (trim(key), Vec::new(), rest),
        [] => return (trim(key), Vec::new(), &[]),
    };
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let (value, after) = split_once(rest, b';').unwrap_or((rest, &[]));
        return (trim(key), trim(value).to_vec(), after);
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => value.extend(bytes.next()),
            other => value.push(*other),
        }
    }
    let after = split_once(bytes.as_slice(), b';').map_or(&[][..], |(_, after)| after);
    (trim(key), value, after)
}

/// `charset'language'value` (RFC 2231, section 4).
fn extended(value: &[u8]) -> Vec<u8> {
    let text = split_once(value, b'\'')
        .and_then(|(_, rest)| split_once(rest, b'\''))
        .map_or(value, |(_, text)| text);
    percent(text)
}

fn percent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|code| {
            let code = core::str::from_utf8(code).ok()?;
            u8::from_str_radix(code, 16).ok()
        });
        out.push(code.unwrap_or(*first));
        rest = match code {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_all_their_forms() {
        let of = |field: &str| parameter(field.as_bytes(), b"name");
        assert_eq!(of("text/plain; name=a.txt; x=y"), Some(b"a.txt".to_vec()));
        assert_eq!(
            of("a; x=\"; name=b\"; NAME=\"c\\\"d;e\""),
            Some(b"c\"d;e".to_vec())
        );
        assert_eq!(of("a; name*=utf-8'en'b%20c"), Some(b"b c".to_vec()));
        assert_eq!(of("a; name*0=b; name*1*=%43"), Some(b"bC".to_vec()));
        assert_eq!(of("a; filename=b"), None);
        assert_eq!(value(b" text/plain ; a=b"), b"text/plain");
    }
}
