use proptest::prelude::*;

use super::*;
use crate::{
    anomaly::Anomaly,
    decode::{Fragment, Network},
    flow::{
        FragmentLimits, StreamLimits, StreamStats,
        defrag::Defragmenter,
        stream::{Event, Segment, Stream},
    },
    packet::Timestamp,
};

/// Bytes of one place in the tables: fragments begin at multiples of 8.
const UNIT: usize = 8;

/// Drives a stream that begins at sequence number 0.
struct Tcp {
    stream: Stream,
    limits: StreamLimits,
    stats: StreamStats,
    delivered: Vec<u8>,
    asides: Vec<Vec<u8>>,
}

impl Tcp {
    fn new(policy: OverlapPolicy) -> Self {
        Self {
            stream: Stream::new(0).with_overlap(policy),
            limits: StreamLimits::default(),
            stats: StreamStats::default(),
            delivered: Vec::new(),
            asides: Vec::new(),
        }
    }

    fn segment(&mut self, start: usize, data: &[u8]) {
        let segment = Segment {
            sequence: u32::try_from(start).unwrap(),
            data,
            wire: u32::try_from(data.len()).unwrap(),
            edge: None,
        };
        let (delivered, asides) = (&mut self.delivered, &mut self.asides);
        let mut note = |event: Event<'_>| match event {
            Event::Window { data, start, fresh } => {
                let place = usize::try_from(start).unwrap() + fresh;
                assert_eq!(place, delivered.len(), "lost or delivered twice");
                delivered.extend_from_slice(&data[fresh..]);
            }
            Event::Aside { data, .. } => asides.push(data.to_vec()),
            Event::Anomaly(_) => {}
        };
        self.stream
            .segment(segment, &self.limits, &mut self.stats, &mut note);
    }

    fn text(&self) -> String {
        String::from_utf8(self.delivered.clone()).unwrap()
    }
}

fn fragment<'a>(source: &str, start: usize, more: bool, payload: &'a [u8]) -> Fragment<'a> {
    Fragment {
        network: Network {
            source: source.parse().unwrap(),
            destination: source.parse().unwrap(),
            protocol: 17,
            ttl: 64,
        },
        id: 1,
        offset: u32::try_from(start).unwrap(),
        more,
        payload,
        payload_length: u32::try_from(payload.len()).unwrap(),
    }
}

/// The old one has places 2 to 4; the new one, in this order: reaches in from the left, to the
/// old end, around; starts with it and is shorter, the same, longer; inside, to the old end, out
/// to the right.
const RELATIONS: [(usize, usize); 9] = [
    (1, 3),
    (1, 5),
    (1, 6),
    (2, 4),
    (2, 5),
    (2, 6),
    (3, 4),
    (3, 5),
    (3, 6),
];

/// Whose bytes stay, for TCP and for fragments: `o`ld or `n`ew.
const TABLE: [(OverlapPolicy, &str, Option<&str>); 14] = [
    (OverlapPolicy::Linux, "nnnoonooo", None),
    (OverlapPolicy::First, "ooooooooo", Some("ooooooooo")),
    (OverlapPolicy::Last, "nnnnnnnnn", Some("nnnnnnnnn")),
    (OverlapPolicy::Bsd, "nnnoooooo", Some("nnnoooooo")),
    (OverlapPolicy::BsdRight, "ooonnnnnn", Some("ooonnnnnn")),
    (OverlapPolicy::OldLinux, "nnnonnooo", Some("nnnnnnooo")),
    (OverlapPolicy::Windows, "nnnoooooo", Some("oonoooooo")),
    (OverlapPolicy::Windows2k3, "nnnoooooo", Some("oonoooooo")),
    (OverlapPolicy::Vista, "ooooooooo", Some("ooooooooo")),
    (OverlapPolicy::Solaris, "onnonnoon", Some("onnoooooo")),
    (OverlapPolicy::Hpux, "onnonnoon", Some("ooooooooo")),
    (OverlapPolicy::Hpux10, "nnnoooooo", Some("nnnoooooo")),
    (OverlapPolicy::Irix, "nnnoooooo", Some("nnnoooooo")),
    (OverlapPolicy::Macos, "nnnoooooo", Some("ooooooooo")),
];

/// What is to be delivered: `f` before, then the two, the winner on top.
fn expected(new: (usize, usize), winner: char) -> String {
    let old = (2, 5);
    let has = |extent: (usize, usize), place| extent.0 <= place && place < extent.1;
    let byte = |place: usize| match (has(old, place), has(new, place)) {
        (true, true) => winner,
        (true, false) => 'o',
        (false, true) => 'n',
        (false, false) => 'f',
    };
    let places = (0..new.1.max(old.1)).map(byte);
    places.flat_map(|byte| [byte; UNIT]).collect()
}

#[test]
fn the_table_has_every_policy() {
    assert_eq!(TABLE.map(|row| row.0), OverlapPolicy::ALL);
}

#[test]
fn segments_are_decided_by_the_table() {
    for (policy, winners, _) in TABLE {
        for (new, winner) in RELATIONS.into_iter().zip(winners.chars()) {
            let mut tcp = Tcp::new(policy);
            tcp.segment(2 * UNIT, &[b'o'; 3 * UNIT]);
            let length = (new.1 - new.0) * UNIT;
            tcp.segment(new.0 * UNIT, &vec![b'n'; length]);
            tcp.segment(0, &vec![b'f'; new.0.min(2) * UNIT]);
            assert_eq!(tcp.text(), expected(new, winner), "{policy:?} {new:?}");
            assert_eq!(tcp.stats.conflicts, 1, "{policy:?} {new:?}");
            let told = |byte, length| tcp.asides.contains(&vec![byte; length]);
            assert!(told(b'o', 3 * UNIT) && told(b'n', length));
        }
    }
}

#[test]
fn fragments_are_decided_by_the_table() {
    for (policy, _, winners) in TABLE {
        for (at, new) in RELATIONS.into_iter().enumerate() {
            let mut defragmenter =
                Defragmenter::new(FragmentLimits::default()).with_overlap(policy);
            let mut insert = |start: usize, more: bool, data: &[u8]| {
                let fragment = fragment("10.0.0.1", start * UNIT, more, data);
                defragmenter.insert(&fragment, 0, Timestamp(1))
            };
            insert(2, true, &[b'o'; 3 * UNIT]);
            let overlap = insert(new.0, true, &vec![b'n'; (new.1 - new.0) * UNIT]);
            assert_eq!(overlap.anomaly, Some(Anomaly::FragmentOverlap));
            insert(0, true, &vec![b'f'; new.0.min(2) * UNIT]);
            let datagram = insert(new.1.max(5), false, b"end").datagram;
            let text = datagram.map(|(_, data)| String::from_utf8(data).unwrap());
            let winner = winners.and_then(|winners| winners.chars().nth(at));
            let wanted = winner.map(|winner| expected(new, winner) + "end");
            assert_eq!(text, wanted, "{policy:?} {new:?}");
        }
    }
}

#[test]
fn overlaps_of_ipv6_drop_the_datagram_under_every_policy() {
    for policy in OverlapPolicy::ALL {
        let mut defragmenter = Defragmenter::new(FragmentLimits::default()).with_overlap(policy);
        let mut insert = |start: usize, more: bool, data: &[u8]| {
            let fragment = fragment("fd00::1", start, more, data);
            defragmenter.insert(&fragment, 0, Timestamp(1)).datagram
        };
        insert(0, true, &[1; 16]);
        insert(8, true, &[2; 16]);
        assert!(insert(24, false, &[3; 8]).is_none(), "{policy:?}");
        assert_eq!(defragmenter.stats().malformed, 1, "{policy:?}");
    }
}

#[test]
fn repeats_are_neither_conflicts_nor_overlaps() {
    for policy in OverlapPolicy::ALL {
        let mut tcp = Tcp::new(policy);
        tcp.segment(2, b"cdef");
        tcp.segment(3, b"de");
        tcp.segment(2, b"cdefg");
        tcp.segment(0, b"abcd");
        assert_eq!(tcp.text(), "abcdefg", "{policy:?}");
        assert_eq!((tcp.stats.conflicts, tcp.asides.len()), (0, 0));
        let mut defragmenter = Defragmenter::new(FragmentLimits::default()).with_overlap(policy);
        let first = fragment("10.0.0.1", 0, true, &[1; 16]);
        defragmenter.insert(&first, 0, Timestamp(1));
        let again = defragmenter.insert(&first, 0, Timestamp(1));
        assert_eq!(again.anomaly, Some(Anomaly::FragmentRepeat), "{policy:?}");
    }
}

/// Two that wait, at 2 and 3 and at 5 and 6, and one across.
#[test]
fn one_segment_across_several_is_decided_for_each() {
    let cases = [
        (OverlapPolicy::Linux, "ffaaccb", "fccccccc"),
        (OverlapPolicy::First, "ffaacbb", "fcaacbbc"),
        (OverlapPolicy::Last, "ffacccb", "fccccccc"),
        (OverlapPolicy::Bsd, "ffaaccb", "fccccccc"),
        (OverlapPolicy::BsdRight, "ffaccbb", "fcaacbbc"),
        (OverlapPolicy::Solaris, "ffaccbb", "fccccccc"),
    ];
    let cross = |policy, start: usize, length: usize| {
        let mut tcp = Tcp::new(policy);
        tcp.segment(2, b"aa");
        tcp.segment(5, b"bb");
        tcp.segment(start, &vec![b'c'; length]);
        tcp.segment(0, &b"ff"[..start.min(2)]);
        tcp.text()
    };
    for (policy, between, around) in cases {
        assert_eq!(cross(policy, 1, 7), around, "{policy:?}");
        assert_eq!(cross(policy, 3, 3), between, "{policy:?}");
    }
}

#[test]
fn a_segment_in_order_contests_those_that_wait_but_not_what_was_delivered() {
    let text = |policy| {
        let mut tcp = Tcp::new(policy);
        tcp.segment(0, b"dd");
        tcp.segment(3, b"oo");
        tcp.segment(1, b"nnnnn");
        tcp.text()
    };
    assert_eq!(text(OverlapPolicy::First), "ddnoon");
    assert_eq!(text(OverlapPolicy::BsdRight), "ddnoon");
    assert_eq!(text(OverlapPolicy::Last), "ddnnnn");
    assert_eq!(text(OverlapPolicy::Linux), "ddnnnn");
}

#[test]
fn a_segment_in_many_parts_is_told_once() {
    let mut tcp = Tcp::new(OverlapPolicy::First);
    for place in 0..100 {
        tcp.segment(10 + 2 * place, b"x");
    }
    let long = [b'x'; 300];
    tcp.segment(9, &long);
    tcp.segment(9, &[b'y'; 300]);
    let told = tcp.asides.iter().filter(|aside| ***aside == long).count();
    assert_eq!(told, 1);
    assert!(tcp.stream.footprint() < 100 * (64 * 3 + 1) + 300 + 300);
}

/// One owner for each place, decided one by one.
#[derive(Default)]
struct Model(Vec<Option<(Extent, u8)>>);

impl Model {
    fn insert(&mut self, favour: Favour, from: usize, start: usize, data: &[u8]) {
        let end = start + data.len();
        let extent = (i64::try_from(start).unwrap(), i64::try_from(end).unwrap());
        self.0.resize(self.0.len().max(end), None);
        for (place, owner) in self
            .0
            .iter_mut()
            .enumerate()
            .take(end)
            .skip(start.max(from))
        {
            if owner.is_none_or(|(old, _)| favour.takes_new(old, extent)) {
                *owner = Some((extent, data[place - start]));
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let known = self.0.iter().map_while(|owner| *owner);
        known.map(|(_, byte)| byte).collect()
    }
}

fn policies() -> impl Strategy<Value = OverlapPolicy> {
    proptest::sample::select(&OverlapPolicy::ALL[..])
}

proptest! {
    #[test]
    fn segments_follow_the_order_of_arrival_alone(
        policy in policies(),
        segments in proptest::collection::vec((0_usize..60, 1_usize..20, any::<u8>()), 1..40),
    ) {
        let (mut tcp, mut model) = (Tcp::new(policy), Model::default());
        for (start, length, byte) in segments {
            let data = vec![byte; length];
            tcp.segment(start, &data);
            model.insert(policy.of_segments(), model.bytes().len(), start, &data);
            prop_assert_eq!(&tcp.delivered, &model.bytes());
        }
    }

    #[test]
    fn fragments_follow_the_order_of_arrival_alone(
        policy in policies(),
        fragments in proptest::collection::vec((0_usize..12, 1_usize..5, any::<u8>()), 1..60),
    ) {
        let Some(favour) = policy.of_fragments() else { return Ok(()) };
        let mut defragmenter = Defragmenter::new(FragmentLimits::default()).with_overlap(policy);
        let mut model = Model::default();
        let end = 16 * UNIT;
        defragmenter.insert(&fragment("10.0.0.1", end, false, b"end"), 0, Timestamp(1));
        for (start, length, byte) in fragments {
            let data = vec![byte; length * UNIT];
            let fragment = fragment("10.0.0.1", start * UNIT, true, &data);
            let datagram = defragmenter.insert(&fragment, 0, Timestamp(1)).datagram;
            model.insert(favour, 0, start * UNIT, &data);
            let known = model.bytes();
            prop_assert_eq!(datagram.is_some(), known.len() == end);
            if let Some((_, data)) = datagram {
                prop_assert_eq!(&data[..end], &known[..]);
                break;
            }
        }
    }

    #[test]
    fn what_waits_stays_bounded(
        policy in policies(),
        segments in proptest::collection::vec((0_usize..4_000, 1_usize..50, any::<u8>()), 0..120),
    ) {
        let limits = StreamLimits { window: 16, pending: 500, total: 0 };
        let mut stream = Stream::new(0).with_overlap(policy);
        let mut stats = StreamStats::default();
        for (start, length, byte) in segments {
            let data = vec![byte; length];
            let (sequence, wire) = (u32::try_from(start).unwrap(), u32::try_from(length).unwrap());
            let segment = Segment { sequence, data: &data, wire, edge: None };
            stream.segment(segment, &limits, &mut stats, &mut |_| {});
            prop_assert!(stream.footprint() <= 500 + 2 * 16);
        }
        stream.release(&limits, &mut stats, &mut |_| {});
        prop_assert_eq!(stream.footprint(), 0);
    }
}
