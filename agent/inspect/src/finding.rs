//! What leaves the engine.

use bytes::Bytes;

use crate::{
    packet::{Hook, Owner, SocketId, Timestamp},
    signature::Signature,
};
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
    /// The packet's payload, or the stream from a little before the bytes that were new; bounded.
    pub payload: Bytes,
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
}

/// Takes findings one by one. Must not block.
pub trait FindingSink {
    /// One finding.
    fn finding(&mut self, finding: Finding);
}

impl FindingSink for Vec<Finding> {
    fn finding(&mut self, finding: Finding) {
        self.push(finding);
    }
}
