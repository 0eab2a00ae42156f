//! Link headers and what stands between them and IP.

use core::net::Ipv4Addr;

use super::{Arp, Decoded, Malformed, ipv4, ipv6, slice::Slice};
use crate::{anomaly::Anomaly, packet::LinkType};

/// VLAN tags (802.1Q, 802.1ad) that are looked through.
pub const MAX_VLAN_TAGS: usize = 4;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const ETHERTYPE_OLD_SERVICE_VLAN: u16 = 0x9100;

pub(super) fn decode(link_type: LinkType, frame: Slice<'_>) -> Result<Decoded<'_>, Malformed> {
    const TRUNCATED: Anomaly = Anomaly::LinkHeaderTruncated;
    match link_type {
        LinkType::Ethernet => {
            let &[.., high, low] = frame.header::<14>(TRUNCATED)?;
            payload(u16::from_be_bytes([high, low]), frame.skip(14))
        }
        LinkType::LinuxSll => {
            let &[.., high, low] = frame.header::<16>(TRUNCATED)?;
            payload(u16::from_be_bytes([high, low]), frame.skip(16))
        }
        LinkType::LinuxSll2 => {
            let &[high, low, ..] = frame.header::<20>(TRUNCATED)?;
            payload(u16::from_be_bytes([high, low]), frame.skip(20))
        }
        LinkType::Null => {
            frame.header::<4>(TRUNCATED)?;
            raw(frame.skip(4))
        }
        LinkType::RawIp => raw(frame),
    }
}

/// The address family of a [`LinkType::Null`] header differs between systems and byte orders;
/// the version nibble does not.
fn raw(packet: Slice<'_>) -> Result<Decoded<'_>, Malformed> {
    let &[first] = packet.header::<1>(Anomaly::LinkHeaderTruncated)?;
    match first >> 4 {
        4 => ipv4::decode(packet),
        6 => ipv6::decode(packet),
        _ => Err(Anomaly::IpVersion.into()),
    }
}

fn payload(mut ethertype: u16, mut rest: Slice<'_>) -> Result<Decoded<'_>, Malformed> {
    for _ in 0..=MAX_VLAN_TAGS {
        match ethertype {
            ETHERTYPE_IPV4 => return ipv4::decode(rest),
            ETHERTYPE_IPV6 => return ipv6::decode(rest),
            ETHERTYPE_ARP => return arp(rest),
            ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_SERVICE_VLAN => {
                let &[_, _, high, low] = rest.header::<4>(Anomaly::LinkHeaderTruncated)?;
                ethertype = u16::from_be_bytes([high, low]);
                rest = rest.skip(4);
            }
            other => return Ok(Decoded::Other(other)),
        }
    }
    Err(Anomaly::VlanDepth.into())
}

fn arp(packet: Slice<'_>) -> Result<Decoded<'_>, Malformed> {
    const ETHERNET: [u8; 2] = [0, 1];
    let header: &[u8; 8] = packet.header(Anomaly::ArpHeader)?;
    let &[h0, h1, p0, p1, hardware_length, protocol_length, o0, o1] = header;
    if [h0, h1] != ETHERNET || u16::from_be_bytes([p0, p1]) != ETHERTYPE_IPV4 {
        return Ok(Decoded::Other(ETHERTYPE_ARP));
    }
    if (hardware_length, protocol_length) != (6, 4) {
        return Err(Anomaly::ArpHeader.into());
    }
    let body: &[u8; 20] = packet.skip(8).header(Anomaly::ArpHeader)?;
    let &[
        a,
        b,
        c,
        d,
        e,
        f,
        s0,
        s1,
        s2,
        s3,
        g,
        h,
        i,
        j,
        k,
        l,
        t0,
        t1,
        t2,
        t3,
    ] = body;
    Ok(Decoded::Arp(Arp {
        operation: u16::from_be_bytes([o0, o1]),
        sender_hardware: [a, b, c, d, e, f],
        sender: Ipv4Addr::new(s0, s1, s2, s3),
        target_hardware: [g, h, i, j, k, l],
        target: Ipv4Addr::new(t0, t1, t2, t3),
    }))
}
