//! IPv6 and its extension headers (RFC 8200).

use core::net::{IpAddr, Ipv6Addr};

use super::{
    Decoded, Fragment, Malformed, Network, PacketView, length32, options, slice::Slice, transport,
};
use crate::anomaly::Anomaly;

const HEADER: usize = 40;
const MAX_PAYLOAD_LENGTH: usize = 65_535;
/// Extension headers that are walked. RFC 8200 knows of at most seven in one packet.
const MAX_EXTENSIONS: usize = 12;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
pub(super) const AUTHENTICATION: u8 = 51;

pub(super) fn decode<'a>(
    packet: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
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
        return Err(Anomaly::Ipv6Version.into());
    }
    let network = Network {
        source: address(addresses.first_chunk()),
        destination: address(addresses.last_chunk()),
        protocol: next_header,
        ttl: hop_limit,
    };
    let rest = packet.skip(HEADER);
    let length = payload_length(u16::from_be_bytes([l0, l1]), next_header, rest.wire);
    view.ip = header;
    view.ip_length = length32(HEADER + length);
    view.protocol = Some(next_header);
    if length > rest.wire {
        return Err(Malformed::within(Anomaly::Ipv6PayloadLength, network));
    }
    let walk = Walk {
        network,
        rest: rest.truncate(length),
        packet: packet.bytes,
        walked: HEADER,
        seen: Seen::default(),
    };
    walk.on(view)
}

/// Decodes what follows the fragment header of a packet that was put together.
pub(super) fn after_fragments<'a>(
    network: Network,
    payload: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    let walk = Walk {
        network,
        rest: payload,
        packet: &[],
        walked: 0,
        seen: Seen {
            fragment: true,
            ..Seen::default()
        },
    };
    walk.on(view)
}

/// 0 is a jumbogram's (RFC 2675; "BIG TCP" of Linux 5.19 and later): the frame tells the length.
const fn payload_length(field: u16, next_header: u8, wire: usize) -> usize {
    if field == 0 && (next_header == HOP_BY_HOP || wire > MAX_PAYLOAD_LENGTH) {
        wire
    } else {
        field as usize
    }
}

/// Extension headers that were walked.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// Neither another one nor hop-by-hop options may stand behind it.
    fragment: bool,
    hop_by_hop: bool,
    routing: bool,
    authentication: bool,
    destination: u8,
}

/// The walk over the extension headers from `network.protocol` on.
struct Walk<'a> {
    network: Network,
    rest: Slice<'a>,
    /// The whole packet, of which `walked` octets are behind; empty for one put together.
    packet: &'a [u8],
    walked: usize,
    seen: Seen,
}

impl<'a> Walk<'a> {
    fn on(mut self, view: &mut PacketView<'a>) -> Result<Decoded<'a>, Malformed> {
        for position in 0..MAX_EXTENSIONS {
            let protocol = self.network.protocol;
            view.protocol = Some(protocol);
            view.message = self.rest.bytes;
            view.message_length = length32(self.rest.wire);
            if position != 0 && self.rest.wire < 2 && protocol != NO_NEXT_HEADER {
                return Err(self.malformed(Anomaly::Ipv6ExtensionTruncated));
            }
            let length = match protocol {
                FRAGMENT => {
                    if let Some(fragment) = self.fragment(view)? {
                        return Ok(Decoded::Fragment(fragment));
                    }
                    8
                }
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | AUTHENTICATION => {
                    self.extension(position, view)?
                }
                _ => {
                    last(protocol, self.rest, view);
                    return transport::decode(self.network, self.rest, view).map(Decoded::Datagram);
                }
            };
            self.pass(length, view)?;
        }
        Err(self.malformed(Anomaly::Ipv6ExtensionChain))
    }

    const fn malformed(&self, anomaly: Anomaly) -> Malformed {
        Malformed::within(anomaly, self.network)
    }

    /// Goes on behind an extension header of `length` octets.
    fn pass(&mut self, length: usize, view: &mut PacketView<'a>) -> Result<(), Malformed> {
        let extension = self
            .rest
            .prefix(length, Anomaly::Ipv6ExtensionTruncated)
            .map_err(|anomaly| self.malformed(anomaly))?;
        check(self.network.protocol, extension, view);
        self.network.protocol = extension.first().copied().unwrap_or(self.network.protocol);
        self.rest = self.rest.skip(length);
        self.walked += length;
        if let Some(ip) = self.packet.get(..self.walked) {
            view.ip = ip;
        }
        Ok(())
    }

    /// Length of the extension header that comes next, which is none of fragments.
    fn extension(
        &mut self,
        position: usize,
        view: &mut PacketView<'a>,
    ) -> Result<usize, Malformed> {
        let seen = &mut self.seen;
        let repeated = match self.network.protocol {
            HOP_BY_HOP => {
                if seen.hop_by_hop {
                    return Err(self.malformed(Anomaly::Ipv6HopByHopRepeated));
                }
                if position != 0 || seen.fragment {
                    return Err(self.malformed(Anomaly::Ipv6ExtensionChain));
                }
                seen.hop_by_hop = true;
                None
            }
            ROUTING => {
                core::mem::replace(&mut seen.routing, true).then_some(Anomaly::Ipv6RoutingRepeated)
            }
            AUTHENTICATION => core::mem::replace(&mut seen.authentication, true)
                .then_some(Anomaly::Ipv6AuthenticationRepeated),
            _ => {
                seen.destination += 1;
                (seen.destination > 2).then_some(Anomaly::Ipv6DestinationRepeated)
            }
        };
        if let Some(repeated) = repeated {
            view.events.insert(repeated);
        }
        extension_length(self.network.protocol, self.rest)
            .map_err(|anomaly| self.malformed(anomaly))
    }

    /// The fragment, unless it is the only one (RFC 6946).
    fn fragment(&mut self, view: &mut PacketView<'a>) -> Result<Option<Fragment<'a>>, Malformed> {
        if self.seen.fragment {
            return Err(self.malformed(Anomaly::Ipv6FragmentRepeated));
        }
        self.seen.fragment = true;
        let header: &[u8; 8] = self
            .rest
            .header(Anomaly::Ipv6ExtensionTruncated)
            .map_err(|anomaly| self.malformed(anomaly))?;
        let &[next_header, reserved, o0, o1, i0, i1, i2, i3] = header;
        let offset_flags = u16::from_be_bytes([o0, o1]);
        if reserved != 0 || offset_flags & 6 != 0 {
            view.events.insert(Anomaly::Ipv6FragmentReserved);
        }
        let payload = self.rest.skip(8);
        let fragment = Fragment {
            network: Network {
                protocol: next_header,
                ..self.network
            },
            id: u32::from_be_bytes([i0, i1, i2, i3]),
            offset: u32::from(offset_flags & 0xfff8),
            more: offset_flags & 1 != 0,
            payload: payload.bytes,
            payload_length: length32(payload.wire),
        };
        if fragment.offset == 0 && !fragment.more {
            view.events.insert(Anomaly::Ipv6FragmentUseless);
            return Ok(None);
        }
        self.pass(8, view)?;
        view.protocol = Some(next_header);
        view.message = payload.bytes;
        view.message_length = length32(payload.wire);
        Ok(Some(fragment))
    }
}

/// Looks into an extension header that is all there.
fn check(protocol: u8, extension: &[u8], view: &mut PacketView<'_>) {
    let events = &mut view.events;
    match (protocol, extension) {
        (HOP_BY_HOP | DESTINATION_OPTIONS, [_, _, list @ ..]) => {
            options::ipv6(list, protocol == HOP_BY_HOP, events);
        }
        (ROUTING, [_, _, 0, ..]) => {
            events.insert(Anomaly::Ipv6RoutingType0);
        }
        (AUTHENTICATION, [_, _, high, low, ..]) if (*high, *low) != (0, 0) => {
            events.insert(Anomaly::Ipv6AuthenticationReserved);
        }
        _ => {}
    }
}

/// Looks at what stands behind the extension headers.
fn last(protocol: u8, rest: Slice<'_>, view: &mut PacketView<'_>) {
    match protocol {
        NO_NEXT_HEADER if rest.wire != 0 => {
            view.events.insert(Anomaly::Ipv6DataAfterNone);
        }
        // IANA's unassigned range.
        148..=252 => {
            view.events.insert(Anomaly::Ipv6UnknownNext);
        }
        _ => {}
    }
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

fn address(octets: Option<&[u8; 16]>) -> IpAddr {
    IpAddr::V6(octets.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets)))
}
