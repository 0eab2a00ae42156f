//! Link headers and what stands between them and IP.

use core::net::Ipv4Addr;

use super::{Arp, Decoded, Malformed, PacketView, ipv4, ipv6, label, ppp, slice::Slice};
use crate::{anomaly::Anomaly, packet::LinkType};

/// VLAN tags (802.1Q, 802.1ad) that are looked through.
pub const MAX_VLAN_TAGS: usize = 4;
/// Link headers in one packet, one in the other.
const MAX_LAYERS: u8 = 8;

/// `EtherType`s (IANA, IEEE).
pub(super) mod ethertype {
    pub(in super::super) const IPV4: u16 = 0x0800;
    pub(in super::super) const ARP: u16 = 0x0806;
    pub(in super::super) const ERSPAN_3: u16 = 0x22eb;
    pub(in super::super) const BRIDGE: u16 = 0x6558;
    pub(in super::super) const VLAN: u16 = 0x8100;
    pub(in super::super) const IPV6: u16 = 0x86dd;
    pub(in super::super) const PPP: u16 = 0x880b;
    pub(in super::super) const MPLS: u16 = 0x8847;
    pub(in super::super) const MPLS_MULTICAST: u16 = 0x8848;
    pub(in super::super) const PPPOE_DISCOVERY: u16 = 0x8863;
    pub(in super::super) const PPPOE_SESSION: u16 = 0x8864;
    pub(in super::super) const SERVICE_VLAN: u16 = 0x88a8;
    pub(in super::super) const ERSPAN: u16 = 0x88be;
    pub(in super::super) const BACKBONE: u16 = 0x88e7;
    pub(in super::super) const VN_TAG: u16 = 0x8926;
    pub(in super::super) const NSH: u16 = 0x894f;
    pub(in super::super) const OLD_SERVICE_VLAN: u16 = 0x9100;
    /// Below it stands the length of an 802.3 frame.
    pub(in super::super) const LEAST: u16 = 0x0600;
}

type Result<'a> = core::result::Result<Decoded<'a>, Malformed>;

pub(super) fn decode<'a>(
    link_type: LinkType,
    frame: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<'a> {
    match link_type {
        LinkType::Ethernet => ethernet(frame, view),
        LinkType::LinuxSll => {
            let &[.., high, low] = frame.header::<16>(Anomaly::SllHeaderTruncated)?;
            payload(u16::from_be_bytes([high, low]), frame.skip(16), view)
        }
        LinkType::LinuxSll2 => {
            let &[high, low, ..] = frame.header::<20>(Anomaly::SllHeaderTruncated)?;
            payload(u16::from_be_bytes([high, low]), frame.skip(20), view)
        }
        LinkType::Null => {
            frame.header::<4>(Anomaly::NullHeaderTruncated)?;
            raw(frame.skip(4), view)
        }
        LinkType::RawIp => raw(frame, view),
        LinkType::CiscoHdlc => {
            let &[.., high, low] = frame.header::<4>(Anomaly::ChdlcHeaderTruncated)?;
            payload(u16::from_be_bytes([high, low]), frame.skip(4), view)
        }
        LinkType::Ppp => ppp::decode(frame, view),
    }
}

pub(super) fn ethernet<'a>(frame: Slice<'a>, view: &mut PacketView<'a>) -> Result<'a> {
    if view.layers >= MAX_LAYERS {
        return Err(Anomaly::TooManyLayers.into());
    }
    view.layers += 1;
    let header = frame.header::<14>(Anomaly::LinkHeaderTruncated)?;
    view.ethernet = header;
    let &[.., high, low] = header;
    payload(u16::from_be_bytes([high, low]), frame.skip(14), view)
}

/// The address family of a [`LinkType::Null`] header differs between systems and byte orders;
/// the version nibble does not.
fn raw<'a>(packet: Slice<'a>, view: &mut PacketView<'a>) -> Result<'a> {
    let &[first] = packet.header::<1>(Anomaly::LinkHeaderTruncated)?;
    match first >> 4 {
        4 => ipv4::decode(packet, view),
        6 => ipv6::decode(packet, view),
        _ => Err(Anomaly::IpVersion.into()),
    }
}

/// What an `EtherType` announces.
pub(super) fn payload<'a>(
    mut ethertype: u16,
    mut rest: Slice<'a>,
    view: &mut PacketView<'a>,
) -> Result<'a> {
    let mut unknown = Anomaly::EthernetUnknownType;
    for _ in 0..=MAX_VLAN_TAGS {
        match ethertype {
            ethertype::IPV4 => return ipv4::decode(rest, view),
            ethertype::IPV6 => return ipv6::decode(rest, view),
            ethertype::ARP => return arp(rest, view),
            ethertype::PPPOE_DISCOVERY => return ppp::discovery(rest, view),
            ethertype::PPPOE_SESSION => return ppp::session(rest, view),
            ethertype::MPLS | ethertype::MPLS_MULTICAST => return label::mpls(rest, view),
            ethertype::NSH => return label::nsh(rest, view),
            ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_SERVICE_VLAN => {
                let &[t0, t1, high, low] = rest.header::<4>(Anomaly::VlanHeaderTruncated)?;
                view.vlan.push(u16::from_be_bytes([t0, t1]));
                ethertype = u16::from_be_bytes([high, low]);
                rest = rest.skip(4);
                unknown = Anomaly::VlanUnknownType;
            }
            // The backbone's service, then the addresses of the frame that it carries.
            ethertype::BACKBONE => {
                let &[.., high, low] = rest.header::<18>(Anomaly::BackboneTruncated)?;
                ethertype = u16::from_be_bytes([high, low]);
                rest = rest.skip(18);
            }
            ethertype::VN_TAG => {
                let &[.., high, low] = rest.header::<6>(Anomaly::VnTagTruncated)?;
                ethertype = u16::from_be_bytes([high, low]);
                rest = rest.skip(6);
                unknown = Anomaly::VnTagUnknownType;
            }
            other => {
                if other >= ethertype::LEAST {
                    view.events.insert(unknown);
                }
                return Ok(Decoded::Other(other));
            }
        }
    }
    Err(Anomaly::VlanDepth.into())
}

fn arp<'a>(packet: Slice<'a>, view: &mut PacketView<'a>) -> Result<'a> {
    const LENGTH: usize = 28;
    const ETHERNET: [u8; 2] = [0, 1];
    let header: &[u8; 8] = packet.header(Anomaly::ArpHeader)?;
    view.arp = packet.bytes.get(..LENGTH).unwrap_or(packet.bytes);
    let &[h0, h1, p0, p1, hardware_length, protocol_length, o0, o1] = header;
    if [h0, h1] != ETHERNET {
        view.events.insert(Anomaly::ArpHardware);
        return Ok(Decoded::Other(ethertype::ARP));
    }
    if u16::from_be_bytes([p0, p1]) != ethertype::IPV4 {
        view.events.insert(Anomaly::ArpProtocol);
        return Ok(Decoded::Other(ethertype::ARP));
    }
    if hardware_length != 6 {
        return Err(Anomaly::ArpHardwareSize.into());
    }
    if protocol_length != 4 {
        return Err(Anomaly::ArpProtocolSize.into());
    }
    let operation = u16::from_be_bytes([o0, o1]);
    // RFC 826, 903, 1931, 2390.
    if !(1..=10).contains(&operation) {
        view.events.insert(Anomaly::ArpOperation);
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
        operation,
        sender_hardware: [a, b, c, d, e, f],
        sender: Ipv4Addr::new(s0, s1, s2, s3),
        target_hardware: [g, h, i, j, k, l],
        target: Ipv4Addr::new(t0, t1, t2, t3),
    }))
}
