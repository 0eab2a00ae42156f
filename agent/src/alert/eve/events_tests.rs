use bytes::Bytes;
use hydrophone_inspect::{
    ApplicationRecord,
    protocol::{Buffer, Field},
};
use serde_json::{Value, json};

use super::*;
use crate::alert::{Naming, fixtures};

const C: bool = false;

fn located(event: Box<Event>) -> Located {
    let alert = fixtures::alert();
    Located {
        processes: [None, None],
        event,
        source: alert.source,
        destination: alert.destination,
        interface: alert.interface,
    }
}

fn lines(event: Box<Event>) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut out = Vec::new();
    write_events(
        &located(event),
        &Naming::default(),
        &mut out,
        &mut |name, line| {
            let value: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(value["event_type"], name);
            lines.push(value);
        },
    )
    .unwrap();
    lines
}

/// An HTTP exchange in which the server sent two files, of which one was whole.
fn exchange(kind: EventKind, sizes: &[u64]) -> Box<Event> {
    let mut event = fixtures::event();
    event.kind = kind;
    event.context.to_server = event.kind == EventKind::Transaction;
    let field = |buffer, bytes: &'static [u8]| (C, buffer, Bytes::from_static(bytes));
    event.context.application = Some(Arc::new(ApplicationRecord {
        protocol: AppProtocol::Http2,
        transaction: 3,
        fields: vec![
            (true, Buffer::HttpMethod, Bytes::from_static(b"GET")),
            field(Buffer::FileName, b"a"),
            field(Buffer::FileName, b"b"),
        ],
        numbers: sizes
            .iter()
            .map(|size| (C, Field::FileSize, *size))
            .collect(),
    }));
    event
}

#[test]
fn a_flow_has_both_ends_and_how_it_ended() {
    let events = lines(fixtures::event());
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(event["src_container"]["name"], "web");
    assert_eq!(event["dst_container"]["name"], "db");
    assert_eq!(event["app_proto"], "http");
    assert_eq!(
        event["flow"],
        json!({
            "pkts_toserver": 4, "pkts_toclient": 3, "bytes_toserver": 500, "bytes_toclient": 300,
            "start": "2026-11-23T20:23:10.121456+0000", "end": "2026-11-23T20:23:10.123456+0000",
            "age": 0, "state": "closed", "reason": "timeout", "alerted": true,
        })
    );
    assert_eq!(
        event["tcp"],
        json!({
            "tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "12",
            "fin": true, "syn": true, "psh": true, "ack": true, "state": "closed",
        })
    );
    assert!(event.get("payload_printable").is_none());
}

#[test]
fn a_transaction_has_the_object_that_alerts_have() {
    let events = lines(exchange(EventKind::Transaction, &[]));
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(event["event_type"], "http");
    assert_eq!(event["app_proto"], "http2");
    assert_eq!(event["http"], json!({"http_method": "GET"}));
    assert_eq!(event["tx_id"], 3);
    assert!(event.get("flow").is_none());
}

#[test]
fn every_file_has_an_event() {
    for (sizes, state) in [(&[5, 7][..], "CLOSED"), (&[5], "TRUNCATED")] {
        let events = lines(exchange(EventKind::Files, sizes));
        let names: Vec<_> = events.iter().map(|e| &e["fileinfo"]["filename"]).collect();
        assert_eq!(names, ["a", "b"]);
        for event in &events {
            assert_eq!(event["event_type"], "fileinfo");
            assert_eq!(event["fileinfo"]["state"], state);
            assert_eq!(event["http"]["http_method"], "GET");
            assert_eq!(event["direction"], "to_client");
            assert!(event.get("files").is_none());
        }
    }
    let whole = lines(exchange(EventKind::Files, &[5, 7]));
    assert_eq!(whole[1]["fileinfo"]["size"], 7);
}
