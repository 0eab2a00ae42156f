//! Alert storms: a limit for each rule and pair of endpoints, that forgets nothing.
//!
//! The first `limit` alerts of a window pass. Later ones are held back; when the window is over,
//! either the next alert of the pair carries their number, or the last of them is emitted with the
//! number of the others. So at any time: findings = emitted + suppressed + held.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::IpAddr,
};

use hydrophone_inspect::{Endpoint, Timestamp};

use super::Alert;
use crate::{census::Identity, config, telemetry::AlertFigures};

/// What an endpoint is told apart by: its container, whatever address and port it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum EndpointKey {
    Container(u64),
    Address(IpAddr, u64),
}

impl EndpointKey {
    fn new(identity: &Identity, end: &Endpoint, scope: u64) -> Self {
        match identity {
            Identity::Container { container, .. } if container.cgroup_id != 0 => {
                Self::Container(container.cgroup_id)
            }
            _ => Self::Address(end.socket.address, scope),
        }
    }
}

/// A rule and two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    gid: u32,
    sid: u32,
    source: EndpointKey,
    destination: EndpointKey,
}

/// What is limited.
pub trait Limited {
    /// What alerts have in common that are limited together.
    type Key: Copy + Eq + Hash;
    /// Its key.
    fn key(&self) -> Self::Key;
    /// When it was found.
    fn timestamp(&self) -> Timestamp;
    /// How many others it stands for.
    fn suppressed(&mut self) -> &mut u64;
}

impl Limited for Alert {
    type Key = Pair;

    fn key(&self) -> Pair {
        let context = &self.finding.context;
        let scope = context.scope;
        Pair {
            gid: self.finding.signature.gid,
            sid: self.finding.signature.sid,
            source: EndpointKey::new(&self.source, &context.source, scope),
            destination: EndpointKey::new(&self.destination, &context.destination, scope),
        }
    }

    fn timestamp(&self) -> Timestamp {
        self.finding.context.timestamp
    }

    fn suppressed(&mut self) -> &mut u64 {
        &mut self.suppressed
    }
}

/// One pair in its window.
struct Window<A> {
    start: u64,
    passed: u32,
    held: u64,
    /// The latest that was held back: it speaks for all of them when the window closes.
    last: Option<Box<A>>,
}

/// The limiter. Time is that of the findings, and only moves forward.
pub struct StormLimit<A: Limited> {
    limit: u32,
    window: u64,
    capacity: usize,
    clock: u64,
    windows: HashMap<A::Key, Window<A>>,
    /// Keys by the start of their window. All windows are equally long, so this is also the order
    /// in which they close.
    order: VecDeque<(A::Key, u64)>,
    figures: AlertFigures,
}

impl<A: Limited> StormLimit<A> {
    /// From section `alert.storm`.
    #[must_use]
    pub fn new(config: &config::Storm) -> Self {
        Self {
            limit: config.limit,
            window: config.window.nanoseconds(),
            capacity: usize::try_from(config.pairs).unwrap_or(usize::MAX),
            clock: 0,
            windows: HashMap::new(),
            order: VecDeque::new(),
            figures: AlertFigures::default(),
        }
    }

    /// `queue_lost` is not known here and stays 0.
    #[must_use]
    pub const fn figures(&self) -> AlertFigures {
        self.figures
    }

    /// Takes one alert; appends those to be emitted now to `out`.
    pub fn admit(&mut self, mut alert: A, out: &mut Vec<A>) {
        self.figures.findings += 1;
        if self.limit == 0 {
            self.emit(alert, out);
            return;
        }
        self.clock = self.clock.max(alert.timestamp().0);
        let key = alert.key();
        match self.windows.get_mut(&key) {
            Some(window) if self.clock.saturating_sub(window.start) < self.window => {
                if window.passed < self.limit {
                    window.passed += 1;
                    self.emit(alert, out);
                } else {
                    window.held += 1;
                    window.last = Some(Box::new(alert));
                    self.figures.held += 1;
                }
            }
            Some(window) => {
                *alert.suppressed() = window.held;
                *window = Window::new(self.clock);
                self.order.push_back((key, self.clock));
                self.emit(alert, out);
            }
            None => {
                self.windows.insert(key, Window::new(self.clock));
                self.order.push_back((key, self.clock));
                self.emit(alert, out);
            }
        }
        self.close_windows(out);
    }

    /// Closes the windows that are over at `now`.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<A>) {
        self.clock = self.clock.max(now.0);
        self.close_windows(out);
    }

    /// Closes every window.
    pub fn flush(&mut self, out: &mut Vec<A>) {
        while let Some((key, start)) = self.order.pop_front() {
            self.close(key, start, out);
        }
    }

    fn close_windows(&mut self, out: &mut Vec<A>) {
        while let Some((key, start)) = self.order.front().copied() {
            let is_over = self.clock.saturating_sub(start) >= self.window;
            if !is_over && self.windows.len() <= self.capacity {
                break;
            }
            self.order.pop_front();
            if self.close(key, start, out) && !is_over {
                self.figures.storm_evicted += 1;
            }
        }
    }

    /// Whether the window was still there: the pair may have begun another since.
    fn close(&mut self, key: A::Key, start: u64, out: &mut Vec<A>) -> bool {
        if self
            .windows
            .get(&key)
            .is_none_or(|window| window.start != start)
        {
            return false;
        }
        let Some(window) = self.windows.remove(&key) else {
            return false;
        };
        if let Some(last) = window.last {
            let mut alert = *last;
            *alert.suppressed() = window.held.saturating_sub(1);
            // The alert itself is not held any more either.
            self.figures.held = self.figures.held.saturating_sub(1);
            self.emit(alert, out);
        }
        true
    }

    fn emit(&mut self, mut alert: A, out: &mut Vec<A>) {
        self.figures.emitted += 1;
        let suppressed = *alert.suppressed();
        self.figures.suppressed += suppressed;
        self.figures.held = self.figures.held.saturating_sub(suppressed);
        out.push(alert);
    }
}

impl<A> Window<A> {
    const fn new(start: u64) -> Self {
        Self {
            start,
            passed: 1,
            held: 0,
            last: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{alert::fixtures, config::Interval};

    const SECOND: u64 = 1_000_000_000;

    fn limiter(limit: u32, pairs: u32) -> StormLimit<Alert> {
        StormLimit::new(&config::Storm {
            limit,
            window: Interval::seconds(10),
            pairs,
        })
    }

    fn alert(sid: u32, seconds: u64) -> Alert {
        let mut alert = fixtures::alert();
        let mut signature = (*alert.finding.signature).clone();
        signature.sid = sid;
        alert.finding.signature = signature.into();
        alert.finding.context.timestamp = Timestamp(seconds * SECOND);
        alert
    }

    #[test]
    fn the_next_alert_counts_what_was_held() {
        let mut storm = limiter(2, 10);
        let mut out = Vec::new();
        for _ in 0..7 {
            storm.admit(alert(1, 100), &mut out);
        }
        assert_eq!(out.len(), 2);
        assert_eq!(storm.figures().held, 5);
        storm.admit(alert(1, 110), &mut out);
        assert_eq!(
            out.iter().map(|alert| alert.suppressed).collect::<Vec<_>>(),
            [0, 0, 5]
        );
        assert_eq!(storm.figures().held, 0);
    }

    #[test]
    fn the_timer_emits_the_last_one_held() {
        let mut storm = limiter(1, 10);
        let mut out = Vec::new();
        for second in 100..105 {
            storm.admit(alert(1, second), &mut out);
        }
        storm.tick(Timestamp(109 * SECOND), &mut out);
        assert_eq!(out.len(), 1);
        storm.tick(Timestamp(110 * SECOND), &mut out);
        assert_eq!(out.len(), 2);
        assert_eq!(out[1].suppressed, 3);
        assert_eq!(out[1].finding.context.timestamp, Timestamp(104 * SECOND));
        storm.tick(Timestamp(200 * SECOND), &mut out);
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn other_rules_and_other_pairs_are_not_limited() {
        let mut storm = limiter(1, 10);
        let mut out = Vec::new();
        storm.admit(alert(1, 100), &mut out);
        storm.admit(alert(2, 100), &mut out);
        let mut reversed = alert(1, 100);
        core::mem::swap(&mut reversed.source, &mut reversed.destination);
        storm.admit(reversed, &mut out);
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn the_same_container_from_another_port_is_the_same_pair() {
        let mut storm = limiter(1, 10);
        let mut out = Vec::new();
        for port in 1000..1010 {
            let mut alert = alert(1, 100);
            alert.finding.context.source.socket.port = port;
            storm.admit(alert, &mut out);
        }
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_full_table_evicts_the_oldest_pair_with_its_count() {
        let mut storm = limiter(1, 2);
        let mut out = Vec::new();
        for sid in [1, 1, 1, 2, 3] {
            storm.admit(alert(sid, 100), &mut out);
        }
        let emitted: Vec<_> = out
            .iter()
            .map(|alert| (alert.finding.signature.sid, alert.suppressed))
            .collect();
        assert_eq!(emitted, [(1, 0), (2, 0), (3, 0), (1, 1)]);
        assert_eq!(storm.figures().storm_evicted, 1);
        assert_eq!(storm.windows.len(), 2);
    }

    #[test]
    fn limit_zero_passes_all() {
        let mut storm = limiter(0, 2);
        let mut out = Vec::new();
        for _ in 0..100 {
            storm.admit(alert(1, 100), &mut out);
        }
        assert_eq!(out.len(), 100);
        assert!(storm.windows.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            limit in 0..4_u32,
            pairs in 1..5_u32,
            // Time may run backwards between hooks.
            events in prop::collection::vec((1..8_u32, 0..60_u64, prop::bool::weighted(0.1)), 0..200),
        ) {
            let mut storm = limiter(limit, pairs);
            let mut out = Vec::new();
            for (sid, second, is_tick) in &events {
                if *is_tick {
                    storm.tick(Timestamp(second * SECOND), &mut out);
                } else {
                    storm.admit(alert(*sid, *second), &mut out);
                }
                let figures = storm.figures();
                prop_assert_eq!(figures.findings, figures.emitted + figures.suppressed + figures.held);
                prop_assert!(storm.windows.len() <= usize::try_from(pairs).unwrap());
                prop_assert_eq!(storm.order.len(), storm.windows.len());
            }
            storm.flush(&mut out);
            prop_assert_eq!(storm.figures().held, 0);
            for sid in 1..8 {
                let sent = events.iter().filter(|(s, _, is_tick)| *s == sid && !is_tick).count();
                let told: u64 = out
                    .iter()
                    .filter(|alert| alert.finding.signature.sid == sid)
                    .map(|alert| 1 + alert.suppressed)
                    .sum();
                prop_assert_eq!(told, u64::try_from(sent).unwrap());
            }
        }
    }
}
