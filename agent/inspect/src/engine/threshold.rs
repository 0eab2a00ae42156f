//! `threshold`: how often a rule may alert (Suricata: `threshold` keyword).

use core::net::IpAddr;

use hashbrown::HashMap;

use super::Rule;
use crate::{
    packet::{SocketId, Timestamp},
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

/// gid, sid, and what is tracked: addresses or a flow.
type Key = (u32, u32, Option<IpAddr>, Option<IpAddr>, u64);

/// The match that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Occurrence {
    /// The end that sent what matched.
    pub source: SocketId,
    /// The other end.
    pub destination: SocketId,
    /// The flow's id.
    pub flow: u64,
    /// When.
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    start: Timestamp,
    matches: u32,
    /// Nanoseconds after which it starts anew.
    period: u64,
    /// `backoff`: the next match that is admitted.
    next: u32,
    /// `unique_on`: a bit for each port, hashed, that was counted.
    ports: u128,
}

impl Thresholds {
    /// Whether a match of `rule` becomes an alert.
    pub fn admit(&mut self, rule: &Rule, occurrence: &Occurrence) -> bool {
        let Some(threshold) = rule.threshold else {
            return true;
        };
        let now = occurrence.now;
        let key = key(rule, threshold.track, occurrence);
        if self.counts.len() >= MAX_COUNTS && !self.counts.contains_key(&key) {
            self.make_room(now);
        }
        let period = match threshold.seconds {
            0 => u64::MAX,
            seconds => u64::from(seconds).saturating_mul(SECOND),
        };
        let fresh = Count {
            start: now,
            matches: 0,
            period,
            next: threshold.count,
            ports: 0,
        };
        let count = self.counts.entry(key).or_insert(fresh);
        if now.since(count.start) >= period {
            *count = fresh;
        }
        if let Some(of_destination) = threshold.unique {
            let socket = if of_destination {
                occurrence.destination
            } else {
                occurrence.source
            };
            let bit = 1_u128 << (socket.port % 128);
            if count.ports & bit != 0 {
                return false;
            }
            count.ports |= bit;
        }
        count.matches = count.matches.saturating_add(1);
        match threshold.kind {
            ThresholdKind::Limit => count.matches <= threshold.count,
            ThresholdKind::Both => count.matches == threshold.count,
            ThresholdKind::Filter => count.matches > threshold.count,
            ThresholdKind::Threshold => {
                let reached = count.matches >= threshold.count;
                if reached {
                    *count = fresh;
                }
                reached
            }
            ThresholdKind::Backoff => {
                let reached = count.matches >= count.next;
                if reached {
                    count.next = count.next.saturating_mul(threshold.multiplier.max(2));
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

fn key(rule: &Rule, track: Track, occurrence: &Occurrence) -> Key {
    let (source, destination) = (occurrence.source.address, occurrence.destination.address);
    let (first, second, flow) = match track {
        Track::BySource => (Some(source), None, 0),
        Track::ByDestination => (Some(destination), None, 0),
        Track::ByBoth => (
            Some(source.min(destination)),
            Some(source.max(destination)),
            0,
        ),
        Track::ByRule => (None, None, 0),
        Track::ByFlow => (None, None, occurrence.flow),
    };
    (rule.signature.gid, rule.signature.sid, first, second, flow)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rule::{RuleSetBuilder, Variables};

    fn occurrence(source: IpAddr, destination: IpAddr, now: Timestamp) -> Occurrence {
        let socket = |address| SocketId { address, port: 1 };
        Occurrence {
            source: socket(source),
            destination: socket(destination),
            flow: 1,
            now,
        }
    }

    /// One rule with these options.
    fn one(options: &str) -> Arc<Rule> {
        let mut builder = RuleSetBuilder::new(Variables::default());
        builder.add_source(
            "test",
            &format!("alert tcp any any -> any any ({options} sid:1;)"),
        );
        let (set, diagnostics) = builder.build();
        assert_eq!(diagnostics, []);
        Arc::clone(&set.rules[0])
    }

    #[test]
    fn thresholds_count_as_suricata_does() {
        let rule = |kind: &str| {
            let options = format!("threshold:type {kind}, track by_src, count 3, seconds 10;");
            one(&options)
        };
        let a = IpAddr::from([10, 0, 0, 1]);
        let b = IpAddr::from([10, 0, 0, 2]);
        let admitted = |kind: &str| {
            let rule = rule(kind);
            let mut thresholds = Thresholds::default();
            let admit = |seconds: u64| {
                let now = Timestamp(seconds * 1_000_000_000);
                thresholds.admit(&rule, &occurrence(a, b, now))
            };
            [0, 1, 2, 3, 4, 5, 12, 13].map(admit)
        };
        assert_eq!(
            admitted("limit"),
            [true, true, true, false, false, false, true, true]
        );
        assert_eq!(
            admitted("threshold"),
            [false, false, true, false, false, true, false, false]
        );
        assert_eq!(
            admitted("both"),
            [false, false, true, false, false, false, false, false]
        );
        let rule = rule("both");
        let mut thresholds = Thresholds::default();
        for source in 0..70_000_u32 {
            thresholds.admit(
                &rule,
                &occurrence(IpAddr::from(source.to_be_bytes()), b, Timestamp(1)),
            );
        }
        assert_eq!(
            thresholds.evicted, 65_536,
            "bounded, and what was given up is counted"
        );
    }

    #[test]
    fn filters_begin_late_and_backoff_thins_out() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let admitted = |options: &str| {
            let rule = one(options);
            let mut thresholds = Thresholds::default();
            (0..9)
                .filter(|at| thresholds.admit(&rule, &occurrence(a, b, Timestamp(*at))))
                .collect::<Vec<u64>>()
        };
        let filter = "detection_filter:track by_src, count 6, seconds 10;";
        assert_eq!(admitted(filter), [6, 7, 8]);
        let backoff = "threshold:type backoff, track by_flow, count 1, multiplier 2;";
        assert_eq!(admitted(backoff), [0, 1, 3, 7]);
        let unique = "detection_filter:track by_src, count 1, seconds 10, unique_on src_port;";
        assert_eq!(admitted(unique), [0_u64; 0], "all come from one port");
    }
}
