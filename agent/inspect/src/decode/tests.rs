use proptest::prelude::*;

use super::*;
use crate::{
    frames::{self, address, ethernet, ip, udp},
    packet::{Hook, LinkType, Owner, Timestamp},
};

pub(super) fn packet(bytes: &[u8], link_type: LinkType, wire: usize) -> Packet<'_> {
    Packet {
        timestamp: Timestamp(1),
        hook: Hook::Capture,
        ifindex: 0,
        link_type,
        scope: 0,
        bytes,
        wire_length: u32::try_from(wire).unwrap(),
        source: Owner::default(),
        destination: Owner::default(),
    }
}

pub(super) fn frame(bytes: &[u8]) -> Result<Decoded<'_>, Malformed> {
    decode(&packet(bytes, LinkType::Ethernet, bytes.len()))
}

pub(super) fn raw(bytes: &[u8]) -> Result<Decoded<'_>, Malformed> {
    decode(&packet(bytes, LinkType::RawIp, bytes.len()))
}

pub(super) fn datagram(decoded: Result<Decoded<'_>, Malformed>) -> Datagram<'_> {
    match decoded {
        Ok(Decoded::Datagram(datagram)) => datagram,
        other => panic!("not a datagram: {other:?}"),
    }
}

pub(super) fn anomaly(decoded: Result<Decoded<'_>, Malformed>) -> Anomaly {
    decoded.expect_err("in order").anomaly
}

pub(super) fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip(address("10.0.0.1"), address("10.0.0.2"), protocol, payload)
}

pub(super) fn v6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip(address("fd00::1"), address("fd00::2"), protocol, payload)
}

#[test]
fn ethernet_padding_is_not_payload() {
    let mut bytes = ethernet(&v4(17, &udp(5, 53, b"hi")));
    bytes.resize(60, 0xee);
    let datagram = datagram(frame(&bytes));
    assert_eq!(datagram.payload, b"hi");
    assert_eq!(datagram.headers.payload_length, 2);
    assert_eq!(datagram.headers.ports(), (5, 53));
}

#[test]
fn tags_are_looked_through_up_to_the_limit() {
    let tagged = |tags: usize| {
        let mut bytes = ethernet(&v4(17, &udp(1, 2, b"x")));
        for _ in 0..tags {
            bytes.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
        }
        bytes
    };
    for tags in 0..=MAX_VLAN_TAGS {
        assert_eq!(datagram(frame(&tagged(tags))).payload, b"x", "{tags} tags");
    }
    assert_eq!(
        anomaly(frame(&tagged(MAX_VLAN_TAGS + 1))),
        Anomaly::VlanDepth
    );
}

#[test]
fn every_link_type_leads_to_ip() {
    let inner = v6(17, &udp(1, 2, b"x"));
    let mut sll = vec![0; 14];
    sll.extend([0x86, 0xdd]);
    let mut sll2 = vec![0x86, 0xdd];
    sll2.resize(20, 0);
    let cases = [
        (LinkType::RawIp, vec![]),
        (LinkType::Null, vec![10, 0, 0, 0]),
        (LinkType::LinuxSll, sll),
        (LinkType::LinuxSll2, sll2),
    ];
    for (link_type, mut bytes) in cases {
        bytes.extend(&inner);
        let datagram = datagram(decode(&packet(&bytes, link_type, bytes.len())));
        assert_eq!(datagram.payload, b"x", "{link_type:?}");
    }
}

#[test]
fn ipv4_lengths_are_checked() {
    let good = v4(17, &udp(1, 2, b"abcd"));
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    assert_eq!(anomaly(raw(&with(0, 0x44))), Anomaly::Ipv4HeaderLength);
    assert_eq!(anomaly(raw(&with(0, 0x4f))), Anomaly::Ipv4HeaderLength);
    assert_eq!(anomaly(raw(&with(3, 19))), Anomaly::Ipv4TotalLengthShort);
    assert_eq!(anomaly(raw(&with(3, 33))), Anomaly::Ipv4TotalLength);
    assert_eq!(anomaly(raw(&with(0, 0x55))), Anomaly::IpVersion);
    assert_eq!(anomaly(raw(&good[..19])), Anomaly::Ipv4HeaderTruncated);
    assert_eq!(anomaly(raw(&with(25, 7))), Anomaly::UdpLengthShort);
    assert_eq!(anomaly(raw(&with(25, 13))), Anomaly::UdpLength);
}

#[test]
fn a_short_capture_is_not_the_senders_fault() {
    let bytes = v4(6, &frames::Tcp::default().bytes());
    let cut = decode(&packet(&bytes[..30], LinkType::RawIp, bytes.len()));
    assert_eq!(anomaly(cut), Anomaly::CaptureTooShort);
    let payload = frames::Tcp {
        payload: &[7; 100],
        ..Default::default()
    };
    let bytes = v4(6, &payload.bytes());
    let cut = datagram(decode(&packet(&bytes[..50], LinkType::RawIp, bytes.len())));
    assert_eq!(cut.payload.len(), 10);
    assert_eq!(cut.headers.payload_length, 100);
}

#[test]
fn ipv4_options_must_end_inside_the_header() {
    let with = |options: [u8; 4]| {
        let mut bytes = v4(17, &udp(1, 2, b"x"));
        bytes[0] = 0x46;
        bytes[3] += 4;
        bytes.splice(20..20, options);
        bytes
    };
    assert_eq!(datagram(raw(&with([1, 1, 1, 0]))).payload, b"x");
    assert_eq!(datagram(raw(&with([148, 4, 0, 0]))).payload, b"x");
    assert_eq!(anomaly(raw(&with([148, 5, 0, 0]))), Anomaly::Ipv4Options);
    assert_eq!(anomaly(raw(&with([1, 1, 148, 1]))), Anomaly::Ipv4Options);
    assert_eq!(anomaly(raw(&with([1, 1, 1, 148]))), Anomaly::Ipv4Options);
}

#[test]
fn offload_beyond_64_kib_is_whole() {
    let body = vec![0x61; 100_000];
    let segment = frames::Tcp {
        payload: &body,
        ..Default::default()
    };
    for bytes in [v4(6, &segment.bytes()), v6(6, &segment.bytes())] {
        let datagram = datagram(raw(&bytes));
        assert_eq!(datagram.payload.len(), body.len());
    }
}

#[test]
fn ipv6_extensions_are_walked_and_bounded() {
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let chain = |headers: &[u8]| {
        // Each header names the next; the last names UDP.
        let mut payload = Vec::new();
        for at in 0..headers.len() {
            payload.extend(options(headers.get(at + 1).copied().unwrap_or(17)));
        }
        payload.extend(udp(1, 2, b"x"));
        v6(headers[0], &payload)
    };
    assert_eq!(datagram(raw(&chain(&[0, 60, 43, 60]))).payload, b"x");
    assert_eq!(
        anomaly(raw(&chain(&[60, 0]))),
        Anomaly::Ipv6ExtensionChain,
        "hop-by-hop options stand first"
    );
    assert_eq!(anomaly(raw(&chain(&[60; 13]))), Anomaly::Ipv6ExtensionChain);
    let mut long = v6(60, &options(17));
    long[41] = 9;
    assert_eq!(anomaly(raw(&long)), Anomaly::Ipv6ExtensionTruncated);
}

#[test]
fn authentication_headers_are_walked() {
    let mut payload = vec![17, 4, 0, 0];
    payload.resize(24, 0);
    payload.extend(udp(1, 2, b"x"));
    assert_eq!(datagram(raw(&v4(51, &payload))).payload, b"x");
    assert_eq!(datagram(raw(&v6(51, &payload))).payload, b"x");
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let (a, b) = (address("fd00::1"), address("fd00::2"));
    let whole = frames::ipv6_fragment(a, b, 17, 9, 0, false, &udp(1, 2, b"x"));
    assert_eq!(datagram(raw(&whole)).payload, b"x");
    let part = frames::ipv6_fragment(a, b, 17, 9, 8, true, &[0; 16]);
    let Ok(Decoded::Fragment(fragment)) = raw(&part) else {
        panic!("not a fragment");
    };
    assert_eq!(
        (
            fragment.id,
            fragment.offset,
            fragment.more,
            fragment.payload.len()
        ),
        (9, 8, true, 16)
    );
}

#[test]
fn tcp_data_offset_is_checked() {
    let mut bytes = v4(6, &frames::Tcp::default().bytes());
    bytes[32] = 0x40;
    assert_eq!(anomaly(raw(&bytes)), Anomaly::TcpDataOffset);
    bytes[32] = 0x60;
    let malformed = raw(&bytes).unwrap_err();
    assert_eq!(malformed.anomaly, Anomaly::TcpHeaderBeyond);
    assert_eq!(malformed.network.unwrap().source, address("10.0.0.1"));
}

#[test]
fn arp_is_read() {
    let mut bytes = vec![0; 12];
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    bytes.extend([1, 2, 3, 4, 5, 6, 10, 0, 0, 1, 6, 5, 4, 3, 2, 1, 10, 0, 0, 2]);
    let Ok(Decoded::Arp(arp)) = frame(&bytes) else {
        panic!("not ARP");
    };
    assert_eq!(arp.operation, 2);
    assert_eq!(arp.sender, Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(arp.target_hardware, [6, 5, 4, 3, 2, 1]);
    bytes[18] = 7;
    assert_eq!(anomaly(frame(&bytes)), Anomaly::ArpHardwareSize);
}

const LINK_TYPES: [LinkType; 7] = [
    LinkType::Ethernet,
    LinkType::RawIp,
    LinkType::Null,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Ppp,
    LinkType::CiscoHdlc,
];

/// An Ethernet frame of this `EtherType`.
pub(super) fn link(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Reads whatever a rule may ask for.
fn read_all(view: &PacketView<'_>) {
    let _ = (view.tos(), view.ttl(), view.ip_id(), view.fragment_bits());
    let _ = (view.fragment_offset(), view.ip_options().count());
    let _ = (view.tcp_options().count(), view.tcp_mss());
    let _ = (view.tcp_window_scale(), view.icmpv4(), view.icmpv6_mtu());
    let _ = (
        view.igmp_type(),
        view.sctp_tag(),
        view.sctp_chunks().count(),
    );
    let _ = (view.udp(), view.vlan.as_slice(), view.payload());
    let _ = (view.ipv4_checksum_valid(), view.checksum_valid());
}

/// Frames that are nearly in order, so that the depths are reached.
fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    let base = prop_oneof![
        Just(ethernet(&v4(6, &frames::Tcp::default().bytes()))),
        Just(ethernet(&v4(17, &udp(1, 2, b"payload")))),
        Just(ethernet(&v6(
            0,
            &[60, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]
        ))),
        Just(ethernet(&v6(58, &frames::icmp(128, 0, 1, 1, b"ping")))),
        Just(ethernet(&v4(51, &[6; 64]))),
        Just(ethernet(&v4(
            2,
            &[0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
        ))),
        Just(ethernet(&v4(
            132,
            &[0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]
        ))),
        Just(ethernet(&v4(
            47,
            &[0x30, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 20]
        ))),
        Just(ethernet(&v4(
            47,
            &[
                0x30, 0x81, 0x88, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x21
            ]
        ))),
        Just(ethernet(&v4(17, &udp(1, 4789, &[8; 64])))),
        Just(ethernet(&v4(17, &udp(1, 6081, &[0; 64])))),
        Just(ethernet(&v4(17, &udp(1, 3544, &[0x60; 64])))),
        Just(link(0x8863, &[0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0])),
        Just(link(
            0x8864,
            &[0x11, 0, 0, 1, 0, 22, 0, 0x21, 0x45, 0, 0, 20, 0, 0, 0, 0]
        )),
        Just(link(
            0x8847,
            &[0, 1, 1, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        )),
        Just(link(
            0x894f,
            &[0, 2, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        )),
    ];
    (
        base,
        proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        any::<proptest::sample::Index>(),
    )
        .prop_map(|(mut bytes, changes, cut)| {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
            bytes
        })
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), nearly_valid()],
        more in 0_usize..2000,
        link in 0_usize..7,
    ) {
        let packet = packet(&bytes, LINK_TYPES[link], bytes.len() + more);
        let mut frame = decode_frame(&packet);
        read_all(&frame.view);
        while let Ok(Decoded::Datagram(datagram)) = frame.decoded {
            prop_assert!(datagram.payload.len() <= datagram.headers.payload_length as usize);
            prop_assert!(datagram.payload.len() <= bytes.len());
            prop_assert_eq!(datagram.payload, datagram.view.payload());
            let Some(inner) = datagram.inner else {
                break;
            };
            frame = decode_inner(&inner, frame.view.depth);
            read_all(&frame.view);
        }
    }

    #[test]
    fn what_was_written_is_read(
        source in any::<[u8; 16]>(),
        destination in any::<[u8; 16]>(),
        ipv6 in any::<bool>(),
        ports in any::<(u16, u16)>(),
        numbers in any::<(u32, u32)>(),
        flags in any::<u8>(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let to_address = |octets: [u8; 16]| if ipv6 {
            IpAddr::from(octets)
        } else {
            IpAddr::from([octets[0], octets[1], octets[2], octets[3]])
        };
        let (source, destination) = (to_address(source), to_address(destination));
        let segment = frames::Tcp {
            ports, sequence: numbers.0, acknowledgement: numbers.1, flags, payload: &payload,
            ..Default::default()
        };
        let bytes = ethernet(&ip(source, destination, 6, &segment.bytes()));
        let datagram = datagram(frame(&bytes));
        prop_assert_eq!(datagram.headers.source, source);
        prop_assert_eq!(datagram.headers.destination, destination);
        prop_assert_eq!(datagram.payload, &payload[..]);
        prop_assert_eq!(datagram.headers.transport, Transport::Tcp {
            source_port: ports.0,
            destination_port: ports.1,
            sequence: numbers.0,
            acknowledgement: numbers.1,
            flags: TcpFlags(flags),
            window: 65_535,
        });
    }
}
