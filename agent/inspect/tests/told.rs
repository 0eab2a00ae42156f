//! What is told of the traffic only on request.

mod support;

use hydrophone_inspect::{
    EventTypes, InspectorLimits, LinkType, Signal, Timestamp,
    event::{EndReason, Event, EventKind, FlowStage},
    protocol::{AppProtocol, Buffer, Field},
};
use support::{
    Pipeline, ends,
    frames::{Tcp, udp},
};

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

/// What is told of a request and its answer, up to the end of its connection.
fn events(types: EventTypes, body: &[u8]) -> Vec<Event> {
    let limits = InspectorLimits {
        events: types,
        ..InspectorLimits::default()
    };
    let mut pipeline = Pipeline::with_rules(RULES, limits);
    let ends = ends(2, 3, (40_000, 80));
    pipeline.handshake(&ends);
    pipeline.data(&ends, EXPLOIT, 1_001);
    let answer = Tcp {
        ports: (ends.ports.1, ends.ports.0),
        sequence: 5_001,
        acknowledgement: 1_001 + u32::try_from(EXPLOIT.len()).unwrap_or(0),
        payload: &[b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", body].concat(),
        ..Tcp::default()
    };
    pipeline.tcp(ends.server, ends.client, &answer);
    pipeline.inspector.finish(&mut pipeline.signals);
    told(&mut pipeline)
}

fn told(pipeline: &mut Pipeline) -> Vec<Event> {
    let signals = pipeline.signals.drain(..);
    let late = signals.filter_map(|signal| match signal {
        Signal::Event(event) => Some(*event),
        _ => None,
    });
    let early = core::mem::take(&mut pipeline.events);
    early.into_iter().chain(late).collect()
}

fn all() -> EventTypes {
    let mut types = EventTypes::NONE.with_transactions(AppProtocol::Http);
    types.flows = true;
    types.files = true;
    types
}

#[test]
fn nothing_is_told_that_is_not_asked_for() {
    assert!(events(EventTypes::NONE, b"abc").is_empty());
    let dns = EventTypes::NONE.with_transactions(AppProtocol::Dns);
    assert!(events(dns, b"abc").is_empty());
}

#[test]
fn a_transaction_its_file_and_its_flow_are_told_when_they_are_over() {
    let events = events(all(), b"abc");
    let [transaction, file, flow] = &events[..] else {
        panic!("{events:#?}");
    };
    assert_eq!(transaction.kind, EventKind::Transaction);
    assert!(transaction.context.to_server);
    let record = transaction.context.application.as_ref().unwrap();
    let has = |of, text: &[u8]| {
        let mut fields = record.fields.iter();
        fields.any(|(_, buffer, bytes)| *buffer == of && bytes == text)
    };
    assert!(has(Buffer::HttpMethod, b"GET") && has(Buffer::HttpStatCode, b"200"));
    assert_eq!(file.kind, EventKind::Files);
    assert!(!file.context.to_server, "the server sent it");
    let sizes = &file.context.application.as_ref().unwrap().numbers;
    assert!(sizes.contains(&(false, Field::FileSize, 3)));
    let EventKind::Flow(end) = &flow.kind else {
        panic!("{flow:#?}");
    };
    assert_eq!(
        (end.state, end.reason),
        (FlowStage::Established, EndReason::Shutdown)
    );
    assert_eq!(end.application, Some(AppProtocol::Http));
    assert!(end.alerted);
    assert_eq!(flow.context.flow.packets_to_server, 3);
    assert_eq!(flow.context.flow.packets_to_client, 2);
    let tcp = end.tcp.unwrap();
    assert_eq!((tcp.to_server.0 & 2, tcp.to_client.0 & 0x12), (2, 0x12));
    assert_eq!(tcp.state, "established");
}

#[test]
fn what_does_not_come_to_its_end_is_told_once() {
    let events = events(all(), b"a");
    let transactions = events
        .iter()
        .filter(|event| event.kind == EventKind::Transaction);
    assert_eq!(transactions.count(), 1);
    assert!(matches!(events.last().unwrap().kind, EventKind::Flow(_)));
}

#[test]
fn a_flow_says_why_it_is_over() {
    let mut types = EventTypes::NONE;
    types.flows = true;
    let limits = InspectorLimits {
        events: types,
        flows: 1,
        ..InspectorLimits::default()
    };
    let mut pipeline = Pipeline::with_rules("", limits);
    for host in [3, 4] {
        let ends = ends(2, host, (40_000, 53));
        let datagram = udp(40_000, 53, b"?");
        pipeline.packet(&support::frames::ip(
            ends.client,
            ends.server,
            17,
            &datagram,
        ));
    }
    let later = Timestamp(pipeline.now + 61 * support::SECOND);
    pipeline.inspector.tick(later, &mut pipeline.signals);
    let events = told(&mut pipeline);
    let reasons: Vec<_> = events
        .iter()
        .map(|event| match &event.kind {
            EventKind::Flow(end) => (end.reason, end.state, end.tcp.is_some()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        reasons,
        [
            (EndReason::Forced, FlowStage::New, false),
            (EndReason::Timeout, FlowStage::New, false)
        ]
    );
    assert_eq!(events[1].context.timestamp, later);
}

#[test]
fn what_was_said_before_a_change_keeps_its_protocol() {
    let types = EventTypes::NONE
        .with_transactions(AppProtocol::Http)
        .with_transactions(AppProtocol::Websocket);
    let limits = InspectorLimits {
        events: types,
        ..InspectorLimits::default()
    };
    let mut pipeline = Pipeline::with_rules("", limits);
    let ends = ends(2, 3, (40_000, 80));
    pipeline.handshake(&ends);
    let request: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    pipeline.data(&ends, request, 1_001);
    let answer = Tcp {
        ports: (ends.ports.1, ends.ports.0),
        sequence: 5_001,
        acknowledgement: 1_001 + u32::try_from(request.len()).unwrap(),
        payload: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\n\r\n\x81\x02hi",
        ..Tcp::default()
    };
    pipeline.tcp(ends.server, ends.client, &answer);
    pipeline.inspector.finish(&mut pipeline.signals);
    let events = told(&mut pipeline);
    let spoken: Vec<_> = events
        .iter()
        .map(|event| event.context.application.as_ref().unwrap().protocol)
        .collect();
    assert_eq!(spoken, [AppProtocol::Http, AppProtocol::Websocket]);
}
