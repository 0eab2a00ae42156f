use proptest::prelude::*;

use super::*;
use crate::protocol::{Buffer, Limits, Stage, Transaction};
use Direction::{ToClient, ToServer};

/// A string literal of a header block, without compression.
fn text(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    let mut out = Vec::new();
    if length < 127 {
        out.push(u8::try_from(length).unwrap());
    } else {
        let mut rest = length - 127;
        out.push(127);
        while rest > 127 {
            out.push(u8::try_from(rest & 127).unwrap() | 128);
            rest >>= 7;
        }
        out.push(u8::try_from(rest).unwrap());
    }
    out.extend_from_slice(text);
    out
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| [vec![0], text(name.as_bytes()), text(value.as_bytes())].concat())
        .collect()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = length.get(1..).unwrap().to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

const END: u8 = frame::END_HEADERS | frame::END_STREAM;

fn request(stream: u32, flags: u8, more: &[(&str, &str)]) -> Vec<u8> {
    let start = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a/../b%20c?d"),
        (":authority", "Example.com:80"),
    ];
    frame(1, flags, stream, &block(&[&start[..], more].concat()))
}

fn response(stream: u32, flags: u8, more: &[(&str, &str)]) -> Vec<u8> {
    let start = [(":status", "200")];
    frame(1, flags, stream, &block(&[&start[..], more].concat()))
}

struct Talk {
    http2: Http2,
    out: Transactions,
}

impl Talk {
    fn new() -> Self {
        let mut talk = Self::bare();
        talk.say(ToServer, MAGIC);
        talk
    }

    fn bare() -> Self {
        Self {
            http2: Http2::new(),
            out: Transactions::new(Limits::default()),
        }
    }

    fn say(&mut self, direction: Direction, data: &[u8]) {
        assert_eq!(self.http2.data(direction, data, &mut self.out), Status::Ok);
    }

    fn get(&mut self, id: u64) -> &Transaction {
        self.out.get(id).unwrap()
    }

    fn first(&mut self, id: u64, direction: Direction, buffer: Buffer) -> String {
        let bytes = self.get(id).first(direction, buffer).unwrap();
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn events(&mut self, id: u64) -> Vec<&'static str> {
        self.get(id).events().iter().map(|(_, it)| *it).collect()
    }

    fn stages(&mut self, id: u64) -> (Stage, Stage) {
        let transaction = self.get(id);
        (transaction.stage(ToServer), transaction.stage(ToClient))
    }
}

/// Everything that rules see.
fn seen(out: &mut Transactions) -> Vec<String> {
    out.iter_mut()
        .map(|it| {
            let pieces: Vec<_> = it
                .instances()
                .iter()
                .map(|piece| (piece.direction, piece.buffer, it.bytes(piece).to_vec()))
                .collect();
            let stages = (it.stage(ToServer), it.stage(ToClient));
            format!("{pieces:?} {:?} {:?} {stages:?}", it.numbers(), it.events())
        })
        .collect()
}

#[test]
fn first_bytes_tell() {
    assert_eq!(probe(ToServer, MAGIC), Probe::Yes);
    assert_eq!(probe(ToServer, b"PRI * HT"), Probe::NeedMore);
    assert_eq!(probe(ToServer, b"PRI * HTTP/1.1"), Probe::No);
    assert_eq!(probe(ToClient, &frame(4, 0, 0, &[0; 12])), Probe::Yes);
    assert_eq!(probe(ToClient, &frame(4, 0, 0, &[0; 13])), Probe::No);
    assert_eq!(probe(ToClient, b"HTTP/1.1"), Probe::No);
}

#[test]
fn a_stream_has_the_buffers_of_http1() {
    let mut talk = Talk::new();
    let fields = [
        ("user-agent", "curl"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("content-type", "text/plain"),
    ];
    talk.say(ToServer, &request(1, frame::END_HEADERS, &fields));
    assert_eq!(talk.stages(0), (Stage::Headers, Stage::Begun));
    talk.say(ToServer, &frame(0, frame::END_STREAM, 1, b"content"));
    assert_eq!(talk.stages(0), (Stage::Complete, Stage::Begun));
    let server = [("server", "nginx"), ("set-cookie", "c=3")];
    talk.say(ToClient, &response(1, frame::END_HEADERS, &server));
    let padded = frame(0, frame::PADDED | frame::END_STREAM, 1, b"\x03answer\0\0\0");
    talk.say(ToClient, &padded);
    assert_eq!(talk.stages(0), (Stage::Complete, Stage::Complete));
    for (direction, buffer, expected) in [
        (ToServer, Buffer::HttpMethod, "POST"),
        (ToServer, Buffer::HttpUri, "/b c?d"),
        (ToServer, Buffer::HttpRawUri, "/a/../b%20c?d"),
        (ToServer, Buffer::HttpHost, "example.com"),
        (ToServer, Buffer::HttpRawHost, "Example.com:80"),
        (ToServer, Buffer::HttpUserAgent, "curl"),
        (ToServer, Buffer::HttpCookie, "a=1; b=2"),
        (ToServer, Buffer::HttpContentType, "text/plain"),
        (ToServer, Buffer::HttpProtocol, "HTTP/2"),
        (ToServer, Buffer::HttpRequestBody, "content"),
        (ToServer, Buffer::FileData, "content"),
        (ToServer, Buffer::HttpRequestHeader, ":method: POST"),
        (ToClient, Buffer::HttpStatCode, "200"),
        (
            ToClient,
            Buffer::HttpHeader,
            ":status: 200\r\nserver: nginx\r\n",
        ),
        (
            ToClient,
            Buffer::HttpRawHeader,
            ":status: 200\r\nserver: nginx\r\nset-cookie: c=3\r\n",
        ),
        (
            ToClient,
            Buffer::HttpHeaderNames,
            "\r\n:status\r\nserver\r\nset-cookie\r\n\r\n",
        ),
        (ToClient, Buffer::HttpResponseBody, "answer"),
        (ToClient, Buffer::FileName, "/b c"),
        (ToClient, Buffer::HttpServer, "nginx"),
    ] {
        assert_eq!(talk.first(0, direction, buffer), expected, "{buffer:?}");
    }
    assert!(talk.events(0).is_empty());
}

#[test]
fn blocks_go_on_in_other_frames() {
    let mut talk = Talk::new();
    let fields = block(&[(":method", "GET"), (":path", "/long")]);
    let (front, back) = fields.split_at(7);
    let padded = [&[2, 0, 0, 0, 0, 1], front, &[0, 0]].concat();
    let flags = frame::PADDED | frame::PRIORITY | frame::END_STREAM;
    talk.say(ToServer, &frame(1, flags, 3, &padded));
    talk.say(ToServer, &frame(9, 0, 3, &[]));
    talk.say(ToServer, &frame(9, frame::END_HEADERS, 3, back));
    assert_eq!(talk.first(0, ToServer, Buffer::HttpUri), "/long");
    assert_eq!(talk.stages(0).0, Stage::Complete);
    assert!(talk.events(0).is_empty());
    // What continues nothing.
    talk.say(ToServer, &frame(9, frame::END_HEADERS, 5, back));
    assert_eq!(talk.events(1), [event::FRAME_DATA]);
    // What continues without end.
    talk.say(ToServer, &frame(1, 0, 5, &[]));
    for _ in 0..7 {
        talk.say(ToServer, &frame(9, 0, 5, &[b'x'; 16_384]));
    }
    assert_eq!(talk.events(2), [event::REASSEMBLY_LIMIT]);
}

#[test]
fn frames_of_the_connection_are_transactions() {
    let mut talk = Talk::new();
    talk.say(ToServer, &frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]));
    talk.say(ToClient, &frame(4, frame::ACK, 0, &[]));
    talk.say(ToClient, &frame(6, 0, 0, &[0; 8]));
    talk.say(ToClient, &frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2, b'?']));
    talk.say(ToServer, &request(1, END, &[]));
    talk.say(ToClient, &frame(3, 0, 1, &[0, 0, 0, 8]));
    assert_eq!(talk.out.len(), 5);
    let code = |value| (ToClient, Field::Http2ErrorCode, value);
    let kind = |direction, value| (direction, Field::Http2FrameType, value);
    let setting = (ToServer, Field::Http2Setting, 4 << 32 | 0x1_0000);
    assert_eq!(talk.get(0).numbers(), [kind(ToServer, 4), setting]);
    assert_eq!(talk.get(2).numbers(), [kind(ToClient, 6)]);
    assert_eq!(talk.get(3).numbers(), [kind(ToClient, 7), code(2)]);
    let reset = [kind(ToServer, 1), kind(ToClient, 3), code(8)];
    assert_eq!(talk.get(4).numbers(), reset);
    talk.out.retire();
    assert!(talk.out.is_empty());
}

#[test]
fn a_flood_of_pings_pushes_out_nothing_else() {
    let mut talk = Talk::new();
    talk.say(ToServer, &request(1, frame::END_HEADERS, &[]));
    for _ in 0..1_000 {
        talk.say(ToServer, &frame(6, 0, 0, &[0; 8]));
    }
    talk.say(ToServer, &frame(0, 0, 1, b"attack"));
    assert_eq!(talk.first(0, ToServer, Buffer::HttpRequestBody), "attack");
    talk.out.retire();
    assert_eq!(talk.out.len(), 1);
}

#[test]
fn what_is_odd_is_noted() {
    let odd = |data: &[u8]| {
        let mut talk = Talk::new();
        talk.say(ToServer, data);
        let id = talk.out.next_id() - 1;
        talk.events(id)
    };
    let fields = [("host", "other.org")];
    assert_eq!(
        odd(&request(1, END, &fields)),
        [event::AUTHORITY_HOST_MISMATCH]
    );
    let user = block(&[(":authority", "a:b@c")]);
    assert_eq!(odd(&frame(1, END, 1, &user)), [event::USERINFO_IN_URI]);
    assert_eq!(odd(&frame(3, 0, 1, &[0; 5])), [event::FRAME_LENGTH]);
    assert_eq!(odd(&frame(4, 0, 1, &[])), [event::FRAME_HEADER]);
    assert_eq!(odd(&frame(1, END, 1, &[0x80])), [event::HEADER]);
    assert_eq!(
        odd(&frame(1, END, 1, &[0xff; 9])),
        [event::INTEGER_OVERFLOW]
    );
    assert_eq!(odd(&frame(1, END, 1, &[0])), [event::EXTRA_HEADER_DATA]);
    assert_eq!(
        odd(&frame(0x77, 0, 1, &[0; 16_385])),
        [event::LONG_FRAME_DATA]
    );
    let again = [request(1, END, &[]), response(1, END, &[])].concat();
    assert!(odd(&again).is_empty());
    assert_eq!(
        odd(&frame(0, frame::PADDED, 1, &[9, 1])),
        [event::FRAME_DATA]
    );
}

#[test]
fn streams_are_not_begun_twice_nor_without_end() {
    let mut talk = Talk::new();
    talk.say(ToServer, &request(1, END, &[]));
    talk.say(ToClient, &response(1, END, &[]));
    talk.say(ToServer, &request(1, END, &[]));
    assert_eq!(talk.events(1), [event::STREAM_ID_REUSE]);
    for stream in 1..=256 {
        talk.say(ToServer, &request(stream * 2 + 1, END, &[]));
    }
    let last = talk.out.next_id() - 1;
    assert_eq!(talk.events(last), [event::TOO_MANY_STREAMS]);
    assert_eq!(talk.stages(last).0, Stage::Complete);
}

#[test]
fn a_client_without_preface_is_read_all_the_same() {
    let mut talk = Talk::bare();
    talk.say(ToServer, &request(1, END, &[]));
    assert_eq!(talk.events(0), [event::CLIENT_MAGIC]);
    assert_eq!(talk.first(1, ToServer, Buffer::HttpMethod), "POST");
}

#[test]
fn bodies_are_decoded_and_survive_gaps() {
    let mut talk = Talk::new();
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x106\x05\0\0\0";
    talk.say(ToServer, &request(1, END, &[]));
    let coded = [("content-encoding", "gzip")];
    talk.say(ToClient, &response(1, frame::END_HEADERS, &coded));
    talk.say(ToClient, &frame(0, frame::END_STREAM, 1, gzip));
    assert_eq!(talk.first(0, ToClient, Buffer::HttpResponseBody), "hello");
    talk.say(ToServer, &request(3, END, &[]));
    talk.say(ToClient, &response(3, frame::END_HEADERS, &[]));
    let body = frame(0, frame::END_STREAM, 3, b"0123456789");
    let (front, back) = body.split_at(12);
    talk.say(ToClient, front);
    assert_eq!(talk.http2.gap(ToClient, 4, &mut talk.out), Status::Ok);
    talk.say(ToClient, back.get(4..).unwrap());
    assert_eq!(talk.first(1, ToClient, Buffer::HttpResponseBody), "012789");
    assert_eq!(talk.stages(1), (Stage::Complete, Stage::Complete));
    // Between frames nobody knows where the next one begins.
    assert_eq!(talk.http2.gap(ToClient, 4, &mut talk.out), Status::Failed);
}

/// A question for `a.b`.
const DNS: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x01\0\x01";

#[test]
fn dns_is_read_on_the_stream() {
    let mut talk = Talk::new();
    let kind = [("content-type", "application/dns-message")];
    assert_eq!(talk.http2.refined(), None);
    talk.say(ToServer, &request(1, frame::END_HEADERS, &kind));
    assert_eq!(talk.http2.refined(), Some(AppProtocol::Doh2));
    talk.say(ToServer, &frame(0, frame::END_STREAM, 1, DNS));
    assert_eq!(talk.first(0, ToServer, Buffer::DnsQuery), "a.b");
    let path = "/dns-query?dns=EjQBAAABAAAAAAAAAWEBYgAAAQAB";
    talk.say(ToServer, &frame(1, END, 3, &block(&[(":path", path)])));
    assert_eq!(talk.first(1, ToServer, Buffer::DnsQuery), "a.b");
    talk.say(ToServer, &request(5, frame::END_HEADERS, &kind));
    for _ in 0..5 {
        talk.say(ToServer, &frame(0, 0, 5, &[0; 16_384]));
    }
    assert_eq!(talk.events(2), [event::DNS_REQUEST_TOO_LONG]);
}

/// A connection with a bit of everything.
fn conversation() -> Vec<(Direction, Vec<u8>)> {
    let kind = [("content-type", "application/dns-message")];
    let fields = block(&[(":method", "GET"), (":path", "/x")]);
    let (front, back) = fields.split_at(5);
    let client = [
        MAGIC.to_vec(),
        frame(4, 0, 0, &[0, 4, 0, 1, 0, 0]),
        request(1, frame::END_HEADERS, &kind),
        frame(0, frame::PADDED, 1, &[&[1], DNS, &[0]].concat()),
        frame(0, frame::END_STREAM | frame::PADDED, 1, &[]),
        frame(1, 0, 3, front),
        frame(9, END, 3, back),
        frame(0x55, 0, 0, b"unknown"),
        frame(8, 0, 0, &[0, 0, 0, 1]),
        frame(3, 0, 3, &[0, 0, 0, 8]),
    ];
    let promise = [&[0, 0, 0, 2][..], &block(&[(":path", "/pushed")])].concat();
    let server = [
        frame(4, frame::ACK, 0, &[]),
        frame(5, frame::END_HEADERS, 1, &promise),
        response(1, frame::END_HEADERS, &[("content-encoding", "gzip")]),
        frame(0, 0, 1, b"not gzip"),
        response(1, END, &[("trailer", "x")]),
        response(2, frame::END_HEADERS, &[]),
        frame(0, frame::END_STREAM, 2, b"pushed"),
        frame(7, 0, 0, &[0; 8]),
    ];
    vec![(ToServer, client.concat()), (ToClient, server.concat())]
}

#[test]
fn pieces_of_one_byte_are_as_good_as_the_whole() {
    let mut whole = Talk::bare();
    let mut pieces = Talk::bare();
    for (direction, data) in conversation() {
        whole.say(direction, &data);
        for byte in data {
            pieces.say(direction, &[byte]);
        }
    }
    assert_eq!(seen(&mut whole.out), seen(&mut pieces.out));
    // Settings, three streams, and what is about the connection.
    assert_eq!(whole.out.len(), 7);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        preface in any::<bool>(),
        pieces in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..96), any::<bool>()),
            0..8,
        ),
    ) {
        let limits = Limits { transactions: 4, partial: 64, head: 256, body: 64, ..Limits::default() };
        let mut out = Transactions::new(limits);
        let mut http2 = Http2::new();
        if preface {
            http2.data(ToServer, MAGIC, &mut out);
        }
        for (server, data, gap) in pieces {
            let direction = if server { ToClient } else { ToServer };
            let _ = probe(direction, &data);
            if gap && http2.gap(direction, 3, &mut out) == Status::Failed {
                break;
            }
            http2.data(direction, &data, &mut out);
        }
        http2.end(ToServer, &mut out);
        http2.end(ToClient, &mut out);
        prop_assert!(out.len() <= 4);
        prop_assert!(http2.footprint() < 1 << 20);
    }

    #[test]
    fn arbitrary_frames_never_panic(
        frames in proptest::collection::vec(
            (any::<bool>(), 0_u8..11, any::<u8>(), 0_u32..6,
             proptest::collection::vec(any::<u8>(), 0..32)),
            0..24,
        ),
    ) {
        let mut whole = Talk::new();
        let mut pieces = Talk::new();
        for (server, kind, flags, stream, payload) in frames {
            let direction = if server { ToClient } else { ToServer };
            let data = frame(kind, flags, stream, &payload);
            whole.say(direction, &data);
            for byte in data {
                pieces.say(direction, &[byte]);
            }
        }
        prop_assert_eq!(seen(&mut whole.out), seen(&mut pieces.out));
    }
}

#[test]
fn an_upgrade_leaves_what_came_behind_it() {
    let mut out = Transactions::new(Limits::default());
    let mut http = crate::protocol::http::Http::new();
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk?\r\n\r\n";
    http.data(ToServer, ask, &mut out);
    let request = out.get(0).unwrap();
    assert!(request.has_event(HTTP1_SETTINGS));
    let settings = frame(4, 0, 0, &[]);
    let agree = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    let answer = [agree.as_slice(), &settings].concat();
    let status = http.data(ToClient, &answer, &mut out);
    assert_eq!(status, Status::Change(Some(AppProtocol::Http2)));
    let rest = http.take_rest();
    assert!(rest.contains(&(ToClient, settings)));
    assert!(are_settings(b"AAMAAABk"));
    assert!(!are_settings(b"AAMAAABkAA"));
}

#[test]
fn rules_may_name_what_carries_or_what_is_carried() {
    let includes = |rule: AppProtocol| {
        [AppProtocol::Http, AppProtocol::Http2, AppProtocol::Doh2].map(|it| rule.includes(it))
    };
    assert_eq!(includes(AppProtocol::Http), [true, true, true]);
    assert_eq!(includes(AppProtocol::Http1), [true, false, false]);
    assert_eq!(includes(AppProtocol::Http2), [false, true, true]);
    assert_eq!(includes(AppProtocol::Dns), [false, false, true]);
}
