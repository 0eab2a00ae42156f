//! Transfer encodings of parts (RFC 2045, section 6), decoded as they come.

/// How content is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    #[default]
    Plain,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    pub(super) fn of(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        if value.eq_ignore_ascii_case(b"base64") {
            Self::Base64
        } else if value.eq_ignore_ascii_case(b"quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Plain
        }
    }
}

/// Takes lines, or pieces of lines, and gives what they say.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    encoding: Encoding,
    /// What ended the last line: it is content only when another line follows.
    ending: &'static [u8],
    /// Base64: bits of a group that is not whole.
    bits: u32,
    digits: u32,
    padded: bool,
    /// Quoted-printable: an escape that is not whole, and blanks that may be at the end of a line.
    held: Vec<u8>,
    /// Something could not be decoded.
    pub(super) invalid: bool,
}

/// Blanks that are held back; more of them are content whatever follows.
const MAX_BLANKS: usize = 256;

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            ..Self::default()
        }
    }

    pub(super) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Decodes a piece; `ending` is empty when the line goes on.
    pub(super) fn piece(&mut self, bytes: &[u8], ending: &'static [u8], out: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Plain => {
                out.extend_from_slice(core::mem::take(&mut self.ending));
                out.extend_from_slice(bytes);
                self.ending = ending;
            }
            Encoding::Base64 => {
                for byte in bytes {
                    self.base64(*byte, out);
                }
            }
            Encoding::QuotedPrintable => {
                out.extend_from_slice(core::mem::take(&mut self.ending));
                for byte in bytes {
                    self.quoted(*byte, out);
                }
                if !ending.is_empty() {
                    self.quoted_end(ending);
                }
            }
        }
    }

    /// Nothing more comes. What ended the last line belongs to the boundary.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Plain => {}
            Encoding::Base64 => {
                // A group without its padding still says something, one digit does not.
                self.invalid |= self.digits == 1;
                self.group(out);
            }
            // The mail was cut within a line.
            Encoding::QuotedPrintable => out.append(&mut self.held),
        }
    }

    fn base64(&mut self, byte: u8, out: &mut Vec<u8>) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                self.invalid |= self.digits == 1 || (self.digits == 0 && !self.padded);
                self.padded = true;
                self.group(out);
                return;
            }
            b' ' | b'\t' | b'\r' => return,
            // Bytes outside the alphabet are passed over (RFC 2045, 6.8).
            _ => {
                self.invalid = true;
                return;
            }
        };
        // Content after padding: concatenated encodings.
        self.padded = false;
        self.bits = (self.bits << 6) | u32::from(value);
        self.digits += 1;
        if self.digits == 4 {
            self.group(out);
        }
    }

    /// Gives the bytes of a group that is over.
    fn group(&mut self, out: &mut Vec<u8>) {
        let bytes = match self.digits {
            2 => 1,
            3 => 2,
            4 => 3,
            _ => 0,
        };
        let bits = self.bits << (6 * (4 - self.digits.min(4)));
        out.extend(bits.to_be_bytes().iter().skip(1).take(bytes));
        self.bits = 0;
        self.digits = 0;
    }

    fn quoted(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.held.as_slice(), byte) {
            ([b'='], b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.held.push(byte),
            ([b'=', high], low) if hex(*high).is_some() => {
                let value = hex(*high).zip(hex(low));
                match value {
                    Some((high, low)) => {
                        out.push((high << 4) | low);
                        self.held.clear();
                    }
                    None => self.literal(byte, out),
                }
            }
            // Blanks between a soft break and its line end are allowed.
            ([b'=', ..], b' ' | b'\t') if self.held.len() < MAX_BLANKS => self.held.push(byte),
            ([b'=', ..], _) => self.literal(byte, out),
            (held, b' ' | b'\t') if held.len() < MAX_BLANKS => self.held.push(byte),
            (_, b'=') => {
                out.append(&mut self.held);
                self.held.push(byte);
            }
            _ => {
                out.append(&mut self.held);
                out.push(byte);
            }
        }
    }

    /// An escape that is none: its bytes stand for themselves.
    fn literal(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.invalid = true;
        out.append(&mut self.held);
        if byte == b'=' {
            self.held.push(byte);
        } else {
            out.push(byte);
        }
    }

    fn quoted_end(&mut self, ending: &'static [u8]) {
        let soft = self.held.first() == Some(&b'=');
        let digits = self.held.get(1).is_some_and(|byte| hex(*byte).is_some());
        self.invalid |= soft && digits;
        self.held.clear();
        self.ending = if soft { b"" } else { ending };
    }
}

const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: Encoding, lines: &[&str]) -> (Vec<u8>, bool) {
        let mut decoder = Decoder::new(encoding);
        let mut out = Vec::new();
        for line in lines {
            decoder.piece(line.as_bytes(), b"\r\n", &mut out);
        }
        decoder.end(&mut out);
        (out, decoder.invalid)
    }

    #[test]
    fn base64_is_decoded_over_lines() {
        let base64 = |lines: &[&str]| decode(Encoding::Base64, lines);
        assert_eq!(base64(&["aGVsb", "G8="]), (b"hello".to_vec(), false));
        assert_eq!(base64(&["aGVsbA=="]), (b"hell".to_vec(), false));
        assert_eq!(base64(&["aGVs*bG8"]), (b"hello".to_vec(), true));
    }

    #[test]
    fn quoted_printable_is_decoded_over_lines() {
        let quoted = |lines: &[&str]| decode(Encoding::QuotedPrintable, lines);
        assert_eq!(
            quoted(&["a=3Db =", "c  ", "d"]),
            (b"a=b c\r\nd".to_vec(), false)
        );
        assert_eq!(quoted(&["a=zz", "=4"]), (b"a=zz\r\n".to_vec(), true));
    }

    #[test]
    fn the_last_line_end_is_the_boundary_s() {
        assert_eq!(
            decode(Encoding::Plain, &["a", "b"]),
            (b"a\r\nb".to_vec(), false)
        );
    }
}
