//! Transforms: what is done to a buffer before its tests (Suricata: transforms).

use std::{borrow::Cow, io::Read as _, sync::Arc};

use md5::Digest as _;

use super::{Pcre, diagnostic::Fault, source::Span};

/// Most bytes that a transform gives.
const MAX_OUTPUT: usize = 1 << 20;

/// One transform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transform {
    /// `dotprefix`: a dot before the data.
    DotPrefix,
    /// `to_lowercase`.
    ToLowercase,
    /// `to_uppercase`.
    ToUppercase,
    /// `url_decode`.
    UrlDecode,
    /// `strip_whitespace`.
    StripWhitespace,
    /// `compress_whitespace`.
    CompressWhitespace,
    /// `header_lowercase`: names, not values.
    HeaderLowercase,
    /// `strip_pseudo_headers`: lines that begin with a colon.
    StripPseudoHeaders,
    /// `to_md5`.
    ToMd5,
    /// `to_sha1`.
    ToSha1,
    /// `to_sha256`.
    ToSha256,
    /// `xor`, with a key.
    Xor(Vec<u8>),
    /// `from_base64`.
    FromBase64 {
        /// Bytes decoded at most.
        bytes: Option<usize>,
        /// Bytes passed over.
        offset: usize,
        /// What is not of the alphabet is passed over (`rfc2045`), ends it (`rfc4648`), or spoils it (`strict`).
        mode: Base64Mode,
    },
    /// `subslice`.
    Subslice {
        /// From here; from the end when negative.
        offset: i64,
        /// How much.
        length: Option<i64>,
        /// Less than that when negative... from the end.
        truncate: bool,
    },
    /// `pcrexform`: the first capture.
    PcreCapture(PatternText),
    /// `gunzip`.
    Gunzip(usize),
    /// `zlib_deflate`.
    Zlib(usize),
}

/// A pattern that is compared by its text.
#[derive(Clone, Debug)]
pub struct PatternText(pub Arc<Pcre>);

impl PartialEq for PatternText {
    fn eq(&self, other: &Self) -> bool {
        self.0.pattern == other.0.pattern
    }
}
impl Eq for PatternText {}
impl PartialOrd for PatternText {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for PatternText {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.0.pattern.cmp(&other.0.pattern)
    }
}
impl core::hash::Hash for PatternText {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.pattern.hash(state);
    }
}

/// How tolerant decoding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base64Mode {
    /// RFC 2045: other characters are passed over.
    Rfc2045,
    /// RFC 4648: other characters end it.
    Rfc4648,
    /// Other characters spoil it.
    Strict,
}

/// Parses the transform that a rule calls `name`; `None` when there is none of that name.
pub(super) fn parse(name: &str, value: Span<'_>) -> Option<Result<Transform, Fault>> {
    let transform = match name {
        "dotprefix" => Transform::DotPrefix,
        "to_lowercase" => Transform::ToLowercase,
        "to_uppercase" => Transform::ToUppercase,
        "url_decode" => Transform::UrlDecode,
        "strip_whitespace" => Transform::StripWhitespace,
        "compress_whitespace" => Transform::CompressWhitespace,
        "header_lowercase" => Transform::HeaderLowercase,
        "strip_pseudo_headers" => Transform::StripPseudoHeaders,
        "to_md5" => Transform::ToMd5,
        "to_sha1" => Transform::ToSha1,
        "to_sha256" => Transform::ToSha256,
        "xor" => return Some(xor(value)),
        "from_base64" => return Some(from_base64(value)),
        "subslice" => return Some(subslice(value)),
        "pcrexform" => return Some(capture(value)),
        "gunzip" => return Some(max_size(value).map(Transform::Gunzip)),
        "zlib_deflate" => return Some(max_size(value).map(Transform::Zlib)),
        _ => return None,
    };
    Some(if value.text.is_empty() {
        Ok(transform)
    } else {
        Err(Fault::new(value.at, "takes no value"))
    })
}

fn max_size(value: Span<'_>) -> Result<usize, Fault> {
    let Some(text) = value.text.strip_prefix("max-size") else {
        return if value.text.is_empty() {
            Ok(1024)
        } else {
            Err(Fault::new(value.at, "only max-size is known here"))
        };
    };
    text.trim()
        .parse()
        .map_err(|_| Fault::new(value.at, "max-size needs a number"))
}

fn xor(value: Span<'_>) -> Result<Transform, Fault> {
    let text = value.text.trim_matches('"');
    let fault = || Fault::new(value.at, "a key is an even number of hex digits");
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(fault());
    }
    let key: Result<Vec<u8>, _> = (0..text.len() / 2)
        .map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2).unwrap_or_default(), 16))
        .collect();
    key.map(Transform::Xor).map_err(|_| fault())
}

fn from_base64(value: Span<'_>) -> Result<Transform, Fault> {
    let (mut bytes, mut offset, mut mode) = (None, 0, Base64Mode::Rfc4648);
    for part in value
        .split(',')
        .map(Span::trim)
        .filter(|part| !part.text.is_empty())
    {
        let (name, argument) = part
            .text
            .split_once(char::is_whitespace)
            .unwrap_or((part.text, ""));
        let number = || {
            argument
                .trim()
                .parse::<usize>()
                .map_err(|_| Fault::new(part.at, "a number is missing"))
        };
        match (name, argument.trim()) {
            ("bytes", _) => bytes = Some(number()?),
            ("offset", _) => offset = number()?,
            ("mode", "rfc2045") => mode = Base64Mode::Rfc2045,
            ("mode", "rfc4648") => mode = Base64Mode::Rfc4648,
            ("mode", "strict") => mode = Base64Mode::Strict,
            _ => {
                return Err(Fault::new(part.at, "unknown setting")
                    .hint("bytes N, offset N, mode rfc2045|rfc4648|strict"));
            }
        }
    }
    Ok(Transform::FromBase64 {
        bytes,
        offset,
        mode,
    })
}

fn subslice(value: Span<'_>) -> Result<Transform, Fault> {
    let mut parts = value.split(',').map(Span::trim);
    let number = |span: Option<Span<'_>>| match span {
        None => Ok(None),
        Some(span) => span
            .text
            .parse::<i64>()
            .map(Some)
            .map_err(|_| Fault::new(span.at, "no number")),
    };
    let offset = number(parts.next())?
        .ok_or_else(|| Fault::new(value.at, "subslice:OFFSET[,LENGTH[,truncate]]"))?;
    let mut rest: Vec<Span<'_>> = parts.collect();
    let truncate = rest.last().is_some_and(|last| last.text == "truncate");
    if truncate {
        rest.pop();
    }
    if rest.len() > 1 {
        return Err(Fault::new(value.at, "subslice:OFFSET[,LENGTH][,truncate]"));
    }
    let length = number(rest.first().copied())?;
    Ok(Transform::Subslice {
        offset,
        length,
        truncate,
    })
}

fn capture(value: Span<'_>) -> Result<Transform, Fault> {
    let text = value.text.trim_matches('"');
    let pcre = Pcre::compile(text.to_owned(), false, "")
        .map_err(|error| Fault::new(value.at, format!("the pattern does not compile: {error}")))?;
    Ok(Transform::PcreCapture(PatternText(Arc::new(pcre))))
}

impl Transform {
    /// The transformed data.
    #[must_use]
    pub fn apply<'a>(&self, data: &'a [u8]) -> Cow<'a, [u8]> {
        match self {
            Self::DotPrefix => Cow::Owned([b".", data].concat()),
            Self::ToLowercase => Cow::Owned(data.to_ascii_lowercase()),
            Self::ToUppercase => Cow::Owned(data.to_ascii_uppercase()),
            Self::UrlDecode => Cow::Owned(url_decode(data)),
            Self::StripWhitespace => Cow::Owned(
                data.iter()
                    .copied()
                    .filter(|byte| !is_space(*byte))
                    .collect(),
            ),
            Self::CompressWhitespace => Cow::Owned(compress(data)),
            Self::HeaderLowercase => Cow::Owned(header_lowercase(data)),
            Self::StripPseudoHeaders => Cow::Owned(
                data.split_inclusive(|byte| *byte == b'\n')
                    .filter(|line| !line.starts_with(b":"))
                    .flatten()
                    .copied()
                    .collect(),
            ),
            Self::ToMd5 => Cow::Owned(md5::Md5::digest(data).to_vec()),
            Self::ToSha1 => Cow::Owned(sha1::Sha1::digest(data).to_vec()),
            Self::ToSha256 => Cow::Owned(sha2::Sha256::digest(data).to_vec()),
            Self::Xor(key) => Cow::Owned(
                data.iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, key)| byte ^ key)
                    .collect(),
            ),
            Self::FromBase64 {
                bytes,
                offset,
                mode,
            } => {
                let from = data.get(*offset..).unwrap_or_default();
                let part = bytes.and_then(|bytes| from.get(..bytes)).unwrap_or(from);
                Cow::Owned(decode_base64(part, *mode).unwrap_or_default())
            }
            Self::Subslice {
                offset,
                length,
                truncate,
            } => Cow::Borrowed(slice(data, *offset, *length, *truncate)),
            Self::PcreCapture(pattern) => Cow::Borrowed(pattern.0.capture(data).unwrap_or(data)),
            Self::Gunzip(most) => {
                Cow::Owned(inflate(flate2::read::MultiGzDecoder::new(data), *most))
            }
            Self::Zlib(most) => Cow::Owned(inflate(flate2::read::ZlibDecoder::new(data), *most)),
        }
    }
}

/// What comes out before an error, `most` bytes of it.
fn inflate(reader: impl std::io::Read, most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let most = most.min(MAX_OUTPUT);
    let mut limited = reader.take(u64::try_from(most).unwrap_or(u64::MAX));
    let _partial = limited.read_to_end(&mut out);
    out
}

fn slice(data: &[u8], offset: i64, length: Option<i64>, truncate: bool) -> &[u8] {
    let total = i64::try_from(data.len()).unwrap_or(i64::MAX);
    let place = |at: i64| usize::try_from(at.clamp(0, total)).unwrap_or(0);
    let start = if offset < 0 { total + offset } else { offset };
    let start = if truncate {
        start.clamp(0, total)
    } else {
        start
    };
    let end = match length {
        None => total,
        Some(length) if length < 0 => total + length,
        Some(length) => start + length,
    };
    if !truncate && (start < 0 || start > total || end > total || end < start) {
        return &[];
    }
    data.get(place(start)..place(end)).unwrap_or_default()
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn compress(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut before = false;
    for byte in data {
        let space = is_space(*byte);
        if !(space && before) {
            out.push(*byte);
        }
        before = space;
    }
    out
}

fn header_lowercase(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut in_name = true;
    for byte in data {
        out.push(if in_name {
            byte.to_ascii_lowercase()
        } else {
            *byte
        });
        match byte {
            b':' => in_name = false,
            b'\n' => in_name = true,
            _ => {}
        }
    }
    out
}

fn url_decode(data: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| {
        char::from(*byte?)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut out = Vec::with_capacity(data.len());
    let mut at = 0;
    while let Some(byte) = data.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match (digit(data.get(at)), digit(data.get(at + 1))) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            byte => out.push(*byte),
        }
    }
    out
}

/// Decodes what is there; `None` when `mode` is strict and it is spoilt.
pub(crate) fn decode_base64(data: &[u8], mode: Base64Mode) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut count = 0;
    let mut padding = false;
    for byte in data {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding = true;
                if mode == Base64Mode::Rfc2045 {
                    continue;
                }
                break;
            }
            _ => match mode {
                Base64Mode::Rfc2045 => continue,
                Base64Mode::Rfc4648 => break,
                Base64Mode::Strict => return None,
            },
        };
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            out.extend_from_slice(bits.to_be_bytes().get(1..).unwrap_or_default());
            (bits, count) = (0, 0);
        }
    }
    match count {
        2 => out.push(bits.to_be_bytes().get(2).map_or(0, |_| low_byte(bits >> 4))),
        3 => out.extend([low_byte(bits >> 10), low_byte(bits >> 2)]),
        _ => {}
    }
    if mode == Base64Mode::Strict && count != 0 && !padding {
        return None;
    }
    Some(out)
}

fn low_byte(bits: u32) -> u8 {
    bits.to_le_bytes().first().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(name: &str, value: &str, data: &[u8]) -> Vec<u8> {
        let transform = parse(name, Span::new(value, 0)).unwrap().unwrap();
        transform.apply(data).into_owned()
    }

    #[test]
    fn transforms_do_what_they_say() {
        assert_eq!(apply("dotprefix", "", b"a.b"), b".a.b");
        assert_eq!(apply("url_decode", "", b"a%20b+c%zz"), b"a b c%zz");
        assert_eq!(apply("strip_whitespace", "", b" a \t b\r\n"), b"ab");
        assert_eq!(apply("compress_whitespace", "", b" a   b"), b" a b");
        assert_eq!(
            apply("header_lowercase", "", b"AbC: DeF\r\nX: Y"),
            b"abc: DeF\r\nx: Y"
        );
        assert_eq!(
            apply("strip_pseudo_headers", "", b":path: /\r\na: b\r\n"),
            b"a: b\r\n"
        );
        assert_eq!(apply("xor", "\"01ff\"", b"\x00\x00\x02"), b"\x01\xff\x03");
        assert_eq!(apply("from_base64", "offset 1", b"!Zm9vYg=="), b"foob");
        assert_eq!(apply("subslice", "-3,2", b"abcdef"), b"de");
        assert_eq!(apply("subslice", "9", b"abcdef"), b"");
        assert_eq!(apply("to_md5", "", b"").len(), 16);
        assert_eq!(apply("pcrexform", "\"a(.)c\"", b"xabcx"), b"b");
    }
}
