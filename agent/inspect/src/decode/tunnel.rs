//! Packets within packets. The outer one is whole by itself; what is wrong with the header
//! between the two is an event of the outer.

use super::{
    Malformed, PacketView, ipv4, ipv6,
    link::{self, ethertype},
    ppp,
    slice::Slice,
    transport::protocol,
};
use crate::anomaly::{Anomaly, AnomalySet};

/// Packets within packets that are looked into.
pub const MAX_TUNNELS: u8 = 8;

const TEREDO: u16 = 3544;
const VXLAN: u16 = 4789;
const GENEVE: u16 = 6081;

/// A packet that was found in another.
#[derive(Clone, Copy, Debug)]
pub struct Inner<'a> {
    first: First,
    pub(crate) slice: Slice<'a>,
}

/// The first header of an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Ethernet,
    Ipv4,
    Ipv6,
    Ppp,
    /// What this `EtherType` announces.
    Type(u16),
}

impl<'a> Inner<'a> {
    const fn new(first: First, slice: Slice<'a>) -> Option<Self> {
        Some(Self { first, slice })
    }

    pub(super) fn decode(
        &self,
        view: &mut PacketView<'a>,
    ) -> Result<super::Decoded<'a>, Malformed> {
        if view.depth > MAX_TUNNELS {
            return Err(Anomaly::TooManyLayers.into());
        }
        match self.first {
            First::Ethernet => link::ethernet(self.slice, view),
            First::Ipv4 => ipv4::decode(self.slice, view),
            First::Ipv6 => ipv6::decode(self.slice, view),
            First::Ppp => ppp::decode(self.slice, view),
            First::Type(ethertype) => link::payload(ethertype, self.slice, view),
        }
    }
}

/// The packet in the payload of an IP packet that has no ports.
pub(super) fn in_ip<'a>(
    protocol: u8,
    ipv6: bool,
    payload: Slice<'a>,
    events: &mut AnomalySet,
) -> Option<Inner<'a>> {
    match protocol {
        protocol::GRE => gre(payload, events),
        protocol::IPV4 => {
            let anomalies = (Anomaly::Ipv4InIpv6Truncated, Anomaly::Ipv4InIpv6Version);
            fits(payload, 20, 4, ipv6.then_some(anomalies), events)?;
            Inner::new(First::Ipv4, payload)
        }
        protocol::IPV6 => {
            let anomalies = (Anomaly::Ipv6InIpv6Truncated, Anomaly::Ipv6InIpv6Version);
            fits(payload, 40, 6, ipv6.then_some(anomalies), events)?;
            Inner::new(First::Ipv6, payload)
        }
        _ => None,
    }
}

/// Whether `payload` can be an IP packet. Without `anomalies`, its own decoding tells why not.
fn fits(
    payload: Slice<'_>,
    least: usize,
    version: u8,
    anomalies: Option<(Anomaly, Anomaly)>,
    events: &mut AnomalySet,
) -> Option<()> {
    let Some((truncated, wrong)) = anomalies else {
        return Some(());
    };
    if payload.wire < least {
        events.insert(truncated);
        return None;
    }
    if payload.bytes.first()? >> 4 != version {
        events.insert(wrong);
        return None;
    }
    Some(())
}

/// The packet in a UDP datagram. What does not look like the protocol of its port is something
/// else and none of the sender's fault.
pub(super) fn in_udp<'a>(
    ports: (u16, u16),
    payload: Slice<'a>,
    events: &mut AnomalySet,
) -> Option<Inner<'a>> {
    match ports {
        (TEREDO, _) | (_, TEREDO) => teredo(payload),
        (_, VXLAN) => vxlan(payload, events),
        (_, GENEVE) => geneve(payload, events),
        _ => None,
    }
}

/// RFC 4380 section 5.1.1: authentication, then origin, then IPv6.
fn teredo(mut payload: Slice<'_>) -> Option<Inner<'_>> {
    if let [0, 1, id, value, ..] = payload.bytes {
        payload = payload.skip(13 + usize::from(*id) + usize::from(*value));
    }
    if let [0, 0, ..] = payload.bytes {
        payload = payload.skip(8);
    }
    let &[first, _, _, _, l0, l1, ..] = payload.bytes.first_chunk::<40>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1])) + 40;
    (first >> 4 == 6 && length == payload.wire)
        .then(|| Inner::new(First::Ipv6, payload))
        .flatten()
}

/// RFC 7348 section 5.
fn vxlan<'a>(payload: Slice<'a>, events: &mut AnomalySet) -> Option<Inner<'a>> {
    const VALID: u8 = 0x08;
    let &[flags, _, _, _, _, _, _, reserved] = payload.bytes.first_chunk()?;
    if flags & VALID == 0 || reserved != 0 {
        return None;
    }
    let frame = payload.skip(8);
    let &[.., high, low] = frame.bytes.first_chunk::<14>()?;
    if !is_known(u16::from_be_bytes([high, low])) {
        events.insert(Anomaly::VxlanPayload);
        return None;
    }
    Inner::new(First::Ethernet, frame)
}

/// RFC 8926 section 3.4.
fn geneve<'a>(payload: Slice<'a>, events: &mut AnomalySet) -> Option<Inner<'a>> {
    let &[version_length, _, t0, t1, _, _, _, reserved] = payload.bytes.first_chunk()?;
    if version_length >> 6 != 0 || reserved != 0 {
        return None;
    }
    let rest = payload.skip(8 + usize::from(version_length & 0x3f) * 4);
    match u16::from_be_bytes([t0, t1]) {
        ethertype::BRIDGE => Inner::new(First::Ethernet, rest),
        known @ (ethertype::IPV4 | ethertype::IPV6 | ethertype::ARP) => {
            Inner::new(First::Type(known), rest)
        }
        _ => {
            events.insert(Anomaly::GenevePayload);
            None
        }
    }
}

const fn is_known(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ethertype::IPV4
            | ethertype::IPV6
            | ethertype::ARP
            | ethertype::VLAN
            | ethertype::SERVICE_VLAN
            | ethertype::OLD_SERVICE_VLAN
            | ethertype::MPLS
            | ethertype::MPLS_MULTICAST
            | ethertype::PPPOE_DISCOVERY
            | ethertype::PPPOE_SESSION
            | ethertype::NSH
    )
}

/// Flags in the first octet of GRE (RFC 1701, RFC 2784, RFC 2890, RFC 2637).
const CHECKSUM: u8 = 0x80;
const ROUTING: u8 = 0x40;
const KEY: u8 = 0x20;
const SEQUENCE: u8 = 0x10;
const STRICT_ROUTE: u8 = 0x08;
const RECURSION: u8 = 0x07;

fn gre<'a>(packet: Slice<'a>, events: &mut AnomalySet) -> Option<Inner<'a>> {
    if packet.wire < 4 {
        events.insert(Anomaly::GreTruncated);
    }
    let &[flags, version, t0, t1] = packet.bytes.first_chunk()?;
    let kind = u16::from_be_bytes([t0, t1]);
    let checked = match version & 0x07 {
        0 => version_0(packet, flags, version).map(|length| (length, kind)),
        1 => version_1(packet, flags, version, kind).map(|length| (length, ethertype::PPP)),
        _ => Err(Anomaly::GreVersion),
    };
    let (length, kind) = checked.map_err(|anomaly| events.insert(anomaly)).ok()?;
    let rest = packet.skip(length);
    if rest.wire == 0 {
        return None;
    }
    match kind {
        ethertype::PPP => Inner::new(First::Ppp, rest),
        ethertype::BRIDGE => Inner::new(First::Ethernet, rest),
        ethertype::ERSPAN => erspan_2(flags & SEQUENCE != 0, rest, events),
        ethertype::ERSPAN_3 => erspan_3(rest, events),
        known if is_known(known) => Inner::new(First::Type(known), rest),
        _ => None,
    }
}

/// Length of a header of version 0.
fn version_0(packet: Slice<'_>, flags: u8, version: u8) -> Result<usize, Anomaly> {
    if flags & RECURSION != 0 {
        return Err(Anomaly::GreV0Recursion);
    }
    if version & 0xf8 != 0 {
        return Err(Anomaly::GreV0Flags);
    }
    let mut length = 4;
    for present in [CHECKSUM | ROUTING, KEY, SEQUENCE] {
        if flags & present != 0 {
            length += 4;
        }
    }
    if flags & ROUTING != 0 {
        length = behind_routes(packet, length)?;
    }
    if length > packet.wire {
        return Err(Anomaly::GreV0Header);
    }
    Ok(length)
}

/// Where the source route entries end that begin at `at` (RFC 1701).
fn behind_routes(packet: Slice<'_>, mut at: usize) -> Result<usize, Anomaly> {
    loop {
        let entry: &[u8; 4] = packet.skip(at).header(Anomaly::GreV0Routes)?;
        let &[f0, f1, _, length] = entry;
        at += 4 + usize::from(length);
        if (f0, f1, length) == (0, 0, 0) {
            return Ok(at);
        }
    }
}

/// Length of a header of version 1 (RFC 2637 section 4.1).
fn version_1(packet: Slice<'_>, flags: u8, version: u8, kind: u16) -> Result<usize, Anomaly> {
    const ACKNOWLEDGEMENT: u8 = 0x80;
    if flags & CHECKSUM != 0 {
        return Err(Anomaly::GreV1Checksum);
    }
    if flags & ROUTING != 0 {
        return Err(Anomaly::GreV1Routing);
    }
    if flags & STRICT_ROUTE != 0 {
        return Err(Anomaly::GreV1SourceRoute);
    }
    if flags & RECURSION != 0 {
        return Err(Anomaly::GreV1Recursion);
    }
    if version & 0x78 != 0 {
        return Err(Anomaly::GreV1Flags);
    }
    if kind != ethertype::PPP {
        return Err(Anomaly::GreV1Protocol);
    }
    if flags & KEY == 0 {
        return Err(Anomaly::GreV1NoKey);
    }
    let mut length = 8;
    if flags & SEQUENCE != 0 {
        length += 4;
    }
    if version & ACKNOWLEDGEMENT != 0 {
        length += 4;
    }
    if length > packet.wire {
        return Err(Anomaly::GreV1Header);
    }
    Ok(length)
}

/// ERSPAN type I, which has no header, and type II (draft-foschiano-erspan section 4).
fn erspan_2<'a>(numbered: bool, packet: Slice<'a>, events: &mut AnomalySet) -> Option<Inner<'a>> {
    if !numbered {
        return Inner::new(First::Ethernet, packet);
    }
    if packet.wire < 8 {
        events.insert(Anomaly::ErspanTruncated);
        return None;
    }
    if packet.bytes.first()? >> 4 != 1 {
        events.insert(Anomaly::ErspanVersion);
        return None;
    }
    Inner::new(First::Ethernet, packet.skip(8))
}

/// ERSPAN type III.
fn erspan_3<'a>(packet: Slice<'a>, events: &mut AnomalySet) -> Option<Inner<'a>> {
    const HEADER: usize = 12;
    if packet.wire < HEADER {
        events.insert(Anomaly::ErspanTruncated);
        return None;
    }
    let &[version, .., flags] = packet.bytes.first_chunk::<HEADER>()?;
    if version >> 4 != 2 {
        events.insert(Anomaly::ErspanVersion);
        return None;
    }
    // The last bit announces a subheader of the platform.
    let length = if flags & 1 == 0 { HEADER } else { HEADER + 8 };
    Inner::new(First::Ethernet, packet.skip(length))
}
