//! IPv4 (RFC 791).

use core::net::{IpAddr, Ipv4Addr};

use super::{
    Decoded, Fragment, Malformed, Network, PacketView, length32, options, slice::Slice, transport,
};
use crate::anomaly::Anomaly;

const MINIMUM_HEADER: usize = 20;
/// Largest total length that the header can tell.
const MAX_TOTAL_LENGTH: usize = 65_535;

pub(super) fn decode<'a>(
    packet: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    decode_as(packet, None, view)
}

/// As [`decode`], for a link that put something else where the protocol stands.
pub(super) fn decode_as<'a>(
    packet: Slice<'a>,
    actual_protocol: Option<u8>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    let header: &[u8; MINIMUM_HEADER] = packet.header(Anomaly::Ipv4HeaderTruncated)?;
    let &[
        version_ihl,
        _tos,
        l0,
        l1,
        id0,
        id1,
        f0,
        f1,
        ttl,
        protocol,
        _c0,
        _c1,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = header;
    if version_ihl >> 4 != 4 {
        return Err(Anomaly::Ipv4Version.into());
    }
    let header_length = usize::from(version_ihl & 0x0f) * 4;
    if header_length < MINIMUM_HEADER || header_length > packet.wire {
        return Err(Anomaly::Ipv4HeaderLength.into());
    }
    view.ip = packet.bytes.get(..header_length).unwrap_or_default();
    let total_length = total_length(u16::from_be_bytes([l0, l1]), packet.wire);
    view.ip_length = length32(total_length);
    if total_length < header_length {
        return Err(Anomaly::Ipv4TotalLengthShort.into());
    }
    if total_length > packet.wire {
        return Err(Anomaly::Ipv4TotalLength.into());
    }
    let network = Network {
        source: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        destination: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
        protocol: actual_protocol.unwrap_or(protocol),
        ttl,
    };
    view.protocol = Some(network.protocol);
    let within = |anomaly| Malformed::within(anomaly, network);
    let options = packet
        .prefix(header_length, Anomaly::Ipv4HeaderLength)
        .map_err(within)?;
    let options = options.get(MINIMUM_HEADER..).unwrap_or_default();
    if !options::ipv4(options, &mut view.events) {
        return Err(within(Anomaly::Ipv4Options));
    }
    let payload = packet.truncate(total_length).skip(header_length);
    let flags_offset = u16::from_be_bytes([f0, f1]);
    let more = flags_offset & 0x2000 != 0;
    let offset = u32::from(flags_offset & 0x1fff) * 8;
    if more || offset != 0 {
        view.message = payload.bytes;
        view.message_length = length32(payload.wire);
        return Ok(Decoded::Fragment(Fragment {
            network,
            id: u32::from(u16::from_be_bytes([id0, id1])),
            offset,
            more,
            payload: payload.bytes,
            payload_length: length32(payload.wire),
        }));
    }
    transport::decode(network, payload, view).map(Decoded::Datagram)
}

/// Linux writes 0 for TCP packets that segmentation offload made longer than the field can tell
/// (`iph_totlen`, "BIG TCP", Linux 6.3).
const fn total_length(field: u16, wire: usize) -> usize {
    if field == 0 && wire > MAX_TOTAL_LENGTH {
        wire
    } else {
        field as usize
    }
}
