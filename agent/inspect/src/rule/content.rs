//! `content`: a pattern and where it has to be.

use super::{diagnostic::Fault, source::Span, test::Value};
use crate::rarity::rarest;

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 8_192;

/// A pattern with its modifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The bytes; in lower case with `nocase`.
    pub pattern: Vec<u8>,
    /// The pattern must not be there. On a stream that is: not in what has arrived when everything
    /// else matches.
    pub negated: bool,
    /// ASCII case does not matter.
    pub nocase: bool,
    /// First position from the start of the data.
    pub offset: Option<Value>,
    /// Bytes from `offset` on in which the whole pattern lies.
    pub depth: Option<Value>,
    /// First position relative to the end of the previous match.
    pub distance: Option<Value>,
    /// Bytes from there on in which the whole pattern lies.
    pub within: Option<Value>,
    /// The pattern ends the data: the packet, or what has arrived of the stream.
    pub endswith: bool,
    /// `startswith`, or its equal in offset and depth.
    pub startswith: bool,
    /// The author wants this one to be searched first.
    pub fast_pattern: bool,
    /// The part of it that is searched first: offset and length.
    pub chop: Option<(u16, u16)>,
    /// Where the byte is that the search looks for first.
    pub(super) rarest: usize,
}

impl Content {
    /// These bytes anywhere.
    pub(super) fn new(pattern: Vec<u8>) -> Self {
        Self {
            rarest: rarest(&pattern),
            pattern,
            ..Self::default()
        }
    }

    /// Whether it counts from the previous match.
    #[must_use]
    pub const fn is_relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }

    /// The byte of the pattern that is found least often, and where it is in it.
    pub(crate) fn rarest(&self) -> Option<(usize, u8)> {
        Some((self.rarest, *self.pattern.get(self.rarest)?))
    }
}

/// Parses `"…"` or `!"…"` with `|hex|` and backslash escapes.
pub(super) fn parse(value: Span<'_>) -> Result<Content, Fault> {
    let (negated, quoted) = match value.text.strip_prefix('!') {
        Some(_) => (true, value.slice(1, value.text.len()).trim()),
        None => (false, value),
    };
    let inside = quoted
        .text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .ok_or_else(|| Fault::new(quoted.at, "a content is written in double quotes"))?;
    let pattern = bytes(Span::new(inside, quoted.at + 1))?;
    if pattern.is_empty() {
        return Err(Fault::new(quoted.at, "empty content"));
    }
    if pattern.len() > MAX_PATTERN {
        return Err(Fault::new(
            quoted.at,
            format!("content longer than {MAX_PATTERN} bytes"),
        ));
    }
    Ok(Content {
        negated,
        ..Content::new(pattern)
    })
}

/// Decodes hex between bars and backslash escapes.
fn bytes(span: Span<'_>) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut hex: Option<(usize, Option<u8>)> = None;
    let mut escaped = false;
    for (position, byte) in span.text.bytes().enumerate() {
        let at = span.at + position;
        match (&mut hex, byte) {
            _ if escaped => {
                if !matches!(byte, b'"' | b';' | b'\\' | b':' | b'|') {
                    return Err(Fault::new(at, "unknown escape in a content")
                        .hint("\\\" \\; \\\\ \\: or a |hex| byte"));
                }
                bytes.push(byte);
                escaped = false;
            }
            (None, b'\\') => escaped = true,
            (None, b'|') => hex = Some((at, None)),
            (None, b'"') => return Err(Fault::new(at, "unescaped quote in a content").hint("\\\"")),
            (None, byte) => bytes.push(byte),
            (Some((_, None)), b'|') => hex = None,
            (Some((_, Some(_))), b'|') => {
                return Err(Fault::new(at, "half a byte of hex in a content"));
            }
            (Some(_), b' ') => {}
            (Some((_, half)), byte) => {
                let digit = char::from(byte)
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
                    .ok_or_else(|| Fault::new(at, "no hex digit between `|` and `|`"))?;
                match half.take() {
                    None => *half = Some(digit),
                    Some(high) => bytes.push(high << 4 | digit),
                }
            }
        }
    }
    match hex {
        Some((at, _)) => Err(Fault::new(at, "`|` without its closing `|` in a content")),
        None if escaped => Err(Fault::new(span.at, "a content ends in a backslash")),
        None => Ok(bytes),
    }
}
