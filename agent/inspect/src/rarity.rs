//! How often bytes occur in traffic, roughly: which part of a pattern tells most.

/// What makes a run of one byte more common than its bytes.
const RUN: u32 = 16;

/// How common a byte is, case ignored: the binary logarithm of its share, times a constant. Text and
/// its markup are most of what patterns are about, and runs of zeros are common in what is not text.
const fn commonness(byte: u8) -> u32 {
    match byte {
        0 | b' ' => 14,
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 13,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'\r' | b'\n' | b'"' | b':' | b'0' => 12,
        b'f' | b'g' | b'w' | b'y' | b'b' | b'/' | b'.' | b'-' | b'1' | b',' | b'{' | b'}' => 11,
        b'2'..=b'9' | b'v' | b'k' | b'=' | b'<' | b'>' | b';' | b'[' | b']' | 0xff => 10,
        b'x' | b'j' | b'q' | b'z' | b'_' | b'&' | b'?' | b'%' | b'(' | b')' | b'\'' => 9,
        1..=8 => 8,
        _ => 7,
    }
}

/// How often a run of bytes is expected: the higher, the more.
pub(crate) fn score(bytes: &[u8]) -> u32 {
    let common = |byte: &u8| commonness(byte.to_ascii_lowercase());
    // Padding, rulers and zeros are long runs of one byte: there it is at every place.
    let one = bytes.windows(2).all(|pair| pair.first() == pair.last());
    bytes.iter().map(common).sum::<u32>() + if one { RUN } else { 0 }
}

/// Where the rarest byte is; 0 if there is none.
pub(crate) fn rarest(bytes: &[u8]) -> usize {
    let places = bytes.iter().enumerate();
    places
        .min_by_key(|(_, byte)| commonness(byte.to_ascii_lowercase()))
        .map_or(0, |(place, _)| place)
}
