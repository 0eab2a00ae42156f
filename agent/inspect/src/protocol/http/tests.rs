//! Tests of the whole parser; what is expected is what RFC 9110 and RFC 9112 say, or what the
//! documentation of Suricata says about its buffers.

use std::io::Write;

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use proptest::prelude::*;

use super::*;
use crate::protocol::{Buffer, Field, Limits, Stage, Transaction};
use Direction::{ToClient, ToServer};

mod content;

/// Everything that was pushed, as text.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    pieces: Vec<(u64, Direction, &'static str, String)>,
    events: Vec<(u64, Direction, &'static str)>,
}

struct Conversation {
    parser: Http,
    out: Transactions,
    status: Status,
}

impl Conversation {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            parser: Http::new(),
            out: Transactions::new(limits),
            status: Status::Ok,
        }
    }

    fn say(mut self, direction: Direction, data: impl AsRef<[u8]>) -> Self {
        self.status = self.parser.data(direction, data.as_ref(), &mut self.out);
        self
    }

    fn hang_up(mut self) -> Self {
        self.parser.end(ToServer, &mut self.out);
        self.parser.end(ToClient, &mut self.out);
        self
    }

    fn transaction(&mut self, id: u64) -> &mut Transaction {
        self.out.get(id).expect("transaction")
    }

    fn all(&mut self, id: u64, direction: Direction, buffer: Buffer) -> Vec<String> {
        let transaction = self.transaction(id);
        transaction
            .instances()
            .iter()
            .filter(|instance| instance.direction == direction && instance.buffer == buffer)
            .map(|instance| transaction.bytes(instance).escape_ascii().to_string())
            .collect()
    }

    fn request(&mut self, buffer: Buffer) -> String {
        self.all(0, ToServer, buffer).join("|")
    }

    fn response(&mut self, buffer: Buffer) -> String {
        self.all(0, ToClient, buffer).join("|")
    }

    fn has(&mut self, event: &str) -> bool {
        assert!(EVENTS.contains(&event), "{event} is not declared");
        self.out
            .iter_mut()
            .any(|transaction| transaction.has_event(event))
    }

    fn seen(&mut self) -> Seen {
        let mut seen = Seen {
            pieces: Vec::new(),
            events: Vec::new(),
        };
        for transaction in self.out.iter_mut() {
            for instance in transaction.instances() {
                seen.pieces.push((
                    transaction.id,
                    instance.direction,
                    instance.buffer.name(),
                    transaction.bytes(instance).escape_ascii().to_string(),
                ));
            }
            for (direction, event) in transaction.events() {
                seen.events.push((transaction.id, *direction, event));
            }
        }
        seen
    }
}

fn get(uri: &str) -> Conversation {
    Conversation::new().say(ToServer, format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

fn answer(head: &str, body: &[u8]) -> Conversation {
    let response = [b"HTTP/1.1 200 OK\r\n", head.as_bytes(), b"\r\n", body].concat();
    get("/f").say(ToClient, response).hang_up()
}

fn body_of(head: &str, body: &[u8]) -> String {
    answer(head, body).response(Buffer::FileData)
}

const TEXT: &[u8] = b"The quick brown fox jumps over the lazy dog. The quick brown fox.";

fn text() -> String {
    TEXT.escape_ascii().to_string()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_request_and_its_response_are_taken_apart() {
    let mut talk = Conversation::new()
        .say(
            ToServer,
            "GET /a/b.html?x=1 HTTP/1.1\r\nHost: Example.COM:8080\r\nUser-Agent: curl/8\r\n\
             Cookie: k=v\r\nAccept: */*\r\n\r\n",
        )
        .say(
            ToClient,
            "HTTP/1.1 404 Not Found\r\nServer: x\r\nSet-Cookie: s=1\r\nContent-Type: text/plain\r\n\
             Content-Length: 5\r\n\r\nhello",
        );
    for (buffer, expected) in [
        (Buffer::HttpMethod, "GET"),
        (Buffer::HttpUri, "/a/b.html?x=1"),
        (Buffer::HttpRawUri, "/a/b.html?x=1"),
        (Buffer::HttpProtocol, "HTTP/1.1"),
        (Buffer::HttpRequestLine, "GET /a/b.html?x=1 HTTP/1.1"),
        (Buffer::HttpHost, "example.com"),
        (Buffer::HttpRawHost, "Example.COM:8080"),
        (Buffer::HttpUserAgent, "curl/8"),
        (Buffer::HttpCookie, "k=v"),
        (Buffer::HttpAccept, "*/*"),
        (
            Buffer::HttpHeader,
            r"Host: Example.COM:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\n",
        ),
        (
            Buffer::HttpHeaderNames,
            r"\r\nHost\r\nUser-Agent\r\nCookie\r\nAccept\r\n\r\n",
        ),
        (
            Buffer::HttpRequestHeader,
            "Host: Example.COM:8080|User-Agent: curl/8|Cookie: k=v|Accept: */*",
        ),
        (
            Buffer::HttpRawHeader,
            r"Host: Example.COM:8080\r\nUser-Agent: curl/8\r\nCookie: k=v\r\nAccept: */*\r\n\r\n",
        ),
    ] {
        assert_eq!(talk.request(buffer), expected, "{buffer:?}");
    }
    for (buffer, expected) in [
        (Buffer::HttpStatCode, "404"),
        (Buffer::HttpStatMsg, "Not Found"),
        (Buffer::HttpProtocol, "HTTP/1.1"),
        (Buffer::HttpResponseLine, "HTTP/1.1 404 Not Found"),
        (Buffer::HttpServer, "x"),
        (Buffer::HttpCookie, "s=1"),
        (Buffer::HttpContentType, "text/plain"),
        (Buffer::HttpContentLength, "5"),
        (Buffer::HttpResponseBody, "hello"),
        (Buffer::FileData, "hello"),
        (Buffer::FileName, "/a/b.html"),
    ] {
        assert_eq!(talk.response(buffer), expected, "{buffer:?}");
    }
    assert!(
        talk.request(Buffer::HttpStart)
            .ends_with(r"Accept: */*\r\n\r\n")
    );
    assert_eq!(talk.transaction(0).stage(ToServer), Stage::Complete);
    assert_eq!(talk.transaction(0).stage(ToClient), Stage::Complete);
    assert_eq!(
        talk.transaction(0).numbers(),
        [(ToClient, Field::FileSize, 5)]
    );
    assert!(talk.seen().events.is_empty());
}

#[test]
fn responses_meet_their_requests_in_order() {
    let mut talk = Conversation::new()
        .say(
            ToServer,
            "HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\
             okGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .say(
            ToClient,
            "HTTP/1.1 200 One\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 304 Two\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 Three\r\nContent-Length: 1\r\n\r\nx",
        );
    for (id, uri, message) in [(0, "/1", "One"), (1, "/2", "Two"), (2, "/3", "Three")] {
        assert_eq!(talk.all(id, ToServer, Buffer::HttpUri), [uri]);
        assert_eq!(talk.all(id, ToClient, Buffer::HttpStatMsg), [message]);
        assert_eq!(talk.transaction(id).stage(ToClient), Stage::Complete);
    }
    assert_eq!(talk.all(1, ToServer, Buffer::HttpRequestBody), ["ok"]);
    assert_eq!(talk.all(2, ToClient, Buffer::HttpResponseBody), ["x"]);
    talk.out.retire();
    assert!(talk.out.is_empty());
}

#[test]
fn a_response_alone_is_a_transaction() {
    let mut talk = Conversation::new().say(
        ToClient,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.0 200 OK\r\n\r\nthere",
    );
    assert!(talk.has("http.unable_to_match_response_to_request"));
    let mut talk = talk.hang_up();
    assert_eq!(talk.response(Buffer::FileData), "hi");
    assert_eq!(talk.all(1, ToClient, Buffer::FileData), ["there"]);
    assert_eq!(talk.transaction(1).stage(ToClient), Stage::Complete);
}

#[test]
fn targets_are_normalised_once() {
    for (uri, normal) in [
        ("/../a/b/../c/./d.html", "/a/c/d.html"),
        ("//a///b", "/a/b"),
        ("/a%2fb%2e%2e/c", "/a/b../c"),
        ("/%61%2e%2e%5cx", r"/a../x"),
        (r"/a\..\b", "/b"),
        ("/%u0061%uff42", "/ab"),
        ("/%c0%afetc", "/etc"),
        ("/%2541", "/%41"),
        ("/%zz%4", "/%zz%4"),
        ("/a?q=%27+%2541", r"/a?q=\'+%41"),
        ("http://u@Host.:81/x/../y?z#f", "/y?z#f"),
        ("/a/..", "/"),
        ("*", "*"),
    ] {
        assert_eq!(get(uri).request(Buffer::HttpUri), normal, "{uri}");
    }
    let mut talk = get("http://u@Host.:81/x");
    assert_eq!(talk.request(Buffer::HttpHost), "host");
    assert!(talk.has("http.host_header_ambiguous"));
    assert!(get("/%2541").has("http.double_encoded_uri"));
    assert_eq!(get("/a b").request(Buffer::HttpRawUri), "/a b");
}

#[test]
fn folded_and_repeated_fields_are_joined() {
    let mut talk = Conversation::new().say(
        ToServer,
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1 \r\n \t2\r\nx:3\r\n\r\n",
    );
    assert_eq!(
        talk.request(Buffer::HttpHeader),
        r"Host: a\r\nX: 1 2, 3\r\n"
    );
    assert!(talk.has("http.request_header_repetition"));
    let mut talk = Conversation::new().say(
        ToServer,
        "POST / HTTP/1.1\r\nno colon\r\nA b: c\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    );
    for event in [
        "http.missing_host_header",
        "http.request_field_missing_colon",
        "http.request_header_invalid",
        "http.duplicate_content_length_field_in_request",
    ] {
        assert!(talk.has(event), "{event}");
    }
    assert_eq!(talk.transaction(0).stage(ToServer), Stage::Complete);
}

#[test]
fn hosts_are_judged() {
    for (host, valid) in [
        ("[::1]:80", true),
        ("a_b.example:1", true),
        ("a b", false),
        ("", false),
        ("x:99999", false),
        ("[::g]", false),
    ] {
        let mut talk =
            Conversation::new().say(ToServer, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(
            talk.has("http.request_header_host_invalid"),
            !valid,
            "{host}"
        );
    }
}

#[test]
fn what_has_no_status_line_is_content() {
    let mut talk = Conversation::new()
        .say(ToServer, "GET /\r\n")
        .say(ToClient, "<html>")
        .hang_up();
    assert_eq!(talk.response(Buffer::FileData), "<html>");
    assert!(!talk.has("http.request_line_missing_protocol"));
    let mut talk = Conversation::new().say(ToServer, "GET /\r\nHost: a\r\n\r\n");
    assert!(talk.has("http.request_line_missing_protocol"));
    assert_eq!(talk.request(Buffer::HttpHost), "a");
}

#[test]
fn lines_and_heads_are_bounded() {
    let limits = Limits {
        partial: 100,
        head: 300,
        ..Limits::default()
    };
    let mut talk = Conversation::with(limits).say(ToServer, "GET / HTTP/1.1\r\n");
    talk = talk.say(ToServer, "x".repeat(101));
    assert_eq!(talk.status, Status::Failed);
    assert_eq!(talk.out.counters.partial_exceeded, 1);
    assert!(talk.has("http.request_field_too_long"));
    let talk = Conversation::with(limits).say(
        ToClient,
        format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(60)),
    );
    assert_eq!(talk.status, Status::Failed);
    let many: String = (0..400).map(|number| format!("X{number}: y\r\n")).collect();
    assert!(answer(&many, b"").has("http.response_too_many_headers"));
}

#[test]
fn protocols_change() {
    let connect =
        || Conversation::new().say(ToServer, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    let talk = connect().say(ToClient, "HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(talk.status, Status::Change(None));
    let mut talk = connect()
        .say(ToServer, "GET /after HTTP/1.1\r\nHost: a\r\n\r\n")
        .say(ToClient, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(talk.status, Status::Ok);
    assert_eq!(talk.all(1, ToServer, Buffer::HttpUri), ["/after"]);
    let talk = Conversation::new()
        .say(
            ToServer,
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        )
        .say(
            ToClient,
            "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
        );
    assert_eq!(talk.status, Status::Change(Some(AppProtocol::Websocket)));
    let talk = Conversation::new().say(ToServer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(talk.status, Status::Change(Some(AppProtocol::Http2)));
}

#[test]
fn an_ended_connection_gives_what_came() {
    let mut talk = get("/")
        .say(ToClient, "HTTP/1.0 200 OK\nServer:x\r\n")
        .hang_up();
    assert_eq!(talk.response(Buffer::HttpServer), "x");
    assert_eq!(talk.transaction(0).stage(ToClient), Stage::Complete);
}

#[test]
fn beginnings_are_recognised() {
    for (direction, data, expected) in [
        (ToServer, "GET / HTTP/1.1", Probe::Yes),
        (ToServer, "\r\nPO", Probe::NeedMore),
        (ToServer, "", Probe::NeedMore),
        (ToServer, "PRI * HTTP/2.0", Probe::No),
        (ToServer, "EHLO x", Probe::No),
        (ToServer, "OPTIONS sip:a SIP/2.0", Probe::No),
        (ToServer, "OPTIONS s", Probe::NeedMore),
        (ToClient, "HTTP/1.1 200", Probe::Yes),
        (ToClient, "HT", Probe::NeedMore),
        (ToClient, "220 x", Probe::No),
    ] {
        assert_eq!(probe(direction, data.as_bytes()), expected, "{data:?}");
    }
}

fn exchange() -> Vec<(Direction, Vec<u8>)> {
    let gzipped = gzip(TEXT);
    let response = [
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
            .as_slice(),
        format!("{:x}\r\n", gzipped.len()).as_bytes(),
        &gzipped,
        b"\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n X: y\r\n\r\nrest",
    ]
    .concat();
    vec![
        (
            ToServer,
            b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=B\r\n\
              Content-Length: 77\r\n\r\n--B\r\nContent-Disposition: form-data; filename=x\r\n\r\n\
              some content\r\n--B--\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
                .to_vec(),
        ),
        (ToClient, response),
    ]
}

proptest! {
    #[test]
    fn segmentation_makes_no_difference(cuts in prop::collection::vec(1_usize..40, 1..60)) {
        let mut whole = Conversation::new();
        let mut cut = Conversation::new();
        let mut lengths = cuts.iter().cycle();
        for (direction, data) in exchange() {
            whole = whole.say(direction, &data);
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let length = (*lengths.next().unwrap()).min(rest.len());
                let (piece, after) = rest.split_at(length);
                cut = cut.say(direction, piece);
                rest = after;
            }
        }
        let (mut whole, mut cut) = (whole.hang_up(), cut.hang_up());
        prop_assert_eq!(whole.response(Buffer::FileData), text());
        prop_assert_eq!(whole.request(Buffer::FileData), "some content");
        prop_assert_eq!(whole.seen(), cut.seen());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in prop::collection::vec(
            (
                any::<bool>(),
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..200),
                    "(GET|POST|CONNECT|HTTP/1.1)? ?[ -~\r\n\t]{0,40}".prop_map(String::into_bytes),
                    "(Content-Length|Transfer-Encoding|Content-Encoding): ?(chunked|gzip|br|[0-9]{1,20})\r\n(\r\n)?"
                        .prop_map(String::into_bytes),
                ],
                0_u64..3,
            ),
            0..30,
        ),
    ) {
        let mut talk = Conversation::with(Limits {
            transactions: 2,
            partial: 1_000,
            ..Limits::default()
        });
        for (client, data, gap) in pieces {
            let direction = if client { ToServer } else { ToClient };
            let _ = probe(direction, &data);
            talk = talk.say(direction, data);
            if gap == 2 {
                let _ = talk.parser.gap(direction, 5, &mut talk.out);
            }
        }
        prop_assert!(talk.parser.footprint() < 16 << 20);
        talk.hang_up();
    }
}
