//! Numbers out of bytes.

/// The masked bits, moved down by the zeros at the mask's end.
pub(super) const fn masked(number: u64, bitmask: Option<u64>) -> u64 {
    match bitmask {
        None => number,
        Some(0) => 0,
        Some(mask) => (number & mask) >> mask.trailing_zeros(),
    }
}

/// A number as `strtoul` reads it: white space, then digits up to the first that is none.
pub(super) fn text_number(text: &[u8], radix: u32) -> Option<u64> {
    let text = text.trim_ascii_start();
    let text = if radix == 16 {
        text.strip_prefix(b"0x")
            .or_else(|| text.strip_prefix(b"0X"))
            .unwrap_or(text)
    } else {
        text
    };
    let mut number = 0_u64;
    let mut digits = 0;
    for digit in text
        .iter()
        .map_while(|byte| char::from(*byte).to_digit(radix))
    {
        number = number
            .checked_mul(u64::from(radix))?
            .checked_add(u64::from(digit))?;
        digits += 1;
    }
    (digits > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_far_as_it_is_a_number() {
        assert_eq!(text_number(b" 12ab", 10), Some(12));
        assert_eq!(text_number(b"0x1F ", 16), Some(31));
        assert_eq!(text_number(b"17", 8), Some(15));
        assert_eq!(text_number(b"x", 10), None);
        assert_eq!(
            text_number(b"99999999999999999999999", 10),
            None,
            "too great"
        );
    }

    #[test]
    fn masked_bits_move_to_the_end() {
        assert_eq!(masked(0x1234, Some(0x0ff0)), 0x23);
        assert_eq!(masked(0x1234, None), 0x1234);
        assert_eq!(masked(0x1234, Some(0)), 0);
    }
}
