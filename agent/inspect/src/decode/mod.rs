//! Frames to headers. Every access is checked; checksums are not, since between virtual links
//! the kernel leaves them for hardware that never comes (`CHECKSUM_PARTIAL`).

mod checksum;
mod control;
mod headers;
mod ipv4;
mod ipv6;
mod label;
mod link;
mod options;
mod ppp;
mod slice;
mod transport;
mod tunnel;
mod view;

use core::net::{IpAddr, Ipv4Addr};

pub use headers::{Headers, TcpFlags, Transport};
pub use link::MAX_VLAN_TAGS;
pub(crate) use options::tcp_timestamps;
pub use options::{HeaderOption, Options};
pub use tunnel::{Inner, MAX_TUNNELS};
pub use view::{PacketView, SctpChunk, VlanIds};

use crate::{
    anomaly::{Anomaly, AnomalySet},
    packet::Packet,
};
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
    /// The packet that it carries, when it is a tunnel's (GRE, IP in IP, Teredo, VXLAN, Geneve).
    pub inner: Option<Inner<'a>>,
    /// Its headers as they were on the wire, and what was wrong with them.
    pub view: PacketView<'a>,
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

/// One packet, decoded as far as it was in order.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What it holds; for a datagram, its own `view` is the same.
    pub decoded: Result<Decoded<'a>, Malformed>,
    /// Its headers, also of what could not be decoded any further. Its events include the
    /// anomaly that ended decoding.
    pub view: PacketView<'a>,
}

impl<'a> Frame<'a> {
    fn new(
        mut view: PacketView<'a>,
        decode: impl FnOnce(&mut PacketView<'a>) -> Result<Decoded<'a>, Malformed>,
    ) -> Self {
        let decoded = decode(&mut view);
        if let Err(malformed) = &decoded {
            view.events.insert(malformed.anomaly);
        }
        Self { decoded, view }
    }
}

/// Decodes one frame. See [`decode_frame`], which tells more.
///
/// # Errors
/// [`Malformed`] when a header contradicts itself, the frame, or its RFC in a way that makes
/// Linux drop the packet, or when the capture ends inside the headers.
pub fn decode<'a>(packet: &Packet<'a>) -> Result<Decoded<'a>, Malformed> {
    decode_frame(packet).decoded
}

/// Decodes one frame.
#[must_use]
pub fn decode_frame<'a>(packet: &Packet<'a>) -> Frame<'a> {
    let wire = usize::try_from(packet.wire_length).unwrap_or(usize::MAX);
    let view = PacketView {
        length: packet.wire_length,
        ..PacketView::default()
    };
    Frame::new(view, |view| {
        link::decode(packet.link_type, Slice::new(packet.bytes, wire), view)
    })
}

/// Decodes the packet in a packet whose depth is `outer`.
#[must_use]
pub fn decode_inner<'a>(inner: &Inner<'a>, outer: u8) -> Frame<'a> {
    let view = PacketView {
        length: length32(inner.slice.wire),
        depth: outer.saturating_add(1),
        ..PacketView::default()
    };
    Frame::new(view, |view| inner.decode(view))
}

/// Decodes the payload of a datagram that was put together from fragments, of which the last to
/// come had this view.
#[must_use]
pub fn decode_reassembled<'a>(
    network: Network,
    payload: &'a [u8],
    fragment: &PacketView<'a>,
) -> Frame<'a> {
    let slice = Slice::new(payload, payload.len());
    let view = PacketView {
        // What was wrong with the fragment is the fragment's.
        events: AnomalySet::default(),
        ip_length: length32(fragment.ip.len() + payload.len()),
        reassembled: true,
        ..*fragment
    };
    Frame::new(view, |view| match network.source {
        IpAddr::V4(_) => transport::decode(network, slice, view).map(Decoded::Datagram),
        IpAddr::V6(_) => ipv6::after_fragments(network, slice, view),
    })
}

/// `length` as the headers carry it; frames are far below 4 GiB.
fn length32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;
