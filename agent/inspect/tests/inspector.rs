//! Packets through the whole inspector, against rules.

mod support;

use std::net::IpAddr;

use hydrophone_inspect::{
    Anomaly, Hook, InspectorLimits, LinkType, Owner, Packet, Signal, Timestamp,
};
use proptest::prelude::*;
use support::{
    Ends, Pipeline, SECOND, Sink, ends,
    frames::{ACK, FIN, RST, SYN, Tcp, ip, ipv4_fragment, ipv6_fragment, udp},
};

const RULES: &str = r#"
alert tcp any any -> any 80 (msg:"exploit"; flow:established,to_server; content:"/bin/sh"; content:"attack"; distance:0; sid:1;)
alert tcp any any -> any 80 (msg:"early"; flow:to_server; content:"early bird"; sid:2;)
alert udp any any -> any 53 (msg:"datagram"; content:"tunnel"; sid:3;)
alert tcp any 80 -> any any (msg:"answer"; flow:established,to_client; content:"uid=0(root)"; sid:4;)
"#;
const EXPLOIT: &[u8] = b"GET /cgi?/bin/sh HTTP/1.1\r\nX: attack\r\n\r\n";
const CONNECTION: (u16, u16) = (40_000, 80);
/// Sequence number of the client's first byte in [`Pipeline::handshake`].
const FIRST: u32 = 1_001;
const CONFLICT: u32 = 1022;

fn pipeline() -> Pipeline {
    Pipeline::with_rules(RULES, InspectorLimits::default())
}

fn established() -> (Pipeline, Ends) {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, CONNECTION);
    pipeline.handshake(&ends);
    (pipeline, ends)
}

/// Place of byte `at`.
fn place(at: usize) -> u32 {
    FIRST + u32::try_from(at).unwrap_or(u32::MAX)
}

#[test]
fn an_exploit_is_found_however_it_is_cut() {
    let orders: [fn(&mut Vec<usize>); 3] = [
        |_| {},
        |order| order.reverse(),
        |order| order.sort_by_key(|at| at * 7 % 11),
    ];
    for size in [1, 3, EXPLOIT.len()] {
        for reorder in orders {
            let (mut pipeline, ends) = established();
            let mut order: Vec<usize> = (0..EXPLOIT.len()).step_by(size).collect();
            reorder(&mut order);
            for at in order {
                let end = EXPLOIT.len().min(at + size);
                pipeline.data(&ends, &EXPLOIT[at..end], place(at));
            }
            assert_eq!(pipeline.sids(), [1], "segments of {size}");
            let context = &pipeline.findings[0].context;
            assert!(context.to_server);
            assert_eq!(context.source.socket.address, ends.client);
            assert_eq!(context.flow.packets_to_client, 1);
        }
    }
}

#[test]
fn silent_when_the_parts_are_in_two_connections() {
    let (mut pipeline, first) = established();
    let second = ends(2, 3, (40_001, 80));
    pipeline.handshake(&second);
    pipeline.data(&first, &EXPLOIT[..25], FIRST);
    pipeline.data(&second, &EXPLOIT[25..], FIRST);
    assert_eq!(pipeline.sids(), [0; 0]);
}

#[test]
fn a_handshake_makes_established_and_a_syn_alone_does_not() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, CONNECTION);
    pipeline.syn(&ends);
    let with_data = Tcp {
        ports: ends.ports,
        sequence: FIRST,
        flags: 0,
        payload: EXPLOIT,
        ..Tcp::default()
    };
    pipeline.tcp(ends.client, ends.server, &with_data);
    assert_eq!(pipeline.sids(), [0; 0]);
}

#[test]
fn a_connection_older_than_the_sensor_is_picked_up() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, CONNECTION);
    pipeline.data(&ends, b"earlier", FIRST);
    pipeline.segment(&ends, false, ACK, (5_001, place(7)));
    pipeline.data(&ends, EXPLOIT, place(7));
    assert_eq!(pipeline.sids(), [1]);
}

#[test]
fn a_request_in_the_syn_is_part_of_the_stream() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, CONNECTION);
    let fast_open = Tcp {
        ports: ends.ports,
        sequence: FIRST - 1,
        flags: SYN,
        payload: b"early ",
        ..Tcp::default()
    };
    pipeline.tcp(ends.client, ends.server, &fast_open);
    pipeline.segment(&ends, false, SYN | ACK, (5_000, place(6)));
    pipeline.data(&ends, b"bird", place(6));
    assert_eq!(pipeline.sids(), [2]);
}

#[test]
fn data_with_fin_is_inspected_and_the_connection_closes() {
    let (mut pipeline, ends) = established();
    let last = Tcp {
        ports: ends.ports,
        sequence: FIRST,
        acknowledgement: 5_001,
        flags: ACK | FIN,
        payload: EXPLOIT,
        ..Tcp::default()
    };
    pipeline.tcp(ends.client, ends.server, &last);
    assert_eq!(pipeline.sids(), [1]);
    let end = place(EXPLOIT.len());
    pipeline.segment(&ends, false, ACK | FIN, (5_001, end + 1));
    pipeline.segment(&ends, true, ACK, (end + 1, 5_002));
    assert_eq!(
        pipeline.inspector.stats().streams.gaps,
        0,
        "FIN is not a byte"
    );
    pipeline.wait(11 * SECOND);
    assert_eq!(pipeline.inspector.stats().flows, 0);
}

#[test]
fn a_connection_that_was_captured_in_part_closes() {
    let end = place(500_000);
    let endings: [&[(bool, u8, u32, u32)]; 2] = [
        &[(true, RST, end, 5_001)],
        &[
            (true, FIN | ACK, end, 5_001),
            (false, FIN | ACK, 5_001, end + 1),
        ],
    ];
    for ending in endings {
        let (mut pipeline, ends) = established();
        let segment = Tcp {
            ports: ends.ports,
            sequence: FIRST,
            payload: &[b'.'; 1_000],
            ..Tcp::default()
        };
        let bytes = ip(ends.client, ends.server, 6, &segment.bytes());
        let wire = u32::try_from(bytes.len()).unwrap();
        pipeline.cut(&bytes[..200], wire);
        for (from_client, flags, sequence, acknowledgement) in ending {
            pipeline.segment(&ends, *from_client, *flags, (*sequence, *acknowledgement));
        }
        pipeline.wait(11 * SECOND);
        assert_eq!(pipeline.inspector.stats().flows, 0, "{ending:?}");
    }
}

#[test]
fn the_same_ports_again_are_another_flow() {
    let (mut pipeline, ends) = established();
    pipeline.data(&ends, EXPLOIT, FIRST);
    // The end was not seen; the server's answer to the SYN shows that it is.
    pipeline.wait(SECOND);
    pipeline.handshake(&ends);
    pipeline.data(&ends, EXPLOIT, FIRST);
    assert_eq!(
        pipeline.sids(),
        [1],
        "a SYN that repeats the old one is the old connection"
    );
    let again = Tcp {
        ports: ends.ports,
        sequence: 77_000,
        flags: SYN,
        ..Tcp::default()
    };
    pipeline.tcp(ends.client, ends.server, &again);
    pipeline.segment(&ends, false, SYN | ACK, (99_000, 77_001));
    pipeline.segment(&ends, true, ACK, (77_001, 99_001));
    pipeline.data(&ends, EXPLOIT, 77_001);
    assert_eq!(pipeline.sids(), [1, 1]);
    let ids: Vec<u64> = pipeline
        .findings
        .iter()
        .map(|f| f.context.flow.id)
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|&id| id > 0 && id < 1 << 53));
}

#[test]
fn a_forged_reset_or_syn_blinds_nobody() {
    let (mut pipeline, ends) = established();
    pipeline.data(&ends, &EXPLOIT[..20], FIRST);
    for (flags, sequence) in [
        (RST, 9_999_999),
        (RST, place(20)),
        (SYN, 424_242),
        (FIN | ACK, 3),
    ] {
        pipeline.segment(&ends, true, flags, (sequence, 5_001));
    }
    pipeline.data(&ends, &EXPLOIT[20..], place(20));
    assert_eq!(pipeline.sids(), [1]);
    assert_eq!(
        pipeline.inspector.stats().anomalies[Anomaly::TcpResetSequence.index()],
        1
    );
}

#[test]
fn a_forged_acknowledgement_hides_no_segment() {
    let (mut pipeline, ends) = established();
    // As if the server had received what is only sent afterwards.
    pipeline.segment(&ends, false, ACK, (5_001, place(500)));
    pipeline.data(&ends, EXPLOIT, FIRST);
    assert_eq!(pipeline.sids(), [1]);
}

#[test]
fn two_versions_of_a_segment_are_told_and_both_inspected() {
    let (mut pipeline, ends) = established();
    pipeline.data(&ends, &vec![b'x'; EXPLOIT.len()], FIRST);
    pipeline.data(&ends, EXPLOIT, FIRST);
    let mut sids = pipeline.sids();
    sids.sort_unstable();
    assert_eq!(sids, [1, CONFLICT]);
}

#[test]
fn the_servers_direction_is_inspected_as_its_own() {
    let (mut pipeline, ends) = established();
    let answer = Tcp {
        ports: (80, 40_000),
        sequence: 5_001,
        acknowledgement: FIRST,
        payload: b"uid=0(root) gid=0(root)",
        ..Tcp::default()
    };
    pipeline.tcp(ends.server, ends.client, &answer);
    assert_eq!(pipeline.sids(), [4]);
    assert!(!pipeline.findings[0].context.to_server);
    assert_eq!(pipeline.findings[0].context.source.socket.port, 80);
}

#[test]
fn fragments_are_inspected_as_the_datagram() {
    let datagram = udp(5_000, 53, b"....tunnel....");
    let four: [IpAddr; 2] = [[10, 0, 0, 2].into(), [10, 0, 0, 3].into()];
    let mut pipeline = pipeline();
    pipeline.packet(&ipv4_fragment(
        four[0],
        four[1],
        17,
        5,
        16,
        false,
        &datagram[16..],
    ));
    pipeline.packet(&ipv4_fragment(
        four[0],
        four[1],
        17,
        5,
        0,
        true,
        &datagram[..16],
    ));
    assert_eq!(pipeline.sids(), [3]);
    let six: [IpAddr; 2] = ["fd00::2".parse().unwrap(), "fd00::3".parse().unwrap()];
    pipeline.packet(&ipv6_fragment(
        six[0],
        six[1],
        17,
        5,
        16,
        false,
        &datagram[16..],
    ));
    pipeline.packet(&ipv6_fragment(
        six[0],
        six[1],
        17,
        5,
        0,
        true,
        &datagram[..16],
    ));
    assert_eq!(pipeline.sids(), [3, 3]);
    assert_eq!(pipeline.inspector.stats().fragments.reassembled, 2);
}

#[test]
fn owners_of_both_ends_are_gathered_from_all_packets() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, CONNECTION);
    pipeline.ifindex = 7;
    pipeline.handshake(&ends);
    pipeline.ifindex = 0;
    pipeline.data(&ends, EXPLOIT, FIRST);
    let context = &pipeline.findings[0].context;
    assert_eq!(context.source.owner.ifindex, 7);
    assert_eq!(context.destination.owner.ifindex, 99);
}

#[test]
fn equal_tuples_of_two_namespaces_are_two_flows() {
    let mut pipeline = pipeline();
    let mut sink = Sink::default();
    let segment = Tcp {
        flags: SYN,
        ..Tcp::default()
    };
    let local: IpAddr = [127, 0, 0, 1].into();
    let bytes = ip(local, local, 6, &segment.bytes());
    for scope in [11, 12] {
        let packet = Packet {
            timestamp: Timestamp(1),
            hook: Hook::SocketEgress,
            ifindex: 1,
            link_type: LinkType::RawIp,
            scope,
            bytes: &bytes,
            wire_length: u32::try_from(bytes.len()).unwrap(),
            source: Owner::default(),
            destination: Owner::default(),
        };
        pipeline.inspector.packet(&packet, &mut sink);
    }
    assert_eq!(pipeline.inspector.stats().flows, 2);
}

#[test]
fn evidence_is_asked_for_once_in_both_directions() {
    let mut pipeline = pipeline();
    let mut sink = Sink::default();
    for _ in 0..3 {
        let bytes = ip(
            [10, 0, 0, 2].into(),
            [10, 0, 0, 3].into(),
            17,
            &udp(9, 53, b"tunnel"),
        );
        let packet = Packet {
            timestamp: Timestamp(1),
            hook: Hook::LinkIngress,
            ifindex: 1,
            link_type: LinkType::RawIp,
            scope: 0,
            bytes: &bytes,
            wire_length: u32::try_from(bytes.len()).unwrap(),
            source: Owner::default(),
            destination: Owner::default(),
        };
        pipeline.inspector.packet(&packet, &mut sink);
    }
    let matches = |signal: &&Signal| matches!(signal, Signal::Match { .. });
    assert_eq!(sink.signals.iter().filter(matches).count(), 3);
    assert_eq!(sink.directives.len(), 2);
    assert_eq!(sink.directives[0].source, sink.directives[1].destination);
    assert_eq!(sink.directives[0].more, InspectorLimits::default().evidence);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_exploit_is_found_in_any_split_order_and_repetition(
        cuts in proptest::collection::btree_set(1..EXPLOIT.len(), 0..20),
        seed in proptest::collection::vec(any::<u16>(), 45),
        repeat in any::<bool>(),
    ) {
        let (mut pipeline, ends) = established();
        let mut starts: Vec<usize> = vec![0];
        starts.extend(&cuts);
        let mut parts: Vec<(usize, usize)> = starts
            .iter()
            .enumerate()
            .map(|(at, &from)| (from, starts.get(at + 1).copied().unwrap_or(EXPLOIT.len())))
            .collect();
        if repeat {
            parts.extend(parts.clone());
        }
        let mut keys = seed.iter().cycle();
        parts.sort_by_cached_key(|_| keys.next().copied());
        for (from, to) in parts {
            pipeline.data(&ends, &EXPLOIT[from..to], place(from));
        }
        prop_assert_eq!(pipeline.sids(), [1]);
    }

    #[test]
    fn any_packets_are_survived_and_accounted_for(
        packets in proptest::collection::vec(
            (any::<u8>(), any::<[u8; 3]>(), any::<u32>(), any::<u32>(), 0_usize..60, 0_usize..40), 0..80),
    ) {
        let limits = InspectorLimits { flows: 5, ..InspectorLimits::default() };
        let mut pipeline = Pipeline::with_rules(RULES, limits);
        let count = packets.len() as u64;
        for (flags, octets, sequence, acknowledgement, length, cut) in packets {
            let segment = Tcp {
                ports: (u16::from(octets[0] % 3), 80),
                flags,
                sequence: sequence % 200,
                acknowledgement: acknowledgement % 200,
                payload: &vec![octets[1]; length],
                ..Tcp::default()
            };
            let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
            let (from, to) = if octets[2] % 2 == 0 { (a, b) } else { (b, a) };
            let bytes = ip(from, to, 6, &segment.bytes());
            let kept = bytes.len().saturating_sub(if octets[2] > 200 { cut } else { 0 });
            pipeline.packet(&bytes[..kept]);
        }
        let stats = pipeline.inspector.stats();
        prop_assert_eq!(stats.packets, count);
        prop_assert!(stats.flows <= 5);
        prop_assert_eq!(stats.flows_created, stats.flows + stats.flows_evicted + stats.flows_expired + stats.flows_replaced);
        pipeline.finish();
        prop_assert_eq!(pipeline.inspector.stats().stream_memory, 0);
    }
}

/// A rule about the beginning of a message, where messages begin with packets: once for each message,
/// although it is tried on the packet and on the stream.
#[test]
fn a_place_counts_from_the_stream_and_from_each_packet() {
    let rules = r#"
alert tcp any any -> any any (content:"|00 05|"; depth:2; content:"run"; distance:1; within:3; sid:1;)
alert tcp any any -> any any (content:"|00 05|"; depth:2; flow:only_stream; sid:2;)
alert tcp any any -> any any (content:"|00 05|"; startswith; content:"never"; sid:3;)
"#;
    let mut pipeline = Pipeline::with_rules(rules, InspectorLimits::default());
    let ends = ends(2, 3, (40_000, 7_777));
    pipeline.handshake(&ends);
    let message = b"\x00\x05.run...";
    let length = u32::try_from(message.len()).unwrap();
    let mut next = 1_001;
    for _ in 0..3 {
        pipeline.data(&ends, message, next);
        next += length;
    }
    // In pieces: the stream's first bytes are others by now, and no packet begins with a message.
    pipeline.data(&ends, &message[..1], next);
    pipeline.data(&ends, &message[1..], next + 1);
    let mut sids = pipeline.sids();
    sids.sort_unstable();
    assert_eq!(sids, [1, 1, 1, 2]);
}
