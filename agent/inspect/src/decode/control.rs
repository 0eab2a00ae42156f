//! What is odd about messages of ICMP, ICMPv6 and IGMP.

use super::slice::Slice;
use crate::anomaly::{Anomaly, AnomalySet};

/// Checks an ICMP message (RFC 792, 950, 1256, 1812) with `cited` behind its header.
pub(super) fn icmp(kind: u8, code: u8, cited: Slice<'_>, events: &mut AnomalySet) {
    let codes = match kind {
        3 => 0..=15,
        5 => 0..=3,
        9 => 0..=16,
        11 => 0..=1,
        12 => 0..=2,
        0 | 4 | 8 | 10 | 13..=18 => 0..=0,
        // RFC 1393, 2521, 8335.
        30 | 40 | 42 | 43 => 0..=u8::MAX,
        _ => {
            events.insert(Anomaly::IcmpUnknownType);
            return;
        }
    };
    if !codes.contains(&code) {
        events.insert(Anomaly::IcmpUnknownCode);
    }
    if matches!(kind, 3 | 4 | 5 | 11 | 12) {
        citation(cited, 20, 4, events);
    }
}

/// Checks an `ICMPv6` message (RFC 4443 and the IANA registry).
pub(super) fn icmpv6(
    (kind, code): (u8, u8),
    hop_limit: u8,
    cited: Slice<'_>,
    events: &mut AnomalySet,
) {
    let codes = match kind {
        1 => 0..=8,
        3 => 0..=1,
        4 => 0..=10,
        2 | 128..=137 | 143 => 0..=0,
        138..=142 | 144..=161 => 0..=u8::MAX,
        100 | 101 | 200 | 201 => {
            events.insert(Anomaly::Icmpv6Experiment);
            return;
        }
        0 | 127 | 255 => {
            events.insert(Anomaly::IcmpUnknownType);
            return;
        }
        _ => {
            events.insert(Anomaly::Icmpv6Unassigned);
            return;
        }
    };
    // Router renumbering counts with its code.
    if !codes.contains(&code) {
        events.insert(Anomaly::IcmpUnknownCode);
    }
    if matches!(kind, 130..=132 | 143) && hop_limit != 1 {
        events.insert(Anomaly::Icmpv6ListenerHopLimit);
    }
    if kind < 128 {
        citation(cited, 40, 6, events);
    }
}

/// Checks what an error message cites of the packet that caused it.
fn citation(cited: Slice<'_>, header: usize, version: u8, events: &mut AnomalySet) {
    if cited.wire < header {
        events.insert(Anomaly::IcmpEmbeddedTruncated);
    } else if cited
        .bytes
        .first()
        .is_some_and(|first| first >> 4 != version)
    {
        events.insert(Anomaly::IcmpEmbeddedVersion);
    }
}

/// Checks an IGMP message (RFC 1112, 2236, 3376).
pub(super) fn igmp(message: Slice<'_>, events: &mut AnomalySet) {
    const QUERY: u8 = 0x11;
    const REPORT_3: u8 = 0x22;
    if message.wire < 8 {
        events.insert(Anomaly::IgmpTruncated);
        return;
    }
    let bytes = message.bytes;
    match bytes {
        [QUERY, ..] if message.wire > 8 => {
            let sources = field(bytes, 10).unwrap_or(0);
            if message.wire < 12 + 4 * sources {
                events.insert(Anomaly::Igmpv3Truncated);
            }
        }
        [REPORT_3, _, _, _, _, _, c0, c1, ..] => {
            records(
                usize::from(u16::from_be_bytes([*c0, *c1])),
                message.skip(8),
                events,
            );
        }
        _ => {}
    }
}

/// Checks the group records of a report (RFC 3376 section 4.2.4).
fn records(count: usize, mut rest: Slice<'_>, events: &mut AnomalySet) {
    const RECORD: usize = 8;
    for _ in 0..count {
        if rest.wire < RECORD {
            events.insert(Anomaly::Igmpv3Truncated);
            return;
        }
        let Some(&[_, auxiliary, ..]) = rest.bytes.first_chunk::<RECORD>() else {
            return;
        };
        let sources = field(rest.bytes, 2).unwrap_or(0);
        let length = RECORD + 4 * (usize::from(auxiliary) + sources);
        if length > rest.wire {
            events.insert(Anomaly::IgmpMalformed);
            return;
        }
        rest = rest.skip(length);
    }
}

fn field(bytes: &[u8], at: usize) -> Option<usize> {
    let chunk = bytes.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_be_bytes(*chunk)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn igmp_events(bytes: &[u8]) -> Vec<Anomaly> {
        let mut events = AnomalySet::default();
        igmp(Slice::new(bytes, bytes.len()), &mut events);
        events.iter().collect()
    }

    #[test]
    fn igmp_lengths_are_checked() {
        assert_eq!(igmp_events(&[0x16; 7]), [Anomaly::IgmpTruncated]);
        assert_eq!(igmp_events(&[0x16; 8]), []);
        let mut query = vec![0x11; 12];
        query[10..].copy_from_slice(&[0, 0]);
        assert_eq!(igmp_events(&query), []);
        query[11] = 1;
        assert_eq!(igmp_events(&query), [Anomaly::Igmpv3Truncated]);
        let mut report = vec![0x22, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(igmp_events(&report), [Anomaly::Igmpv3Truncated]);
        report.extend([1, 0, 0, 0, 224, 0, 0, 9]);
        assert_eq!(igmp_events(&report), []);
        report[11] = 1;
        assert_eq!(igmp_events(&report), [Anomaly::IgmpMalformed]);
    }

    #[test]
    fn errors_have_to_cite() {
        let mut events = AnomalySet::default();
        icmp(3, 1, Slice::new(&[0x60; 20], 20), &mut events);
        icmpv6((1, 0), 64, Slice::new(&[0x60; 39], 39), &mut events);
        icmpv6((143, 0), 64, Slice::new(&[], 0), &mut events);
        assert!(events.iter().eq([
            Anomaly::IcmpEmbeddedTruncated,
            Anomaly::IcmpEmbeddedVersion,
            Anomaly::Icmpv6ListenerHopLimit
        ]));
    }
}
