//! Keywords of application protocols: each alerts on what it is about and stays silent on the rest.
#![expect(clippy::unwrap_used, reason = "a test: a fault is a failure")]

mod enip;
#[path = "../support/mod.rs"]
mod support;

use hydrophone_inspect::InspectorLimits;
use support::{
    Pipeline, SECOND, ends,
    frames::{ip, udp},
};

/// What an end says: whether it is the client, and the bytes.
type Said<'a> = (bool, &'a [u8]);

/// Rules with these options, numbered from 1.
fn rules(protocol: &str, options: &[&str]) -> String {
    let rule = |(at, options): (usize, &&str)| {
        format!(
            "alert {protocol} any any -> any any ({options} sid:{};)\n",
            at + 1
        )
    };
    options.iter().enumerate().map(rule).collect()
}

/// Asserts that of rules with these options those with `true` alert, and only those.
fn check_at(now: u64, protocol: &str, port: u16, said: &[Said<'_>], options: &[(bool, &str)]) {
    let texts: Vec<&str> = options.iter().map(|(_, text)| *text).collect();
    let mut pipeline = Pipeline::with_rules(&rules(protocol, &texts), InspectorLimits::default());
    pipeline.now = now;
    let ends = ends(2, 3, (40_000, port));
    pipeline.handshake(&ends);
    pipeline.converse(&ends, said);
    pipeline.finish();
    assert_raised(&pipeline, options);
}

fn check(protocol: &str, port: u16, said: &[Said<'_>], options: &[(bool, &str)]) {
    check_at(1_000_000 * SECOND, protocol, port, said, options);
}

fn assert_raised(pipeline: &Pipeline, options: &[(bool, &str)]) {
    let raised = pipeline.sids();
    for ((expected, text), sid) in options.iter().zip(1_u32..) {
        assert_eq!(raised.contains(&sid), *expected, "{text}");
    }
}

fn record(content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[22, 3, 3, high, low], content].concat()
}

/// A handshake message of TLS.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, a, b, c], body].concat()
}

/// Subject, issuer and key are of no interest here: valid from 2009-06-01 to 2019-06-01.
fn certificate() -> Vec<u8> {
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }
    let empty = element(0x30, &[]);
    let validity = [
        element(0x17, b"090601000000Z"),
        element(0x18, b"20190601000000Z"),
    ]
    .concat();
    let content = [
        element(0x02, &[7]),
        empty.clone(),
        empty.clone(),
        element(0x30, &validity),
        empty.clone(),
        empty.clone(),
    ]
    .concat();
    let signed = [element(0x30, &content), empty, element(0x03, &[0])].concat();
    element(0x30, &signed)
}

fn tls() -> (Vec<u8>, Vec<u8>) {
    let hello = [&[3, 3], &[7; 32][..], &[0, 0, 2, 0, 0x2f, 1, 0]].concat();
    let answer = [&[3, 3], &[8; 32][..], &[0, 0, 0x2f, 0]].concat();
    let certificate = certificate();
    let size = u8::try_from(certificate.len()).unwrap();
    let chain = [&[0, 0, size + 3, 0, 0, size], certificate.as_slice()].concat();
    let server = [
        record(&message(2, &answer)),
        record(&message(11, &chain)),
        record(&message(14, &[])),
    ];
    (record(&message(1, &hello)), server.concat())
}

#[test]
fn states_of_tls() {
    let (client, server) = tls();
    let key = record(&message(16, &[1, 2, 3, 4]));
    check(
        "tls",
        443,
        &[(true, &client), (false, &server), (true, &key)],
        &[
            (true, "ssl_state:client_hello;"),
            (true, "ssl_state:server_hello; flow:to_client;"),
            (false, "ssl_state:server_hello; flow:to_server;"),
            (true, "ssl_state:client_keyx;"),
            (false, "ssl_state:server_keyx;"),
            (true, "ssl_state:server_keyx|server_hello;"),
            (true, "ssl_state:!server_keyx;"),
            (true, "ssl_state:client_hello; tls.store;"),
        ],
    );
}

#[test]
fn dates_of_certificates() {
    let (client, server) = tls();
    let said: [Said<'_>; 2] = [(true, &client), (false, &server)];
    let at = |year: u64| (year - 1970) * 31_556_952 * SECOND;
    let always = [
        (true, "tls_cert_notbefore:2009-06-01;"),
        (true, "tls_cert_notbefore:2009-05<>2009-07;"),
        (false, "tls_cert_notbefore:2009-06-01T00:00:01<>2010;"),
        (true, "tls_cert_notafter:>2019;"),
        (false, "tls_cert_notafter:<2019-06-01T00;"),
    ];
    let lasting = [(true, "tls_cert_valid;"), (false, "tls_cert_expired;")];
    let over = [(false, "tls_cert_valid;"), (true, "tls_cert_expired;")];
    check_at(
        at(2015),
        "tls",
        443,
        &said,
        &[&always[..], &lasting].concat(),
    );
    check_at(at(2020), "tls", 443, &said, &[&always[..], &over].concat());
}

#[test]
fn versions_of_ssh() {
    let said: [Said<'_>; 2] = [(true, b"SSH-1.99-a\r\n"), (false, b"SSH-2.0-b\r\n")];
    check(
        "ssh",
        22,
        &said,
        &[
            (true, "ssh.protoversion:2_compat;"),
            (true, "ssh.protoversion:1.99; flow:to_server;"),
            (false, "ssh.protoversion:1.9;"),
            (false, "ssh_protoversion:2.0; flow:to_server;"),
            (true, "ssh_protoversion:2.0; flow:to_client;"),
        ],
    );
}

#[test]
fn names_and_events_of_rfb() {
    let init = [&[0; 20][..], &[0, 0, 0, 4], b"desk"].concat();
    let said: [Said<'_>; 6] = [
        (false, b"RFB 003.008\n"),
        (true, b"RFB 003.008\n"),
        (false, &[1, 1]),
        (true, &[1]),
        (false, &[0, 0, 0, 0]),
        (true, &[1]),
    ];
    let whole = [&said[..], &[(false, &init)]].concat();
    let options = |named| {
        [
            (named, "rfb.name; content:\"desk\"; bsize:4;"),
            (false, "rfb.name; content:\"disk\";"),
            (true, "rfb.secresult:ok;"),
            (false, "app-layer-event:rfb.malformed_message;"),
            (false, "app-layer-event:rfb.unimplemented_security_type;"),
        ]
    };
    check("rfb", 5900, &whole, &options(true));
    check("rfb", 5900, &said, &options(false));
    let unknown: [Said<'_>; 4] = [
        (false, b"RFB 003.008\n"),
        (true, b"RFB 003.008\n"),
        (false, &[1, 30]),
        (true, &[30]),
    ];
    check(
        "rfb",
        5900,
        &unknown,
        &[
            (true, "app-layer-event:rfb.unimplemented_security_type;"),
            (false, "rfb.sectype:2;"),
            (true, "rfb.sectype:30;"),
        ],
    );
}

fn http2_frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[test]
fn frames_of_http2() {
    // A change of the table's size to 10, then `:method: GET` and `x: y`.
    let fields = b"\x2a\x82\x00\x01x\x01y";
    let headers = [&[0, 0, 0, 0, 99][..], fields].concat();
    let client = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        http2_frame(4, 0, 0, &[0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0x20, 0]),
        http2_frame(8, 0, 0, &[0, 0, 1, 0]),
        http2_frame(1, 0x25, 1, &headers),
    ]
    .concat();
    check(
        "http2",
        80,
        &[(true, &client)],
        &[
            (true, "http2.frametype:SETTINGS;"),
            (true, "http2.frametype:HEADERS;"),
            (false, "http2.frametype:GOAWAY;"),
            (true, "http2.priority:99;"),
            (false, "http2.priority:<99;"),
            (true, "http2.window:256;"),
            (false, "http2.window:>256;"),
            (true, "http2.size_update:10;"),
            (false, "http2.size_update:>10;"),
            (true, "http2.settings:SETTINGS_ENABLE_PUSH=0;"),
            (false, "http2.settings:SETTINGS_ENABLE_PUSH=1;"),
            (true, "http2.settings:SETTINGS_HEADER_TABLE_SIZE>4096;"),
            (false, "http2.settings:SETTINGS_HEADER_TABLE_SIZE>8192;"),
            (false, "http2.settings:SETTINGS_MAX_FRAME_SIZE;"),
            (true, "http2.header_name; content:\"x\"; bsize:1;"),
            (false, "http2.header_name; content:\"y\";"),
        ],
    );
}

#[test]
fn encryption_of_tickets() {
    fn element(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let content = parts.concat();
        [
            &[tag, u8::try_from(content.len()).unwrap()],
            content.as_slice(),
        ]
        .concat()
    }
    let number = |value: u8| vec![2, 1, value];
    let sealed = |cipher| element(0x30, &[element(0xa0, &[number(cipher)])]);
    let ticket = element(0x61, &[element(0x30, &[element(0xa3, &[sealed(23)])])]);
    let reply = element(
        0x6b,
        &[element(
            0x30,
            &[
                element(0xa0, &[number(5)]),
                element(0xa1, &[number(11)]),
                element(0xa5, &[ticket]),
                element(0xa6, &[sealed(18)]),
            ],
        )],
    );
    let options = [
        (true, "krb5.ticket_encryption:weak;"),
        (false, "krb5.ticket_encryption:!weak;"),
        (true, "krb5.ticket_encryption:des-cbc-crc,rc4-hmac;"),
        (false, "krb5.ticket_encryption:18;"),
        (false, "app-layer-event:krb5.weak_encryption;"),
    ];
    let texts = options.map(|(_, text)| text);
    let mut pipeline = Pipeline::with_rules(&rules("krb5", &texts), InspectorLimits::default());
    let ends = ends(2, 3, (40_000, 88));
    pipeline.packet(&ip(ends.server, ends.client, 17, &udp(88, 40_000, &reply)));
    pipeline.finish();
    assert_raised(&pipeline, &options);
}

#[test]
fn fingerprints_of_old_quic() {
    let mut hello = vec![0x0d];
    hello.extend_from_slice(&[7; 8]);
    hello.extend_from_slice(b"Q043\x01");
    hello.extend_from_slice(&[0; 12]);
    hello.extend_from_slice(b"\xa0\x01\0\0\0\0CHLO\x02\0\0\0PAD\0\x01\0\0\0SNI\0\x05\0\0\0-name");
    let options = [
        (true, "quic.cyu.string; content:\"43,PAD-SNI\"; bsize:10;"),
        (false, "quic.cyu.string; content:\"46\";"),
        // md5sum of the text above.
        (
            true,
            "quic.cyu.hash; content:\"6baef2367e406e945372cc592dc9eb4e\"; bsize:32;",
        ),
        (true, "quic.sni; content:\"name\"; bsize:4;"),
    ];
    let texts = options.map(|(_, text)| text);
    let mut pipeline = Pipeline::with_rules(&rules("quic", &texts), InspectorLimits::default());
    let ends = ends(2, 3, (40_000, 443));
    pipeline.packet(&ip(ends.client, ends.server, 17, &udp(40_000, 443, &hello)));
    pipeline.finish();
    assert_raised(&pipeline, &options);
}

#[test]
fn names_in_multicast_dns() {
    let name = b"\x07printer\x05local\0";
    let question = [
        &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
        name,
        &[0, 12, 0, 1],
    ]
    .concat();
    let target = b"\x02tv\xc0\x14";
    let answer = [
        &[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 1][..],
        name,
        &[0, 12, 0, 1, 0, 0, 0, 9, 0, 5],
        target,
        b"\x05other\xc0\x14",
        &[0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4],
    ]
    .concat();
    let options = [
        (
            true,
            "mdns.queries.rrname; content:\"printer.local\"; bsize:13;",
        ),
        (false, "mdns.queries.rrname; content:\"other\";"),
        (true, "mdns.answers.rrname; content:\"printer.local\";"),
        (true, "mdns.additionals.rrname; content:\"other.local\";"),
        (false, "mdns.authorities.rrname; content:\"local\";"),
        (true, "mdns.response.rrname; content:\"tv.local\"; bsize:8;"),
        (false, "dns.query; content:\"printer\";"),
        (false, "app-layer-event:mdns.not_a_request;"),
        (true, "app-layer-protocol:mdns;"),
        (false, "app-layer-protocol:dns;"),
    ];
    let texts = options.map(|(_, text)| text);
    let mut pipeline = Pipeline::with_rules(&rules("udp", &texts), InspectorLimits::default());
    let ends = ends(2, 3, (5_353, 5_353));
    for message in [question, answer] {
        // Both are sent to the group.
        pipeline.packet(&ip(
            ends.client,
            ends.server,
            17,
            &udp(5_353, 5_353, &message),
        ));
    }
    pipeline.finish();
    assert_raised(&pipeline, &options);
}

#[test]
fn entropy_of_a_buffer() {
    check(
        "http",
        80,
        &[(
            true,
            b"POST /aaaaaaaa HTTP/1.1\r\nContent-Length: 8\r\n\r\nabcdefgh",
        )],
        &[
            (true, "http.request_body; entropy:value = 3;"),
            (
                true,
                "http.request_body; entropy:bytes 4, offset 2, value >=2.0;",
            ),
            (false, "http.request_body; entropy:value >3;"),
            (true, "http.uri; entropy:offset 1, value 0;"),
            (false, "http.uri; entropy:value 0;"),
        ],
    );
}

#[test]
fn ranges_that_make_no_sense() {
    let asked: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = |range: &str| {
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: {range}\r\nContent-Length: 1\r\n\r\na"
        )
    };
    for (range, wrong) in [("bytes 5-3/10", true), ("bytes 0-0/10", false)] {
        let answer = answer(range);
        let said: [Said<'_>; 2] = [(true, asked), (false, answer.as_bytes())];
        check(
            "http",
            80,
            &said,
            &[(wrong, "app-layer-event:http.range_invalid;")],
        );
    }
}

#[test]
fn security_models_of_snmp() {
    let message = |model: u8| {
        let global = [0x30, 13, 2, 1, 1, 2, 2, 5, 0xdc, 4, 1, 0, 2, 1, model];
        let security = [
            4, 16, 0x30, 14, 4, 1, b'e', 2, 1, 0, 2, 1, 0, 4, 1, b'u', 4, 0,
        ];
        let rest = [&[2, 1, 3][..], &global, &security, &[4, 1, 0]].concat();
        [&[0x30, u8::try_from(rest.len()).unwrap()], rest.as_slice()].concat()
    };
    for (model, unknown) in [(3, false), (2, true)] {
        let options = [
            (unknown, "app-layer-event:snmp.unknown_security_model;"),
            (true, "snmp.usm; content:\"u\"; bsize:1;"),
        ];
        let texts = options.map(|(_, text)| text);
        let mut pipeline = Pipeline::with_rules(&rules("snmp", &texts), InspectorLimits::default());
        let ends = ends(2, 3, (40_000, 161));
        let datagram = udp(40_000, 161, &message(model));
        pipeline.packet(&ip(ends.client, ends.server, 17, &datagram));
        pipeline.finish();
        assert_raised(&pipeline, &options);
    }
}
