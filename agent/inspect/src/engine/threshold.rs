//! `threshold`: how often a rule may alert (Suricata: `threshold` keyword).

use core::net::IpAddr;

use hashbrown::HashMap;

use super::Rule;
use crate::{
    packet::Timestamp,
    rule::{ThresholdKind, Track},
};

/// Counts kept at once.
const MAX_COUNTS: usize = 65_536;
const SECOND: u64 = 1_000_000_000;

/// Counts matches of rules that have a threshold.
#[derive(Debug, Default)]
pub struct Thresholds {
    counts: HashMap<Key, Count, foldhash::fast::RandomState>,
    /// Counts that were given up before their time, for want of room.
    pub evicted: u64,
}

type Key = (u32, u32, Option<IpAddr>);

#[derive(Clone, Copy, Debug)]
struct Count {
    start: Timestamp,
    matches: u32,
    /// Nanoseconds after which it starts anew.
    period: u64,
}

impl Thresholds {
    /// Whether a match of `rule` becomes an alert.
    pub fn admit(
        &mut self,
        rule: &Rule,
        source: IpAddr,
        destination: IpAddr,
        now: Timestamp,
    ) -> bool {
        let Some(threshold) = rule.threshold else {
            return true;
        };
        let tracked = match threshold.track {
            Track::BySource => Some(source),
            Track::ByDestination => Some(destination),
            Track::ByRule => None,
        };
        let key = (rule.signature.gid, rule.signature.sid, tracked);
        if self.counts.len() >= MAX_COUNTS && !self.counts.contains_key(&key) {
            self.make_room(now);
        }
        let period = u64::from(threshold.seconds).saturating_mul(SECOND);
        let fresh = Count {
            start: now,
            matches: 0,
            period,
        };
        let count = self.counts.entry(key).or_insert(fresh);
        if now.since(count.start) >= period {
            *count = fresh;
        }
        count.matches = count.matches.saturating_add(1);
        match threshold.kind {
            ThresholdKind::Limit => count.matches <= threshold.count,
            ThresholdKind::Both => count.matches == threshold.count,
            ThresholdKind::Threshold => {
                let reached = count.matches >= threshold.count;
                if reached {
                    *count = fresh;
                }
                reached
            }
        }
    }

    /// Lets go of counts whose period is over; if that frees too little, of all: a flood of sources
    /// must not keep others from being counted for longer than one period, nor have the table
    /// searched again for each of them.
    fn make_room(&mut self, now: Timestamp) {
        self.counts
            .retain(|_, count| now.since(count.start) < count.period);
        if self.counts.len() > MAX_COUNTS / 8 * 7 {
            self.evicted += self.counts.len() as u64;
            self.counts.clear();
        }
    }
}
