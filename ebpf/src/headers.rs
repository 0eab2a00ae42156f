//! From a packet to its flow key. Shared by all hooks; reads through `bpf_skb_load_bytes`, which
//! reaches non-linear data, so nothing depends on how much of the packet is in the linear part.

use core::mem::MaybeUninit;

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use hydrophone_common::flow::{FAMILY_ARP, FAMILY_IPV4, FAMILY_IPV6, FlowKey};

const ETH_P_IP: u16 = 0x0800;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;
const ETH_P_8021Q: u16 = 0x8100;
const ETH_P_8021AD: u16 = 0x88a8;
const ETH_P_QINQ1: u16 = 0x9100;

pub(crate) const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
/// The IPv6 fragment header.
const FRAGMENT: u8 = 44;

/// Extension headers walked at the most. Of a longer chain the flow is the pair of hosts: it may well
/// be what the receiver takes, so it is recorded like anything else.
const MAX_EXTENSIONS: usize = 8;

/// TCP flags that begin or end a connection: FIN, SYN, RST.
pub(crate) const TCP_CONTROL: u8 = 0x07;

/// What the packet is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IPv4 or IPv6, or ARP: `key` is set.
    Keyed,
    /// Neither IP nor ARP.
    NotIp,
    /// Claims to be IP or ARP but cannot be.
    Malformed,
}

/// The parsed packet.
pub(crate) struct Parsed {
    pub(crate) kind: Kind,
    /// 1 when the sender is the key's `high` end.
    pub(crate) direction: u8,
    pub(crate) tcp_flags: u8,
    /// Sequence number after the segment's end (TCP only).
    pub(crate) sequence_end: u32,
    /// Offset of the network header.
    pub(crate) l3_offset: u32,
    pub(crate) key: FlowKey,
}

/// Reads `T` at `offset`.
#[inline(always)]
pub(crate) fn load<T: Copy>(skb: *mut __sk_buff, offset: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes size_of::<T>() bytes to `value` or fails.
    let result = unsafe {
        bpf_skb_load_bytes(
            skb.cast(),
            offset,
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
        )
    };
    if result != 0 {
        return None;
    }
    // SAFETY: written by the helper; every T used here is valid for any bytes.
    Some(unsafe { value.assume_init() })
}

/// Parses from the Ethernet header on.
#[inline(always)]
pub(crate) fn parse_ethernet(skb: *mut __sk_buff) -> Parsed {
    let mut parsed = Parsed::new();
    let mut offset = 14;
    let mut ethertype = match load::<u16>(skb, 12) {
        Some(ethertype) => u16::from_be(ethertype),
        None => return parsed,
    };
    for _ in 0..2 {
        if !matches!(ethertype, ETH_P_8021Q | ETH_P_8021AD | ETH_P_QINQ1) {
            break;
        }
        ethertype = match load::<u16>(skb, offset + 2) {
            Some(ethertype) => u16::from_be(ethertype),
            None => return parsed,
        };
        offset += 4;
    }
    parsed.l3_offset = offset;
    match ethertype {
        ETH_P_IP => parse_ipv4(skb, &mut parsed),
        ETH_P_IPV6 => parse_ipv6(skb, &mut parsed),
        ETH_P_ARP => parse_arp(skb, &mut parsed),
        _ => parsed.kind = Kind::NotIp,
    }
    parsed
}

/// Parses from the network header on (`cgroup_skb`).
#[inline(always)]
pub(crate) fn parse_network(skb: *mut __sk_buff) -> Parsed {
    let mut parsed = Parsed::new();
    match load::<u8>(skb, 0) {
        Some(first) if first >> 4 == 4 => parse_ipv4(skb, &mut parsed),
        Some(first) if first >> 4 == 6 => parse_ipv6(skb, &mut parsed),
        _ => {}
    }
    parsed
}

impl Parsed {
    #[inline(always)]
    fn new() -> Self {
        Self {
            kind: Kind::Malformed,
            direction: 0,
            tcp_flags: 0,
            sequence_end: 0,
            l3_offset: 0,
            key: FlowKey {
                low: [0; 2],
                high: [0; 2],
                scope: 0,
                low_port: 0,
                high_port: 0,
                protocol: 0,
                family: 0,
                padding: 0,
            },
        }
    }
}

/// RFC 791 section 3.1.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv4 {
    version_ihl: u8,
    tos: u8,
    total_length: u16,
    identification: u16,
    fragment: u16,
    ttl: u8,
    protocol: u8,
    checksum: u16,
    source: [u8; 4],
    destination: [u8; 4],
}

#[inline(always)]
fn parse_ipv4(skb: *mut __sk_buff, parsed: &mut Parsed) {
    let offset = parsed.l3_offset;
    let Some(ip) = load::<Ipv4>(skb, offset) else {
        return;
    };
    let header_length = u32::from(ip.version_ihl & 0x0f) * 4;
    if ip.version_ihl >> 4 != 4 || header_length < 20 {
        return;
    }
    parsed.kind = Kind::Keyed;
    parsed.key.family = FAMILY_IPV4;
    parsed.key.protocol = ip.protocol;
    let source = FlowKey::ipv4(ip.source);
    let destination = FlowKey::ipv4(ip.destination);
    // More fragments, or an offset: every fragment of a datagram gets the key without ports.
    let fragmented = u16::from_be(ip.fragment) & 0x3fff != 0;
    finish(
        skb,
        parsed,
        source,
        destination,
        offset + header_length,
        fragmented,
    );
}

/// RFC 8200 section 3.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv6 {
    version_class_flow: [u8; 4],
    payload_length: u16,
    next_header: u8,
    hop_limit: u8,
    source: [u64; 2],
    destination: [u64; 2],
}

#[inline(always)]
fn parse_ipv6(skb: *mut __sk_buff, parsed: &mut Parsed) {
    let offset = parsed.l3_offset;
    let Some(ip) = load::<Ipv6>(skb, offset) else {
        return;
    };
    if ip.version_class_flow[0] >> 4 != 6 {
        return;
    }
    let mut next = ip.next_header;
    let mut at = offset + 40;
    let mut fragmented = false;
    // Neither the end of a long chain nor, in all but the first fragment, its protocol is known.
    let mut portless = true;
    for _ in 0..MAX_EXTENSIONS {
        // RFC 8200 section 4, RFC 4302 (AH), RFC 6275 (mobility), RFC 7401 (HIP), RFC 5533 (shim6).
        let unit = match next {
            0 | 43 | 60 | 135 | 139 | 140 => 8,
            51 => 4,
            FRAGMENT => 0,
            _ => {
                portless = false;
                break;
            }
        };
        let Some(header) = load::<[u8; 4]>(skb, at) else {
            return;
        };
        at += match unit {
            8 => (u32::from(header[1]) + 1) * 8,
            4 => (u32::from(header[1]) + 2) * 4,
            _ => {
                // An atomic fragment (RFC 6946) has neither offset nor more-fragments.
                fragmented |= u16::from_be_bytes([header[2], header[3]]) & 0xfff9 != 0;
                8
            }
        };
        next = header[0];
        // What follows the first header of a later fragment is data, not a header.
        if fragmented {
            break;
        }
    }
    parsed.kind = Kind::Keyed;
    parsed.key.family = FAMILY_IPV6;
    parsed.key.protocol = if portless { FRAGMENT } else { next };
    let source = ip.source;
    let destination = ip.destination;
    finish(skb, parsed, source, destination, at, portless);
}

/// RFC 826, for Ethernet and IPv4.
#[inline(always)]
fn parse_arp(skb: *mut __sk_buff, parsed: &mut Parsed) {
    let offset = parsed.l3_offset;
    // Target last: it ends the message.
    let (Some(sender), Some(target)) = (load(skb, offset + 14), load(skb, offset + 24)) else {
        return;
    };
    parsed.kind = Kind::Keyed;
    parsed.key.family = FAMILY_ARP;
    order(parsed, FlowKey::ipv4(sender), FlowKey::ipv4(target), 0, 0);
}

/// Reads the ports and, of TCP, what the flow table keeps; then orders the ends.
#[inline(always)]
fn finish(
    skb: *mut __sk_buff,
    parsed: &mut Parsed,
    source: [u64; 2],
    destination: [u64; 2],
    l4_offset: u32,
    portless: bool,
) {
    let mut ports = [0_u16; 2];
    if !portless && matches!(parsed.key.protocol, TCP | UDP | SCTP) {
        match load::<[u16; 2]>(skb, l4_offset) {
            Some(loaded) => ports = loaded,
            None => {
                parsed.kind = Kind::Malformed;
                return;
            }
        }
        if parsed.key.protocol == TCP {
            // Sequence number, acknowledgement, data offset and flags.
            let Some(tcp) = load::<[u8; 10]>(skb, l4_offset + 4) else {
                parsed.kind = Kind::Malformed;
                return;
            };
            parsed.tcp_flags = tcp[9];
            let data_at = l4_offset + u32::from(tcp[8] >> 4) * 4;
            // SAFETY: a field of the context.
            let length = unsafe { (*skb).len };
            let payload = if length > data_at {
                length - data_at
            } else {
                0
            };
            let control = u32::from(tcp[9] & 0x01) + u32::from((tcp[9] >> 1) & 0x01);
            parsed.sequence_end = u32::from_be_bytes([tcp[0], tcp[1], tcp[2], tcp[3]])
                .wrapping_add(payload)
                .wrapping_add(control);
        }
    }
    order(parsed, source, destination, ports[0], ports[1]);
}

/// Puts the ordered ends into the key.
#[inline(always)]
fn order(parsed: &mut Parsed, source: [u64; 2], destination: [u64; 2], sport: u16, dport: u16) {
    let (mut key, direction) = FlowKey::between(source, destination, sport, dport);
    key.protocol = parsed.key.protocol;
    key.family = parsed.key.family;
    parsed.key = key;
    parsed.direction = direction;
}
