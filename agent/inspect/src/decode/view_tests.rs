//! What rules see of a packet: its view, its events, and the packets in it.

use super::{
    tests::{anomaly, datagram, frame, link, packet, raw, v4, v6},
    *,
};
use crate::{
    frames::{self, address, ethernet, ip, udp},
    packet::LinkType,
};

fn events(bytes: &[u8]) -> Vec<Anomaly> {
    let packet = packet(bytes, LinkType::RawIp, bytes.len());
    decode_frame(&packet).view.events.iter().collect()
}

/// The datagram in the datagram.
fn inner<'a>(outer: &Datagram<'a>) -> Datagram<'a> {
    let inner = outer.inner.expect("a tunnel");
    datagram(decode_inner(&inner, outer.view.depth).decoded)
}

fn with(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    [prefix, rest].concat()
}

#[test]
fn headers_are_shown_as_they_were() {
    let segment = frames::Tcp {
        options: &[2, 4, 5, 180, 3, 3, 7, 0],
        payload: b"data",
        ..Default::default()
    };
    let mut bytes = ethernet(&v4(6, &segment.bytes()));
    bytes.splice(12..12, [0x81, 0x00, 0x20, 0xc8]);
    bytes[18 + 5] = 9;
    bytes[18 + 6] = 0x40;
    let view = datagram(frame(&bytes)).view;
    assert_eq!(view.ethernet, &bytes[..14]);
    assert_eq!(view.vlan.as_slice(), [200]);
    assert_eq!(view.ipv4(), Some(&bytes[18..38]));
    assert_eq!((view.ip_id(), view.fragment_bits()), (Some(9), Some(2)));
    assert_eq!((view.ttl(), view.tos()), (Some(64), Some(0)));
    assert_eq!(view.tcp(), Some(&bytes[38..66]));
    assert_eq!(
        (view.tcp_mss(), view.tcp_window_scale()),
        (Some(1460), Some(7))
    );
    assert_eq!(view.payload(), b"data");
    assert_eq!((view.udp(), view.ipv6(), view.igmp()), (None, None, None));
    assert!(view.events.is_empty());
}

#[test]
fn sctp_chunks_are_told_apart() {
    let chunks = [0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0];
    let mut bytes = v4(
        132,
        &with(&chunks, &[3, 0, 0, 6, 1, 2, 0, 0, 0, 3, 0, 5, 9]),
    );
    let view = datagram(raw(&bytes)).view;
    assert_eq!(view.sctp_tag(), Some(7));
    let seen: Vec<_> = view
        .sctp_chunks()
        .map(|chunk| (chunk.kind, chunk.data))
        .collect();
    assert_eq!(seen, [(3, &[1, 2][..]), (0, &[9][..])]);
    bytes.truncate(31);
    bytes[3] = 31;
    assert_eq!(anomaly(raw(&bytes)), Anomaly::SctpHeaderTruncated);
}

#[test]
fn icmp_headers_are_as_long_as_their_type_has_them() {
    let view = |message: &[u8]| {
        datagram(raw(&v4(1, message)))
            .view
            .icmpv4()
            .map(<[u8]>::len)
    };
    assert_eq!(view(&frames::icmp(8, 0, 1, 1, &[0; 20])), Some(8));
    assert_eq!(view(&frames::icmp(13, 0, 1, 1, &[0; 12])), Some(20));
    let mut big = frames::icmp(2, 0, 0, 1200, &v6(17, &[]));
    assert_eq!(datagram(raw(&v6(58, &big))).view.icmpv6_mtu(), Some(1200));
    big[0] = 1;
    assert_eq!(datagram(raw(&v6(58, &big))).view.icmpv6_mtu(), None);
}

#[test]
fn igmp_has_no_payload() {
    let bytes = v4(2, &[0x16, 0, 0, 0, 224, 0, 0, 9]);
    let datagram = datagram(raw(&bytes));
    assert_eq!(datagram.headers.payload_length, 0);
    assert_eq!(datagram.view.igmp_type(), Some(0x16));
    assert_eq!(datagram.view.igmp(), Some(&bytes[20..]));
}

#[test]
fn a_useless_fragment_header_is_told_and_passed() {
    let (a, b) = (address("fd00::1"), address("fd00::2"));
    let whole = frames::ipv6_fragment(a, b, 17, 9, 0, false, &udp(1, 2, b"x"));
    let view = datagram(raw(&whole)).view;
    assert!(view.events.iter().eq([Anomaly::Ipv6FragmentUseless]));
    assert_eq!(view.ipv6(), Some(&whole[..48]));
    let twice = frames::ipv6_fragment(a, b, 44, 9, 0, false, &[17, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(
        events(&twice),
        [Anomaly::Ipv6FragmentUseless, Anomaly::Ipv6FragmentRepeated]
    );
    let empty = frames::ipv6_fragment(a, b, 6, 9, 0, false, &[]);
    assert_eq!(
        events(&empty),
        [
            Anomaly::Ipv6ExtensionTruncated,
            Anomaly::Ipv6FragmentUseless
        ]
    );
}

#[test]
fn extension_headers_are_looked_into() {
    assert_eq!(
        events(&v6(43, &with(&[17, 0, 0, 0, 0, 0, 0, 0], &udp(1, 2, b"")))),
        [Anomaly::Ipv6RoutingType0]
    );
    assert_eq!(
        events(&v6(60, &with(&[17, 0, 1, 4, 0, 0, 0, 0], &udp(1, 2, b"")))),
        [Anomaly::Ipv6DestinationPadding]
    );
    assert_eq!(events(&v6(59, b"x")), [Anomaly::Ipv6DataAfterNone]);
    assert_eq!(events(&v6(59, b"")), []);
    assert_eq!(events(&v4(58, &[0; 8])), [Anomaly::Ipv4Icmpv6]);
}

#[test]
fn ip_in_ip_is_two_packets() {
    let (four, six) = (v4(17, &udp(1, 2, b"in")), v6(17, &udp(1, 2, b"in")));
    for bytes in [v4(4, &four), v4(41, &six), v6(4, &four), v6(41, &six)] {
        let outer = datagram(raw(&bytes));
        let inner = inner(&outer);
        assert_eq!((inner.payload, inner.view.depth), (&b"in"[..], 1));
        assert_eq!(outer.view.depth, 0);
    }
    assert_eq!(events(&v6(4, &six)), [Anomaly::Ipv4InIpv6Version]);
    assert_eq!(events(&v6(41, &[0x60])), [Anomaly::Ipv6InIpv6Truncated]);
}

#[test]
fn gre_of_both_versions_is_looked_into() {
    let packet = v4(17, &udp(1, 2, b"in"));
    let headers: [&[u8]; 4] = [
        &[0, 0, 8, 0],
        &[0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2],
        &[0x40, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 2, 9, 9, 0, 0, 0, 0],
        // PPTP: sequence, acknowledgement, PPP with address and control.
        &[
            0x30, 0x81, 0x88, 0x0b, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21,
        ],
    ];
    for header in headers {
        let bytes = v4(47, &with(header, &packet));
        assert_eq!(inner(&datagram(raw(&bytes))).payload, b"in", "{header:?}");
    }
    let broken: [(&[u8], Anomaly); 6] = [
        (&[0, 0], Anomaly::GreTruncated),
        (&[0, 2, 8, 0], Anomaly::GreVersion),
        (&[0x80, 0, 8, 0], Anomaly::GreV0Header),
        (
            &[0x40, 0, 8, 0, 0, 0, 0, 0, 1, 1, 0, 8],
            Anomaly::GreV0Routes,
        ),
        (&[0x10, 1, 0x88, 0x0b], Anomaly::GreV1NoKey),
        (&[0x20, 1, 8, 0], Anomaly::GreV1Protocol),
    ];
    for (header, anomaly) in broken {
        let bytes = v4(47, header);
        assert_eq!(events(&bytes), [anomaly], "{header:?}");
        assert!(datagram(raw(&bytes)).inner.is_none());
    }
}

#[test]
fn tunnels_over_udp_are_looked_into() {
    let packet = v6(17, &udp(1, 2, b"in"));
    let cases = [
        (3544, packet.clone()),
        (
            3544,
            with(
                &[
                    0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 1, 1, 1, 1,
                ],
                &packet,
            ),
        ),
        (4789, with(&[8, 0, 0, 0, 0, 0, 100, 0], &ethernet(&packet))),
        (
            6081,
            with(
                &[1, 0, 0x65, 0x58, 0, 0, 100, 0, 9, 9, 9, 9],
                &ethernet(&packet),
            ),
        ),
        (6081, with(&[0, 0, 0x86, 0xdd, 0, 0, 100, 0], &packet)),
    ];
    for (port, payload) in cases {
        let bytes = v4(17, &udp(9, port, &payload));
        let outer = datagram(raw(&bytes));
        assert_eq!(inner(&outer).payload, b"in", "{port}");
        assert_eq!(outer.payload, payload, "{port}");
    }
    // Something else on the same port.
    for port in [3544, 4789, 6081] {
        let bytes = v4(17, &udp(9, port, &[0xff; 60]));
        let outer = datagram(raw(&bytes));
        assert!(
            outer.inner.is_none() && outer.view.events.is_empty(),
            "{port}"
        );
    }
}

#[test]
fn erspan_of_all_types_is_looked_into() {
    let mirrored = ethernet(&v4(17, &udp(1, 2, b"in")));
    let headers: [&[u8]; 3] = [
        &[0, 0, 0x88, 0xbe],
        &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 0, 0, 0, 0, 0],
        &[
            0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
    ];
    for header in headers {
        let bytes = v4(47, &with(header, &mirrored));
        let inner = inner(&datagram(raw(&bytes)));
        assert_eq!((inner.payload, inner.view.ethernet.len()), (&b"in"[..], 14));
    }
}

#[test]
fn the_depth_of_tunnels_is_bounded() {
    let mut bytes = v4(17, &udp(1, 2, b"in"));
    for _ in 0..=MAX_TUNNELS {
        bytes = ip(address("10.0.0.1"), address("10.0.0.2"), 4, &bytes);
    }
    let mut datagram = datagram(raw(&bytes));
    for depth in 1..=MAX_TUNNELS {
        datagram = inner(&datagram);
        assert_eq!(datagram.view.depth, depth);
    }
    let deepest = decode_inner(&datagram.inner.unwrap(), datagram.view.depth);
    assert_eq!(anomaly(deepest.decoded), Anomaly::TooManyLayers);
}

#[test]
fn pppoe_and_ppp_are_looked_through() {
    let packet = v4(
        6,
        &frames::Tcp {
            payload: b"in",
            ..Default::default()
        }
        .bytes(),
    );
    let session = |protocol: &[u8], packet: &[u8]| {
        let length = u16::try_from(protocol.len() + packet.len())
            .unwrap()
            .to_be_bytes();
        let header = with(&[0x11, 0, 0, 1, length[0], length[1]], protocol);
        link(0x8864, &with(&header, packet))
    };
    let mut compressed = packet.clone();
    compressed[9] = 3;
    for (protocol, packet) in [
        (&[0, 0x21][..], &packet),
        (&[0x21], &packet),
        (&[0, 0x2f], &compressed),
    ] {
        let bytes = session(protocol, packet);
        assert_eq!(datagram(frame(&bytes)).payload, b"in", "{protocol:?}");
    }
    let short = |protocol| anomaly(frame(&session(protocol, &[0x45; 19])));
    assert_eq!(short(&[0, 0x21]), Anomaly::PppIpv4Truncated);
    assert_eq!(short(&[0, 0x2f]), Anomaly::PppVjTruncated);
    assert_eq!(short(&[0, 0x57]), Anomaly::PppIpv6Truncated);
    let odd = |bytes: &[u8]| {
        let packet = packet_of(bytes);
        decode_frame(&packet).view.events.iter().collect::<Vec<_>>()
    };
    assert_eq!(odd(&session(&[0xc0, 0x21], &[])), []);
    assert_eq!(odd(&session(&[0, 0x2b], &[])), [Anomaly::PppUnsupported]);
    assert_eq!(odd(&session(&[0, 0x20], &[])), [Anomaly::PppType]);
    assert_eq!(odd(&link(0x8863, &[0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0])), []);
    assert_eq!(
        odd(&link(0x8863, &[0x11, 1, 0, 0, 0, 0])),
        [Anomaly::PppoeCode]
    );
    assert_eq!(
        odd(&link(0x8863, &[0x11, 9, 0, 0, 0, 4, 1, 1, 0, 9])),
        [Anomaly::PppoeTags]
    );
    assert_eq!(
        odd(&link(0x8863, &[0x11, 9, 0, 0, 0])),
        [Anomaly::PppoeTruncated]
    );
}

fn packet_of(bytes: &[u8]) -> Packet<'_> {
    packet(bytes, LinkType::Ethernet, bytes.len())
}

#[test]
fn labels_and_service_headers_are_looked_through() {
    let packet = v4(17, &udp(1, 2, b"in"));
    let bottom = |label: u8| [0, 0, (label << 4) | 1, 64];
    let pseudowire = with(&[0; 4], &ethernet(&packet));
    let cases = [
        (0x8847, with(&bottom(0), &packet)),
        (0x8847, with(&[0, 1, 0, 64, 0, 1, 1, 64], &packet)),
        (0x8848, with(&[0, 1, 1, 64], &pseudowire)),
        (0x894f, with(&[0, 2, 2, 1, 0, 0, 1, 1], &packet)),
        (0x8926, with(&[0, 0, 0, 0, 8, 0], &packet)),
        (0x88e7, with(&[0; 4], &ethernet(&packet))),
        (
            0x894f,
            with(
                &[
                    0, 6, 1, 3, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                &ethernet(&packet),
            ),
        ),
    ];
    for (ethertype, payload) in cases {
        let bytes = link(ethertype, &payload);
        assert_eq!(datagram(frame(&bytes)).payload, b"in", "{ethertype:x}");
    }
    let odd = |ethertype, payload: &[u8]| anomaly(frame(&link(ethertype, payload)));
    assert_eq!(odd(0x8926, &[0; 5]), Anomaly::VnTagTruncated);
    assert_eq!(odd(0x88e7, &[0; 17]), Anomaly::BackboneTruncated);
    assert_eq!(odd(0x8847, &bottom(1)), Anomaly::MplsRouterAlert);
    assert_eq!(odd(0x8847, &bottom(3)), Anomaly::MplsImplicitNull);
    assert_eq!(odd(0x8847, &[0, 1, 0, 64]), Anomaly::MplsTruncated);
    assert_eq!(
        odd(0x894f, &[0, 2, 0, 1, 0, 0, 1, 1]),
        Anomaly::NshReservedType
    );
    assert_eq!(
        odd(0x894f, &[0, 9, 2, 1, 0, 0, 1, 1]),
        Anomaly::NshHeaderLength
    );
}
