//! One packet as its headers were on the wire, for rules that look at them.

use super::{
    options::{self, Options},
    transport::protocol,
};
use crate::anomaly::AnomalySet;

/// VLAN tags that are told apart: as many as are looked through.
const MAX_TAGS: usize = super::MAX_VLAN_TAGS;

/// Where the headers of one packet are. All slices are of captured octets and empty where there
/// is no such header, or not all of it. For a packet in a tunnel, of the inner packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketView<'a> {
    /// What was wrong with it (Suricata: `decode-event`); see [`crate::anomaly::DecodeEvent`].
    pub events: AnomalySet,
    /// Ethernet header, 14 octets (`ether.hdr`).
    pub ethernet: &'a [u8],
    /// VLAN tags, outermost first (`vlan.id`, `vlan.layers`).
    pub vlan: VlanIds,
    /// ARP, all of it.
    pub arp: &'a [u8],
    /// IPv4 header with its options (`ipv4.hdr`), or IPv6 header with its extension headers as
    /// far as they were walked (`ipv6.hdr`).
    pub ip: &'a [u8],
    /// Length of the IP packet on the wire, header included.
    pub ip_length: u32,
    /// IP protocol number, behind all extension headers; that of the fragment in a fragment.
    pub protocol: Option<u8>,
    /// Transport header and payload; the payload of a fragment.
    pub message: &'a [u8],
    /// Length of `message` on the wire.
    pub message_length: u32,
    /// Length of the transport header with its options; 0 if it is not known or not in order.
    pub header_length: usize,
    /// Length of the packet on the wire, from its first header on.
    pub length: u32,
    /// How many packets it is in: 0 unless it came through a tunnel.
    pub depth: u8,
    /// Put together from fragments: `ip` is that of the fragment that came last.
    pub reassembled: bool,
    /// Ethernet headers so far, one in the other.
    pub(crate) layers: u8,
}

/// The VLAN ids of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VlanIds {
    ids: [u16; MAX_TAGS],
    count: u8,
}

impl VlanIds {
    /// Outermost first.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        self.ids.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Adds the tag control field of an inner tag; only the id of it.
    pub(super) fn push(&mut self, tag: u16) {
        if let Some(id) = self.ids.get_mut(usize::from(self.count)) {
            *id = tag & 0x0fff;
            self.count += 1;
        }
    }
}

/// One chunk of SCTP (RFC 9260 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpChunk<'a> {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// What follows the chunk's header, as far as it was captured, without padding.
    pub data: &'a [u8],
}

impl<'a> PacketView<'a> {
    /// 4 or 6; `None` where there is no IP header.
    #[must_use]
    pub fn ip_version(&self) -> Option<u8> {
        self.ip.first().map(|first| first >> 4)
    }

    /// IPv4 header with options.
    #[must_use]
    pub fn ipv4(&self) -> Option<&'a [u8]> {
        (self.ip_version() == Some(4)).then_some(self.ip)
    }

    /// IPv6 header with extension headers.
    #[must_use]
    pub fn ipv6(&self) -> Option<&'a [u8]> {
        (self.ip_version() == Some(6)).then_some(self.ip)
    }

    /// Type of service or traffic class.
    #[must_use]
    pub fn tos(&self) -> Option<u8> {
        let &[first, second, ..] = self.ip else {
            return None;
        };
        Some(match first >> 4 {
            4 => second,
            _ => (first << 4) | (second >> 4),
        })
    }

    /// TTL or hop limit.
    #[must_use]
    pub fn ttl(&self) -> Option<u8> {
        let at = if self.ip_version() == Some(4) { 8 } else { 7 };
        self.ip.get(at).copied()
    }

    /// IPv4 identification (`id`).
    #[must_use]
    pub fn ip_id(&self) -> Option<u16> {
        word(self.ipv4()?, 4)
    }

    /// IPv4: reserved (4), don't fragment (2) and more fragments (1), as they stand in the top
    /// bits of their field (`fragbits`). 0 once put together.
    #[must_use]
    pub fn fragment_bits(&self) -> Option<u8> {
        let [high, _] = word(self.ipv4()?, 6)?.to_be_bytes();
        Some(if self.reassembled { 0 } else { high >> 5 })
    }

    /// IPv4: place in the datagram in units of 8 octets (`fragoffset`). 0 once put together.
    #[must_use]
    pub fn fragment_offset(&self) -> Option<u16> {
        let field = word(self.ipv4()?, 6)?;
        Some(if self.reassembled { 0 } else { field & 0x1fff })
    }

    /// IPv4 options, padding included.
    #[must_use]
    pub fn ip_options(&self) -> Options<'a> {
        Options::new(self.ipv4().and_then(|ip| ip.get(20..)).unwrap_or_default())
    }

    /// Whether an IPv4 option of this type is there (`ipopts`; the type with its copy and class
    /// bits: 0 eol, 1 nop, 7 rr, 68 ts, 130 sec, 131 lsrr, 133 esec, 134 cipso, 136 satid,
    /// 137 ssrr, 148 rtralt).
    #[must_use]
    pub fn has_ip_option(&self, kind: u8) -> bool {
        self.ip_options().any(|option| option.kind == kind)
    }

    /// The transport header of `protocol`, if it is that.
    fn header(&self, protocol: u8) -> Option<&'a [u8]> {
        if self.protocol != Some(protocol) || self.header_length == 0 {
            return None;
        }
        self.message.get(..self.header_length)
    }

    /// Transport payload as captured.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.message.get(self.header_length..).unwrap_or_default()
    }

    /// TCP header with options (`tcp.hdr`).
    #[must_use]
    pub fn tcp(&self) -> Option<&'a [u8]> {
        self.header(protocol::TCP)
    }

    /// TCP options, padding included.
    #[must_use]
    pub fn tcp_options(&self) -> Options<'a> {
        Options::new(self.tcp().and_then(|tcp| tcp.get(20..)).unwrap_or_default())
    }

    /// Maximum segment size option (`tcp.mss`).
    #[must_use]
    pub fn tcp_mss(&self) -> Option<u16> {
        let mut options = self.tcp_options();
        let mss = options.find(|option| option.kind == options::MAXIMUM_SEGMENT_SIZE)?;
        word(mss.data, 0)
    }

    /// Window scale option (`tcp.wscale`).
    #[must_use]
    pub fn tcp_window_scale(&self) -> Option<u8> {
        let mut options = self.tcp_options();
        let scale = options.find(|option| option.kind == options::WINDOW_SCALE)?;
        scale.data.first().copied()
    }

    /// UDP header (`udp.hdr`).
    #[must_use]
    pub fn udp(&self) -> Option<&'a [u8]> {
        self.header(protocol::UDP)
    }

    /// ICMP header (`icmpv4.hdr`), with the fields that belong to its type.
    #[must_use]
    pub fn icmpv4(&self) -> Option<&'a [u8]> {
        self.ipv4()?;
        let header = self.header(protocol::ICMP)?;
        let length = match header.first()? {
            // RFC 1256: all addresses; RFC 792: timestamps; RFC 950: address masks.
            9 => self.message.len(),
            13 | 14 => 20,
            17 | 18 => 12,
            _ => header.len(),
        };
        Some(self.message.get(..length).unwrap_or(header))
    }

    /// `ICMPv6` header (`icmpv6.hdr`).
    #[must_use]
    pub fn icmpv6(&self) -> Option<&'a [u8]> {
        self.ipv6()?;
        self.header(protocol::ICMPV6)
    }

    /// MTU of an `ICMPv6` message "packet too big" (`icmpv6.mtu`).
    #[must_use]
    pub fn icmpv6_mtu(&self) -> Option<u32> {
        match self.icmpv6()? {
            [2, _, _, _, mtu @ ..] => mtu.first_chunk().copied().map(u32::from_be_bytes),
            _ => None,
        }
    }

    /// IGMP, all of it (`igmp.hdr`).
    #[must_use]
    pub fn igmp(&self) -> Option<&'a [u8]> {
        self.header(protocol::IGMP)
    }

    /// IGMP type (`igmp.type`).
    #[must_use]
    pub fn igmp_type(&self) -> Option<u8> {
        self.igmp()?.first().copied()
    }

    /// SCTP header without its chunks (`sctp.hdr`).
    #[must_use]
    pub fn sctp(&self) -> Option<&'a [u8]> {
        self.header(protocol::SCTP)
    }

    /// SCTP verification tag (`sctp.vtag`).
    #[must_use]
    pub fn sctp_tag(&self) -> Option<u32> {
        let tag = self.sctp()?.get(4..)?.first_chunk()?;
        Some(u32::from_be_bytes(*tag))
    }

    /// SCTP chunks in order (`sctp.chunk_cnt`, `sctp.chunk_type`, `sctp.chunk_data`).
    pub fn sctp_chunks(&self) -> impl Iterator<Item = SctpChunk<'a>> + use<'a> {
        let mut rest = match self.sctp() {
            Some(_) => self.payload(),
            None => &[],
        };
        core::iter::from_fn(move || {
            let &[kind, flags, l0, l1, ..] = rest else {
                return None;
            };
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            if length < 4 {
                return None;
            }
            let data = rest.get(4..length).or_else(|| rest.get(4..));
            // Each chunk is padded to 4 octets.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some(SctpChunk {
                kind,
                flags,
                data: data.unwrap_or_default(),
            })
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let chunk = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*chunk))
}
