//! The tuple that both directions of a flow share.

use core::hash::{BuildHasher, Hash, Hasher};
use core::net::IpAddr;

use crate::{
    decode::{Headers, Transport},
    packet::SocketId,
};

/// A five-tuple with its ends sorted, and the scope in which it is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The lesser end.
    pub low: SocketId,
    /// The greater end.
    pub high: SocketId,
    /// IP protocol number.
    pub protocol: u8,
    /// See [`crate::Packet::scope`].
    pub scope: u64,
    /// How many packets its packets are in: what a tunnel carries and the same outside of it are
    /// two flows, or each would repeat the other.
    pub depth: u8,
}

impl FlowKey {
    /// The key of a packet, and whether its source is the lesser end. ICMP echo messages of one
    /// identifier are one flow, as all other messages between two addresses are.
    #[must_use]
    pub fn new(headers: &Headers, scope: u64) -> (Self, bool) {
        let (source_port, destination_port) = match headers.transport {
            Transport::Icmp {
                kind, identifier, ..
            } if is_echo(headers.source, kind) => (identifier, identifier),
            _ => headers.ports(),
        };
        let source = SocketId {
            address: headers.source,
            port: source_port,
        };
        let destination = SocketId {
            address: headers.destination,
            port: destination_port,
        };
        let from_low = source <= destination;
        let (low, high) = if from_low {
            (source, destination)
        } else {
            (destination, source)
        };
        let key = Self {
            low,
            high,
            protocol: headers.protocol,
            scope,
            depth: 0,
        };
        (key, from_low)
    }

    /// An id for the flow that began at `start_nanoseconds`: the same in every run, positive, and
    /// below 2^53.
    #[must_use]
    pub fn flow_id(&self, start_nanoseconds: u64) -> u64 {
        const BELOW_2_53: u64 = (1 << 53) - 1;
        let hash = foldhash::fast::FixedState::default().hash_one((self, start_nanoseconds));
        (hash & BELOW_2_53).max(1)
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for end in [&self.low, &self.high] {
            match end.address {
                IpAddr::V4(address) => state.write_u32(address.to_bits()),
                IpAddr::V6(address) => state.write_u128(address.to_bits()),
            }
        }
        let ports = u64::from(self.low.port) << 16 | u64::from(self.high.port);
        let depth = u64::from(self.depth) << 40;
        state.write_u64(depth | ports << 8 | u64::from(self.protocol));
        state.write_u64(self.scope);
    }
}

/// Echo request or reply (RFC 792, RFC 4443 section 4).
#[must_use]
pub(crate) const fn is_echo(address: IpAddr, kind: u8) -> bool {
    match address {
        IpAddr::V4(_) => matches!(kind, 0 | 8),
        IpAddr::V6(_) => matches!(kind, 128 | 129),
    }
}
