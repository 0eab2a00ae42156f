//! What is told of the traffic only on request.

mod support;

use hydrophone_inspect::{InspectorLimits, LinkType};
use support::{Pipeline, ends, frames::udp};

const RULES: &str = r#"
alert tcp any any -> any 80 (msg:"in a stream"; flow:established,to_server; content:"/bin/sh"; sid:1;)
alert udp any any -> any 53 (msg:"in a packet"; content:"tunnel"; sid:2;)
"#;
const EXPLOIT: &[u8] = b"GET /cgi?/bin/sh HTTP/1.1\r\n\r\n";

/// A finding in a stream and one in a datagram.
fn findings(packet: usize) -> Pipeline {
    let limits = InspectorLimits {
        packet,
        ..InspectorLimits::default()
    };
    let mut pipeline = Pipeline::with_rules(RULES, limits);
    let ends = ends(2, 3, (40_000, 80));
    pipeline.handshake(&ends);
    pipeline.data(&ends, EXPLOIT, 1_001);
    let datagram = udp(40_000, 53, b"a tunnel");
    pipeline.packet(&support::frames::ip(
        ends.client,
        ends.server,
        17,
        &datagram,
    ));
    assert_eq!(pipeline.sids(), [1, 2]);
    pipeline
}

#[test]
fn a_finding_says_whether_its_payload_is_of_a_stream() {
    let findings = findings(0).findings;
    let streams = findings.iter().map(|finding| finding.context.in_stream);
    assert!(streams.eq([true, false]));
    assert!(
        findings
            .iter()
            .all(|finding| finding.context.packet.is_none())
    );
}

#[test]
fn a_finding_has_the_packet_as_captured_up_to_the_limit() {
    for (most, expected) in [(10_000, [40 + EXPLOIT.len(), 36]), (30, [30, 30])] {
        let findings = findings(most).findings;
        let packets: Vec<_> = findings
            .iter()
            .map(|finding| finding.context.packet.as_ref().unwrap())
            .collect();
        assert!(packets.iter().all(|it| it.link_type == LinkType::RawIp));
        assert!(packets.iter().all(|it| it.bytes[0] == 0x45));
        assert_eq!([packets[0].bytes.len(), packets[1].bytes.len()], expected);
    }
}
