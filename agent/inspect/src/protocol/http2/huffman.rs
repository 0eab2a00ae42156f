//! The Huffman code of header strings (RFC 7541, 5.2 and appendix B). It is canonical: how many codes
//! there are of each length, and their symbols in order, say all of it.

/// Codes of each length, from one bit; the last of 30 bits is EOS.
const COUNTS: [u16; 30] = [
    0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29,
    0, 4,
];

/// Symbols by their codes, without EOS.
const SYMBOLS: [u8; 256] = [
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57,
    61, 65, 95, 98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117, 58, 66, 67, 68, 69, 70, 71,
    72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119,
    120, 121, 122, 38, 42, 44, 59, 88, 90, 33, 34, 40, 41, 63, 39, 43, 124, 35, 62, 0, 36, 64, 91,
    93, 126, 94, 125, 60, 96, 123, 92, 195, 208, 128, 130, 131, 162, 184, 194, 224, 226, 153, 161,
    167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230, 129, 132, 133, 134, 136, 146, 154, 156,
    160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232, 233, 1,
    135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174,
    175, 180, 182, 183, 188, 191, 197, 231, 239, 9, 142, 144, 145, 148, 159, 171, 206, 215, 225,
    236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242,
    243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252,
    253, 254, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28,
    29, 30, 31, 127, 220, 249, 10, 13, 22,
];

/// A string that was not encoded as it has to be: EOS in it, or padding that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Appends what `data` stands for, as far as it can be read.
pub(super) fn decode(data: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut code = Code::default();
    for byte in data {
        for shift in (0..8).rev() {
            match code.bit(u32::from(byte >> shift & 1)) {
                Ok(Some(symbol)) => {
                    out.push(symbol);
                    code = Code::default();
                }
                Ok(None) => {}
                Err(Malformed) => return Err(Malformed),
            }
        }
    }
    // Padding is the beginning of EOS, all ones, and shorter than a byte.
    if code.length < 8 && code.ones {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// A code of which some bits are known.
#[derive(Clone, Copy, Debug)]
struct Code {
    value: u32,
    /// The first code of this length.
    first: u32,
    /// Its symbol's position.
    position: u32,
    length: usize,
    ones: bool,
}

impl Default for Code {
    fn default() -> Self {
        Self {
            value: 0,
            first: 0,
            position: 0,
            length: 0,
            ones: true,
        }
    }
}

impl Code {
    fn bit(&mut self, bit: u32) -> Result<Option<u8>, Malformed> {
        let count = u32::from(*COUNTS.get(self.length).ok_or(Malformed)?);
        self.value = self.value << 1 | bit;
        self.first <<= 1;
        self.length += 1;
        self.ones &= bit == 1;
        let offset = self.value.wrapping_sub(self.first);
        if offset < count {
            let at = usize::try_from(self.position + offset).unwrap_or(usize::MAX);
            return SYMBOLS.get(at).copied().map(Some).ok_or(Malformed);
        }
        self.first += count;
        self.position += count;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(data: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let whole = decode(data, &mut out).is_ok();
        (out, whole)
    }

    #[test]
    fn the_example_of_the_standard_is_read() {
        // RFC 7541, C.4.1 and C.6.1.
        let name = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&name), (b"www.example.com".to_vec(), true));
        assert_eq!(decoded(&[0x64, 0x02]), (b"302".to_vec(), true));
    }

    #[test]
    fn symbols_are_all_different() {
        let mut symbols = SYMBOLS;
        symbols.sort_unstable();
        assert!(symbols.iter().copied().eq(0..=255));
        assert_eq!(COUNTS.iter().sum::<u16>(), 257);
    }

    #[test]
    fn eos_and_wrong_padding_are_malformed() {
        assert_eq!(decoded(&[0xff; 4]), (vec![], false));
        assert!(!decoded(&[0x64, 0x00, 0x00]).1);
        assert_eq!(decoded(&[0xff]), (vec![], false));
    }
}
