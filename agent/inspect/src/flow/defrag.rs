//! Fragments to datagrams. As Linux does it, what lies within bytes received before is dropped,
//! any other overlap drops the datagram (`inet_frag_queue_insert`). Of IPv4 overlaps another
//! [`OverlapPolicy`] may decide; IPv6 has no choice (RFC 5722).

use core::net::IpAddr;
use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::overlap::{Claims, Favour, OverlapPolicy};
use crate::{
    anomaly::Anomaly,
    decode::{Fragment, Network},
    packet::Timestamp,
};

/// Largest payload of a datagram.
const MAX_LENGTH: u32 = 65_535;
const SECOND: u64 = 1_000_000_000;

/// Bounds of defragmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentLimits {
    /// Datagrams that are put together at once.
    pub datagrams: usize,
    /// Bytes that they hold together.
    pub bytes: usize,
    /// Runs of bytes with holes between them in one datagram.
    pub runs: usize,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        Self {
            datagrams: 1024,
            bytes: 4 << 20,
            runs: 256,
        }
    }
}

/// What defragmentation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentStats {
    /// Datagrams put together.
    pub reassembled: u64,
    /// Given up for their age.
    pub timed_out: u64,
    /// Given up, oldest first, because [`FragmentLimits::datagrams`] or
    /// [`FragmentLimits::bytes`] was reached.
    pub evicted: u64,
    /// Given up because [`FragmentLimits::runs`] was reached.
    pub run_limit: u64,
    /// Given up for an overlap or a contradiction.
    pub malformed: u64,
    /// Given up because a fragment was not captured whole.
    pub not_captured: u64,
}

/// What a fragment led to.
#[derive(Debug, Default)]
pub(crate) struct Inserted {
    /// The payload of a datagram that is complete.
    pub(crate) datagram: Option<(Network, Vec<u8>)>,
    /// An event to be raised.
    pub(crate) anomaly: Option<Anomaly>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    /// IPv4 only: RFC 8200 section 4.5 leaves it out.
    protocol: Option<u8>,
    scope: u64,
}

#[derive(Debug)]
struct Partial {
    /// Of the first fragment, once it is there.
    network: Network,
    begun: Timestamp,
    data: Vec<u8>,
    /// Runs of bytes that are there, in order, never touching.
    runs: Vec<(u32, u32)>,
    /// The same when a policy decides about overlaps: the fragments that own them.
    claims: Claims<()>,
    /// Bytes that `claims` has.
    claimed: i64,
    /// Length, once the last fragment is there.
    length: Option<u32>,
    sequence: u64,
}

/// Datagrams of which some fragments are there.
#[derive(Debug)]
pub(crate) struct Defragmenter {
    limits: FragmentLimits,
    overlap: OverlapPolicy,
    stats: FragmentStats,
    partials: HashMap<Key, Partial, RandomState>,
    /// By age; entries of datagrams that have gone are skipped by `sequence`.
    order: VecDeque<(Key, u64)>,
    next_sequence: u64,
    bytes: usize,
}

enum Added {
    Nothing,
    Kept,
    /// Some of it at most: a policy decided about an overlap.
    Decided,
    Overlap,
    Contradiction,
}

impl Defragmenter {
    pub(crate) fn new(limits: FragmentLimits) -> Self {
        Self {
            limits,
            overlap: OverlapPolicy::default(),
            stats: FragmentStats::default(),
            partials: HashMap::with_hasher(RandomState::default()),
            order: VecDeque::new(),
            next_sequence: 0,
            bytes: 0,
        }
    }

    /// Decides about overlaps of IPv4 as this policy does.
    pub(crate) fn with_overlap(mut self, policy: OverlapPolicy) -> Self {
        self.overlap = policy;
        self
    }

    pub(crate) const fn stats(&self) -> FragmentStats {
        self.stats
    }

    /// Takes in one fragment.
    pub(crate) fn insert(
        &mut self,
        fragment: &Fragment<'_>,
        scope: u64,
        now: Timestamp,
    ) -> Inserted {
        self.expire(now);
        let key = key_of(fragment, scope);
        let (payload, mut anomaly) = match checked(fragment) {
            Ok(checked) => checked,
            Err(anomaly) => {
                self.drop_malformed(&key);
                return Inserted {
                    datagram: None,
                    anomaly: Some(anomaly),
                };
            }
        };
        if fragment.payload.len() < fragment.payload_length as usize {
            self.stats.not_captured += 1;
            self.remove(&key);
            return Inserted::default();
        }
        let partial = self.partials.entry(key).or_insert_with(|| {
            self.next_sequence += 1;
            self.order.push_back((key, self.next_sequence));
            Partial {
                network: fragment.network,
                begun: now,
                data: Vec::new(),
                runs: Vec::new(),
                claims: Claims::default(),
                claimed: 0,
                length: None,
                sequence: self.next_sequence,
            }
        });
        let held = partial.footprint();
        let favour = self.overlap.of_fragments();
        let added = partial.add(fragment, payload, favour.filter(|_| key.source.is_ipv4()));
        self.bytes += partial.footprint() - held;
        let complete = partial.complete();
        let too_many = partial.runs.len() > self.limits.runs;
        match added {
            Added::Overlap | Added::Contradiction => {
                anomaly = Some(Anomaly::FragmentOverlap);
                self.drop_malformed(&key);
            }
            Added::Decided => anomaly = Some(Anomaly::FragmentOverlap),
            Added::Nothing => anomaly = anomaly.or(Some(Anomaly::FragmentRepeat)),
            Added::Kept if too_many => {
                self.stats.run_limit += 1;
                self.remove(&key);
            }
            Added::Kept => {}
        }
        let datagram = complete.then(|| self.take(&key)).flatten();
        self.make_room();
        Inserted { datagram, anomaly }
    }

    /// Gives up what Linux would have given up by `now`.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some((key, sequence)) = self.order.front() {
            match self.partials.get(key) {
                Some(partial) if partial.sequence == *sequence => {
                    if now.since(partial.begun) < timeout(partial.network.source) {
                        return;
                    }
                    let key = *key;
                    self.stats.timed_out += 1;
                    self.remove(&key);
                }
                _ => {}
            }
            self.order.pop_front();
        }
    }

    fn make_room(&mut self) {
        while self.partials.len() > self.limits.datagrams || self.bytes > self.limits.bytes {
            let Some((key, sequence)) = self.order.pop_front() else {
                return;
            };
            let oldest = self.partials.get(&key);
            if oldest.is_some_and(|partial| partial.sequence == sequence) {
                self.stats.evicted += 1;
                self.remove(&key);
            }
        }
        // Entries of finished datagrams pile up behind an old one that waits.
        if self.order.len() > 2 * self.limits.datagrams.max(8) {
            let partials = &self.partials;
            self.order.retain(|(key, sequence)| {
                partials
                    .get(key)
                    .is_some_and(|partial| partial.sequence == *sequence)
            });
        }
    }

    fn take(&mut self, key: &Key) -> Option<(Network, Vec<u8>)> {
        let partial = self.remove(key)?;
        self.stats.reassembled += 1;
        Some((partial.network, partial.data))
    }

    fn drop_malformed(&mut self, key: &Key) {
        if self.remove(key).is_some() {
            self.stats.malformed += 1;
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Partial> {
        let partial = self.partials.remove(key)?;
        self.bytes -= partial.footprint();
        Some(partial)
    }
}

impl Partial {
    /// Bytes of memory held that grow with what was received.
    fn footprint(&self) -> usize {
        self.data.capacity() + self.claims.footprint()
    }

    fn add(&mut self, fragment: &Fragment<'_>, payload: &[u8], favour: Option<Favour>) -> Added {
        let start = fragment.offset;
        let end = start + u32::try_from(payload.len()).unwrap_or(MAX_LENGTH);
        let claimed = self.claims.as_slice().last().map_or(0, |claim| claim.to);
        let seen = self.runs.last().map_or(0, |run| run.1);
        let before = i64::from(end) < claimed || end < seen;
        let contradicts = match self.length {
            Some(length) => end > length || (!fragment.more && end != length),
            None => !fragment.more && before,
        };
        if contradicts {
            return Added::Contradiction;
        }
        if let Some(favour) = favour {
            return self.contest(fragment, payload, favour, (start, end));
        }
        let at = self.runs.partition_point(|run| run.1 <= start);
        if let Some(&(from, to)) = self.runs.get(at)
            && from < end
        {
            let within = from <= start && end <= to;
            let same = self.data.get(start as usize..end as usize) == Some(payload);
            return if within && same {
                Added::Nothing
            } else {
                Added::Overlap
            };
        }
        self.extend(fragment, start, end);
        if let Some(place) = self.data.get_mut(start as usize..end as usize) {
            place.copy_from_slice(payload);
        }
        self.insert_run(at, start, end);
        Added::Kept
    }

    /// Makes room up to `end`, and takes what the first and the last fragment tell.
    fn extend(&mut self, fragment: &Fragment<'_>, start: u32, end: u32) {
        if !fragment.more {
            self.length = Some(end);
        }
        if start == 0 {
            self.network = fragment.network;
        }
        if self.data.len() < end as usize {
            self.data.resize(end as usize, 0);
        }
    }

    /// Takes of a fragment what `favour` gives it.
    fn contest(
        &mut self,
        fragment: &Fragment<'_>,
        payload: &[u8],
        favour: Favour,
        (start, end): (u32, u32),
    ) -> Added {
        let extent = (i64::from(start), i64::from(end));
        let overlapped = self.claims.overlapping(extent).iter();
        let common = |from: i64, to: i64| to.min(extent.1) - from.max(extent.0);
        let known: i64 = overlapped.map(|claim| common(claim.from, claim.to)).sum();
        let within = known == extent.1 - extent.0;
        let same = self.data.get(start as usize..end as usize) == Some(payload);
        if within && same {
            return Added::Nothing;
        }
        self.claimed += extent.1 - extent.0 - known;
        let network = self.network;
        let begun = !self.claims.overlapping((0, 1)).is_empty();
        self.extend(fragment, start, end);
        let mut has_first = false;
        let data = &mut self.data;
        self.claims.insert(favour, extent, (), |claim| {
            has_first |= claim.from == 0;
            let place = |at: i64| usize::try_from(at).unwrap_or(usize::MAX);
            let (from, to) = (place(claim.from), place(claim.to));
            let offset = start as usize;
            let part = payload.get(from.saturating_sub(offset)..to.saturating_sub(offset));
            if let (Some(place), Some(part)) = (data.get_mut(from..to), part) {
                place.copy_from_slice(part);
            }
        });
        if begun && !has_first {
            self.network = network;
        }
        if known > 0 {
            Added::Decided
        } else {
            Added::Kept
        }
    }

    /// Adds a run before the one at `at`, which begins at `end` or later.
    fn insert_run(&mut self, at: usize, start: u32, end: u32) {
        let joins_next = self.runs.get(at).is_some_and(|run| run.0 == end);
        let previous = at
            .checked_sub(1)
            .filter(|&previous| self.runs.get(previous).is_some_and(|run| run.1 == start));
        match (previous, joins_next) {
            (Some(previous), true) => {
                let next = self.runs.remove(at);
                if let Some(run) = self.runs.get_mut(previous) {
                    run.1 = next.1;
                }
            }
            (Some(previous), false) => {
                if let Some(run) = self.runs.get_mut(previous) {
                    run.1 = end;
                }
            }
            (None, true) => {
                if let Some(run) = self.runs.get_mut(at) {
                    run.0 = start;
                }
            }
            (None, false) => self.runs.insert(at, (start, end)),
        }
    }

    fn complete(&self) -> bool {
        if self.claimed > 0 {
            return self
                .length
                .is_some_and(|length| i64::from(length) == self.claimed);
        }
        matches!((self.runs.as_slice(), self.length), ([(0, end)], Some(length)) if *end == length)
    }
}

/// The bytes that Linux takes from a fragment, with an event when they are not all.
fn checked<'a>(fragment: &Fragment<'a>) -> Result<(&'a [u8], Option<Anomaly>), Anomaly> {
    let length = fragment.payload_length;
    if length == 0 {
        return Err(Anomaly::FragmentLength);
    }
    if fragment.offset.saturating_add(length) > MAX_LENGTH {
        return Err(Anomaly::FragmentTooLarge);
    }
    if !fragment.more || length.is_multiple_of(8) {
        return Ok((fragment.payload, None));
    }
    // `ip_frag_queue` cuts it, `ip6_frag_queue` refuses it.
    let cut = (length & !7) as usize;
    if fragment.network.source.is_ipv6() || cut == 0 {
        return Err(Anomaly::FragmentLength);
    }
    let payload = fragment.payload.get(..cut).unwrap_or(fragment.payload);
    Ok((payload, Some(Anomaly::FragmentLength)))
}

const fn key_of(fragment: &Fragment<'_>, scope: u64) -> Key {
    let network = &fragment.network;
    Key {
        source: network.source,
        destination: network.destination,
        id: fragment.id,
        protocol: if network.source.is_ipv4() {
            Some(network.protocol)
        } else {
            None
        },
        scope,
    }
}

/// `net.ipv4.ipfrag_time` and `net.ipv6.ip6frag_time` as Linux sets them.
const fn timeout(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(_) => 30 * SECOND,
        IpAddr::V6(_) => 60 * SECOND,
    }
}

#[cfg(test)]
mod tests;
