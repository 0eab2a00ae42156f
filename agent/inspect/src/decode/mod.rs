//! Frames to headers. Every access is checked; checksums are not, since between virtual links
//! the kernel leaves them for hardware that never comes (`CHECKSUM_PARTIAL`).

mod headers;
mod ipv4;
mod ipv6;
mod link;
mod slice;
mod transport;

use core::net::{IpAddr, Ipv4Addr};

pub use headers::{Headers, TcpFlags, Transport};
pub use link::MAX_VLAN_TAGS;

use crate::{anomaly::Anomaly, packet::Packet};
use slice::Slice;

/// What a frame holds.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// An IP packet that is not a fragment.
    Datagram(Datagram<'a>),
    /// A part of an IP packet.
    Fragment(Fragment<'a>),
    /// ARP for IPv4 over Ethernet.
    Arp(Arp),
    /// Another payload type: the EtherType, or the 802.3 length.
    Other(u16),
}

/// One whole IP packet.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Its headers.
    pub headers: Headers,
    /// Captured transport payload; [`Headers::payload_length`] says how long it was.
    pub payload: &'a [u8],
    /// TCP options (RFC 9293 section 3.2), empty for others.
    pub tcp_options: &'a [u8],
}

/// The network header, as far as the stages after it need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IPv4: protocol. IPv6: the header that follows those decoded so far.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// One IP fragment.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Network header; for IPv6, `protocol` is the fragment header's next header.
    pub network: Network,
    /// Identification.
    pub id: u32,
    /// Place of `payload` in the datagram's payload, in bytes.
    pub offset: u32,
    /// Whether others follow.
    pub more: bool,
    /// Captured bytes of the fragment.
    pub payload: &'a [u8],
    /// Length of the fragment on the wire.
    pub payload_length: u32,
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender's hardware address.
    pub sender_hardware: [u8; 6],
    /// Sender's address.
    pub sender: Ipv4Addr,
    /// Target's hardware address.
    pub target_hardware: [u8; 6],
    /// Target's address.
    pub target: Ipv4Addr,
}

/// Why a frame could not be decoded, with what was known of it by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub anomaly: Anomaly,
    /// The network header, when it is not at fault itself.
    pub network: Option<Network>,
}

impl From<Anomaly> for Malformed {
    fn from(anomaly: Anomaly) -> Self {
        Self {
            anomaly,
            network: None,
        }
    }
}

impl Malformed {
    /// Adds the network header that was in order.
    const fn within(anomaly: Anomaly, network: Network) -> Self {
        Self {
            anomaly,
            network: Some(network),
        }
    }
}

/// Decodes one frame.
///
/// # Errors
/// [`Malformed`] when a header contradicts itself, the frame, or its RFC in a way that makes
/// Linux drop the packet, or when the capture ends inside the headers.
pub fn decode<'a>(packet: &Packet<'a>) -> Result<Decoded<'a>, Malformed> {
    let wire = usize::try_from(packet.wire_length).unwrap_or(usize::MAX);
    link::decode(packet.link_type, Slice::new(packet.bytes, wire))
}

/// Decodes the payload of a datagram that was put together from fragments.
///
/// # Errors
/// As [`decode`].
pub fn decode_reassembled(network: Network, payload: &[u8]) -> Result<Datagram<'_>, Malformed> {
    let slice = Slice::new(payload, payload.len());
    match network.source {
        IpAddr::V4(_) => transport::decode(network, slice),
        IpAddr::V6(_) => match ipv6::after_header(network, slice, false)? {
            Decoded::Datagram(datagram) => Ok(datagram),
            _ => Err(Malformed::within(Anomaly::Ipv6ExtensionChain, network)),
        },
    }
}

/// `length` as the headers carry it; frames are far below 4 GiB.
fn length32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
