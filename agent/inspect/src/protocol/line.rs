//! Lines out of a stream that comes in pieces.

use std::borrow::Cow;

/// How a piece of a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The line goes on in the next piece.
    Open,
    /// With LF alone.
    Lf,
    /// With CR LF.
    CrLf,
}

impl Ending {
    /// The bytes that were on the wire.
    pub(crate) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Open => b"",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

/// A line, or a piece of one that is longer than the most.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    /// Without what ends the line.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Whether the line begins here.
    pub(crate) first: bool,
    /// How it ends.
    pub(crate) ending: Ending,
}

/// Holds the beginning of a line until the rest has come. Where a long line is cut does not
/// depend on the pieces that it came in.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
    middle: bool,
}

impl Lines {
    /// Takes the next line, or the next `most` bytes of a longer one, from the front of `input`.
    /// `None`: all of `input` is held.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8], most: usize) -> Option<Piece<'a>> {
        let most = most.max(1);
        // One byte more than a piece has: a CR in it waits for its LF.
        let window = (most + 1).saturating_sub(self.held.len());
        let seen = input.get(..window).unwrap_or(input);
        if seen.is_empty() {
            return None;
        }
        let taken = seen.iter().position(|byte| *byte == b'\n');
        let (front, rest) = input.split_at_checked(taken.map_or(seen.len(), |at| at + 1))?;
        *input = rest;
        let all: Cow<'a, [u8]> = if self.held.is_empty() {
            Cow::Borrowed(front)
        } else {
            self.held.extend_from_slice(front);
            Cow::Owned(core::mem::take(&mut self.held))
        };
        let (length, ending) = match all.as_ref() {
            [line @ .., b'\r', b'\n'] => (line.len(), Ending::CrLf),
            [line @ .., b'\n'] => (line.len(), Ending::Lf),
            [piece @ .., last] if piece.len() >= most => {
                self.held = vec![*last];
                (piece.len(), Ending::Open)
            }
            _ => {
                self.held = all.into_owned();
                return None;
            }
        };
        Some(Piece {
            bytes: cut(all, length),
            first: !core::mem::replace(&mut self.middle, ending == Ending::Open),
            ending,
        })
    }

    /// What is held of a line that will not go on.
    pub(crate) fn rest(&mut self) -> Option<Piece<'static>> {
        let bytes = core::mem::take(&mut self.held);
        let first = !core::mem::take(&mut self.middle);
        (!bytes.is_empty()).then_some(Piece {
            bytes: Cow::Owned(bytes),
            first,
            ending: Ending::Lf,
        })
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn footprint(&self) -> usize {
        self.held.capacity()
    }
}

fn cut(bytes: Cow<'_, [u8]>, length: usize) -> Cow<'_, [u8]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..length).unwrap_or(bytes)),
        Cow::Owned(mut bytes) => {
            bytes.truncate(length);
            Cow::Owned(bytes)
        }
    }
}

/// Whole lines: what is beyond the most is left out.
#[derive(Debug, Default)]
pub(crate) struct WholeLines {
    lines: Lines,
    begun: Option<(Vec<u8>, bool)>,
}

/// A whole line.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// Without what ends it.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// It was longer.
    pub(crate) cut: bool,
}

impl WholeLines {
    /// Takes the next line from the front of `input`. `None`: more is needed.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8], most: usize) -> Option<Line<'a>> {
        loop {
            let piece = self.lines.next(input, most)?;
            let (bytes, cut) = match self.begun.take() {
                Some((begun, cut)) => (Cow::Owned(begun), cut || !piece.bytes.is_empty()),
                None => (piece.bytes, false),
            };
            if piece.ending != Ending::Open {
                return Some(Line { bytes, cut });
            }
            self.begun = Some((bytes.into_owned(), cut));
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn footprint(&self) -> usize {
        self.lines.footprint() + self.begun.as_ref().map_or(0, |(begun, _)| begun.capacity())
    }
}

/// Without blanks at either end.
pub(crate) const fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// `bytes` after `prefix`, whatever the case of its letters.
pub(crate) fn strip_prefix_ignore_case<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The number that decimal digits write, with nothing else beside them.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Before and after the first `byte`.
pub(crate) fn split_once(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|other| *other == byte)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// The first word and what follows the blanks after it.
pub(crate) fn word(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = bytes.trim_ascii_start();
    let at = bytes
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(bytes.len());
    let (word, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    (word, rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(chunks: &[&[u8]], most: usize) -> Vec<(Vec<u8>, bool, Ending)> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(piece) = lines.next(&mut input, most) {
                all.push((piece.bytes.into_owned(), piece.first, piece.ending));
            }
            assert!(input.is_empty());
        }
        all
    }

    #[test]
    fn long_lines_come_in_pieces() {
        assert_eq!(
            pieces(&[b"abcdef\r\ng\n"], 4),
            [
                (b"abcd".to_vec(), true, Ending::Open),
                (b"ef".to_vec(), false, Ending::CrLf),
                (b"g".to_vec(), true, Ending::Lf),
            ]
        );
        let mut whole = WholeLines::default();
        let mut input: &[u8] = b"abcd\r\nabcde\r\n";
        let line = whole.next(&mut input, 4).unwrap();
        assert_eq!((line.bytes.as_ref(), line.cut), (&b"abcd"[..], false));
        let line = whole.next(&mut input, 4).unwrap();
        assert_eq!((line.bytes.as_ref(), line.cut), (&b"abcd"[..], true));
    }

    proptest! {
        #[test]
        fn where_input_is_cut_makes_no_difference(
            data in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')], 0..64),
            most in 1_usize..8,
        ) {
            let singles: Vec<&[u8]> = data.chunks(1).collect();
            prop_assert_eq!(pieces(&[&data], most), pieces(&singles, most));
        }
    }
}
