//! Strings that a container chose (names, labels, comm) reach JSON readers and terminals: none may
//! carry a terminal's control sequence, reorder what a reader sees, or be of unbounded length.

use core::fmt::{self, Write as _};
use std::{borrow::Cow, io};

use serde::{Serialize, Serializer};

/// Longest string that is passed on, in bytes as JSON has them, so that escapes do not make it
/// longer; the rest is cut and shown as `…`.
pub(crate) const STRING_MAX: usize = 512;
/// The same for names of which an event has many.
pub(super) const NAME_MAX: usize = 256;

/// Control characters (C0, DEL, C1: U+009B starts a control sequence) and those that reorder or
/// hide text (Unicode TR 36 section 2.5).
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Bytes that a character takes in a JSON string, as [`Formatter`] writes it, or more.
fn width(character: char) -> usize {
    match character {
        '"' | '\\' => 2,
        _ if is_deceptive(character) => 6 * character.len_utf16(),
        _ => character.len_utf8(),
    }
}

/// Bytes that a text takes in JSON, at most.
pub(super) fn written(text: &str) -> usize {
    Hostile(text).bounded().chars().map(width).sum()
}

/// The start of `text` that fits, and whether something was cut.
pub(crate) fn bounded(text: &str, max: usize) -> (&str, bool) {
    let mut left = max;
    for (at, character) in text.char_indices() {
        match left.checked_sub(width(character)) {
            Some(rest) => left = rest,
            None => return (text.get(..at).unwrap_or_default(), true),
        }
    }
    (text, false)
}

/// A hostile string for JSON: bounded. [`Formatter`] escapes the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hostile<'a>(pub(crate) &'a str);

/// A hostile name for JSON: as [`Hostile`], and shorter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&short(self.0))
    }
}

impl<'a> Hostile<'a> {
    /// The string that is passed on, still to be escaped.
    pub(super) fn bounded(self) -> Cow<'a, str> {
        match bounded(self.0, STRING_MAX) {
            (text, false) => text.into(),
            (text, true) => format!("{text}…").into(),
        }
    }
}

/// A name of at most [`NAME_MAX`] bytes, still to be escaped.
pub(super) fn short(name: &str) -> Cow<'_, str> {
    match bounded(name, NAME_MAX) {
        (name, false) => name.into(),
        (name, true) => format!("{name}…").into(),
    }
}

impl Serialize for Hostile<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.bounded())
    }
}

/// A hostile string for a terminal: bounded, deceptive characters as `\u{9b}`, no line breaks.
impl fmt::Display for Hostile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, cut) = bounded(self.0, STRING_MAX);
        for character in text.chars() {
            if character == '\\' {
                f.write_str("\\\\")?;
            } else if is_deceptive(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                f.write_char(character)?;
            }
        }
        if cut { f.write_char('…') } else { Ok(()) }
    }
}

/// Text for a terminal in which backslashes mean something, such as a pattern: deceptive characters
/// as `\u{9b}`, the rest as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readable<'a>(pub(crate) &'a str);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_deceptive(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Writes JSON on one line with every deceptive character as a `\u` escape, so that an event is
/// safe to show as it is. (`serde_json` itself escapes C0 only.)
pub(crate) struct Formatter;

impl serde_json::ser::Formatter for Formatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if is_deceptive(character) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// `payload` as Suricata prints it: what is not printable ASCII becomes a dot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printable<'a>(pub(super) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            let printable = byte.is_ascii_graphic() || matches!(byte, b' ' | b'\r' | b'\n');
            f.write_char(if printable { char::from(*byte) } else { '.' })?;
        }
        Ok(())
    }
}

/// Bytes in base64 (RFC 4648 section 4, with padding).
#[derive(Clone, Copy, Debug)]
pub(super) struct Base64<'a>(pub(super) &'a [u8]);

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in self.0.chunks(3) {
            let octet = |at| u32::from(group.get(at).copied().unwrap_or_default());
            let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
            for digit in 0..4 {
                f.write_char(if digit > group.len() {
                    '='
                } else {
                    base64_digit(bits >> (18 - 6 * digit) & 0x3f)
                })?;
            }
        }
        Ok(())
    }
}

fn base64_digit(value: u32) -> char {
    let (base, from) = match value {
        0..26 => ('A', 0),
        26..52 => ('a', 26),
        52..62 => ('0', 52),
        62 => return '+',
        _ => return '/',
    };
    char::from_u32(u32::from(base) + value - from).unwrap_or_default()
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Printable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_makes_a_string_longer_than_its_bound() {
        for character in [
            'a',
            '"',
            '\\',
            '\n',
            '\0',
            '\x7f',
            '\u{9b}',
            'é',
            '\u{e0041}',
            '漢',
        ] {
            let text = character.to_string().repeat(70_000);
            let mut json = Vec::new();
            let mut serializer = serde_json::Serializer::with_formatter(&mut json, Formatter);
            Hostile(&text).serialize(&mut serializer).unwrap();
            // Two quotes and the ellipsis.
            assert!(
                json.len() <= STRING_MAX + 5,
                "{character:?}: {}",
                json.len()
            );
            assert!(json.len() - 2 <= written(&text), "{character:?}");
            assert!(Hostile(&text).to_string().len() <= STRING_MAX + 3);
            assert!(short(&text).len() <= NAME_MAX + 3);
        }
        assert_eq!(short("web"), "web");
    }

    /// The vectors of RFC 4648 section 10.
    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(Base64(bytes.as_bytes()).to_string(), text);
        }
        assert_eq!(Base64(&[0xfb, 0xff, 0x00]).to_string(), "+/8A");
    }
}
