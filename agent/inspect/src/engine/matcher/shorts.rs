//! Patterns of one and two bytes, by a bit map over all pairs.

use std::collections::HashMap;

use super::filter::{CASE, wide};

/// Bytes that are looked at together.
const BLOCK: usize = 8;
/// Words of the bit map.
const WORDS: usize = 1 << (16 - 6);

/// Patterns too short for a gram.
#[derive(Debug, Default)]
pub(super) struct Shorts {
    /// By the first two bytes, folded; `None` when there are no such patterns.
    map: Option<Box<[u64; WORDS]>>,
    patterns: HashMap<u16, Vec<u32>, foldhash::fast::FixedState>,
}

impl Shorts {
    /// The longest pattern taken here.
    pub(super) const LONGEST: usize = 2;

    pub(super) fn new(patterns: &[&[u8]]) -> Self {
        let mut shorts = Self::default();
        for (pattern, bytes) in (0..).zip(patterns) {
            let (first, seconds) = match bytes {
                [first] => (*first, 0..=u8::MAX),
                [first, second] => (*first, *second..=*second),
                _ => continue,
            };
            let map = shorts.map.get_or_insert_with(|| Box::new([0; WORDS]));
            for second in seconds {
                let pair = fold([first, second]);
                if let Some(word) = map.get_mut(usize::from(pair >> 6)) {
                    *word |= 1 << (pair & 63);
                }
                let list = shorts.patterns.entry(pair).or_default();
                if !list.contains(&pattern) {
                    list.push(pattern);
                }
            }
        }
        shorts
    }

    pub(super) const fn reach(&self) -> usize {
        if self.map.is_some() { Self::LONGEST } else { 0 }
    }

    /// Hands each place from `from` on where a pattern could begin to `hit`.
    pub(super) fn find(&self, data: &[u8], from: usize, hit: &mut impl FnMut(u32, usize)) {
        let Some(map) = &self.map else {
            return;
        };
        let data = data.get(from..).unwrap_or_default();
        let mut look = |at: usize, pair: u16| {
            let word = map.get(usize::from(pair >> 6));
            if word.is_some_and(|word| word >> (pair & 63) & 1 != 0) {
                self.look(pair, from + at, hit);
            }
        };
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        let mut last = None;
        for (number, block) in blocks.iter().enumerate() {
            let at = number * BLOCK;
            let block = u64::from_le_bytes(*block) | u64::from_le_bytes([CASE; BLOCK]);
            if let Some(last) = last {
                look(at - 1, low(block << 8) | last);
            }
            for place in 0..BLOCK - 1 {
                look(at + place, low(block >> (8 * place)));
            }
            last = Some(low(block >> 56));
        }
        // Nothing is behind the last byte, but one-byte patterns are there with any other.
        let left = data.len() - rest.len();
        let byte = |at: usize| data.get(at).copied().unwrap_or_default();
        for at in left.saturating_sub(1)..data.len() {
            look(at, fold([byte(at), byte(at + 1)]));
        }
    }

    #[cold]
    fn look(&self, pair: u16, at: usize, hit: &mut impl FnMut(u32, usize)) {
        for pattern in self.patterns.get(&pair).into_iter().flatten() {
            hit(*pattern, at);
        }
    }
}

/// Upper and lower case become one. So do some other bytes: this decides nothing.
const fn fold(pair: [u8; 2]) -> u16 {
    u16::from_le_bytes(pair) | u16::from_le_bytes([CASE; 2])
}

/// The lowest two bytes.
const fn low(block: u64) -> u16 {
    let [first, second, ..] = block.to_le_bytes();
    u16::from_le_bytes([first, second])
}

const _: () = assert!(wide(u16::MAX as u32) >> 6 < WORDS, "every pair has a bit");
