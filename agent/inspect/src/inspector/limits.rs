//! What an inspector may use, and what it did.

use crate::{
    anomaly::{Anomaly, AnomalyCounts},
    event::EventTypes,
    flow::{
        FragmentLimits, FragmentStats, OverlapPolicy, StreamLimits, StreamStats, table::Lifetime,
    },
    protocol::{LimitCounters, Limits},
};

const SECOND: u64 = 1_000_000_000;

/// After how long without a packet a flow is over, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP whose handshake was completed, or whose both sides were heard.
    pub established: u64,
    /// TCP before that, and all other protocols.
    pub short: u64,
    /// TCP after RST or FIN of both sides.
    pub closed: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            established: 600 * SECOND,
            short: 60 * SECOND,
            closed: 10 * SECOND,
        }
    }
}

impl Timeouts {
    pub(super) const fn of(&self, lifetime: Lifetime) -> u64 {
        match lifetime {
            Lifetime::Closed => self.closed,
            Lifetime::Short => self.short,
            Lifetime::Established => self.established,
        }
    }
}

/// Bounds of one inspector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectorLimits {
    /// Flows. When full, a closed one is given up, else one without handshake, else an
    /// established one; the idlest of them each time.
    pub flows: usize,
    /// When flows end.
    pub timeouts: Timeouts,
    /// TCP reassembly.
    pub streams: StreamLimits,
    /// IP defragmentation.
    pub fragments: FragmentLimits,
    /// Who wins where TCP segments or IPv4 fragments overlap (Suricata: `host-os-policy`).
    pub overlap: OverlapPolicy,
    /// Application protocols.
    pub protocols: Limits,
    /// Follow TCP connections whose handshake was not seen (Suricata: `stream.midstream`).
    pub midstream: bool,
    /// Take a connection of which only one side is seen as established (Suricata: `stream.async-oneside`).
    pub async_oneside: bool,
    /// Leave the payload of packets with a wrong checksum alone (Suricata: `checksum-validation`).
    pub checksums: bool,
    /// Search the encrypted part of TLS too (Suricata: `encryption-handling: full`).
    pub encrypted: bool,
    /// Bytes of payload that a [`crate::Context`] carries at most.
    pub excerpt: usize,
    /// Bytes of the captured packet that a [`crate::Context`] carries beside it; 0 copies none.
    pub packet: usize,
    /// What is told beside what is found.
    pub events: EventTypes,
    /// Bytes of each direction that are asked for as evidence when a rule has matched in a flow;
    /// 0 asks for nothing. The default is the sensor's whole budget and 64 KiB beyond it: what is
    /// asked for takes the budget's place.
    pub evidence: u32,
}

impl Default for InspectorLimits {
    fn default() -> Self {
        Self {
            flows: 65_536,
            timeouts: Timeouts::default(),
            streams: StreamLimits::default(),
            fragments: FragmentLimits::default(),
            overlap: OverlapPolicy::default(),
            protocols: Limits::default(),
            midstream: true,
            async_oneside: false,
            checksums: false,
            encrypted: false,
            excerpt: 512,
            packet: 0,
            events: EventTypes::NONE,
            evidence: (128 + 64) << 10,
        }
    }
}

/// What one inspector did. All but `flows` and `stream_memory` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InspectorStats {
    /// Packets handed in.
    pub packets: u64,
    /// Their length on the wire.
    pub bytes: u64,
    /// Bytes of streams that were not searched because they are encrypted.
    pub encrypted_bytes: u64,
    /// Of the packets: ARP.
    pub arp: u64,
    /// Of the packets: neither IP nor ARP.
    pub not_ip: u64,
    /// Of the packets: IP fragments.
    pub fragmented: u64,
    /// Flows begun.
    pub flows_created: u64,
    /// Flows given up for their age.
    pub flows_expired: u64,
    /// Flows given up because [`InspectorLimits::flows`] was reached.
    pub flows_evicted: u64,
    /// Flows that ended because another connection began on the same ports.
    pub flows_replaced: u64,
    /// Flows in the table.
    pub flows: u64,
    /// Bytes that streams hold.
    pub stream_memory: u64,
    /// Evaluations by the engine.
    pub inspections: u64,
    /// Rules that matched.
    pub matches: u64,
    /// See [`crate::engine::Scratch::steps_exceeded`].
    pub steps_exceeded: u64,
    /// See [`crate::engine::Scratch::pending_dropped`].
    pub pending_dropped: u64,
    /// TCP reassembly.
    pub streams: StreamStats,
    /// What limits of application protocols cut off.
    pub protocols: LimitCounters,
    /// IP defragmentation.
    pub fragments: FragmentStats,
    /// Anomalies by [`Anomaly::index`], each occurrence.
    pub anomalies: AnomalyCounts,
    /// Of these: not told as a signal because the same link had just raised the same.
    pub anomalies_muffled: u64,
}

impl InspectorStats {
    pub(super) fn count(&mut self, anomaly: Anomaly) {
        if let Some(counter) = self.anomalies.get_mut(anomaly.index()) {
            *counter += 1;
        }
    }
}
