//! Grams in a bit map, and the patterns behind each.

use std::collections::{BTreeMap, HashMap};

use super::Pattern;
use crate::rarity;

/// Bytes of a gram.
pub(super) const GRAM: usize = 4;
/// A bit map has this many bits a pattern, so that few places of the data hit one by chance.
const BITS_PER_PATTERN: usize = 48;
/// Least and most bits of an index into the bit map: 1 KiB to 64 KiB.
const INDEX_MIN: u32 = 13;
const INDEX_MAX: u32 = 19;
/// Furthest gram in a pattern.
const FURTHEST: usize = 200;
/// What sharing a gram with one other pattern costs, as a score.
const SHARED: u32 = 2;

/// Patterns without bounds.
#[derive(Debug, Default)]
pub(super) struct Filter {
    grams: Grams,
    shorts: Shorts,
    /// Length of the longest pattern.
    longest: usize,
    /// All patterns in lower case, one behind the other.
    bytes: Vec<u8>,
    patterns: Vec<Entry>,
    /// The rules of all patterns, one behind the other.
    rules: Vec<u32>,
}

/// A pattern: where its bytes and its rules are.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    length: u32,
    rules: u32,
    rules_end: u32,
}

/// Four bytes of each pattern that has them.
#[derive(Debug, Default)]
struct Grams {
    /// Empty when there are none.
    map: Vec<u64>,
    /// 32 less the bits of an index into the map.
    shift: u32,
    /// First position in `list` of each bucket, and the end of the last.
    buckets: Vec<u32>,
    list: Vec<Gram>,
}

#[derive(Clone, Copy, Debug)]
struct Gram {
    /// Folded.
    bytes: u32,
    /// Where in the pattern.
    offset: u32,
    pattern: u32,
}

/// Patterns of one to three bytes.
#[derive(Debug, Default)]
struct Shorts {
    /// By the first two bytes, folded. Empty when there are none.
    map: Vec<u64>,
    by_pair: HashMap<u16, Vec<u32>, foldhash::fast::FixedState>,
}

impl Filter {
    pub(super) fn new(patterns: Vec<Pattern>) -> Self {
        let mut by_pattern = BTreeMap::<Vec<u8>, Vec<u32>>::new();
        for Pattern { bytes, rule, .. } in patterns {
            let rules = by_pattern.entry(bytes.to_ascii_lowercase()).or_default();
            rules.push(rule);
        }
        by_pattern.remove(&[][..]);
        let mut filter = Self::default();
        for (bytes, rules) in &by_pattern {
            filter.longest = filter.longest.max(bytes.len());
            let start = small(filter.bytes.len());
            let first = small(filter.rules.len());
            filter.bytes.extend_from_slice(bytes);
            filter.rules.extend_from_slice(rules);
            filter.patterns.push(Entry {
                start,
                length: small(bytes.len()),
                rules: first,
                rules_end: small(filter.rules.len()),
            });
        }
        let texts: Vec<&[u8]> = by_pattern.keys().map(Vec::as_slice).collect();
        filter.grams = Grams::new(&texts);
        filter.shorts = Shorts::new(&texts);
        filter
    }

    /// Hands each rule of which a pattern ends after `fresh` to `candidate`.
    pub(super) fn find(&self, data: &[u8], fresh: usize, candidate: &mut impl FnMut(u32)) {
        // A pattern that ends in fresh bytes begins at most its length before them.
        let from = fresh.saturating_sub(self.longest.saturating_sub(1));
        let mut hit = |pattern: u32, at: usize| self.confirm(pattern, data, at, fresh, candidate);
        let rest = data.get(from..).unwrap_or_default();
        match (self.grams.map.is_empty(), self.shorts.map.is_empty()) {
            (true, true) => {}
            (false, true) => self.scan::<true, false>(rest, from, &mut hit),
            (true, false) => self.scan::<false, true>(rest, from, &mut hit),
            (false, false) => self.scan::<true, true>(rest, from, &mut hit),
        }
    }

    /// Hands each place where a pattern could be to `hit`. `data` begins at `from`.
    fn scan<const GRAMS: bool, const SHORTS: bool>(
        &self,
        data: &[u8],
        from: usize,
        hit: &mut impl FnMut(u32, usize),
    ) {
        for (at, bytes) in data.windows(GRAM).enumerate() {
            let gram = fold(bytes.try_into().unwrap_or_default());
            if GRAMS && self.grams.may_have(gram) {
                self.grams.look(gram, from + at, hit);
            }
            if SHORTS && self.shorts.may_have(gram) {
                self.shorts.look(gram, from + at, hit);
            }
        }
        if SHORTS {
            // Nothing is behind the last byte, but one-byte patterns are there with any other.
            let last = data.len().saturating_sub(GRAM - 1);
            for at in last..data.len() {
                let byte = |at| data.get(at).copied().unwrap_or_default();
                let gram = fold([byte(at), byte(at + 1), 0, 0]);
                if self.shorts.may_have(gram) {
                    self.shorts.look(gram, from + at, hit);
                }
            }
        }
    }

    /// Whether the pattern is at `at`, and ends after `fresh`.
    fn confirm(
        &self,
        pattern: u32,
        data: &[u8],
        at: usize,
        fresh: usize,
        candidate: &mut impl FnMut(u32),
    ) {
        let Some(entry) = self.patterns.get(wide(pattern)) else {
            return;
        };
        let (start, length) = (wide(entry.start), wide(entry.length));
        let (Some(bytes), Some(there)) = (
            self.bytes.get(start..start + length),
            data.get(at..at + length),
        ) else {
            return;
        };
        if at + length > fresh && there.eq_ignore_ascii_case(bytes) {
            let rules = self.rules.get(wide(entry.rules)..wide(entry.rules_end));
            rules
                .into_iter()
                .flatten()
                .for_each(|rule| candidate(*rule));
        }
    }
}

impl Grams {
    fn new(patterns: &[&[u8]]) -> Self {
        let mut used = HashMap::<u32, u32>::new();
        let mut list = Vec::new();
        for (pattern, bytes) in (0..).zip(patterns) {
            let grams = bytes.windows(GRAM).take(FURTHEST);
            let grams = grams.filter_map(|gram| <[u8; GRAM]>::try_from(gram).ok());
            let choice = (0_u32..).zip(grams).min_by_key(|(_, gram)| {
                let shared = used.get(&fold(*gram)).copied().unwrap_or(0);
                rarity::score(gram) + SHARED * shared
            });
            if let Some((offset, gram)) = choice {
                let bytes = fold(gram);
                *used.entry(bytes).or_default() += 1;
                list.push(Gram {
                    bytes,
                    offset,
                    pattern,
                });
            }
        }
        if list.is_empty() {
            return Self::default();
        }
        let wanted = (list.len() * BITS_PER_PATTERN).next_power_of_two().ilog2();
        let index = wanted.clamp(INDEX_MIN, INDEX_MAX);
        let mut grams = Self {
            map: vec![0; 1 << (index - 6)],
            shift: 32 - index,
            buckets: Vec::new(),
            list: Vec::new(),
        };
        for gram in &list {
            let hash = hash(gram.bytes) >> grams.shift;
            if let Some(word) = grams.map.get_mut(wide(hash >> 6)) {
                *word |= 1 << (hash & 63);
            }
        }
        let bucket = |gram: &Gram| hash(gram.bytes) >> BUCKET_SHIFT;
        list.sort_by_key(|gram| (bucket(gram), gram.bytes));
        grams.buckets = (0..=1 << (32 - BUCKET_SHIFT))
            .map(|number| small(list.partition_point(|gram| bucket(gram) < number)))
            .collect();
        grams.list = list;
        grams
    }

    /// Whether a pattern may have the gram.
    fn may_have(&self, gram: u32) -> bool {
        let place = hash(gram) >> self.shift;
        let word = self.map.get(wide(place >> 6)).copied().unwrap_or(0);
        word >> (place & 63) & 1 != 0
    }

    #[cold]
    fn look(&self, bytes: u32, at: usize, hit: &mut impl FnMut(u32, usize)) {
        let bucket = wide(hash(bytes) >> BUCKET_SHIFT);
        let (Some(start), Some(end)) = (self.buckets.get(bucket), self.buckets.get(bucket + 1))
        else {
            return;
        };
        let list = self.list.get(wide(*start)..wide(*end));
        for gram in list.into_iter().flatten() {
            if gram.bytes == bytes
                && let Some(at) = at.checked_sub(wide(gram.offset))
            {
                hit(gram.pattern, at);
            }
        }
    }
}

/// 32 less the bits of a bucket's number.
const BUCKET_SHIFT: u32 = 32 - 12;

impl Shorts {
    fn new(patterns: &[&[u8]]) -> Self {
        let mut shorts = Self::default();
        for (pattern, bytes) in (0..).zip(patterns) {
            let (first, seconds) = match bytes {
                [first] => (*first, 0..=u8::MAX),
                [first, second] | [first, second, _] => (*first, *second..=*second),
                _ => continue,
            };
            shorts.map.resize(1 << (16 - 6), 0);
            for second in seconds {
                let pair = fold_pair([first, second]);
                if let Some(word) = shorts.map.get_mut(usize::from(pair >> 6)) {
                    *word |= 1 << (pair & 63);
                }
                let list = shorts.by_pair.entry(pair).or_default();
                if !list.contains(&pattern) {
                    list.push(pattern);
                }
            }
        }
        shorts
    }

    fn may_have(&self, gram: u32) -> bool {
        let pair = gram & 0xffff;
        let word = self.map.get(wide(pair >> 6)).copied().unwrap_or(0);
        word >> (pair & 63) & 1 != 0
    }

    #[cold]
    fn look(&self, gram: u32, at: usize, hit: &mut impl FnMut(u32, usize)) {
        let pair = u16::try_from(gram & 0xffff).unwrap_or_default();
        for pattern in self.by_pair.get(&pair).into_iter().flatten() {
            hit(*pattern, at);
        }
    }
}

/// Upper and lower case become one. So do some other bytes: this decides nothing.
const fn fold(gram: [u8; GRAM]) -> u32 {
    u32::from_le_bytes(gram) | 0x2020_2020
}

const fn fold_pair(pair: [u8; 2]) -> u16 {
    u16::from_le_bytes(pair) | 0x2020
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4).
const fn hash(gram: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1)
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const fn wide(number: u32) -> usize {
    number as usize
}
