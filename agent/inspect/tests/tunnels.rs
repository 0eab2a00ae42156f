//! Packets in packets, and packets without a flow, through the whole inspector.

mod support;

use hydrophone_inspect::{Anomaly, InspectorLimits};
use support::{
    Pipeline, ends,
    frames::{ACK, FIN, RST, SYN, Tcp, address, ethernet, ip, ipv4_fragment, ipv6_fragment, udp},
};

const RULES: &str = r#"
alert tcp any any -> any 80 (msg:"exploit"; flow:established,to_server; content:"/bin/sh"; sid:1;)
alert udp any any -> any 53 (msg:"datagram"; content:"tunnel"; sid:2;)
"#;

fn pipeline() -> Pipeline {
    Pipeline::with_rules(RULES, InspectorLimits::default())
}

fn count(pipeline: &Pipeline, anomaly: Anomaly) -> u64 {
    let counts = pipeline.inspector.stats().anomalies;
    counts.get(anomaly.index()).copied().unwrap_or(0)
}

/// A packet between pods in a VXLAN packet between nodes.
fn vxlan(packet: &[u8]) -> Vec<u8> {
    let payload = [&[8, 0, 0, 0, 0, 0, 1, 0], &ethernet(packet)[..]].concat();
    ip(
        address("192.168.0.1"),
        address("192.168.0.2"),
        17,
        &udp(50_000, 4789, &payload),
    )
}

#[test]
fn a_connection_in_a_tunnel_is_followed() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, (40_000, 80));
    let segment = |flags, sequence, payload: &[u8]| {
        let segment = Tcp {
            ports: ends.ports,
            sequence,
            acknowledgement: 5_001,
            flags,
            payload,
            ..Tcp::default()
        };
        vxlan(&ip(ends.client, ends.server, 6, &segment.bytes()))
    };
    pipeline.packet(&segment(SYN, 1_000, b""));
    let answer = Tcp {
        ports: (80, 40_000),
        sequence: 5_000,
        acknowledgement: 1_001,
        flags: SYN | ACK,
        ..Tcp::default()
    };
    pipeline.packet(&vxlan(&ip(ends.server, ends.client, 6, &answer.bytes())));
    pipeline.packet(&segment(ACK, 1_001, b""));
    pipeline.packet(&segment(ACK, 1_001, b"/bin"));
    pipeline.packet(&segment(ACK, 1_005, b"/sh"));
    assert_eq!(pipeline.sids(), [1]);
    let context = &pipeline.findings[0].context;
    assert_eq!(context.source.socket.address, ends.client);
    // The nodes' and the pods'.
    assert_eq!(pipeline.inspector.stats().flows, 2);
}

#[test]
fn the_same_packet_in_and_out_of_a_tunnel_is_two_flows() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, (40_000, 53));
    let packet = ip(ends.client, ends.server, 17, &udp(40_000, 53, b"a tunnel"));
    pipeline.packet(&packet);
    pipeline.packet(&vxlan(&packet));
    assert_eq!(pipeline.sids(), [2, 2]);
    assert_eq!(pipeline.inspector.stats().flows, 3);
}

#[test]
fn fragments_in_and_around_a_tunnel_are_put_together() {
    let (a, b) = (address("10.0.0.1"), address("10.0.0.2"));
    let whole = udp(9, 53, b"a tunnel, in two parts");
    let mut pipeline = pipeline();
    pipeline.packet(&vxlan(&ipv4_fragment(a, b, 17, 7, 0, true, &whole[..16])));
    pipeline.packet(&vxlan(&ipv4_fragment(a, b, 17, 7, 16, false, &whole[16..])));
    assert_eq!(pipeline.sids(), [2]);
    let carried = ip(a, b, 17, &whole);
    pipeline.packet(&ipv4_fragment(b, a, 4, 8, 0, true, &carried[..24]));
    pipeline.packet(&ipv4_fragment(b, a, 4, 8, 24, false, &carried[24..]));
    assert_eq!(pipeline.sids(), [2, 2]);
}

#[test]
fn what_is_odd_but_in_order_is_counted_and_inspected() {
    let (a, b) = (address("fd00::1"), address("fd00::2"));
    let mut pipeline = pipeline();
    pipeline.packet(&ipv6_fragment(
        a,
        b,
        17,
        7,
        0,
        false,
        &udp(9, 53, b"tunnel"),
    ));
    assert_eq!(pipeline.sids(), [2]);
    assert_eq!(count(&pipeline, Anomaly::Ipv6FragmentUseless), 1);
    pipeline.packet(&ip(a, b, 59, b"x"));
    assert_eq!(count(&pipeline, Anomaly::Ipv6DataAfterNone), 1);
    pipeline.finish();
    assert_eq!(pipeline.sids(), [2], "neither is a finding of its own");
}

#[test]
fn a_reset_that_the_sender_does_not_know_of_was_forged() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, (40_000, 80));
    pipeline.handshake(&ends);
    pipeline.segment(&ends, true, RST | ACK, (1_001, 5_001));
    pipeline.segment(&ends, false, ACK, (5_001, 1_001));
    assert_eq!(count(&pipeline, Anomaly::TcpResetIgnored), 0);
    pipeline.data(&ends, b"/bin/sh", 1_001);
    pipeline.segment(&ends, false, ACK, (5_001, 1_008));
    pipeline.segment(&ends, false, FIN | ACK, (5_001, 1_008));
    assert_eq!(count(&pipeline, Anomaly::TcpResetIgnored), 1);
}

#[test]
fn a_refusal_with_a_wrong_echo_is_forged() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, (40_000, 80));
    let syn = Tcp {
        ports: ends.ports,
        sequence: 1_000,
        flags: SYN,
        options: &[8, 10, 0x6c, 0x8c, 0, 0, 0, 0, 0, 0, 1, 1],
        ..Tcp::default()
    };
    pipeline.tcp(ends.client, ends.server, &syn);
    let refusal = Tcp {
        ports: (80, 40_000),
        acknowledgement: 1_001,
        flags: RST | ACK,
        options: &[8, 10, 0, 0, 0, 100, 0, 0, 0, 100, 1, 1],
        ..Tcp::default()
    };
    pipeline.tcp(ends.server, ends.client, &refusal);
    // What the kernel of the client answers to what it did not ask for.
    pipeline.segment(&ends, true, RST, (1_001, 0));
    let answer = Tcp {
        sequence: 5_000,
        flags: SYN | ACK,
        options: &[8, 10, 0, 0, 0, 9, 0x6c, 0x8c, 0, 0, 1, 1],
        ..refusal
    };
    pipeline.tcp(ends.server, ends.client, &answer);
    pipeline.segment(&ends, true, ACK, (1_001, 5_001));
    pipeline.data(&ends, b"/bin/sh", 1_001);
    assert_eq!(count(&pipeline, Anomaly::TcpTimestamp), 1);
    assert_eq!(pipeline.sids(), [1]);
}

#[test]
fn many_different_syns_on_the_same_ports_are_told() {
    let mut pipeline = pipeline();
    let ends = ends(2, 3, (40_000, 80));
    for sequence in 0..14 {
        // Each twice: sending again is not a flood.
        pipeline.segment(&ends, true, SYN, (sequence, 0));
        pipeline.segment(&ends, true, SYN, (sequence, 0));
        let expected = 2 * u64::from(sequence.saturating_sub(10));
        assert_eq!(count(&pipeline, Anomaly::TcpSynFlood), expected);
    }
}
