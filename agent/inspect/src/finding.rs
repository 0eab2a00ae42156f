//! What leaves the engine.

use bytes::Bytes;

use crate::{
    event::Event,
    flow::Direction,
    packet::{Hook, LinkType, Owner, Packet, SocketId, Timestamp},
    protocol::{AppProtocol, Buffer, Field, Transaction},
    rule::IdentityConditions,
    signature::Signature,
    translation::{Translation, Tunnel, Vantage},
};
use core::num::NonZeroU64;
use std::sync::Arc;

/// One end of a flow, as known when the finding was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address and port.
    pub socket: SocketId,
    /// What the kernel knew of it.
    pub owner: Owner,
}

/// Counters of a flow up to the finding. `to_server` is from the client, who sent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowSummary {
    /// Positive and below 2^53, so that every JSON reader keeps it exact.
    pub id: u64,
    /// First packet.
    pub start: Timestamp,
    /// Packets from the client.
    pub packets_to_server: u64,
    /// Packets from the server.
    pub packets_to_client: u64,
    /// Wire bytes from the client.
    pub bytes_to_server: u64,
    /// Wire bytes from the server.
    pub bytes_to_client: u64,
}

/// Where a finding comes from. `source` sent the packet that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Time of the packet that completed the match.
    pub timestamp: Timestamp,
    /// Hook that recorded it.
    pub hook: Hook,
    /// Link it was recorded on; 0 when there is none.
    pub ifindex: u32,
    /// See [`crate::Packet::scope`].
    pub scope: u64,
    /// IP protocol number; `None` for ARP.
    pub protocol: Option<u8>,
    /// ICMP or ICMPv6 type and code.
    pub icmp: Option<(u8, u8)>,
    /// The end that sent the matching packet.
    pub source: Endpoint,
    /// The end that received it.
    pub destination: Endpoint,
    /// Whether `source` is the client of the flow.
    pub to_server: bool,
    /// The flow's counters.
    pub flow: FlowSummary,
    /// From which end of the connection the flow is seen.
    pub vantage: Vantage,
    /// What the two views of a translated connection have in common; `None` while nothing is known
    /// that they could.
    pub likeness: Option<NonZeroU64>,
    /// How the connection's addresses are changed on the way, when they are.
    pub translation: Option<Arc<Translation>>,
    /// The packet that carries the flow's, when it goes through a tunnel.
    pub tunnel: Option<Box<Tunnel>>,
    /// The transaction that matched, if one did.
    pub application: Option<Arc<ApplicationRecord>>,
    /// The packet's payload, or the stream from a little before the bytes that were new; bounded.
    pub payload: Bytes,
    /// Whether `payload` is of a reassembled stream, and not of one packet.
    pub in_stream: bool,
    /// The packet that was the occasion, when [`crate::InspectorLimits::packet`] asks for it and
    /// there was one: what is told at the end of a flow has none.
    pub packet: Option<RawPacket>,
}

/// A packet as it was captured, with the headers of its link; bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPacket {
    /// The first header in `bytes`.
    pub link_type: LinkType,
    /// As captured.
    pub bytes: Bytes,
}

impl RawPacket {
    /// A copy of the first `most` bytes; `None` when none are asked for.
    pub(crate) fn copy(packet: &Packet<'_>, most: usize) -> Option<Self> {
        let bytes = packet.bytes.get(..most).unwrap_or(packet.bytes);
        (most > 0).then(|| Self {
            link_type: packet.link_type,
            bytes: Bytes::copy_from_slice(bytes),
        })
    }
}

/// What a transaction was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationRecord {
    /// What was spoken.
    pub protocol: AppProtocol,
    /// Number of the transaction in its flow, from 0.
    pub transaction: u64,
    /// Its short buffers in the order they came, each with whether it went to the server; bounded.
    pub fields: Vec<(bool, Buffer, Bytes)>,
    /// Its numbers, likewise.
    pub numbers: Vec<(bool, Field, u64)>,
}

impl ApplicationRecord {
    /// Bytes of one field that are kept.
    const MAX_FIELD: usize = 1_024;
    /// Fields that are kept.
    const MAX_FIELDS: usize = 64;

    /// What of a transaction an event shows: no bodies, nothing long.
    #[must_use]
    pub fn new(protocol: AppProtocol, transaction: &Transaction) -> Self {
        let shown = transaction
            .instances()
            .iter()
            .filter(|instance| !instance.buffer.is_streamed() && !instance.buffer.is_frame());
        Self {
            protocol,
            transaction: transaction.id,
            fields: shown
                .take(Self::MAX_FIELDS)
                .map(|instance| {
                    let bytes = transaction.bytes(instance);
                    let bytes = bytes.get(..Self::MAX_FIELD).unwrap_or(bytes);
                    let to_server = instance.direction == Direction::ToServer;
                    (to_server, instance.buffer, Bytes::copy_from_slice(bytes))
                })
                .collect(),
            numbers: transaction
                .numbers()
                .iter()
                .filter(|(_, field, value)| *value != Field::NONE && field.is_told())
                .take(Self::MAX_FIELDS)
                .map(|(direction, field, value)| {
                    (*direction == Direction::ToServer, *field, *value)
                })
                .collect(),
        }
    }
}

impl ApplicationRecord {
    /// Whether it says nothing.
    pub(crate) const fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.numbers.is_empty()
    }

    /// Whether files were sent in a direction.
    pub(crate) fn has_files(&self, direction: Direction) -> bool {
        let to_server = direction == Direction::ToServer;
        self.fields
            .iter()
            .any(|(side, buffer, _)| *side == to_server && buffer.is_file())
            || self
                .numbers
                .iter()
                .any(|(side, field, _)| *side == to_server && *field == Field::FileSize)
    }
}

/// What a behaviour counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// One sentence with the figures: "214 ports of one host in 1.2 s".
    pub summary: String,
    /// Events counted.
    pub count: u64,
    /// Distinct targets (ports or hosts), exact up to the detector's cap.
    pub targets: u64,
    /// First event counted.
    pub first: Timestamp,
    /// Last event counted.
    pub last: Timestamp,
}

/// A detection, with the two ends it is about.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was found.
    pub signature: Arc<Signature>,
    /// Where.
    pub context: Context,
    /// For behaviours: the figures behind it.
    pub evidence: Option<Evidence>,
    /// What must hold of the two ends; who knows them decides.
    pub conditions: Option<Arc<IdentityConditions>>,
}

/// Takes findings one by one. Must not block.
pub trait FindingSink {
    /// One finding.
    fn finding(&mut self, finding: Finding);

    /// One event that was asked for. Who does not ask need not take them.
    fn event(&mut self, event: Box<Event>) {
        let _ = event;
    }
}

impl FindingSink for Vec<Finding> {
    fn finding(&mut self, finding: Finding) {
        self.push(finding);
    }
}
