use proptest::prelude::*;

use super::*;

const V4: &str = "10.0.0.1";
const V6: &str = "fd00::1";

fn network(source: &str) -> Network {
    Network {
        source: source.parse().unwrap(),
        destination: source.parse().unwrap(),
        protocol: 17,
        ttl: 64,
    }
}

fn fragment<'a>(source: &str, id: u32, offset: u32, more: bool, payload: &'a [u8]) -> Fragment<'a> {
    Fragment {
        network: network(source),
        id,
        offset,
        more,
        payload,
        payload_length: u32::try_from(payload.len()).unwrap(),
    }
}

fn defragmenter() -> Defragmenter {
    Defragmenter::new(FragmentLimits::default())
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * SECOND)
}

#[test]
fn fragments_in_any_order_give_the_datagram() {
    for source in [V4, V6] {
        let mut defragmenter = defragmenter();
        let last = fragment(source, 1, 16, false, b"end");
        let first = fragment(source, 1, 0, true, b"01234567");
        let middle = fragment(source, 1, 8, true, b"89abcdef");
        assert!(defragmenter.insert(&last, 0, at(1)).datagram.is_none());
        assert!(defragmenter.insert(&first, 0, at(1)).datagram.is_none());
        assert_eq!(
            defragmenter.insert(&first, 0, at(1)).anomaly,
            Some(Anomaly::FragmentRepeat)
        );
        let (_, payload) = defragmenter.insert(&middle, 0, at(1)).datagram.unwrap();
        assert_eq!(payload, b"0123456789abcdefend");
        assert_eq!(defragmenter.bytes, 0);
        assert_eq!(defragmenter.stats().reassembled, 1);
    }
}

#[test]
fn an_overlap_drops_the_datagram() {
    for source in [V4, V6] {
        let mut defragmenter = defragmenter();
        defragmenter.insert(&fragment(source, 1, 0, true, &[1; 16]), 0, at(1));
        let overlap = defragmenter.insert(&fragment(source, 1, 8, true, &[2; 16]), 0, at(1));
        assert_eq!(overlap.anomaly, Some(Anomaly::FragmentOverlap));
        let last = defragmenter.insert(&fragment(source, 1, 24, false, &[3; 8]), 0, at(1));
        assert!(last.datagram.is_none());
        assert_eq!(defragmenter.stats().malformed, 1);
    }
}

#[test]
fn a_repeat_with_other_bytes_is_told() {
    let mut defragmenter = defragmenter();
    defragmenter.insert(&fragment(V4, 1, 0, true, &[1; 16]), 0, at(1));
    let repeat = defragmenter.insert(&fragment(V4, 1, 0, true, &[2; 16]), 0, at(1));
    assert_eq!(repeat.anomaly, Some(Anomaly::FragmentOverlap));
}

#[test]
fn lengths_are_checked_as_linux_does() {
    let mut defragmenter = defragmenter();
    let uneven = fragment(V4, 1, 0, true, &[1; 9]);
    assert_eq!(
        defragmenter.insert(&uneven, 0, at(1)).anomaly,
        Some(Anomaly::FragmentLength)
    );
    let rest = defragmenter.insert(&fragment(V4, 1, 8, false, &[2; 8]), 0, at(1));
    assert_eq!(
        rest.datagram.unwrap().1.len(),
        16,
        "IPv4 cuts to a multiple of 8"
    );
    let uneven = fragment(V6, 1, 0, true, &[1; 9]);
    defragmenter.insert(&uneven, 0, at(1));
    let rest = defragmenter.insert(&fragment(V6, 1, 8, false, &[2; 8]), 0, at(1));
    assert!(rest.datagram.is_none(), "IPv6 refuses it");
    let death = fragment(V4, 2, 65_528, false, &[1; 16]);
    assert_eq!(
        defragmenter.insert(&death, 0, at(1)).anomaly,
        Some(Anomaly::FragmentTooLarge)
    );
}

#[test]
fn old_datagrams_are_given_up() {
    let mut defragmenter = defragmenter();
    defragmenter.insert(&fragment(V4, 1, 0, true, &[1; 8]), 0, at(100));
    defragmenter.insert(&fragment(V6, 1, 0, true, &[1; 8]), 0, at(100));
    defragmenter.expire(at(130));
    assert_eq!(defragmenter.stats().timed_out, 1);
    defragmenter.expire(at(160));
    assert_eq!(defragmenter.stats().timed_out, 2);
    assert_eq!(defragmenter.bytes, 0);
}

#[test]
fn the_bounds_hold() {
    let mut defragmenter = Defragmenter::new(FragmentLimits {
        datagrams: 10,
        bytes: 100_000,
        runs: 4,
    });
    for id in 0..1_000 {
        defragmenter.insert(&fragment(V4, id, 8, true, &[1; 8]), 0, at(1));
        assert!(defragmenter.partials.len() <= 10 && defragmenter.order.len() <= 22);
    }
    assert_eq!(defragmenter.stats().evicted, 990);
    for id in 0..10 {
        defragmenter.insert(&fragment(V6, id, 60_000, true, &[1; 8]), 0, at(1));
        assert!(defragmenter.bytes <= 100_000);
    }
    for part in 0..5 {
        defragmenter.insert(&fragment(V4, 7, 16 * part, true, &[1; 8]), 0, at(1));
    }
    assert_eq!(defragmenter.stats().run_limit, 1);
}

#[test]
fn a_fragment_that_was_cut_gives_the_datagram_up() {
    let mut defragmenter = defragmenter();
    let mut cut = fragment(V4, 1, 0, true, &[1; 8]);
    cut.payload_length = 16;
    assert!(defragmenter.insert(&cut, 0, at(1)).anomaly.is_none());
    assert_eq!(defragmenter.stats().not_captured, 1);
}

proptest! {
    #[test]
    fn any_order_and_repetition_gives_the_datagram(
        order in proptest::collection::vec(0_usize..12, 0..40),
    ) {
        let whole: Vec<u8> = (0..93).collect();
        let mut defragmenter = defragmenter();
        let mut result = None;
        for part in order.into_iter().chain((0..12).rev()) {
            if result.is_some() {
                break;
            }
            let piece = &whole[part * 8..whole.len().min(part * 8 + 8)];
            let offset = u32::try_from(part * 8).unwrap();
            let inserted = defragmenter.insert(&fragment(V4, 1, offset, part != 11, piece), 0, at(1));
            prop_assert!(matches!(inserted.anomaly, None | Some(Anomaly::FragmentRepeat)));
            result = inserted.datagram;
        }
        prop_assert_eq!(result.unwrap().1, whole);
    }

    #[test]
    fn any_fragments_are_survived(
        parts in proptest::collection::vec(
            (0_u32..4, 0_u32..8_200, any::<bool>(), 0_usize..70, any::<bool>()), 0..80),
    ) {
        let limits = FragmentLimits { datagrams: 3, bytes: 200_000, runs: 5 };
        let mut defragmenter = Defragmenter::new(limits);
        for (id, offset, more, length, ipv6) in parts {
            let payload = vec![0; length];
            let source = if ipv6 { V6 } else { V4 };
            let part = fragment(source, id, offset * 8, more, &payload);
            let inserted = defragmenter.insert(&part, 0, at(1));
            if let Some((_, payload)) = inserted.datagram {
                prop_assert!(payload.len() <= 65_535);
            }
            prop_assert!(defragmenter.bytes <= limits.bytes);
            let held: usize = defragmenter.partials.values().map(|p| p.data.capacity()).sum();
            prop_assert_eq!(defragmenter.bytes, held);
        }
    }
}

#[test]
fn who_owns_which_bytes_is_accounted() {
    let limits = FragmentLimits {
        datagrams: 10,
        bytes: 100_000,
        runs: 4,
    };
    let mut defragmenter = Defragmenter::new(limits).with_overlap(OverlapPolicy::First);
    for id in 0..10 {
        for place in (0..4_000).step_by(2) {
            let small = fragment(V4, id, place * 8, true, &[1; 8]);
            defragmenter.insert(&small, 0, at(1));
            assert!(defragmenter.bytes <= limits.bytes);
        }
    }
    assert!(defragmenter.stats().evicted > 0);
    defragmenter.expire(at(100));
    assert_eq!(defragmenter.bytes, 0);
}
