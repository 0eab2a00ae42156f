use core::net::IpAddr;

use proptest::prelude::*;

use super::memory::MAX_PENDING;
use super::*;
use crate::anomaly::AnomalySet;
use crate::decode::Transport;
use crate::{
    decode::{Headers, TcpFlags},
    packet::Timestamp,
    rule::{RuleSetBuilder, Variables},
};

fn engine(rules: &str) -> Engine {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source("test.rules", rules);
    let (set, diagnostics) = builder.build();
    assert_eq!(diagnostics, []);
    Engine::new(&set)
}

/// A TCP rule with these options.
fn tcp(options: &str) -> Engine {
    engine(&format!("alert tcp any any -> any any ({options} sid:1;)"))
}

fn headers(protocol: u8, transport: Transport, payload: usize) -> Headers {
    Headers {
        source: IpAddr::from([172, 18, 0, 2]),
        destination: IpAddr::from([172, 18, 0, 3]),
        protocol,
        ttl: 64,
        transport,
        payload_length: u32::try_from(payload).unwrap(),
    }
}

fn tcp_headers(flags: u8, payload: usize) -> Headers {
    let transport = Transport::Tcp {
        source_port: 40_000,
        destination_port: 80,
        sequence: 1,
        acknowledgement: 1,
        flags: TcpFlags(flags),
        window: 1,
    };
    headers(6, transport, payload)
}

const ESTABLISHED: FlowView = FlowView {
    to_server: true,
    established: true,
    fragmented: false,
    application: None,
    differing: [None; 2],
    original: None,
    application_failed: false,
    age: 0,
    packets: [0; 2],
    bytes: [0; 2],
    stream: [0; 2],
};

/// One evaluation without what a flow remembers.
fn inspect(
    engine: &Engine,
    inspection: &Inspection<'_>,
    matches: &mut FlowMatches,
    scratch: &mut Scratch,
    take: &mut dyn FnMut(&Arc<Rule>),
) {
    let mut memory = Memory {
        flow: &mut FlowState::default(),
        matches,
        scratch,
    };
    engine.inspect(inspection, &mut memory, take);
}

/// sids found in a stream that arrives in these pieces, all of which the window holds.
fn stream(engine: &Engine, pieces: &[&[u8]]) -> Vec<u32> {
    let mut scratch = Scratch::default();
    let mut matches = FlowMatches::default();
    let mut found = Vec::new();
    let mut data = Vec::new();
    for piece in pieces {
        let fresh = data.len();
        data.extend_from_slice(piece);
        let headers = tcp_headers(0x18, piece.len());
        let inspection = Inspection {
            headers: &headers,
            flow: ESTABLISHED,
            unit: Unit::Stream,
            data: &data,
            data_start: 0,
            fresh,
            now: Timestamp(0),
            view: None,
            events: AnomalySet::default(),
            transaction: None,
        };
        let mut take = |rule: &Arc<Rule>| found.push(rule.signature.sid);
        inspect(engine, &inspection, &mut matches, &mut scratch, &mut take);
    }
    found.sort_unstable();
    found
}

/// sids found in one packet.
fn packet(engine: &Engine, headers: &Headers, flow: FlowView, data: &[u8]) -> Vec<u32> {
    let inspection = Inspection {
        headers,
        flow,
        unit: Unit::Packet,
        data,
        data_start: 0,
        fresh: 0,
        now: Timestamp(0),
        view: None,
        events: AnomalySet::default(),
        transaction: None,
    };
    let mut found = Vec::new();
    let mut take = |rule: &Arc<Rule>| found.push(rule.signature.sid);
    let mut matches = FlowMatches::default();
    inspect(
        engine,
        &inspection,
        &mut matches,
        &mut Scratch::default(),
        &mut take,
    );
    found
}

#[test]
fn modifiers_say_where_a_content_lies() {
    let cases: [(&str, &[u8], bool); 22] = [
        ("content:\"abc\";", b"xxabcxx", true),
        ("content:\"abc\";", b"xxABCxx", false),
        ("content:\"aBc\"; nocase;", b"xxAbCxx", true),
        ("content:\"abc\"; offset:2;", b"xxabc", true),
        ("content:\"abc\"; offset:3;", b"xxabc", false),
        ("content:\"abc\"; depth:5;", b"xxabc", true),
        ("content:\"abc\"; depth:4;", b"xxabc", false),
        ("content:\"abc\"; offset:1; depth:4;", b"xxabc", true),
        ("content:\"abc\"; startswith;", b"abcx", true),
        ("content:\"abc\"; startswith;", b"xabc", false),
        ("content:\"abc\"; endswith;", b"xxabc", true),
        ("content:\"abc\"; endswith;", b"abcx", false),
        ("content:\"a\"; content:\"b\"; distance:2;", b"axxb", true),
        ("content:\"a\"; content:\"b\"; distance:2;", b"axb", false),
        ("content:\"a\"; content:\"b\"; within:2;", b"axb", true),
        ("content:\"a\"; content:\"b\"; within:2;", b"axxb", false),
        (
            "content:\"a\"; content:\"b\"; distance:1; within:1;",
            b"axb",
            true,
        ),
        (
            "content:\"bc\"; content:\"a\"; distance:-3; within:1;",
            b"abc",
            true,
        ),
        // The first occurrence is not the one that the rest follows.
        ("content:\"a\"; content:\"b\"; within:1;", b"a-a-ab", true),
        (
            "content:\"a\"; content:\"b\"; distance:1; within:1; content:\"c\"; within:1;",
            b"axb-axbc",
            true,
        ),
        (
            "content:\"user\"; content:!\"pass\"; distance:0;",
            b"pass user",
            true,
        ),
        (
            "content:\"user\"; content:!\"pass\"; distance:0;",
            b"user pass",
            false,
        ),
    ];
    for (options, data, expected) in cases {
        assert_eq!(
            !stream(&tcp(options), &[data]).is_empty(),
            expected,
            "{options} on {data:?}"
        );
    }
}

#[test]
fn offsets_count_from_the_start_of_the_stream() {
    let engine = tcp("content:\"abc\"; offset:100; depth:10;");
    let headers = tcp_headers(0x18, 3);
    let mut found = 0;
    for (data_start, expected) in [(0, 0), (102, 1), (200, 1)] {
        let inspection = Inspection {
            headers: &headers,
            flow: ESTABLISHED,
            unit: Unit::Stream,
            data: b"abc",
            data_start,
            fresh: 0,
            now: Timestamp(0),
            view: None,
            events: AnomalySet::default(),
            transaction: None,
        };
        let mut take = |_: &Arc<Rule>| found += 1;
        inspect(
            &engine,
            &inspection,
            &mut FlowMatches::default(),
            &mut Scratch::default(),
            &mut take,
        );
        assert_eq!(found, expected, "window at {data_start}");
    }
}

#[test]
fn a_stream_rule_fires_again_only_for_what_came_later() {
    let engine = engine(
        "alert tcp any any -> any any (content:\"bad\"; sid:1;)\n\
         alert tcp any any -> any any (content:\"bad\"; threshold:type threshold, track by_src, count 2, seconds 60; sid:2;)",
    );
    assert_eq!(
        stream(&engine, &[b"bad ", b"nothing ", b"bad ", b"."]),
        [1, 1, 2, 2]
    );
}

#[test]
fn header_flow_and_fields_decide() {
    let rules = engine(
        "alert tcp any any -> any 80 (flags:S,CE; flow:stateless; sid:1;)\n\
         alert tcp any any -> any any (content:\"x\"; dsize:>2; sid:2;)\n\
         alert tcp any any -> any any (flags:A; flow:to_client; sid:3;)\n\
         alert tcp any any -> any 81 (flags:S; sid:4;)\n\
         alert udp any any -> 172.18.0.3 53 (content:\"x\"; sid:5;)\n\
         alert udp 172.18.0.3 any <> any any (content:\"x\"; sid:6;)\n\
         alert icmp any any -> any any (itype:8; icode:0; sid:7;)\n\
         alert ip any any -> any any (content:\"xyz\"; sid:8;)\n\
         alert tcp any any -> any any (flags:A; flow:established; sid:9;)",
    );
    let fresh = FlowView {
        to_server: true,
        established: false,
        ..ESTABLISHED
    };
    assert_eq!(packet(&rules, &tcp_headers(0x02, 0), fresh, b""), [1]);
    assert_eq!(
        packet(&rules, &tcp_headers(0x18, 3), ESTABLISHED, b"xyz"),
        [2, 8]
    );
    assert_eq!(packet(&rules, &tcp_headers(0x10, 0), ESTABLISHED, b""), [9]);
    let back = FlowView {
        to_server: false,
        established: true,
        ..ESTABLISHED
    };
    assert_eq!(packet(&rules, &tcp_headers(0x10, 0), back, b""), [3, 9]);
    let udp = Transport::Udp {
        source_port: 40_000,
        destination_port: 53,
    };
    assert_eq!(packet(&rules, &headers(17, udp, 1), fresh, b"x"), [5, 6]);
    let echo = Transport::Icmp {
        kind: 8,
        code: 0,
        identifier: 1,
        sequence: 1,
    };
    assert_eq!(packet(&rules, &headers(1, echo, 0), fresh, b""), [7]);
}

#[test]
fn a_pass_rule_silences() {
    let rules = engine(
        "alert tcp any any -> any any (content:\"bad\"; sid:1;)\n\
         pass tcp any any -> any any (content:\"known\"; sid:2;)",
    );
    assert_eq!(stream(&rules, &[b"bad"]), [1]);
    assert_eq!(stream(&rules, &[b"known bad"]), []);
    assert_eq!(stream(&rules, &[b"known ", b"and ", b"bad"]), []);
}

#[test]
fn bytes_that_were_counted_are_not_counted_again() {
    let engine = engine(
        "alert tcp any any -> any any (content:\"bad\"; threshold:type threshold, track by_src, count 2, seconds 60; sid:1;)\n\
         alert tcp any any -> any any (content:\"much longer than that\"; sid:2;)",
    );
    assert_eq!(stream(&engine, &[b"x bad", b"y", b"z"]), [1]);
}

/// One evaluation of a stream window.
fn window<'a>(headers: &'a Headers, data: &'a [u8]) -> Inspection<'a> {
    Inspection {
        headers,
        flow: ESTABLISHED,
        unit: Unit::Stream,
        data,
        data_start: 0,
        fresh: 0,
        now: Timestamp(0),
        view: None,
        events: AnomalySet::default(),
        transaction: None,
    }
}

#[test]
fn hostile_data_cannot_make_matching_endless() {
    let chain = |link: &str| {
        let links = format!("content:\"a\"; {link}; ").repeat(20);
        tcp(&format!("content:\"a\"; {links} content:\"b\"; {link};"))
    };
    let mut data = vec![b'a'; 16_384];
    data[0] = b'b';
    let headers = tcp_headers(0x18, data.len());
    let exceeded = |engine: &Engine| {
        let mut scratch = Scratch::default();
        let mut found = 0;
        inspect(
            engine,
            &window(&headers, &data),
            &mut FlowMatches::default(),
            &mut scratch,
            &mut |_| found += 1,
        );
        assert_eq!(found, 0);
        scratch.steps_exceeded
    };
    assert_eq!(
        exceeded(&chain("distance:0")),
        0,
        "what is not there is looked for once"
    );
    assert_eq!(
        exceeded(&chain("within:50")),
        1,
        "the search is given up and counted"
    );
    let negated = tcp(&format!(
        "{}content:!\"a\"; within:1;",
        "content:\"a\"; within:50; ".repeat(20)
    ));
    assert_eq!(exceeded(&negated), 1, "giving up is no proof of absence");
}

#[test]
fn half_found_rules_are_bounded_and_none_is_lost() {
    let rules: String = (0..200)
        .map(|n| {
            format!(
                "alert tcp any any -> any any (content:\"needle\"; content:\"{n:03}\"; sid:{};)\n",
                n + 1
            )
        })
        .collect();
    let engine = engine(&rules);
    let mut scratch = Scratch::default();
    let mut matches = FlowMatches::default();
    let headers = tcp_headers(0x18, 6);
    let first = window(&headers, b"needle");
    inspect(&engine, &first, &mut matches, &mut scratch, &mut |_| ());
    assert_eq!(matches.pending.len(), MAX_PENDING);
    assert_eq!(scratch.pending_dropped, 200 - MAX_PENDING as u64);
    let all: String = (0..200).map(|n| format!("{n:03} ")).collect();
    let pieces: [&[u8]; 3] = [b"needle", b" and ", all.as_bytes()];
    assert_eq!(stream(&engine, &pieces).len(), 200);
}

#[test]
fn rules_that_can_no_longer_match_are_not_remembered() {
    let engine = engine(
        "alert tcp any any -> any 81 (content:\"needle\"; content:\"x\"; sid:1;)\n\
         alert tcp 10.0.0.1 any -> any any (content:\"needle\"; content:\"x\"; sid:2;)\n\
         alert tcp any any -> any any (content:\"needle\"; content:\"GET\"; startswith; sid:3;)\n\
         alert tcp any any -> any any (content:\"needle\"; content:!\"POST\"; startswith; content:\"x\"; sid:4;)\n\
         alert tcp any any -> any any (content:\"needle\"; content:\"x\"; offset:20; depth:5; sid:5;)",
    );
    let mut matches = FlowMatches::default();
    let headers = tcp_headers(0x18, 6);
    inspect(
        &engine,
        &window(&headers, b"POST needle"),
        &mut matches,
        &mut Scratch::default(),
        &mut |_| (),
    );
    let sid = |pending: &Pending| engine.rules()[pending.rule as usize].signature.sid;
    assert_eq!(matches.pending.iter().map(sid).collect::<Vec<_>>(), [5]);
}

#[test]
fn ordinary_requests_leave_nothing_half_found() {
    let engine = tcp("content:\"evil\"; content:\" HTTP/1.\"; distance:0;");
    let headers = tcp_headers(0x18, 6);
    let mut matches = FlowMatches::default();
    let request = window(&headers, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    inspect(
        &engine,
        &request,
        &mut matches,
        &mut Scratch::default(),
        &mut |_| (),
    );
    assert!(matches.pending.is_empty());
    assert_eq!(stream(&engine, &[b"GET /evil", b" HTTP/1.1\r\n"]), [1]);
}

proptest! {
    /// However a stream is cut, the same rules match.
    #[test]
    fn pieces_match_as_the_whole(
        data in prop::collection::vec(prop::sample::select(b"abcAB-".to_vec()), 0..60),
        cuts in prop::collection::vec(0_usize..60, 0..8),
    ) {
        let engine = engine(
            "alert tcp any any -> any any (content:\"ab\"; sid:1;)\n\
             alert tcp any any -> any any (content:\"abc\"; nocase; content:\"b\"; distance:1; within:4; sid:2;)\n\
             alert tcp any any -> any any (content:\"a\"; depth:3; content:\"cc\"; sid:3;)\n\
             alert tcp any any -> any any (content:\"b-\"; fast_pattern; content:\"aa\"; content:\"c\"; within:2; sid:4;)\n\
             alert tcp any any -> any any (content:\"bb\"; offset:5; content:\"a\"; distance:-4; within:2; sid:5;)\n\
             alert tcp any any -> any any (content:\"c\"; content:\"a\"; distance:1; content:\"-\"; distance:0; content:\"b\"; within:3; sid:6;)\n\
             alert tcp any any -> any any (content:\"b\"; content:\"A\"; within:2; content:!\"c\"; within:1; content:\"-a\"; distance:-1; sid:7;)\n\
             alert tcp any any -> any any (content:\"a\"; content:\"A\"; offset:3; nocase; content:\"B\"; distance:2; within:9; content:\"bc\"; sid:8;)",
        );
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < data.len()).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts.into_iter().chain([data.len()]) {
            pieces.push(&data[start..cut]);
            start = cut;
        }
        let mut found = stream(&engine, &pieces);
        // What matches in one piece may do so again with the next.
        found.dedup();
        prop_assert_eq!(found, stream(&engine, &[&data]));
    }

    /// A window that slides loses no match that lies in it.
    #[test]
    fn a_sliding_window_loses_nothing(
        before in prop::collection::vec(prop::sample::select(b"ned h".to_vec()), 0..200),
        gap in prop::collection::vec(prop::sample::select(b"ned h".to_vec()), 0..40),
        size in 1_usize..30,
    ) {
        const WINDOW: usize = 64;
        let engine = tcp("content:\"needle\"; content:\"hay\"; distance:0; within:44;");
        let data = [&before[..], b"needle", &gap[..], b"hay", b"."].concat();
        let mut matches = FlowMatches::default();
        let mut scratch = Scratch::default();
        let mut found = 0;
        let mut end = 0_usize;
        for piece in data.chunks(size) {
            let start = end.saturating_sub(WINDOW);
            let headers = tcp_headers(0x18, piece.len());
            let inspection = Inspection {
                data_start: start as u64,
                fresh: end - start,
                ..window(&headers, &data[start..end + piece.len()])
            };
            inspect(&engine, &inspection, &mut matches, &mut scratch, &mut |_| found += 1);
            end += piece.len();
        }
        prop_assert_eq!(found, 1);
    }
}
