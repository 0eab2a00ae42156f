//! Which connections count, who their ends are, and what they go on to speak.

mod support;

use hydrophone_inspect::InspectorLimits;
use support::{
    Ends, Pipeline, ends,
    frames::{ACK, RST, SYN, Tcp},
};

const RULES: &str = r#"
alert tcp any any -> any any (msg:"established"; flow:established,to_server; content:"needle"; sid:1;)
alert tcp any any -> any any (msg:"anyhow"; content:"needle"; sid:2;)
alert http any any -> any any (msg:"answer"; flow:to_client; http.stat_code; content:"200"; sid:3;)
alert http any any -> any any (msg:"change"; app-layer-event:http.failed_protocol_change; sid:4;)
alert ftp-data any any -> any any (msg:"transfer"; content:"content"; sid:5;)
alert ssh any any -> any any (msg:"ssh"; ssh.software; content:"inside"; sid:6;)
"#;
const FIRST: u32 = 1_001;
const ANSWER: u32 = 5_001;

fn pipeline(change: impl FnOnce(&mut InspectorLimits)) -> (Pipeline, Ends) {
    let mut limits = InspectorLimits::default();
    change(&mut limits);
    let ends = ends(2, 3, (40_000, 8_080));
    (Pipeline::with_rules(RULES, limits), ends)
}

fn say(pipeline: &mut Pipeline, ends: &Ends, from_client: bool, sequence: u32, text: &str) {
    segment(pipeline, ends, from_client, ACK, sequence, text);
}

fn segment(
    pipeline: &mut Pipeline,
    ends: &Ends,
    from_client: bool,
    flags: u8,
    sequence: u32,
    text: &str,
) {
    let (from, to, ports) = if from_client {
        (ends.client, ends.server, ends.ports)
    } else {
        (ends.server, ends.client, (ends.ports.1, ends.ports.0))
    };
    let segment = Tcp {
        ports,
        flags,
        sequence,
        payload: text.as_bytes(),
        ..Tcp::default()
    };
    pipeline.tcp(from, to, &segment);
}

#[test]
fn without_pick_up_nothing_is_established_but_all_is_inspected() {
    let (mut pipeline, ends) = pipeline(|limits| limits.midstream = false);
    say(&mut pipeline, &ends, true, FIRST, "needle");
    assert_eq!(pipeline.sids(), [2]);
    segment(&mut pipeline, &ends, false, RST, 0, "");
    say(&mut pipeline, &ends, true, FIRST, "needle");
    assert!(!pipeline.sids().contains(&1), "{:?}", pipeline.sids());
}

#[test]
fn one_side_alone_is_a_connection_where_that_is_asked_for() {
    for (asked, expected) in [(false, &[2][..]), (true, &[1, 2])] {
        let (mut pipeline, ends) = pipeline(|limits| {
            limits.midstream = false;
            limits.async_oneside = asked;
        });
        segment(&mut pipeline, &ends, true, SYN, FIRST - 1, "");
        say(&mut pipeline, &ends, true, FIRST, "");
        say(&mut pipeline, &ends, true, FIRST, "needle");
        let mut sids = pipeline.sids();
        sids.sort_unstable();
        assert_eq!(sids, expected);
    }
}

#[test]
fn a_wrong_checksum_keeps_a_segment_out_of_its_stream() {
    for validated in [false, true] {
        let (mut pipeline, ends) = pipeline(|limits| limits.checksums = validated);
        pipeline.handshake(&ends);
        say(&mut pipeline, &ends, true, FIRST, "need");
        say(&mut pipeline, &ends, true, FIRST + 4, "le");
        assert_eq!(pipeline.sids().is_empty(), validated);
    }
}

#[test]
fn a_reset_carries_no_stream_data() {
    let (mut pipeline, ends) = pipeline(|_| {});
    pipeline.handshake(&ends);
    say(&mut pipeline, &ends, true, FIRST, "need");
    segment(&mut pipeline, &ends, true, RST | ACK, FIRST + 4, "le");
    assert_eq!(pipeline.sids(), [0; 0]);
}

#[test]
fn who_answers_first_is_the_server() {
    let (mut pipeline, ends) = pipeline(|_| {});
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    say(&mut pipeline, &ends, false, ANSWER, answer);
    assert_eq!(pipeline.sids(), [3]);
}

#[test]
fn what_follows_a_change_in_the_same_segment_is_recognised_or_told() {
    let request = "CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n";
    let client = u32::try_from(request.len()).unwrap();
    for (inside, sid) in [("SSH-2.0-inside\r\n", 6), ("\x01\x02 nobody's", 4)] {
        let (mut pipeline, ends) = pipeline(|_| {});
        pipeline.handshake(&ends);
        say(&mut pipeline, &ends, true, FIRST, request);
        let answer = format!("HTTP/1.1 204 Yes\r\n\r\n{inside}");
        say(&mut pipeline, &ends, false, ANSWER, &answer);
        say(&mut pipeline, &ends, true, FIRST + client, inside);
        assert!(pipeline.sids().contains(&sid), "{:?}", pipeline.sids());
    }
}

#[test]
fn changes_in_changes_end() {
    let (mut pipeline, ends) = pipeline(|_| {});
    pipeline.handshake(&ends);
    say(&mut pipeline, &ends, true, FIRST, "GET / HTTP/1.1\r\n\r\n");
    for at in 0..50 {
        let many = "HTTP/1.1 101 x\r\n\r\n".repeat(70);
        let length = u32::try_from(many.len()).unwrap();
        say(&mut pipeline, &ends, false, ANSWER + at * length, &many);
    }
}

#[test]
fn an_announced_transfer_is_followed() {
    let (mut pipeline, control) = pipeline(|_| {});
    pipeline.handshake(&control);
    let mut numbers = [FIRST, ANSWER];
    for (from_client, text) in [
        (false, "220 FTP ready\r\n"),
        (true, "USER a\r\n"),
        (false, "331 go on\r\n"),
        (true, "PASV\r\n"),
        (false, "227 Entering Passive Mode (10,0,0,3,25,46).\r\n"),
        (true, "RETR file\r\n"),
    ] {
        let number = &mut numbers[usize::from(!from_client)];
        say(&mut pipeline, &control, from_client, *number, text);
        *number += u32::try_from(text.len()).unwrap();
    }
    let data = ends(2, 3, (40_001, 6_446));
    pipeline.handshake(&data);
    say(&mut pipeline, &data, false, ANSWER, "content");
    assert_eq!(pipeline.sids(), [5]);
}
