//! Patterns by four of their bytes, looked up at every second place of the data.

use std::collections::HashMap;

use super::filter::{CASE, wide};
use crate::rarity;

/// Bytes of a gram.
const GRAM: usize = 4;
/// Bytes that are looked at together.
const BLOCK: usize = 8;
/// A bit map has this many bits a gram, so that few places of the data hit one by chance.
const BITS_PER_GRAM: usize = 64;
/// Words of a bit map, by how many grams there are: 2, 16 or 64 KiB. Known when the loop over the data is
/// compiled, so that no place in the map is checked.
const SMALL: usize = 1 << 8;
const MIDDLE: usize = 1 << 11;
const LARGE: usize = 1 << 13;
/// Furthest gram in a pattern.
const FURTHEST: usize = 200;
/// What sharing a gram with one other pattern costs, as a score.
const SHARED: u32 = 2;
/// Most buckets.
const BUCKETS: usize = 1 << 16;

/// Two grams of each pattern of three bytes and more: one for where the pattern begins at an even
/// place of the data, one for odd places. A gram of which a pattern has but three bytes is there with
/// every fourth.
#[derive(Debug, Default)]
pub(super) struct Grams {
    /// Empty when there are none.
    map: Vec<u64>,
    /// First position in `list` of each bucket, and the end of the last.
    buckets: Vec<u32>,
    /// 32 less the bits of a bucket's number.
    bucket_shift: u32,
    list: Vec<Gram>,
    /// Bytes from a gram to the end of its pattern, at most.
    reach: usize,
}

#[derive(Clone, Copy, Debug)]
struct Gram {
    /// Folded.
    bytes: u32,
    /// Where in the pattern; -1 is a byte before it.
    offset: i32,
    pattern: u32,
    /// A byte of the pattern outside of the gram, folded, and where it is as seen from the gram: most
    /// places with a common gram are told apart by it, without a look at the pattern. The gram's own first
    /// byte where the pattern has no other.
    probe: u8,
    probe_offset: i32,
}

impl Grams {
    /// The shortest pattern taken here.
    pub(super) const SHORTEST: usize = GRAM - 1;

    pub(super) fn new(patterns: &[&[u8]]) -> Self {
        let mut list = Vec::new();
        let mut used = HashMap::new();
        let mut reach = 0;
        for (pattern, bytes) in (0..).zip(patterns) {
            if bytes.len() < Self::SHORTEST {
                continue;
            }
            for parity in [0, 1] {
                let before = list.len();
                add(&mut list, &mut used, pattern, bytes, parity);
                for gram in list.iter_mut().skip(before) {
                    reach = reach.max(back(bytes.len(), gram.offset).unwrap_or(0));
                    gram.set_probe(bytes);
                }
            }
        }
        if list.is_empty() {
            return Self::default();
        }
        let wanted = list.len() * BITS_PER_GRAM / 64;
        let sizes = [SMALL, MIDDLE, LARGE];
        let words = sizes.into_iter().find(|size| *size >= wanted);
        let mut map = vec![0; words.unwrap_or(LARGE)];
        for gram in &list {
            let (word, bit) = place(gram.bytes, map.len());
            if let Some(word) = map.get_mut(word) {
                *word |= 1_u64 << bit;
            }
        }
        // Few grams in a bucket: places that hit by chance meet one or two.
        let count = (2 * list.len()).next_power_of_two().min(BUCKETS);
        let bucket_shift = u32::BITS - count.ilog2();
        list.sort_by_key(|gram| (bucket(gram.bytes, bucket_shift), gram.bytes));
        let mut buckets = vec![0; count + 1];
        for gram in &list {
            if let Some(end) = buckets.get_mut(bucket(gram.bytes, bucket_shift) + 1) {
                *end += 1;
            }
        }
        let mut start = 0;
        for bucket in &mut buckets {
            start += *bucket;
            *bucket = start;
        }
        Self {
            map,
            buckets,
            bucket_shift,
            list,
            reach,
        }
    }

    pub(super) const fn reach(&self) -> usize {
        self.reach
    }

    /// Hands each place where a pattern could begin to `hit`. Grams are looked up from `from` on.
    pub(super) fn find(&self, data: &[u8], from: usize, hit: &mut impl FnMut(u32, usize) -> bool) {
        let map = self.map.as_slice();
        if let Ok(map) = <&[u64; SMALL]>::try_from(map) {
            self.scan(map, data, from, hit);
        } else if let Ok(map) = <&[u64; MIDDLE]>::try_from(map) {
            self.scan(map, data, from, hit);
        } else if let Ok(map) = <&[u64; LARGE]>::try_from(map) {
            self.scan(map, data, from, hit);
        }
    }

    fn scan<const WORDS: usize>(
        &self,
        map: &[u64; WORDS],
        data: &[u8],
        from: usize,
        hit: &mut impl FnMut(u32, usize) -> bool,
    ) {
        let data = data.get(from..).unwrap_or_default();
        let mut look = |at: usize, gram: u32| {
            let (word, bit) = place(gram, WORDS);
            if map.get(word).is_some_and(|word| word >> bit & 1 != 0) {
                self.look(gram, data, at, from, hit);
            }
        };
        // Eight bytes hold three grams, and the first half of a fourth that the next eight end.
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        let mut half = None;
        for (number, block) in blocks.iter().enumerate() {
            let at = number * BLOCK;
            let block = u64::from_le_bytes(*block) | u64::from_le_bytes([CASE; BLOCK]);
            if let Some(half) = half {
                look(at - 2, low(block << 16) | half);
            }
            look(at, low(block));
            look(at + 2, low(block >> 16));
            look(at + 4, low(block >> 32));
            half = Some(low(block >> 48));
        }
        // At the end a pattern of three bytes is there with any byte behind it.
        let left = data.len() - rest.len();
        let byte = |at: usize| data.get(at).copied().unwrap_or_default();
        for at in (left.saturating_sub(2)..data.len().saturating_sub(2)).step_by(2) {
            look(
                at,
                fold([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)]),
            );
        }
    }

    /// Looks up the gram at `at` of the data, which begins `from` bytes after the start.
    #[cold]
    fn look(
        &self,
        bytes: u32,
        data: &[u8],
        at: usize,
        from: usize,
        hit: &mut impl FnMut(u32, usize) -> bool,
    ) {
        let bucket = bucket(bytes, self.bucket_shift);
        let (Some(start), Some(end)) = (self.buckets.get(bucket), self.buckets.get(bucket + 1))
        else {
            return;
        };
        let list = self.list.get(wide(*start)..wide(*end));
        for gram in list.into_iter().flatten() {
            if gram.bytes == bytes
                && gram.may_be_at(data, at)
                && let Some(start) = back(from + at, gram.offset)
            {
                hit(gram.pattern, start);
            }
        }
    }
}

impl Gram {
    fn set_probe(&mut self, pattern: &[u8]) {
        let places = (0_i32..).zip(pattern);
        let others = places.filter_map(|(at, byte)| {
            let offset = at - self.offset;
            let inside = usize::try_from(offset).is_ok_and(|offset| offset < GRAM);
            (!inside).then_some((offset, *byte))
        });
        let rarest = others.min_by_key(|(_, byte)| rarity::score(&[*byte]));
        let [first, ..] = self.bytes.to_le_bytes();
        let (offset, byte) = rarest.unwrap_or((0, first));
        (self.probe_offset, self.probe) = (offset, byte | CASE);
    }

    /// Whether the probe is where it must be. What lies before the data is not looked at.
    fn may_be_at(&self, data: &[u8], at: usize) -> bool {
        let Some(place) = isize::try_from(self.probe_offset)
            .ok()
            .and_then(|offset| at.checked_add_signed(offset))
        else {
            return true;
        };
        data.get(place)
            .is_some_and(|byte| byte | CASE == self.probe)
    }
}

/// Adds the grams by which a pattern is found where it begins at an even or odd place.
fn add(
    list: &mut Vec<Gram>,
    used: &mut HashMap<u32, u32>,
    pattern: u32,
    bytes: &[u8],
    parity: usize,
) {
    let whole = bytes.windows(GRAM).enumerate().take(FURTHEST);
    let whole = whole.filter(|(at, _)| at % 2 == parity);
    let whole = whole.filter_map(|(at, gram)| Some((i32::try_from(at).ok()?, gram)));
    let best = whole.min_by_key(|(_, gram)| {
        let gram = <[u8; GRAM]>::try_from(*gram).unwrap_or_default();
        let shared = used.get(&fold(gram)).copied().unwrap_or(0);
        rarity::score(&gram) + SHARED * shared
    });
    let mut push = |offset: i32, gram: [u8; GRAM]| {
        let bytes = fold(gram);
        *used.entry(bytes).or_default() += 1;
        list.push(Gram {
            bytes,
            offset,
            pattern,
            probe: 0,
            probe_offset: 0,
        });
    };
    match (best, bytes, parity) {
        (Some((offset, gram)), ..) => push(offset, gram.try_into().unwrap_or_default()),
        (None, [first, second, third, ..], 1) => {
            for other in any() {
                push(-1, [other, *first, *second, *third]);
            }
        }
        (None, [first, second, third, ..], _) => {
            for other in any() {
                push(0, [*first, *second, *third, other]);
            }
        }
        _ => {}
    }
}

/// `at` less `offset`, if that is a place.
fn back(at: usize, offset: i32) -> Option<usize> {
    at.checked_add_signed(isize::try_from(offset).ok()?.checked_neg()?)
}

/// Every byte, once folded.
fn any() -> impl Iterator<Item = u8> {
    (0..=u8::MAX).filter(|byte| byte & CASE != 0)
}

/// Upper and lower case become one. So do some other bytes: this decides nothing.
const fn fold(gram: [u8; GRAM]) -> u32 {
    u32::from_le_bytes(gram) | u32::from_le_bytes([CASE; GRAM])
}

/// The low half.
const fn low(block: u64) -> u32 {
    let [first, second, third, fourth, ..] = block.to_le_bytes();
    u32::from_le_bytes([first, second, third, fourth])
}

/// Which bit of a map of so many words stands for a gram: word, and bit in it.
const fn place(gram: u32, words: usize) -> (usize, u32) {
    let hash = hash(gram);
    let shift = u32::BITS - words.ilog2();
    (wide(hash >> shift), hash >> (shift - 6) & 63)
}

const fn bucket(gram: u32, shift: u32) -> usize {
    wide(hash(gram) >> shift)
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4).
const fn hash(gram: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1)
}
