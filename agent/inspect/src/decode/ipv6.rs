//! IPv6 and its extension headers (RFC 8200).

use core::net::{IpAddr, Ipv6Addr};

use super::{Decoded, Fragment, Malformed, Network, length32, slice::Slice, transport};
use crate::anomaly::Anomaly;

const HEADER: usize = 40;
const MAX_PAYLOAD_LENGTH: usize = 65_535;
/// Extension headers that are walked. RFC 8200 knows of at most seven in one packet.
const MAX_EXTENSIONS: usize = 12;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
pub(super) const AUTHENTICATION: u8 = 51;

pub(super) fn decode(packet: Slice<'_>) -> Result<Decoded<'_>, Malformed> {
    let header: &[u8; HEADER] = packet.header(Anomaly::Ipv6HeaderTruncated)?;
    let &[
        version,
        _,
        _,
        _,
        l0,
        l1,
        next_header,
        hop_limit,
        ref addresses @ ..,
    ] = header;
    if version >> 4 != 6 {
        return Err(Anomaly::IpVersion.into());
    }
    let network = Network {
        source: address(addresses.first_chunk()),
        destination: address(addresses.last_chunk()),
        protocol: next_header,
        ttl: hop_limit,
    };
    let rest = packet.skip(HEADER);
    let length = payload_length(u16::from_be_bytes([l0, l1]), next_header, rest.wire);
    if length > rest.wire {
        return Err(Malformed::within(Anomaly::Ipv6PayloadLength, network));
    }
    after_header(network, rest.truncate(length), true)
}

/// 0 is a jumbogram's (RFC 2675; "BIG TCP" of Linux 5.19 and later): the frame tells the length.
const fn payload_length(field: u16, next_header: u8, wire: usize) -> usize {
    if field == 0 && (next_header == HOP_BY_HOP || wire > MAX_PAYLOAD_LENGTH) {
        wire
    } else {
        field as usize
    }
}

/// Walks the extension headers from `network.protocol` on. `outermost` is false behind a
/// fragment header, where neither another one nor hop-by-hop options may stand.
pub(super) fn after_header(
    mut network: Network,
    mut rest: Slice<'_>,
    outermost: bool,
) -> Result<Decoded<'_>, Malformed> {
    let mut fragmented = !outermost;
    for position in 0..MAX_EXTENSIONS {
        let within = |anomaly| Malformed::within(anomaly, network);
        let length = match network.protocol {
            HOP_BY_HOP if position != 0 || fragmented => {
                return Err(within(Anomaly::Ipv6ExtensionChain));
            }
            FRAGMENT if fragmented => return Err(within(Anomaly::Ipv6ExtensionChain)),
            FRAGMENT => {
                let (fragment, atomic) = fragment(network, rest)?;
                if !atomic {
                    return Ok(Decoded::Fragment(fragment));
                }
                fragmented = true;
                8
            }
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | AUTHENTICATION => {
                extension_length(network.protocol, rest).map_err(within)?
            }
            _ => return transport::decode(network, rest).map(Decoded::Datagram),
        };
        let extension = rest
            .prefix(length, Anomaly::Ipv6ExtensionTruncated)
            .map_err(within)?;
        network.protocol = extension.first().copied().unwrap_or(network.protocol);
        rest = rest.skip(length);
    }
    Err(Malformed::within(Anomaly::Ipv6ExtensionChain, network))
}

/// Length in bytes of the extension header that `rest` starts with.
pub(super) fn extension_length(protocol: u8, rest: Slice<'_>) -> Result<usize, Anomaly> {
    let &[_, length] = rest.header::<2>(Anomaly::Ipv6ExtensionTruncated)?;
    let length = usize::from(length);
    // RFC 4302 section 2.2: the authentication header counts in 4 octets, minus 2.
    Ok(if protocol == AUTHENTICATION {
        (length + 2) * 4
    } else {
        (length + 1) * 8
    })
}

/// The fragment, and whether it is the only one (RFC 6946).
fn fragment(network: Network, rest: Slice<'_>) -> Result<(Fragment<'_>, bool), Malformed> {
    let header: &[u8; 8] = rest
        .header(Anomaly::Ipv6ExtensionTruncated)
        .map_err(|anomaly| Malformed::within(anomaly, network))?;
    let &[next_header, _, o0, o1, i0, i1, i2, i3] = header;
    let offset_flags = u16::from_be_bytes([o0, o1]);
    let payload = rest.skip(8);
    let fragment = Fragment {
        network: Network {
            protocol: next_header,
            ..network
        },
        id: u32::from_be_bytes([i0, i1, i2, i3]),
        offset: u32::from(offset_flags & 0xfff8),
        more: offset_flags & 1 != 0,
        payload: payload.bytes,
        payload_length: length32(payload.wire),
    };
    Ok((fragment, fragment.offset == 0 && !fragment.more))
}

fn address(octets: Option<&[u8; 16]>) -> IpAddr {
    IpAddr::V6(octets.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets)))
}
