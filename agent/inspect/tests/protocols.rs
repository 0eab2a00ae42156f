//! What rules see of application protocols, and what limits cut off.

mod support;

use hydrophone_inspect::InspectorLimits;
use support::{
    Pipeline, ends,
    frames::{ACK, Tcp},
};

/// Sequence number of the client's first byte in [`Pipeline::handshake`].
const FIRST: u32 = 1_001;
const REQUEST: &[u8] = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

/// The sids that one request raises, and what limits left out.
fn seen(rules: &str, body: usize) -> (Vec<u32>, u64) {
    let mut limits = InspectorLimits::default();
    limits.protocols.body = body;
    let mut pipeline = Pipeline::with_rules(rules, limits);
    let ends = ends(2, 3, (40_000, 80));
    pipeline.handshake(&ends);
    pipeline.data(&ends, REQUEST, FIRST);
    pipeline.finish();
    let left_out = pipeline.inspector.stats().protocols.bytes_left_out;
    (pipeline.sids(), left_out)
}

#[test]
fn files_are_hashed_when_a_rule_asks_for_it() {
    // MD5 of `abc` (RFC 1321 appendix A.5).
    let rule = r#"alert http any any -> any any (file.md5; content:"900150983cd24fb0d6963f7d28e17f72"; sid:1;)"#;
    assert_eq!(seen(rule, 1_024).0, [1]);
}

#[test]
fn what_limits_cut_off_is_counted() {
    let rule = r#"alert http any any -> any any (http.request_body; content:"ab"; sid:1;)"#;
    assert_eq!(seen(rule, 1_024), (vec![1], 0));
    let (sids, left_out) = seen(rule, 2);
    assert_eq!(sids, [1]);
    assert!(left_out > 0, "the third byte");
}

/// A TLS record (RFC 8446 section 5.1).
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(0).to_be_bytes();
    [&[kind, 3, 3, high, low], content].concat()
}

/// The sids that a TLS client raises with `last`, once both sides have changed to encryption, and how
/// much was not searched.
fn after_the_change(encrypted: bool, last: &[u8]) -> (Vec<u32>, u64) {
    let rule = r#"alert tcp any any -> any any (content:"needle"; sid:1;)"#;
    let limits = InspectorLimits {
        encrypted,
        ..InspectorLimits::default()
    };
    let mut pipeline = Pipeline::with_rules(rule, limits);
    let ends = ends(2, 3, (40_000, 443));
    pipeline.handshake(&ends);
    let hello = [
        &[1, 0, 0, 43, 3, 3],
        &[7; 32][..],
        &[0, 0, 4, 0x13, 1, 0x13, 2, 1, 0],
    ]
    .concat();
    let change = record(20, &[1]);
    let sent = [record(22, &hello), change.clone()].concat();
    pipeline.data(&ends, &sent, FIRST);
    let answer = Tcp {
        ports: (443, 40_000),
        sequence: 5_001,
        acknowledgement: FIRST,
        payload: &change,
        ..Tcp::default()
    };
    pipeline.tcp(ends.server, ends.client, &answer);
    let next = FIRST + u32::try_from(sent.len()).unwrap_or(0);
    pipeline.data(&ends, last, next);
    pipeline.finish();
    (pipeline.sids(), pipeline.inspector.stats().encrypted_bytes)
}

#[test]
fn what_is_encrypted_is_not_searched_unless_that_is_asked_for() {
    let hidden = record(23, b"a needle by chance in what is encrypted");
    assert_eq!(
        after_the_change(false, &hidden),
        (vec![], hidden.len() as u64)
    );
    assert_eq!(after_the_change(true, &hidden), (vec![1], 0));
}

#[test]
fn what_only_pretends_to_be_encrypted_is_searched() {
    let (sids, skipped) = after_the_change(false, b"no record begins like this needle");
    assert_eq!((sids, skipped), (vec![1], 0));
}

/// The sids that a client and a server raise who say this, the client first unless `reversed`.
fn dialogue(rules: &str, client: &[u8], server: &[u8], reversed: bool) -> Vec<u32> {
    let mut pipeline = Pipeline::with_rules(rules, InspectorLimits::default());
    let ends = ends(2, 3, (40_000, 7_777));
    pipeline.handshake(&ends);
    let answer = |pipeline: &mut Pipeline| {
        let segment = Tcp {
            ports: (7_777, 40_000),
            sequence: 5_001,
            acknowledgement: FIRST,
            payload: server,
            ..Tcp::default()
        };
        pipeline.tcp(ends.server, ends.client, &segment);
    };
    if reversed {
        answer(&mut pipeline);
        pipeline.data(&ends, client, FIRST);
    } else {
        pipeline.data(&ends, client, FIRST);
        answer(&mut pipeline);
    }
    // A packet of each end after all was heard.
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(0);
    let numbers = [FIRST + length(client), 5_001 + length(server)];
    let [from_client, from_server] = numbers;
    pipeline.segment(&ends, false, ACK, (from_server, from_client));
    pipeline.segment(&ends, true, ACK, (from_client, from_server));
    pipeline.finish();
    let mut sids = pipeline.sids();
    sids.sort_unstable();
    sids
}

const SERVER: &[u8] = b"SSH-2.0-x\r\n";
const EVENTS: &str = "
alert tcp any any -> any any (app-layer-event:applayer_mismatch_protocol_both_directions; sid:1;)
alert tcp any any -> any any (app-layer-event:applayer_detect_protocol_only_one_direction; sid:2;)
alert tcp any any -> any any (app-layer-event:applayer_wrong_direction_first_data; sid:3;)
alert tcp any any -> any any (app-layer-event:applayer_proto_detection_skipped; sid:4;)
";

#[test]
fn each_end_has_a_protocol() {
    let rules = "
alert tcp any any -> any any (flow:to_client; app-layer-protocol:http1,to_server; app-layer-protocol:ssh,to_client; sid:1;)
alert tcp any any -> any any (flow:to_client; app-layer-protocol:ssh; sid:2;)
alert tcp any any -> any any (flow:to_server; app-layer-protocol:ssh; sid:3;)
alert tcp any any -> any any (app-layer-protocol:!http,either; sid:4;)
alert tcp any any -> any any (app-layer-protocol:!http,final; sid:5;)
";
    assert_eq!(dialogue(rules, REQUEST, SERVER, false), [1, 2]);
    assert_eq!(dialogue(rules, SERVER, SERVER, false), [2, 3, 4, 5]);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(dialogue(rules, REQUEST, answer, false), []);
}

#[test]
fn ends_that_do_not_fit_raise_events() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(dialogue(EVENTS, REQUEST, SERVER, false), [1]);
    assert_eq!(dialogue(EVENTS, REQUEST, &[0xff; 64], false), [2]);
    assert_eq!(dialogue(EVENTS, REQUEST, answer, true), [3]);
    assert_eq!(dialogue(EVENTS, &[0xff; 5_000], b"", false), [4]);
    assert_eq!(dialogue(EVENTS, REQUEST, answer, false), []);
    assert_eq!(dialogue(EVENTS, SERVER, SERVER, true), []);
}

/// The sids that a client raises with these bytes.
fn sent(rules: &str, bytes: &[u8]) -> Vec<u32> {
    let mut pipeline = Pipeline::with_rules(rules, InspectorLimits::default());
    let ends = ends(2, 3, (40_000, 445));
    pipeline.handshake(&ends);
    pipeline.data(&ends, bytes, FIRST);
    pipeline.finish();
    pipeline.sids()
}

/// A DCE/RPC request of operation 9 with this stub data (C706 section 12.6.4.9).
fn call(little: bool, stub: &[u8]) -> Vec<u8> {
    let order = |number: u16| {
        if little {
            number.to_le_bytes()
        } else {
            number.to_be_bytes()
        }
    };
    let length = u16::try_from(24 + stub.len()).unwrap_or(0);
    let representation = if little { 0x10 } else { 0 };
    [
        &[5, 0, 0, 3, representation, 0, 0, 0][..],
        &order(length),
        &[0; 10],
        &order(0),
        &order(9),
        stub,
    ]
    .concat()
}

/// An SMB 2 write to a handle (MS-SMB2 2.2.21) in a session message.
fn write(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(0).to_le_bytes();
    let message = [
        b"\xfeSMB\x40\0\0\0\0\0\0\0\x09\0",
        &[0; 50][..],
        &[49, 0, 112, 0],
        &length,
        &[0; 8],
        &[7; 16],
        &[0; 16],
        content,
    ]
    .concat();
    let [_, session @ ..] = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    [&[0], &session[..], &message].concat()
}

#[test]
fn dce_numbers_have_the_byte_order_that_the_unit_tells() {
    let rules = r#"
alert tcp any any -> any any (dce_stub_data; byte_test:2,=,2,0,dce; sid:1;)
alert tcp any any -> any any (dce_stub_data; byte_jump:2,0,dce; content:"x"; distance:0; within:1; sid:2;)
alert tcp any any -> any any (dce_stub_data; byte_test:2,=,2,0; sid:3;)
"#;
    assert_eq!(sent(rules, &call(true, b"\x02\0..x")), [1, 2]);
    assert_eq!(sent(rules, &call(false, b"\0\x02..x")), [1, 2, 3]);
    assert_eq!(sent(rules, &call(true, b"\0\x02..x")), [3]);
}

#[test]
fn calls_through_named_pipes_are_dcerpc_too() {
    let rules = r#"
alert dcerpc any any -> any any (flow:to_server; dcerpc.opnum:9; dcerpc.stub_data; content:"stub"; sid:1;)
alert dcerpc any any -> any any (flow:to_server; dcerpc.opnum:9; sid:2;)
alert smb any any -> any any (flow:to_server; dcerpc.opnum:9; sid:3;)
alert dcerpc any any -> any any (flow:to_server; dcerpc.opnum:8; sid:4;)
"#;
    let over_smb = write(&call(true, b"stub"));
    let mut sids = sent(rules, &over_smb);
    sids.sort_unstable();
    assert_eq!(sids, [1, 2, 3]);
    // What is spoken without SMB is no SMB.
    let mut sids = sent(rules, &call(true, b"stub"));
    sids.sort_unstable();
    assert_eq!(sids, [1, 2]);
}

#[test]
fn an_interface_that_no_first_fragment_offered_is_one_for_any_frag() {
    let rules = "
alert dcerpc any any -> any any (dcerpc.iface:02020202-0202-0202-0202-020202020202; sid:1;)
alert dcerpc any any -> any any (dcerpc.iface:02020202-0202-0202-0202-020202020202,any_frag; sid:2;)
alert dcerpc any any -> any any (dcerpc.iface:02020202-0202-0202-0202-020202020202,>2,any_frag; sid:3;)
";
    let with_flags = |flags: u8| {
        let offer = [&[0, 0, 1, 0], &[2; 16][..], &[1, 0, 0, 0], &[0; 20]].concat();
        let bind = [
            &[5, 0, 11, flags, 0x10, 0, 0, 0, 72, 0, 0, 0, 0, 0, 0, 0],
            &[0; 8][..],
            &[1, 0, 0, 0],
            &offer,
        ]
        .concat();
        let mut answer = vec![5, 0, 12, 3, 0x10, 0, 0, 0, 56, 0, 0, 0, 0, 0, 0, 0];
        answer.extend([0; 12]);
        answer.extend([1, 0, 0, 0]);
        answer.extend([0; 24]);
        let mut pipeline = Pipeline::with_rules(rules, InspectorLimits::default());
        let ends = ends(2, 3, (40_000, 135));
        pipeline.handshake(&ends);
        pipeline.data(&ends, &bind, FIRST);
        let bound = FIRST + u32::try_from(bind.len()).unwrap_or(0);
        let answer = Tcp {
            ports: (135, 40_000),
            sequence: 5_001,
            acknowledgement: bound,
            payload: &answer,
            ..Tcp::default()
        };
        pipeline.tcp(ends.server, ends.client, &answer);
        pipeline.data(&ends, &call(true, b"stub"), bound);
        pipeline.finish();
        pipeline.sids()
    };
    assert_eq!(with_flags(3), [1, 2]);
    assert_eq!(with_flags(0), [2]);
}
