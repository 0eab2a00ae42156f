//! Rules on the records of protocols (`frame`).

mod support;

use hydrophone_inspect::InspectorLimits;
use support::{Ends, Pipeline, ends};

/// Sequence number of the client's first byte in [`Pipeline::handshake`].
const FIRST: u32 = 1_001;

fn established(rules: &str, port: u16) -> (Pipeline, Ends) {
    let mut pipeline = Pipeline::with_rules(rules, InspectorLimits::default());
    let ends = ends(2, 3, (40_000, port));
    pipeline.handshake(&ends);
    (pipeline, ends)
}

/// The sids that these bytes of a client raise, whole and byte by byte.
fn seen(rules: &str, port: u16, stream: &[u8]) -> Vec<u32> {
    let raised = |size: usize| {
        let (mut pipeline, ends) = established(rules, port);
        let mut at = FIRST;
        for piece in stream.chunks(size) {
            pipeline.data(&ends, piece, at);
            at += u32::try_from(piece.len()).unwrap_or(0);
        }
        pipeline.finish();
        pipeline.sids()
    };
    let whole = raised(stream.len());
    let mut single = raised(1);
    single.sort_unstable();
    let mut sorted = whole;
    sorted.sort_unstable();
    assert_eq!(single, sorted, "where the stream is cut");
    sorted
}

#[test]
fn records_have_header_and_data() {
    let rules = r#"
alert ssh any any -> any any (frame:record.hdr; content:"|15|"; endswith; bsize:6; sid:1;)
alert ssh any any -> any any (frame:ssh.record.data; content:"ab"; startswith; bsize:4; sid:2;)
alert ssh any any -> any any (frame:record.pdu; content:"|00 00 00 06 01 02|ab"; startswith; sid:3;)
alert ssh any any -> any any (frame:record.data; content:"SSH-"; sid:4;)
alert ssh any any -> any any (frame:record.hdr; content:"ab"; sid:5;)
alert ssh any any -> any any (frame:record.pdu; bsize:6; sid:6;)
"#;
    let stream = b"SSH-2.0-x\r\n\0\0\0\x06\x01\x02abcd\0\0\0\x0c\x0a\x15";
    // The last record is not whole, but all of it so far has six bytes.
    assert_eq!(seen(rules, 22, &stream[..21]), [2, 3]);
    assert_eq!(seen(rules, 22, stream), [1, 2, 3]);
}

#[test]
fn each_frame_is_looked_at_by_itself() {
    let rules = r#"
alert smtp any any -> any any (frame:smtp.command_line; content:"helo"; nocase; content:"b"; sid:1;)
alert smtp any any -> any any (frame:smtp.command_line; content:"NOOP"; sid:2;)
alert smtp any any -> any any (flow:to_client; frame:smtp.command_line; content:"NOOP"; sid:3;)
alert smtp any any -> any any (frame:response_line; content:"NOOP"; sid:4;)
"#;
    let stream = b"HELO a\r\nNOOP b\r\nNOOP c\r\n";
    assert_eq!(seen(rules, 25, stream), [2, 2], "once for each frame");
}

#[test]
fn messages_are_cut_into_line_headers_and_body() {
    let rules = r#"
alert sip any any -> any any (frame:request.line; content:"SIP/2.0|0d 0a|"; endswith; sid:1;)
alert sip any any -> any any (frame:request.headers; content:"To:"; startswith; content:": 4|0d 0a|"; endswith; sid:2;)
alert sip any any -> any any (frame:request.body; content:"body"; bsize:4; sid:3;)
alert sip any any -> any any (frame:sip.pdu; content:"INFO"; startswith; content:"body"; endswith; sid:4;)
alert sip any any -> any any (frame:response.line; content:"INFO"; sid:5;)
alert sip any any -> any any (frame:request.headers; content:"body"; sid:6;)
"#;
    let stream = b"INFO sip:a SIP/2.0\r\nTo: a\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(seen(rules, 5060, stream), [1, 2, 3, 4]);
}

#[test]
fn what_came_before_a_gap_is_a_frame() {
    let rules = r#"
alert smb any any -> any any (frame:smb2.data; content:"before"; sid:1;)
alert smb any any -> any any (frame:smb2.data; content:"before"; content:"after"; sid:2;)
alert smb any any -> any any (frame:nbss.hdr; content:"|00 00 01 00|"; bsize:4; sid:3;)
"#;
    let (mut pipeline, ends) = established(rules, 445);
    let mut record = b"\0\0\x01\0\xfeSMB\x40\0".to_vec();
    record.resize(4 + 64, 0);
    record.extend_from_slice(b"before");
    pipeline.data(&ends, &record, FIRST);
    let later = FIRST + u32::try_from(record.len()).unwrap_or(0) + 20;
    pipeline.data(&ends, b"after", later);
    pipeline.finish();
    let mut sids = pipeline.sids();
    sids.sort_unstable();
    assert_eq!(sids, [1, 3]);
}

#[test]
fn rules_about_transactions_do_not_see_frames() {
    let rules = r#"
alert smtp any any -> any any (frame:command_line; content:"HELO"; sid:1;)
alert smtp any any -> any any (smtp.helo; bsize:1; sid:2;)
alert smtp any any -> any any (smtp.mail_from; absent; sid:3;)
"#;
    let sids = seen(rules, 25, b"HELO a\r\n");
    assert_eq!(sids.iter().filter(|sid| **sid == 3).count(), 1, "{sids:?}");
}

#[test]
fn new_rules_see_the_frames_of_old_flows() {
    let (mut pipeline, ends) = established("", 25);
    pipeline.data(&ends, b"HELO a\r\n", FIRST);
    pipeline.inspector.replace_engine(support::engine(
        r#"alert smtp any any -> any any (frame:smtp.command_line; content:"NOOP"; sid:9;)"#,
    ));
    pipeline.data(&ends, b"NOOP\r\n", FIRST + 8);
    assert_eq!(pipeline.sids(), [9]);
}

/// The sids that a conversation raises whose pieces are each of the client or the server.
fn said(rules: &str, port: u16, said: &[(bool, &[u8])]) -> Vec<u32> {
    let (mut pipeline, ends) = established(rules, port);
    pipeline.converse(&ends, said);
    pipeline.finish();
    let mut sids = pipeline.sids();
    sids.sort_unstable();
    sids
}

#[test]
fn messages_of_http_are_frames() {
    let rules = r#"
alert http any any -> any any (flow:to_server; frame:http1.request; content:"POST /a"; startswith; content:"abc"; endswith; bsize:46; sid:1;)
alert http1 any any -> any any (flow:to_server; frame:request; content:"GET /b"; startswith; content:"|0d 0a 0d 0a|"; endswith; sid:2;)
alert http1 any any -> any any (flow:to_client; frame:response; content:"HTTP/1.1 200"; startswith; content:"body"; endswith; sid:3;)
alert http1 any any -> any any (frame:request; content:"abc"; content:"GET"; sid:4;)
alert http1 any any -> any any (frame:response; content:"GET"; sid:5;)
"#;
    let first: &[u8] = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nA:\r\n\r\nabc";
    assert_eq!(first.len(), 46);
    let second: &[u8] = b"\r\nGET /b HTTP/1.1\r\n\r\n";
    let answer: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    let whole = [first, second].concat();
    assert_eq!(
        said(rules, 80, &[(true, &whole), (false, answer)]),
        [1, 2, 3]
    );
    let mut single: Vec<(bool, &[u8])> = whole.chunks(1).map(|byte| (true, byte)).collect();
    single.extend(answer.chunks(1).map(|byte| (false, byte)));
    assert_eq!(said(rules, 80, &single), [1, 2, 3], "byte by byte");
}

#[test]
fn lines_of_ftp_are_frames() {
    let rules = r#"
alert ftp any any -> any any (frame:command_line; content:"USER a"; bsize:6; sid:1;)
alert ftp any any -> any any (frame:ftp.response_line; content:"331 a"; bsize:5; sid:2;)
alert ftp any any -> any any (frame:command_line; content:"331"; sid:3;)
"#;
    let dialogue: [(bool, &[u8]); 3] = [
        (false, b"220 FTP\r\n"),
        (true, b"USER a\r\n"),
        (false, b"331 a\r\n"),
    ];
    assert_eq!(said(rules, 21, &dialogue), [1, 2]);
}

#[test]
fn steps_of_rfb_are_frames() {
    let rules = r#"
alert rfb any any -> any any (frame:rfb.pdu; content:"RFB 003.008|0a|"; bsize:12; flow:to_server; sid:1;)
alert rfb any any -> any any (frame:pdu; content:"|01|"; bsize:1; flow:to_client; sid:2;)
alert rfb any any -> any any (frame:pdu; bsize:3; sid:3;)
"#;
    let dialogue: [(bool, &[u8]); 3] = [
        (false, b"RFB 003.008\n"),
        (true, b"RFB 003.008\n"),
        (false, b"\x01\x01"),
    ];
    // The number of kinds, and the one kind.
    assert_eq!(said(rules, 5900, &dialogue), [1, 2, 2]);
}

#[test]
fn alerts_and_heartbeats_of_tls_are_frames() {
    let rules = r#"
alert tls any any -> any any (frame:tls.alert; content:"|02 28|"; bsize:2; sid:1;)
alert tls any any -> any any (frame:heartbeat; content:"|01 40 00|"; bsize:3; sid:2;)
alert tls any any -> any any (frame:tls.alert; content:"|40|"; sid:3;)
"#;
    let stream = b"\x15\x03\x03\0\x02\x02\x28\x18\x03\x03\0\x03\x01\x40\0";
    assert_eq!(seen(rules, 443, stream), [1, 2]);
}

#[test]
fn calls_and_replies_of_nfs_are_frames() {
    let rules = r#"
alert nfs any any -> any any (frame:rpc.pdu; content:"|80 00 00 2c|"; startswith; bsize:48; sid:1;)
alert nfs any any -> any any (frame:rpc.hdr; content:"|00 00 00 03 00 00 00 00|"; endswith; bsize:28; sid:2;)
alert nfs any any -> any any (frame:rpc.creds; content:"|00 00 00 00 00 00 00 00|"; bsize:8; sid:3;)
alert nfs any any -> any any (frame:nfs.nfs.pdu; content:"path"; bsize:4; flow:to_server; sid:4;)
alert nfs any any -> any any (frame:nfs.status; content:"|00 00 00 05|"; bsize:4; flow:to_client; sid:5;)
alert nfs any any -> any any (frame:nfs4.pdu; content:"path"; sid:6;)
alert nfs any any -> any any (frame:rpc.data; content:"path"; endswith; bsize:20; sid:7;)
"#;
    let words = |numbers: &[u32]| -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    };
    let call = [
        words(&[0x8000_002c, 7, 0, 2, 100_003, 3, 0, 0, 0, 0, 0]),
        b"path".to_vec(),
    ]
    .concat();
    let reply = words(&[0x8000_001c, 7, 1, 0, 0, 0, 0, 5]);
    let dialogue: [(bool, &[u8]); 2] = [(true, &call), (false, &reply)];
    assert_eq!(said(rules, 2049, &dialogue), [1, 2, 3, 4, 5, 7]);
}
