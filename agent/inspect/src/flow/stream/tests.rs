use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const LIMITS: StreamLimits = StreamLimits {
    window: 64,
    pending: 1 << 20,
    total: 1 << 20,
};

/// Drives a stream and notes what it hands out.
struct Run {
    stream: Stream,
    limits: StreamLimits,
    stats: StreamStats,
    base: u32,
    /// Bytes by place.
    delivered: BTreeMap<u64, u8>,
    windows: Vec<(u64, usize, usize)>,
    asides: Vec<(u64, Vec<u8>)>,
    anomalies: Vec<Anomaly>,
}

impl Run {
    fn new(base: u32) -> Self {
        Self {
            stream: Stream::new(base),
            limits: LIMITS,
            stats: StreamStats::default(),
            base,
            delivered: BTreeMap::new(),
            windows: Vec::new(),
            asides: Vec::new(),
            anomalies: Vec::new(),
        }
    }

    fn drive(
        &mut self,
        change: impl FnOnce(&mut Stream, &StreamLimits, &mut StreamStats, &mut dyn FnMut(Event<'_>)),
    ) {
        let Self {
            stream,
            limits,
            stats,
            delivered,
            windows,
            asides,
            anomalies,
            ..
        } = self;
        change(stream, limits, stats, &mut |event| match event {
            Event::Window { data, start, fresh } => {
                windows.push((start, fresh, data.len()));
                for (at, &byte) in data.iter().enumerate() {
                    let place = start + at as u64;
                    let before = delivered.insert(place, byte);
                    if at < fresh {
                        assert_eq!(before, Some(byte), "history differs at {place}");
                    } else {
                        assert_eq!(before, None, "{place} delivered twice");
                    }
                }
            }
            Event::Aside { data, start } => asides.push((start, data.to_vec())),
            Event::Anomaly(anomaly) => anomalies.push(anomaly),
        });
    }

    fn wire(&mut self, place: i64, data: &[u8], wire: usize, edge: Option<u32>) {
        let segment = Segment {
            sequence: self.base.wrapping_add(truncated(place)),
            data,
            wire: u32::try_from(wire).unwrap(),
            edge,
        };
        self.drive(|stream, limits, stats, out| stream.segment(segment, limits, stats, out));
    }

    fn segment(&mut self, place: i64, data: &[u8]) {
        self.wire(place, data, data.len(), None);
    }

    fn acknowledged(&mut self, place: i64) {
        let sequence = self.base.wrapping_add(truncated(place));
        self.drive(|stream, limits, stats, out| stream.acknowledged(sequence, limits, stats, out));
    }

    fn release(&mut self) {
        self.drive(|stream, limits, stats, out| stream.release(limits, stats, out));
    }

    fn text(&self) -> String {
        let bytes: Vec<u8> = self.delivered.values().copied().collect();
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn an_idle_stream_holds_nothing() {
    let mut run = Run::new(7);
    assert_eq!(run.stream.footprint(), 0);
    run.segment(0, b"abc");
    run.segment(10, b"xyz");
    assert!(run.stream.footprint() > 0);
    run.release();
    assert_eq!(run.stream.footprint(), 0);
    assert_eq!(run.text(), "abcxyz", "what waited was delivered");
    assert_eq!((run.stats.gaps, run.stats.gap_bytes), (1, 7));
}

#[test]
fn sequence_numbers_wrap() {
    let mut run = Run::new(u32::MAX - 2);
    run.segment(4, b"efgh");
    run.segment(0, b"abcd");
    run.segment(8, b"ijkl");
    assert_eq!(run.text(), "abcdefghijkl");
}

#[test]
fn the_window_slides_and_stays_bounded() {
    let mut run = Run::new(0);
    for at in 0..100_i64 {
        run.segment(at * 50, &[u8::try_from(at).unwrap(); 50]);
        assert!(run.stream.footprint() <= 2 * LIMITS.window);
    }
    run.segment(5_000, &[1; 1_000]);
    assert!(run.stream.footprint() <= 2 * LIMITS.window);
    for &(start, fresh, length) in &run.windows {
        assert!(fresh <= LIMITS.window && length - fresh <= LIMITS.window);
        assert!(
            fresh == LIMITS.window || start == 0,
            "all history that fits is there"
        );
    }
}

#[test]
fn other_bytes_for_a_delivered_place_are_told_and_inspected() {
    let mut run = Run::new(0);
    run.segment(0, b"GET /good");
    run.segment(5, b"evil");
    assert_eq!(run.text(), "GET /good");
    assert_eq!(run.anomalies, [Anomaly::StreamOverlapConflict]);
    assert_eq!(run.asides, [(5, b"evil".to_vec())]);
    run.segment(0, b"GET /good");
    run.segment(8, b"\0");
    assert_eq!(
        run.stats.conflicts, 1,
        "same bytes and keep-alives are in order"
    );
}

#[test]
fn what_starts_first_wins_while_waiting() {
    let mut run = Run::new(0);
    run.segment(4, b"4444");
    run.segment(6, b"666666");
    run.segment(2, b"222");
    run.segment(0, b"00");
    assert_eq!(run.text(), "002224446666");
    assert_eq!(run.stats.conflicts, 2);
}

#[test]
fn a_hole_that_the_receiver_does_not_have_is_skipped() {
    let mut run = Run::new(0);
    run.segment(0, b"abc");
    run.segment(6, b"ghi");
    run.acknowledged(3);
    assert_eq!(run.text(), "abc");
    run.acknowledged(9);
    assert_eq!(run.text(), "abcghi");
    assert_eq!((run.stats.gaps, run.stats.gap_bytes), (1, 3));
    assert_eq!(run.windows.last(), Some(&(6, 0, 3)), "matching starts anew");
    run.segment(3, b"def");
    assert_eq!(
        run.asides,
        [(3, b"def".to_vec())],
        "late bytes are inspected"
    );
    assert_eq!(run.anomalies, [Anomaly::StreamGap, Anomaly::StreamLateData]);
}

#[test]
fn a_cut_capture_is_a_gap_of_known_size() {
    let mut run = Run::new(0);
    run.wire(0, b"abc", 10, None);
    run.segment(10, b"klm");
    assert_eq!(run.text(), "abcklm");
    assert_eq!((run.stats.gaps, run.stats.gap_bytes), (1, 7));
}

#[test]
fn the_stream_is_found_again_after_gigabytes_were_not_captured() {
    let mut run = Run::new(0);
    run.segment(0, b"abc");
    run.acknowledged(3_000_000_000);
    run.segment(3_000_000_000, b"xyz");
    assert_eq!(run.text(), "abcxyz");
}

#[test]
fn what_waits_is_bounded() {
    let mut run = Run::new(0);
    run.limits.pending = 1_000;
    for at in 0..200_i64 {
        run.segment(10 + 20 * at, b"0123456789");
        assert!(run.stream.footprint() <= 1_000 + 2 * LIMITS.window);
    }
    assert!(run.stats.pending_limit > 0);
    run.release();
    assert_eq!(
        run.delivered.len(),
        2_000,
        "nothing that was captured is lost"
    );
}

#[test]
fn bytes_beyond_the_window_are_inspected_aside() {
    let mut run = Run::new(0);
    run.segment(0, b"ab");
    run.wire(60, b"garbage", 7, Some(50));
    assert_eq!(run.asides, [(60, b"garbage".to_vec())]);
    run.wire(40, b"fits", 4, Some(50));
    assert_eq!(run.asides.len(), 1);
    // An edge behind the stream says that the receiver was not heard for long.
    run.wire(60, b"known", 5, Some(1));
    run.release();
    assert_eq!(run.text(), "abfitsknown");
}

fn segments_of(length: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    // Cuts of the whole, then repeats of any part; shuffled.
    (
        proptest::collection::btree_set(1..length, 0..40),
        proptest::collection::vec((0..length, 1..40_usize), 0..20),
    )
        .prop_map(move |(cuts, repeats): (BTreeSet<usize>, _)| {
            let mut starts: Vec<usize> = vec![0];
            starts.extend(&cuts);
            let mut parts: Vec<(usize, usize)> = starts
                .iter()
                .enumerate()
                .map(|(at, &from)| (from, starts.get(at + 1).copied().unwrap_or(length)))
                .collect();
            for (from, size) in repeats {
                parts.push((from, (from + size).min(length)));
            }
            parts
        })
        .prop_shuffle()
}

/// Linux's rules, written down from the receiver's side.
#[derive(Default)]
struct Oracle {
    delivered: Vec<u8>,
    queue: Vec<(usize, Vec<u8>)>,
}

impl Oracle {
    fn segment(&mut self, start: usize, data: &[u8]) {
        let end = start + data.len();
        let position = self.delivered.len();
        if end <= position {
            return;
        }
        if start > position {
            let inside =
                |(from, kept): &(usize, Vec<u8>)| *from <= start && end <= from + kept.len();
            if !self.queue.iter().any(inside) {
                self.queue
                    .retain(|(from, kept)| *from < start || from + kept.len() > end);
                self.queue.push((start, data.to_vec()));
            }
            return;
        }
        self.delivered.extend(&data[position - start..]);
        loop {
            let position = self.delivered.len();
            let ready = self
                .queue
                .iter()
                .enumerate()
                .filter(|(_, (from, _))| *from <= position);
            let Some((at, _)) = ready.min_by_key(|(_, (from, _))| *from) else {
                return;
            };
            let (from, data) = self.queue.remove(at);
            self.delivered
                .extend(data.get(position - from..).unwrap_or_default());
        }
    }
}

proptest! {
    #[test]
    fn any_split_order_and_repetition_gives_the_stream(
        base in any::<u32>(),
        parts in segments_of(400),
    ) {
        let whole: Vec<u8> = (0..400_u32).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let mut run = Run::new(base);
        for (from, to) in parts {
            run.segment(i64::try_from(from).unwrap(), &whole[from..to]);
        }
        let delivered: Vec<u8> = run.delivered.values().copied().collect();
        prop_assert_eq!(delivered, whole);
        prop_assert_eq!(run.stats.gaps, 0);
        prop_assert_eq!(run.stats.conflicts, 0);
    }

    #[test]
    fn overlaps_are_decided_as_linux_does(
        parts in proptest::collection::vec((0_usize..60, 1_usize..25, 1_u8..), 1..40),
    ) {
        let mut run = Run::new(u32::MAX - 20);
        let mut oracle = Oracle::default();
        let mut sent = Vec::new();
        for (from, length, byte) in parts {
            let data = vec![byte; length];
            run.segment(i64::try_from(from).unwrap(), &data);
            oracle.segment(from, &data);
            sent.push((from, data));
        }
        let delivered: Vec<u8> = run.delivered.values().copied().collect();
        prop_assert_eq!(&delivered, &oracle.delivered);

        // No captured byte goes uninspected.
        run.release();
        for (from, data) in sent {
            for (at, byte) in data.iter().enumerate() {
                let place = (from + at) as u64;
                let in_place = run.delivered.get(&place) == Some(byte);
                let aside = run.asides.iter().any(|(start, other)| {
                    let within = place.checked_sub(*start).and_then(|at| other.get(usize::try_from(at).unwrap()));
                    within == Some(byte)
                });
                prop_assert!(in_place || aside, "byte at {} was not inspected", place);
            }
        }
    }

    #[test]
    fn any_segments_and_acknowledgements_are_survived(
        steps in proptest::collection::vec(
            (any::<bool>(), any::<u32>(), 0_usize..50, 0_u32..100, any::<Option<u32>>()), 0..60),
    ) {
        let limits = StreamLimits { window: 16, pending: 500, total: 0 };
        let mut stream = Stream::new(0);
        let mut stats = StreamStats::default();
        for (acknowledges, sequence, length, more, edge) in steps {
            if acknowledges {
                stream.acknowledged(sequence, &limits, &mut stats, &mut |_| {});
            } else {
                let data = vec![1; length];
                let wire = u32::try_from(length).unwrap() + more;
                let segment = Segment { sequence, data: &data, wire, edge };
                stream.segment(segment, &limits, &mut stats, &mut |_| {});
            }
            prop_assert!(stream.footprint() <= 500 + 2 * 16);
        }
    }
}
