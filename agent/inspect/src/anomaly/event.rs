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
    /// The event of a name such as `ipv6.exthdr_useless_fh`. `None` when Suricata does not have it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let any_of = named(name, Anomaly::decode_events, DECODE_EVENTS_NOT_RAISED)?;
        let version = if name.starts_with("ipv4.frag_") || name.starts_with("icmpv4.") {
            Some(4)
        } else if name.starts_with("ipv6.frag_") || name.starts_with("icmpv6.") {
            Some(6)
        } else {
            None
        };
        Some(Self { any_of, version })
    }

    /// Whether any packet can have it. Suricata has events that are never raised here: a rule that
    /// asks for one is in order, and silent.
    #[must_use]
    pub fn can_be_raised(&self) -> bool {
        !self.any_of.is_empty()
    }

    /// The anomalies that it stands for.
    pub fn anomalies(&self) -> impl Iterator<Item = Anomaly> + '_ {
        self.any_of.iter()
    }

    /// Whether the packet has it.
    #[must_use]
    pub fn raised(&self, view: &PacketView<'_>) -> bool {
        self.any_of.intersects(&view.events)
            && (self.version.is_none() || self.version == view.ip_version())
    }
}

/// The anomalies that a value of the `stream-event` keyword asks for; none when Suricata has the
/// event but nothing raises it here. `None` when Suricata does not have it.
#[must_use]
pub fn stream_event(name: &str) -> Option<AnomalySet> {
    named(name, Anomaly::stream_events, STREAM_EVENTS_NOT_RAISED)
}

fn named(
    name: &str,
    names: impl Fn(Anomaly) -> &'static [&'static str],
    not_raised: &[&str],
) -> Option<AnomalySet> {
    let all = Anomaly::ALL.into_iter();
    let set: AnomalySet = all
        .filter(|&anomaly| names(anomaly).contains(&name))
        .collect();
    (!set.is_empty() || not_raised.contains(&name)).then_some(set)
}

/// Names of Suricata's `decode-event` keyword that no anomaly answers.
const DECODE_EVENTS_NOT_RAISED: &[&str] = &[
    "ipv4.opt_pad_required",
    "ipv4.opt_eol_required",
    "ipv4.frag_ignored",
    "ipv6.frag_ignored",
    "ipv6.exthdr_dupl_eh",
    "arp.invalid_pkt",
    "dce.pkt_too_small",
    "erspan.too_many_vlan_layers",
];

/// Names of Suricata's `stream-event` keyword that no anomaly answers: they tell in which of its
/// states it refused a segment, while here a segment is inspected whether or not it fits.
const STREAM_EVENTS_NOT_RAISED: &[&str] = &[
    "3whs_ack_data_inject",
    "3whs_ack_in_wrong_dir",
    "3whs_async_wrong_seq",
    "3whs_right_seq_wrong_ack_evasion",
    "3whs_syn_resend_diff_seq_on_syn_recv",
    "3whs_syn_toclient_on_syn_recv",
    "3whs_synack_flood",
    "3whs_synack_in_wrong_direction",
    "3whs_synack_resend_with_diff_seq",
    "3whs_synack_resend_with_different_ack",
    "3whs_synack_tfo_data_ignored",
    "3whs_synack_toserver_on_syn_recv",
    "3whs_synack_with_wrong_ack",
    "3whs_wrong_seq_wrong_ack",
    "4whs_invalid_ack",
    "4whs_synack_with_wrong_ack",
    "4whs_synack_with_wrong_syn",
    "4whs_wrong_seq",
    "closewait_ack_out_of_window",
    "closewait_fin_out_of_window",
    "closewait_invalid_ack",
    "closewait_pkt_before_last_ack",
    "closing_ack_wrong_seq",
    "closing_invalid_ack",
    "est_invalid_ack",
    "est_packet_out_of_window",
    "est_pkt_before_last_ack",
    "est_syn_resend",
    "est_syn_resend_diff_seq",
    "est_syn_toclient",
    "est_synack_resend",
    "est_synack_resend_with_diff_seq",
    "est_synack_resend_with_different_ack",
    "est_synack_toserver",
    "fin1_ack_wrong_seq",
    "fin1_fin_wrong_seq",
    "fin1_invalid_ack",
    "fin2_ack_wrong_seq",
    "fin2_fin_wrong_seq",
    "fin2_invalid_ack",
    "fin_but_no_session",
    "fin_invalid_ack",
    "fin_out_of_window",
    "lastack_ack_wrong_seq",
    "lastack_invalid_ack",
    "pkt_bad_window_update",
    "pkt_broken_ack",
    "pkt_invalid_ack",
    "pkt_retransmission",
    "pkt_spurious_retransmission",
    "reassembly_depth_reached",
    "reassembly_insert_invalid",
    "reassembly_insert_limit",
    "reassembly_insert_memcap",
    "reassembly_no_segment",
    "rst_but_no_session",
    "shutdown_syn_resend",
    "timewait_ack_wrong_seq",
    "timewait_invalid_ack",
    "wrong_thread",
];

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
        for name in DECODE_EVENTS_NOT_RAISED {
            assert!(!DecodeEvent::named(name).unwrap().can_be_raised(), "{name}");
        }
        for name in STREAM_EVENTS_NOT_RAISED {
            assert!(stream_event(name).unwrap().is_empty(), "{name}");
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
