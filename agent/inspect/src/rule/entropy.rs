//! `entropy`: how even the bytes of a buffer are spread.

use core::cell::Cell;

use super::{IntegerTest, diagnostic::Fault, integer, source::Span};

/// A bit of entropy in the numbers that are compared.
const BIT: f64 = 1_000_000.0;
/// Entropy of a byte, in bits, at most.
const MOST: f64 = 8.0;

/// Bytes of a buffer, and what their entropy has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntropyTest {
    /// How many bytes; 0 is all.
    bytes: usize,
    /// Bytes passed over.
    offset: usize,
    /// In millionths of a bit for each byte.
    value: IntegerTest,
}

impl EntropyTest {
    /// Whether `data` passes. Bytes that are not there have no entropy.
    #[must_use]
    pub fn matches(self, data: &[u8]) -> bool {
        let data = data.get(self.offset..).unwrap_or_default();
        let data = match self.bytes {
            0 => data,
            bytes => data.get(..bytes).unwrap_or(data),
        };
        !data.is_empty() && self.value.matches(scaled(shannon(data)))
    }
}

/// Shannon's entropy of the bytes, 0 to 8 bits for each.
fn shannon(data: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in data {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = f64::from(u32::try_from(data.len()).unwrap_or(u32::MAX));
    let occurring = counts.iter().filter(|count| **count > 0);
    let part = |count: &u32| {
        let share = f64::from(*count) / length;
        -share * share.log2()
    };
    occurring.map(part).sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 8 million"
)]
fn scaled(bits: f64) -> u64 {
    (bits.clamp(0.0, MOST) * BIT).round() as u64
}

/// Parses `[bytes N,] [offset N,] value COMPARISON`.
pub(super) fn parse(value: Span<'_>) -> Result<EntropyTest, Fault> {
    let usage = |at| Fault::new(at, "entropy:[bytes N,] [offset N,] value COMPARISON");
    let (mut bytes, mut offset, mut wanted) = (0, 0, None);
    for part in value.split(',').map(Span::trim) {
        let split = part.text.find([' ', '<', '>', '=', '!']);
        let at = split.ok_or_else(|| usage(part.at))?;
        let rest = part.slice(at, part.text.len()).trim();
        let count = || rest.text.parse().map_err(|_| usage(rest.at));
        match part.text.get(..at) {
            Some("bytes") => bytes = count()?,
            Some("offset") => offset = count()?,
            Some("value") => {
                let outside = Cell::new(false);
                let number = |text: &str| {
                    let bits = text.trim().parse::<f64>().ok()?;
                    outside.set(outside.get() || !(0.0..=MOST).contains(&bits));
                    Some(scaled(bits))
                };
                let test = integer::parse(strip_equals(rest), &number);
                let test = test.and_then(|test| match outside.get() {
                    true => Err(Fault::new(rest.at, "no entropy of bytes")),
                    false => Ok(test),
                });
                wanted = Some(test.map_err(|fault| fault.hint("a comparison with 0.0 to 8.0"))?);
            }
            _ => return Err(usage(part.at)),
        }
    }
    Ok(EntropyTest {
        bytes,
        offset,
        value: wanted.ok_or_else(|| usage(value.at))?,
    })
}

/// Without the sign that says nothing.
fn strip_equals(value: Span<'_>) -> Span<'_> {
    match value.text.strip_prefix('=') {
        Some(_) => value.slice(1, value.text.len()).trim(),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str, data: &[u8]) -> bool {
        parse(Span::new(text, 0)).unwrap().matches(data)
    }

    #[test]
    fn even_bytes_have_more() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(passes("value = 8", &all));
        assert!(passes("value >7.9", &all));
        assert!(!passes("value<8.0", &all));
        assert!(passes("value 0", b"aaaa"));
        assert!(passes("value = 1.0", b"abab"));
        assert!(passes("value != 1.0", b"abc"));
        assert!(passes("value 0.5<>1.5", b"abab"));
        assert!(passes("bytes 4, offset 2, value = 0", b"abccccd"));
        assert!(!passes("offset 9, value >= 0", b"abc"), "nothing there");
    }

    #[test]
    fn what_is_no_comparison_is_refused() {
        for text in [
            "",
            "value",
            "value > 9",
            "value > -1",
            "bytes x, value > 1",
            "bytes 1",
            "size 3, value 1",
        ] {
            assert!(parse(Span::new(text, 0)).is_err(), "{text}");
        }
    }
}
