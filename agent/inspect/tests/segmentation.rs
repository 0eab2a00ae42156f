//! A stream raises the same alerts in one piece and in any segments, order and repetition.

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use hydrophone_inspect::{Inspector, InspectorLimits, engine::Engine, flow::OverlapPolicy};
use proptest::prelude::*;
use support::{Pipeline, ends, engine};

/// Sequence number of the client's first byte in [`Pipeline::handshake`].
const FIRST: u32 = 1_001;

/// Rules whose outcome is that of the stream: none depends on where a packet begins or ends.
const RULES: &str = r#"
alert tcp any any -> any any (content:"attack"; content:"/bin/sh"; distance:4; within:20; sid:1;)
alert tcp any any -> any any (pcre:"/att[a-z]{2}k.{1,19}sh/s"; sid:2;)
alert tcp any any -> any any (content:"LEN"; byte_jump:2,0,relative; content:"landed"; within:6; sid:3;)
alert tcp any any -> any any (content:"LEN"; byte_test:2,=,5,0,relative; sid:4;)
alert http any any -> any any (http.uri; content:"/up"; startswith; content:"id=7"; distance:1; sid:11;)
alert http any any -> any any (http.method; content:"POST"; http.host; content:"victim"; endswith; sid:12;)
alert http any any -> any any (http.request_body; pcre:"/user=\w+&/"; content:"pass"; distance:0; sid:13;)
alert http any any -> any any (file.data; content:"user="; content:"secret"; within:20; sid:14;)
alert http any any -> any any (http.uri; content:!"/up"; sid:15;)
alert http any any -> any any (http.header; content:"X-Tool|3a| scan"; sid:16;)
alert http any any -> any any (content:"POST"; http_method; content:"Host|3a| the.victim|0d 0a|"; fast_pattern:only; sid:17;)
alert http any any -> any any (content:"GET"; http_method; content:"pass=secret"; sid:18;)
alert http any any -> any any (content:"GET"; http_method; content:"pass=public"; sid:98;)
alert tcp any any -> any any (content:"landed"; stream_size:client,>,40; sid:5;)
alert smtp any any -> any any (file.data; content:"dropper"; content:"payload"; distance:1; sid:21;)
alert smtp any any -> any any (smtp.mail_from; content:"mallory@"; sid:22;)
alert ssh any any -> any any (ssh.software; content:"libssh"; sid:31;)
alert dns any any -> any any (dns.query; content:"exfil."; startswith; content:"example"; distance:0; sid:41;)
alert tcp any any -> any any (content:"never there"; sid:99;)
"#;

const HTTP: &[u8] = b"POST /up?id=7 HTTP/1.1\r\nHost: the.victim\r\nX-Tool: scan\r\n\
    Content-Length: 28\r\n\r\nuser=eve&pass=secret&x=12345\
    GET /other HTTP/1.1\r\nHost: b\r\n\r\n";
const SMTP: &[u8] = b"EHLO a\r\nMAIL FROM:<mallory@a>\r\nRCPT TO:<b@c>\r\nDATA\r\n\
    From: a\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\
    Content-Disposition: attachment; filename=x.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    ZHJvcHBlciBhbmQgcGF5bG9hZA==\r\n.\r\nQUIT\r\n";
const SSH: &[u8] = b"SSH-2.0-libssh_0.9\r\n";
/// RFC 1035 section 4.2.2: a length, then the message.
const DNS: &[u8] = b"\0\x23\0\x01\x01\0\0\x01\0\0\0\0\0\0\x05exfil\x07example\x03com\0\0\x01\0\x01";
const RAW: &[u8] = b"\x01\x02 hello attack from /bin/sh LEN\0\x05.....landed here";

/// Streams with their server's port and the rules that they are to raise.
const STREAMS: [(&[u8], u16, &[u32]); 5] = [
    (HTTP, 80, &[11, 12, 13, 14, 15, 16, 17, 18]),
    (SMTP, 25, &[21, 22]),
    (SSH, 22, &[31]),
    (DNS, 53, &[41]),
    (RAW, 9_999, &[1, 2, 3, 4, 5]),
];

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| engine(RULES));

/// What the client's segments raise; each is where it begins and ends in `stream`.
fn raised(
    stream: &[u8],
    port: u16,
    overlap: OverlapPolicy,
    segments: &[(usize, usize)],
) -> BTreeSet<u32> {
    let limits = InspectorLimits {
        overlap,
        ..InspectorLimits::default()
    };
    let mut pipeline = Pipeline::new(limits);
    pipeline.inspector = Inspector::new(Arc::clone(&ENGINE), limits);
    let ends = ends(2, 3, (40_000, port));
    pipeline.handshake(&ends);
    for &(from, to) in segments {
        let place = FIRST + u32::try_from(from).unwrap_or(u32::MAX - FIRST);
        pipeline.data(&ends, stream.get(from..to).unwrap_or_default(), place);
    }
    pipeline.finish();
    let signatures = pipeline.sids().into_iter();
    signatures.filter(|sid| *sid < 1_000).collect()
}

#[test]
fn each_stream_in_one_piece_raises_its_rules() {
    for (stream, port, sids) in STREAMS {
        let found = raised(stream, port, OverlapPolicy::Linux, &[(0, stream.len())]);
        assert_eq!(found, sids.iter().copied().collect(), "port {port}");
    }
}

#[test]
fn each_stream_byte_by_byte_raises_its_rules() {
    for (stream, port, sids) in STREAMS {
        let forward: Vec<_> = (0..stream.len()).map(|at| (at, at + 1)).collect();
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        for order in [forward, backward] {
            let found = raised(stream, port, OverlapPolicy::Linux, &order);
            assert_eq!(found, sids.iter().copied().collect(), "port {port}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Besides cuts there are segments anywhere, which repeat and overlap the others. Under every
    /// policy, since those that overlap agree.
    #[test]
    fn any_segments_order_and_repetition_raise_the_same(
        which in 0..STREAMS.len(),
        policy in proptest::sample::select(&OverlapPolicy::ALL[..]),
        cuts in proptest::collection::btree_set(1_usize..400, 0..12),
        more in proptest::collection::vec((0_usize..400, 1_usize..60), 0..8),
        seed in proptest::collection::vec(any::<u16>(), 32),
    ) {
        let (stream, port, sids) = STREAMS[which];
        let length = stream.len();
        let mut places: Vec<usize> = cuts.into_iter().filter(|cut| *cut < length).collect();
        places.insert(0, 0);
        places.push(length);
        let mut segments: Vec<_> = places.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let more = more.into_iter().map(|(from, size)| {
            let from = from % length;
            (from, length.min(from + size))
        });
        segments.extend(more);
        let mut keys = seed.iter().cycle();
        segments.sort_by_cached_key(|_| keys.next().copied());
        let found = raised(stream, port, policy, &segments);
        prop_assert_eq!(found, sids.iter().copied().collect::<BTreeSet<_>>());
    }
}
