//! What an inspector holds is bounded, whatever comes.

mod support;

use hydrophone_inspect::{InspectorLimits, flow::StreamLimits};
use support::{
    Ends, Pipeline, SECOND, ends,
    frames::{ip, udp},
};

const RULES: &str = r#"
alert tcp any any -> any 80 (msg:"exploit"; flow:established,to_server; content:"/bin/sh"; content:"attack"; distance:0; sid:1;)
"#;
const EXPLOIT: &[u8] = b"GET /cgi?/bin/sh HTTP/1.1\r\nX: attack\r\n\r\n";
const CONNECTION: (u16, u16) = (40_000, 80);
/// Sequence number of the client's first byte in [`Pipeline::handshake`].
const FIRST: u32 = 1_001;

fn established() -> (Pipeline, Ends) {
    let mut pipeline = Pipeline::with_rules(RULES, InspectorLimits::default());
    let ends = ends(2, 3, CONNECTION);
    pipeline.handshake(&ends);
    (pipeline, ends)
}

/// Place of byte `at`.
fn place(at: usize) -> u32 {
    FIRST + u32::try_from(at).unwrap_or(u32::MAX)
}

#[test]
fn flows_and_stream_memory_are_bounded() {
    let limits = InspectorLimits {
        flows: 1_000,
        streams: StreamLimits {
            total: 100_000,
            ..StreamLimits::default()
        },
        ..InspectorLimits::default()
    };
    let mut pipeline = Pipeline::with_rules(RULES, limits);
    for step in 0..5_000_u16 {
        let ends = ends(2, 3, (10_000 + step, 80));
        pipeline.handshake(&ends);
        pipeline.data(&ends, &[b'.'; 1_400], FIRST);
        pipeline.data(&ends, EXPLOIT, place(10_000));
        let stats = pipeline.inspector.stats();
        assert!(stats.flows <= 1_000);
        assert!(stats.stream_memory <= 100_000);
    }
    let stats = pipeline.inspector.stats();
    assert_eq!(stats.flows_evicted, 4_000);
    assert!(stats.streams.window_released > 4_000);
    pipeline.finish();
    assert_eq!(pipeline.inspector.stats().flows, 0);
    assert_eq!(pipeline.inspector.stats().stream_memory, 0);
    assert_eq!(
        pipeline
            .findings
            .iter()
            .filter(|f| f.signature.sid == 1)
            .count(),
        5_000,
        "what waited behind a hole was inspected before it was let go"
    );
}

#[test]
fn a_flood_does_not_push_out_connections() {
    let limits = InspectorLimits {
        flows: 1_000,
        ..InspectorLimits::default()
    };
    let mut pipeline = Pipeline::with_rules(RULES, limits);
    let ends = ends(2, 3, CONNECTION);
    pipeline.handshake(&ends);
    pipeline.data(&ends, &EXPLOIT[..20], FIRST);
    for step in 0..10_000_u16 {
        pipeline.syn(&support::ends(4, 3, (20_000 + step, 80)));
    }
    pipeline.data(&ends, &EXPLOIT[20..], place(20));
    assert_eq!(pipeline.sids(), [1]);
}

#[test]
fn idle_flows_end_by_packet_time() {
    let (mut pipeline, _) = established();
    pipeline.packet(&ip(
        [10, 0, 0, 2].into(),
        [10, 0, 0, 3].into(),
        17,
        &udp(1, 2, b""),
    ));
    assert_eq!(pipeline.inspector.stats().flows, 2);
    pipeline.wait(61 * SECOND);
    assert_eq!(pipeline.inspector.stats().flows, 1);
    pipeline.wait(540 * SECOND);
    assert_eq!(pipeline.inspector.stats().flows, 0);
    assert_eq!(pipeline.inspector.stats().flows_expired, 2);
}
