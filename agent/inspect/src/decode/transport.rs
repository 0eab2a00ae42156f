//! TCP, UDP, SCTP, ICMP and ICMPv6.

use core::net::IpAddr;

use super::slice::Slice;
use super::{Datagram, Headers, Malformed, Network, TcpFlags, Transport, ipv6, length32};
use crate::anomaly::Anomaly;

/// IP protocol numbers (IANA).
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const SCTP: u8 = 132;
}

pub(super) fn decode(mut network: Network, mut rest: Slice<'_>) -> Result<Datagram<'_>, Malformed> {
    if network.protocol == ipv6::AUTHENTICATION {
        let within = |anomaly| Malformed::within(anomaly, network);
        let length = ipv6::extension_length(network.protocol, rest).map_err(within)?;
        let header = rest
            .prefix(length, Anomaly::Ipv6ExtensionTruncated)
            .map_err(within)?;
        network.protocol = header.first().copied().unwrap_or(network.protocol);
        rest = rest.skip(length);
    }
    let part = match (network.protocol, network.source) {
        (protocol::TCP, _) => tcp(rest),
        (protocol::UDP, _) => udp(rest, network.source.is_ipv6()),
        (protocol::SCTP, _) => sctp(rest),
        (protocol::ICMP, IpAddr::V4(_)) | (protocol::ICMPV6, IpAddr::V6(_)) => icmp(rest),
        _ => Ok(Part {
            transport: Transport::Other,
            payload: rest,
            tcp_options: &[],
        }),
    }
    .map_err(|anomaly| Malformed::within(anomaly, network))?;
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
    })
}

struct Part<'a> {
    transport: Transport,
    payload: Slice<'a>,
    tcp_options: &'a [u8],
}

fn tcp(segment: Slice<'_>) -> Result<Part<'_>, Anomaly> {
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
    let options = segment.prefix(header_length, Anomaly::TcpDataOffset)?;
    Ok(Part {
        transport: Transport::Tcp {
            source_port: u16::from_be_bytes([p0, p1]),
            destination_port: u16::from_be_bytes([q0, q1]),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            acknowledgement: u32::from_be_bytes([a0, a1, a2, a3]),
            flags: TcpFlags(flags),
            window: u16::from_be_bytes([w0, w1]),
        },
        payload: segment.skip(header_length),
        tcp_options: options.get(MINIMUM_HEADER..).unwrap_or_default(),
    })
}

fn udp(datagram: Slice<'_>, ipv6: bool) -> Result<Part<'_>, Anomaly> {
    const HEADER: usize = 8;
    let &[p0, p1, q0, q1, l0, l1, _, _] = datagram.header::<HEADER>(Anomaly::UdpHeaderTruncated)?;
    let length = match u16::from_be_bytes([l0, l1]) {
        // RFC 2675 section 4: a jumbogram. Linux takes it so for every IPv6 packet (`__udp6_lib_rcv`).
        0 if ipv6 => datagram.wire,
        length => usize::from(length),
    };
    if length < HEADER || length > datagram.wire {
        return Err(Anomaly::UdpLength);
    }
    Ok(Part {
        transport: Transport::Udp {
            source_port: u16::from_be_bytes([p0, p1]),
            destination_port: u16::from_be_bytes([q0, q1]),
        },
        payload: datagram.truncate(length).skip(HEADER),
        tcp_options: &[],
    })
}

fn sctp(packet: Slice<'_>) -> Result<Part<'_>, Anomaly> {
    let &[p0, p1, q0, q1, ..] = packet.header::<12>(Anomaly::SctpHeaderTruncated)?;
    Ok(Part {
        transport: Transport::Sctp {
            source_port: u16::from_be_bytes([p0, p1]),
            destination_port: u16::from_be_bytes([q0, q1]),
        },
        payload: packet.skip(12),
        tcp_options: &[],
    })
}

fn icmp(message: Slice<'_>) -> Result<Part<'_>, Anomaly> {
    let &[kind, code, _, _, i0, i1, s0, s1] = message.header::<8>(Anomaly::IcmpHeaderTruncated)?;
    Ok(Part {
        transport: Transport::Icmp {
            kind,
            code,
            identifier: u16::from_be_bytes([i0, i1]),
            sequence: u16::from_be_bytes([s0, s1]),
        },
        payload: message.skip(8),
        tcp_options: &[],
    })
}
