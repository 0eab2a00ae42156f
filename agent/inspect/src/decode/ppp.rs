//! PPP (RFC 1661) and PPPoE (RFC 2516).

use super::{
    Decoded, Malformed, PacketView, ipv4, ipv6, link::ethertype, slice::Slice, transport::protocol,
};
use crate::anomaly::Anomaly;

const IPV4: u16 = 0x0021;
const VJ_UNCOMPRESSED: u16 = 0x002f;
const IPV6: u16 = 0x0057;
/// The least protocol of those that control the link or a network on it.
const CONTROL: u16 = 0x8000;

/// PPP, with or without address and control (RFC 1662 section 3.1).
pub(super) fn decode<'a>(
    mut frame: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    if let [0xff, 0x03, ..] = frame.bytes {
        frame = frame.skip(2);
    }
    let &[high] = frame.header::<1>(Anomaly::PppTruncated)?;
    // An odd octet is the last of the protocol (RFC 1661 section 6.5).
    let (protocol, rest) = if high & 1 != 0 {
        (u16::from(high), frame.skip(1))
    } else {
        let protocol = frame.header(Anomaly::PppTruncated)?;
        (u16::from_be_bytes(*protocol), frame.skip(2))
    };
    match protocol {
        IPV4 => {
            rest.header::<20>(Anomaly::PppIpv4Truncated)?;
            ipv4::decode(rest, view)
        }
        // Where IPv4 has the protocol, there is the number of the connection (RFC 1144).
        VJ_UNCOMPRESSED => {
            rest.header::<20>(Anomaly::PppVjTruncated)?;
            ipv4::decode_as(rest, Some(protocol::TCP), view)
        }
        IPV6 => {
            rest.header::<40>(Anomaly::PppIpv6Truncated)?;
            ipv6::decode(rest, view)
        }
        // RFC 1661 section 2: even above, odd below. From 0x8000 on, the ends talk of the link
        // itself: nothing that would have to be understood.
        _ => {
            if protocol & 0x0101 != 1 {
                view.events.insert(Anomaly::PppType);
            } else if protocol < CONTROL {
                view.events.insert(Anomaly::PppUnsupported);
            }
            Ok(Decoded::Other(ethertype::PPP))
        }
    }
}

/// The code of a PPPoE packet and its payload.
fn payload(packet: Slice<'_>) -> Result<(u8, Slice<'_>), Malformed> {
    let &[_, code, _, _, l0, l1] = packet.header(Anomaly::PppoeTruncated)?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let rest = packet.skip(6);
    if length > rest.wire {
        return Err(Anomaly::PppoeTruncated.into());
    }
    Ok((code, rest.truncate(length)))
}

/// PPPoE, session stage.
pub(super) fn session<'a>(
    packet: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    let (code, rest) = payload(packet)?;
    if code != 0 {
        view.events.insert(Anomaly::PppoeCode);
    }
    decode(rest, view)
}

/// PPPoE, discovery stage.
pub(super) fn discovery<'a>(
    packet: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<Decoded<'a>, Malformed> {
    let (code, mut rest) = payload(packet)?;
    // Offer, initiation, request, session confirmation, termination.
    if !matches!(code, 0x07 | 0x09 | 0x19 | 0x65 | 0xa7) {
        view.events.insert(Anomaly::PppoeCode);
    }
    while rest.wire > 0 {
        let &[t0, t1, l0, l1] = rest.header(Anomaly::PppoeTags)?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        rest = rest.skip(4);
        if length > rest.wire {
            return Err(Anomaly::PppoeTags.into());
        }
        // End of list.
        if (t0, t1) == (0, 0) {
            break;
        }
        rest = rest.skip(length);
    }
    Ok(Decoded::Other(ethertype::PPPOE_DISCOVERY))
}
