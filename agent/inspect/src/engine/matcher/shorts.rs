//! Patterns of one and two bytes: a few by the rarer of their bytes, many by a bit map over all pairs.

use std::collections::HashMap;

use memchr::{memchr_iter, memchr2_iter};

use super::filter::{CASE, wide};
use crate::rarity::rarest;

/// So many patterns are searched one by one.
const FEW: usize = 12;
/// Bytes that are looked at together.
const BLOCK: usize = 8;
/// Words of the bit map.
const WORDS: usize = 1 << (16 - 6);

/// Patterns too short for a gram.
#[derive(Debug, Default)]
pub(super) enum Shorts {
    #[default]
    None,
    Few(Vec<Byte>),
    Many(Pairs),
}

/// A pattern by one of its bytes.
#[derive(Debug)]
pub(super) struct Byte {
    /// In lower case.
    byte: u8,
    /// Where in the pattern.
    offset: usize,
    pattern: u32,
}

/// Patterns by their first two bytes.
#[derive(Debug)]
pub(super) struct Pairs {
    map: Box<[u64; WORDS]>,
    patterns: HashMap<u16, Vec<u32>, foldhash::fast::FixedState>,
}

impl Shorts {
    /// The longest pattern taken here.
    pub(super) const LONGEST: usize = 2;

    pub(super) fn new(patterns: &[&[u8]]) -> Self {
        let patterns = (0_u32..).zip(patterns);
        let short = patterns.filter(|(_, bytes)| (1..=Self::LONGEST).contains(&bytes.len()));
        let short: Vec<(u32, &[u8])> = short.map(|(pattern, bytes)| (pattern, *bytes)).collect();
        match short.len() {
            0 => Self::None,
            1..=FEW => Self::Few(short.into_iter().filter_map(Byte::new).collect()),
            _ => Self::Many(Pairs::new(&short)),
        }
    }

    pub(super) const fn reach(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Few(_) | Self::Many(_) => Self::LONGEST,
        }
    }

    /// Hands each place where a pattern could begin, from `from` on, to `hit`.
    pub(super) fn find(&self, data: &[u8], from: usize, hit: &mut impl FnMut(u32, usize) -> bool) {
        match self {
            Self::None => {}
            Self::Few(bytes) => bytes.iter().for_each(|byte| byte.find(data, from, hit)),
            Self::Many(pairs) => pairs.find(data, from, hit),
        }
    }
}

impl Byte {
    fn new((pattern, bytes): (u32, &[u8])) -> Option<Self> {
        let offset = rarest(bytes);
        Some(Self {
            byte: *bytes.get(offset)?,
            offset,
            pattern,
        })
    }

    fn find(&self, data: &[u8], from: usize, hit: &mut impl FnMut(u32, usize) -> bool) {
        let rest = data.get(from..).unwrap_or_default();
        let mut found = |at: usize| {
            let start = (from + at).checked_sub(self.offset);
            start.is_some_and(|start| hit(self.pattern, start))
        };
        let upper = self.byte.to_ascii_uppercase();
        if upper == self.byte {
            memchr_iter(self.byte, rest).any(&mut found);
        } else {
            memchr2_iter(self.byte, upper, rest).any(&mut found);
        }
    }
}

impl Pairs {
    fn new(patterns: &[(u32, &[u8])]) -> Self {
        let mut pairs = Self {
            map: Box::new([0; WORDS]),
            patterns: HashMap::default(),
        };
        for (pattern, bytes) in patterns {
            let (first, seconds) = match bytes {
                [first] => (*first, 0..=u8::MAX),
                [first, second, ..] => (*first, *second..=*second),
                [] => continue,
            };
            for second in seconds {
                let pair = fold([first, second]);
                if let Some(word) = pairs.map.get_mut(usize::from(pair >> 6)) {
                    *word |= 1 << (pair & 63);
                }
                let list = pairs.patterns.entry(pair).or_default();
                if !list.contains(pattern) {
                    list.push(*pattern);
                }
            }
        }
        pairs
    }

    fn find(&self, data: &[u8], from: usize, hit: &mut impl FnMut(u32, usize) -> bool) {
        let data = data.get(from..).unwrap_or_default();
        let mut look = |at: usize, pair: u16| {
            let word = self.map.get(usize::from(pair >> 6));
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
    fn look(&self, pair: u16, at: usize, hit: &mut impl FnMut(u32, usize) -> bool) {
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
