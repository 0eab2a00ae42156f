//! Suricata's names for what the decoder and the streams raise.

use super::{Anomaly, AnomalySet};
use crate::decode::PacketView;

/// What one value of the `decode-event` keyword asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeEvent {
    any_of: AnomalySet,
    /// The IP version that the packet must have; some anomalies are of both.
    version: Option<u8>,
}

impl DecodeEvent {
    /// The event of a name such as `ipv6.exthdr_useless_fh`. `None` when nothing raises it: either
    /// Suricata does not have it, or it is of no use here.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let any_of = named(name, Anomaly::decode_events)?;
        let version = if name.starts_with("ipv4.frag_") || name.starts_with("icmpv4.") {
            Some(4)
        } else if name.starts_with("ipv6.frag_") || name.starts_with("icmpv6.") {
            Some(6)
        } else {
            None
        };
        Some(Self { any_of, version })
    }

    /// Whether the packet has it.
    #[must_use]
    pub fn raised(&self, view: &PacketView<'_>) -> bool {
        self.any_of.intersects(&view.events)
            && (self.version.is_none() || self.version == view.ip_version())
    }
}

/// The anomalies that a value of the `stream-event` keyword asks for. `None` when none does.
#[must_use]
pub fn stream_event(name: &str) -> Option<AnomalySet> {
    named(name, Anomaly::stream_events)
}

fn named(name: &str, names: impl Fn(Anomaly) -> &'static [&'static str]) -> Option<AnomalySet> {
    let all = Anomaly::ALL.into_iter();
    let set: AnomalySet = all
        .filter(|&anomaly| names(anomaly).contains(&name))
        .collect();
    (!set.is_empty()).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_leads_to_its_anomaly() {
        for anomaly in Anomaly::ALL {
            for name in anomaly.decode_events() {
                let event = DecodeEvent::named(name).unwrap();
                assert!(event.any_of.contains(anomaly), "{name}");
            }
            for name in anomaly.stream_events() {
                assert!(stream_event(name).unwrap().contains(anomaly), "{name}");
            }
        }
        assert_eq!(DecodeEvent::named("ipv6.no_such_event"), None);
        assert_eq!(stream_event("udp.pkt_too_small"), None);
    }

    #[test]
    fn an_event_of_one_ip_version_is_not_that_of_the_other() {
        let view = PacketView {
            events: Anomaly::FragmentOverlap.into(),
            ip: &[0x60; 40],
            ..PacketView::default()
        };
        let raised = |name| DecodeEvent::named(name).unwrap().raised(&view);
        assert!(raised("ipv6.frag_overlap"));
        assert!(!raised("ipv4.frag_overlap"));
    }
}
