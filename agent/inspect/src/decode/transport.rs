//! TCP, UDP, SCTP, ICMP, ICMPv6 and IGMP.

use core::net::IpAddr;

use super::{
    Datagram, Headers, Inner, Malformed, Network, PacketView, TcpFlags, Transport, control, ipv6,
    length32, options, slice::Slice, tunnel,
};
use crate::anomaly::{Anomaly, AnomalySet};

/// IP protocol numbers (IANA).
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const IPV4: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const IPV6: u8 = 41;
    pub(crate) const GRE: u8 = 47;
    pub(crate) const ESP: u8 = 50;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const SCTP: u8 = 132;
}

pub(super) fn decode<'a>(
    mut network: Network,
    mut rest: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Datagram<'a>, Malformed> {
    if network.protocol == ipv6::AUTHENTICATION {
        let within = |anomaly| Malformed::within(anomaly, network);
        let length = ipv6::extension_length(network.protocol, rest).map_err(within)?;
        let header = rest
            .prefix(length, Anomaly::Ipv6ExtensionTruncated)
            .map_err(within)?;
        network.protocol = header.first().copied().unwrap_or(network.protocol);
        rest = rest.skip(length);
    }
    view.protocol = Some(network.protocol);
    view.message = rest.bytes;
    view.message_length = length32(rest.wire);
    let part = part(&network, rest, &mut view.events)
        .map_err(|anomaly| Malformed::within(anomaly, network))?;
    view.header_length = part.header_length;
    let used = part.header_length + part.payload.bytes.len();
    view.message = rest.bytes.get(..used).unwrap_or(rest.bytes);
    Ok(Datagram {
        headers: Headers {
            source: network.source,
            destination: network.destination,
            protocol: network.protocol,
            ttl: network.ttl,
            transport: part.transport,
            payload_length: length32(part.payload.wire),
        },
        payload: part.payload.bytes,
        tcp_options: part.tcp_options,
        inner: part.inner,
        view: *view,
    })
}

fn part<'a>(
    network: &Network,
    rest: Slice<'a>,
    events: &mut AnomalySet,
) -> Result<Part<'a>, Anomaly> {
    match (network.protocol, network.source) {
        (protocol::TCP, _) => tcp(rest, events),
        (protocol::UDP, _) => udp(rest, network.source.is_ipv6(), events),
        (protocol::SCTP, _) => sctp(rest),
        (protocol::ICMP, IpAddr::V4(_)) => icmp(rest, None, events),
        (protocol::ICMPV6, IpAddr::V6(_)) => icmp(rest, Some(network.ttl), events),
        (protocol::IGMP, IpAddr::V4(_)) => {
            control::igmp(rest, events);
            Ok(Part {
                header_length: rest.bytes.len(),
                ..Part::new(Transport::Other, rest, rest.wire)
            })
        }
        (other, source) => {
            match (other, source) {
                (protocol::ICMPV6, IpAddr::V4(_)) => events.insert(Anomaly::Ipv4Icmpv6),
                (protocol::ICMP, IpAddr::V6(_)) => events.insert(Anomaly::Ipv6Icmpv4),
                (protocol::ESP, _) if rest.wire < 8 => events.insert(Anomaly::EspTruncated),
                _ => false,
            };
            let mut part = Part::new(Transport::Other, rest, 0);
            part.inner = tunnel::in_ip(other, source.is_ipv6(), rest, events);
            Ok(part)
        }
    }
}

struct Part<'a> {
    transport: Transport,
    header_length: usize,
    payload: Slice<'a>,
    tcp_options: &'a [u8],
    inner: Option<Inner<'a>>,
}

impl<'a> Part<'a> {
    fn new(transport: Transport, message: Slice<'a>, header_length: usize) -> Self {
        Self {
            transport,
            header_length,
            payload: message.skip(header_length),
            tcp_options: &[],
            inner: None,
        }
    }
}

fn tcp<'a>(segment: Slice<'a>, events: &mut AnomalySet) -> Result<Part<'a>, Anomaly> {
    const MINIMUM_HEADER: usize = 20;
    let header: &[u8; MINIMUM_HEADER] = segment.header(Anomaly::TcpHeaderTruncated)?;
    let &[
        p0,
        p1,
        q0,
        q1,
        s0,
        s1,
        s2,
        s3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
        w0,
        w1,
        ..,
    ] = header;
    let header_length = usize::from(offset >> 4) * 4;
    if header_length < MINIMUM_HEADER {
        return Err(Anomaly::TcpDataOffset);
    }
    let options = segment.prefix(header_length, Anomaly::TcpHeaderBeyond)?;
    let options = options.get(MINIMUM_HEADER..).unwrap_or_default();
    options::tcp(options, events);
    let transport = Transport::Tcp {
        source_port: u16::from_be_bytes([p0, p1]),
        destination_port: u16::from_be_bytes([q0, q1]),
        sequence: u32::from_be_bytes([s0, s1, s2, s3]),
        acknowledgement: u32::from_be_bytes([a0, a1, a2, a3]),
        flags: TcpFlags(flags),
        window: u16::from_be_bytes([w0, w1]),
    };
    Ok(Part {
        tcp_options: options,
        ..Part::new(transport, segment, header_length)
    })
}

fn udp<'a>(datagram: Slice<'a>, ipv6: bool, events: &mut AnomalySet) -> Result<Part<'a>, Anomaly> {
    const HEADER: usize = 8;
    let &[p0, p1, q0, q1, l0, l1, _, _] = datagram.header::<HEADER>(Anomaly::UdpHeaderTruncated)?;
    let length = match u16::from_be_bytes([l0, l1]) {
        // RFC 2675 section 4: a jumbogram. Linux takes it so for every IPv6 packet (`__udp6_lib_rcv`).
        0 if ipv6 => datagram.wire,
        length => usize::from(length),
    };
    if length < HEADER {
        return Err(Anomaly::UdpLengthShort);
    }
    if length > datagram.wire {
        return Err(Anomaly::UdpLength);
    }
    let (source_port, destination_port) =
        (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([q0, q1]));
    let transport = Transport::Udp {
        source_port,
        destination_port,
    };
    let mut part = Part::new(transport, datagram.truncate(length), HEADER);
    part.inner = tunnel::in_udp((source_port, destination_port), part.payload, events);
    Ok(part)
}

fn sctp(packet: Slice<'_>) -> Result<Part<'_>, Anomaly> {
    let &[p0, p1, q0, q1, ..] = packet.header::<12>(Anomaly::SctpHeaderTruncated)?;
    let transport = Transport::Sctp {
        source_port: u16::from_be_bytes([p0, p1]),
        destination_port: u16::from_be_bytes([q0, q1]),
    };
    Ok(Part::new(transport, packet, 12))
}

/// A message of ICMP, or of `ICMPv6` with this hop limit.
fn icmp<'a>(
    message: Slice<'a>,
    hop_limit: Option<u8>,
    events: &mut AnomalySet,
) -> Result<Part<'a>, Anomaly> {
    let &[kind, code, _, _, i0, i1, s0, s1] = message.header::<8>(Anomaly::IcmpHeaderTruncated)?;
    let transport = Transport::Icmp {
        kind,
        code,
        identifier: u16::from_be_bytes([i0, i1]),
        sequence: u16::from_be_bytes([s0, s1]),
    };
    let part = Part::new(transport, message, 8);
    match hop_limit {
        None => control::icmp(kind, code, part.payload, events),
        Some(hop_limit) => control::icmpv6((kind, code), hop_limit, part.payload, events),
    }
    Ok(part)
}
