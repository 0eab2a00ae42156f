//! How often a rule may alert (Suricata: `threshold` keyword and `threshold.config`).

use core::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Rule;
use crate::{
    packet::{SocketId, Timestamp},
    rule::{AlertFilters, RateFilter, Threshold, ThresholdKind, Track},
    signature::Signature,
};

/// Counts kept at once.
const MAX_COUNTS: usize = 65_536;
const SECOND: u64 = 1_000_000_000;

/// Decides which matches become alerts: suppressions first, then rate filters, which count what is not
/// suppressed, then thresholds.
#[derive(Debug, Default)]
pub struct Thresholds {
    filters: Arc<AlertFilters>,
    counts: HashMap<Key, Count, foldhash::fast::RandomState>,
    /// Counts that were given up before their time, for want of room.
    pub evicted: u64,
    /// Matches that a `suppress` held back.
    pub suppressed: u64,
    /// Matches that a `rate_filter` held back.
    pub rate_filtered: u64,
    /// Matches that a threshold held back.
    pub below: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    gid: u32,
    sid: u32,
    /// Which of the counts of a signature.
    counter: Counter,
    addresses: (Option<IpAddr>, Option<IpAddr>),
    flow: u64,
}

/// A signature has one count for each of its thresholds and rate filters, by their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counter {
    Threshold(usize),
    Rate(usize),
}

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
    /// `rate_filter`: since when it holds matches back.
    active: Option<Timestamp>,
    /// `unique_on`: a bit for each port, hashed, that was counted.
    ports: u128,
}

impl Count {
    const fn new(start: Timestamp, period: u64, next: u32) -> Self {
        Self {
            start,
            matches: 0,
            period,
            next,
            active: None,
            ports: 0,
        }
    }
}

impl Thresholds {
    /// From now on these filters are in force; what was counted stays.
    pub fn filter_by(&mut self, filters: &Arc<AlertFilters>) {
        if !Arc::ptr_eq(&self.filters, filters) {
            self.filters = Arc::clone(filters);
        }
    }

    /// Whether a match of `rule` becomes an alert.
    pub fn admit(&mut self, rule: &Rule, occurrence: &Occurrence) -> bool {
        self.admit_by(&rule.signature, &rule.thresholds, occurrence)
    }

    /// Whether what a behaviour found becomes an alert.
    pub fn admit_behavior(&mut self, signature: &Signature, occurrence: &Occurrence) -> bool {
        let limit = self.filters.limit(signature.gid, signature.sid);
        self.admit_by(signature, limit.as_slice(), occurrence)
    }

    fn admit_by(
        &mut self,
        signature: &Signature,
        thresholds: &[Threshold],
        occurrence: &Occurrence,
    ) -> bool {
        let (gid, sid) = (signature.gid, signature.sid);
        let [source, destination] = [occurrence.source, occurrence.destination];
        let filters = Arc::clone(&self.filters);
        if filters.suppresses(gid, sid, source.address, destination.address) {
            self.suppressed += 1;
            return false;
        }
        let mut held = false;
        for (at, rate) in filters.rates(gid, sid).enumerate() {
            let key = key(signature, Counter::Rate(at), rate.track, occurrence);
            held |= self.exceeds(key, rate, occurrence.now);
        }
        if held {
            self.rate_filtered += 1;
            return false;
        }
        let passes = thresholds.iter().enumerate().all(|(at, threshold)| {
            let key = key(
                signature,
                Counter::Threshold(at),
                threshold.track,
                occurrence,
            );
            self.reaches(key, threshold, occurrence)
        });
        self.below += u64::from(!passes);
        passes
    }

    /// Whether there were more matches than a `rate_filter` lets by, now or less than its `timeout` ago.
    fn exceeds(&mut self, key: Key, rate: &RateFilter, now: Timestamp) -> bool {
        let [window, timeout] = [rate.seconds, rate.timeout].map(|it| u64::from(it) * SECOND);
        let fresh = Count::new(now, window.max(timeout), 0);
        let count = self.count(key, fresh);
        match count.active {
            Some(since) if now.since(since) < timeout => return true,
            Some(_) => *count = fresh,
            None if now.since(count.start) >= window => *count = fresh,
            None => {}
        }
        count.matches = count.matches.saturating_add(1);
        let exceeded = count.matches > rate.count;
        if exceeded {
            // It is kept for as long as it is in force.
            count.start = now;
            count.active = Some(now);
        }
        exceeded
    }

    /// The count of this key, begun if there is none.
    fn count(&mut self, key: Key, fresh: Count) -> &mut Count {
        if self.counts.len() >= MAX_COUNTS && !self.counts.contains_key(&key) {
            self.make_room(fresh.start);
        }
        self.counts.entry(key).or_insert(fresh)
    }

    /// Whether a threshold lets a match by.
    fn reaches(&mut self, key: Key, threshold: &Threshold, occurrence: &Occurrence) -> bool {
        let now = occurrence.now;
        let period = match threshold.seconds {
            0 => u64::MAX,
            seconds => u64::from(seconds).saturating_mul(SECOND),
        };
        let fresh = Count::new(now, period, threshold.count);
        let count = self.count(key, fresh);
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

fn key(signature: &Signature, counter: Counter, track: Track, occurrence: &Occurrence) -> Key {
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
    Key {
        gid: signature.gid,
        sid: signature.sid,
        counter,
        addresses: (first, second),
        flow,
    }
}

#[cfg(test)]
mod tests {
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

    /// The rule of sid 1, which has these options, and what the lines of a file make of it.
    fn filtered(options: &str, lines: &str) -> (Arc<Rule>, Thresholds) {
        let mut builder = RuleSetBuilder::new(Variables::default());
        let rule = format!("alert tcp any any -> any any ({options} sid:1;)");
        builder.add_source("test", &rule);
        builder.add_filters("threshold.config", lines);
        let (set, diagnostics) = builder.build();
        assert_eq!(diagnostics, []);
        let mut thresholds = Thresholds::default();
        thresholds.filter_by(&set.filters);
        (Arc::clone(&set.rules[0]), thresholds)
    }

    #[test]
    fn what_is_suppressed_is_counted_and_nothing_else_is() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let admitted = |lines: &str| {
            let (rule, mut thresholds) = filtered("", lines);
            let mut admit = |from, to| thresholds.admit(&rule, &occurrence(from, to, Timestamp(1)));
            let admitted = (admit(a, b), admit(b, a));
            let suppressed = u64::from(!admitted.0) + u64::from(!admitted.1);
            assert_eq!((thresholds.suppressed, thresholds.below), (suppressed, 0));
            admitted
        };
        let host = "ip 10.0.0.1";
        for (line, expected) in [
            ("suppress gen_id 1, sig_id 1".to_owned(), (false, false)),
            ("suppress gen_id 0, sig_id 0".to_owned(), (false, false)),
            ("suppress gen_id 7001, sig_id 0".to_owned(), (true, true)),
            (
                format!("suppress gen_id 1, sig_id 1, track by_src, {host}"),
                (false, true),
            ),
            (
                format!("suppress gen_id 1, sig_id 0, track by_dst, {host}"),
                (true, false),
            ),
            (
                format!("suppress gen_id 1, sig_id 1, track by_either, {host}"),
                (false, false),
            ),
            (
                "suppress gen_id 1, sig_id 1, track by_src, ip [10.0.0.0/8,!10.0.0.2]".to_owned(),
                (false, true),
            ),
        ] {
            assert_eq!(admitted(&line), expected, "{line}");
        }
    }

    #[test]
    fn an_event_filter_replaces_the_threshold_of_the_rule_it_names() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let admitted = |options: &str, lines: &str| {
            let (rule, mut thresholds) = filtered(options, lines);
            let admit = |at: &u64| thresholds.admit(&rule, &occurrence(a, b, Timestamp(*at)));
            (0..6).filter(admit).collect::<Vec<u64>>()
        };
        let own = "threshold:type limit, track by_src, count 1, seconds 60;";
        let named =
            "event_filter gen_id 1, sig_id 1, type limit, \\\n  track by_rule, count 2, seconds 60";
        let all = "threshold gen_id 1, sig_id 0, type threshold, track by_src, count 3, seconds 60";
        assert_eq!(admitted(own, named), [0, 1]);
        assert_eq!(
            admitted(own, all),
            [0],
            "the rule's own goes before that for all"
        );
        assert_eq!(admitted("", all), [2, 5]);
        assert_eq!(admitted("", &format!("{named}\n{all}")), [0, 1]);
        let detection = "detection_filter:track by_src, count 3, seconds 60;";
        assert_eq!(admitted(detection, named), [3, 4], "both must let it by");
    }

    #[test]
    fn a_rate_filter_lets_nothing_by_until_its_timeout() {
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let admitted = |action: &str| {
            let (rule, mut thresholds) = filtered(
                "",
                &format!(
                    "rate_filter gen_id 1, sig_id 1, track by_src, count 2, seconds 10, \
                     new_action {action}, timeout 5"
                ),
            );
            let seconds = [0, 1, 2, 3, 6, 8, 20, 21];
            let admitted = seconds.map(|second| {
                thresholds.admit(&rule, &occurrence(a, b, Timestamp(second * SECOND)))
            });
            assert!(thresholds.admit(&rule, &occurrence(b, a, Timestamp(22 * SECOND))));
            (admitted, thresholds.rate_filtered)
        };
        let expected = [true, true, false, false, false, true, true, true];
        assert_eq!(admitted("pass"), (expected, 3));
        assert_eq!(admitted("alert"), ([true; 8], 0));
    }
}
