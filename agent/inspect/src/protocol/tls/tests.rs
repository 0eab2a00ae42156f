//! Handshakes built by hand.

use proptest::prelude::*;

use super::*;
use crate::protocol::{Buffer, Field, Limits};

const C: Direction = Direction::ToServer;
const S: Direction = Direction::ToClient;

fn sized(width: usize, content: &[u8]) -> Vec<u8> {
    let mut bytes = content.len().to_be_bytes()[size_of::<usize>() - width..].to_vec();
    bytes.extend_from_slice(content);
    bytes
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], sized(2, content).as_slice()].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], sized(3, body).as_slice()].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().as_slice(), &sized(2, data)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    let entry = [&[0], sized(2, name).as_slice()].concat();
    extension(0, &sized(2, &entry))
}

fn client_hello(extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(0..32);
    body.extend(sized(1, &[]));
    body.extend(sized(2, &[0x1a, 0x1a, 0x13, 0x01, 0xc0, 0x2f]));
    body.extend(sized(1, &[0]));
    body.extend(sized(2, &extensions.concat()));
    message(1, &body)
}

fn usual_hello() -> Vec<u8> {
    let alpn = [sized(1, b"h2"), sized(1, b"http/1.1")].concat();
    client_hello(&[
        extension(0x2a2a, &[]),
        server_name(b"example.org"),
        extension(16, &sized(2, &alpn)),
        extension(10, &sized(2, &[0x3a, 0x3a, 0, 29])),
        extension(11, &sized(1, &[0])),
        extension(13, &sized(2, &[4, 3])),
        extension(43, &sized(1, &[0x1a, 0x1a, 3, 4, 3, 3])),
    ])
}

fn server_hello(random: u8) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([random; 32]);
    body.extend(sized(1, &[]));
    body.extend([0xc0, 0x2f, 0]);
    body.extend(sized(2, &extension(16, &sized(2, &sized(1, b"h2")))));
    message(2, &body)
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = if content.len() < 0x80 {
        sized(1, content)
    } else {
        [&[0x82], sized(2, content).as_slice()].concat()
    };
    [&[tag], length.as_slice()].concat()
}

fn attribute(identifier: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    let pair = [der(0x06, identifier), der(tag, value)].concat();
    der(0x31, &der(0x30, &pair))
}

fn certificate() -> Vec<u8> {
    let issuer = [
        attribute(&[0x55, 4, 6], 0x13, b"FR"),
        attribute(&[0x55, 4, 10], 0x0c, b"Test\0Org"),
        attribute(&[0x2a, 3, 4], 0x0c, b"x"),
    ]
    .concat();
    let subject = attribute(&[0x55, 4, 3], 0x1e, b"\0a\0b");
    let names = [
        der(0x82, b"a.example.org"),
        der(0x82, b"b.example.org"),
        der(0x87, &[192, 0, 2, 1]),
    ]
    .concat();
    let alternatives = [
        der(0x06, &[0x55, 0x1d, 0x11]),
        der(0x04, &der(0x30, &names)),
    ]
    .concat();
    let fields = [
        der(0xa0, &der(0x02, &[2])),
        der(0x02, &[0x0a, 0xbc]),
        der(0x30, &[]),
        der(0x30, &issuer),
        der(0x30, &[]),
        der(0x30, &subject),
        der(0x30, &[]),
        der(0xa3, &der(0x30, &der(0x30, &alternatives))),
    ]
    .concat();
    der(0x30, &der(0x30, &fields))
}

fn chain(certificates: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = certificates.iter().flat_map(|der| sized(3, der)).collect();
    message(11, &sized(3, &list))
}

fn exchange() -> Vec<(Direction, Vec<u8>)> {
    let flight = [
        server_hello(9),
        chain(&[&certificate(), b"second"]),
        message(14, &[]),
    ]
    .concat();
    // A message may be cut anywhere into records.
    let (first, second) = flight.split_at(100);
    vec![
        (C, record(22, &usual_hello())),
        (S, [record(22, first), record(22, second)].concat()),
        (
            C,
            [record(22, &message(16, &[1; 8])), record(20, &[1])].concat(),
        ),
        (C, record(22, &[0xff; 40])),
        (S, [record(20, &[1]), record(22, &[0xfe; 40])].concat()),
        (C, record(23, &[0xaa; 300])),
    ]
}

fn run(pieces: &[(Direction, Vec<u8>)]) -> (Transactions, Status) {
    let mut out = Transactions::new(Limits::default());
    let mut tls = Tls::new();
    let mut last = Status::Ok;
    for (direction, piece) in pieces {
        last = tls.data(*direction, piece, &mut out);
    }
    (out, last)
}

fn texts(transaction: &Transaction, buffer: Buffer) -> Vec<String> {
    transaction
        .instances()
        .iter()
        .filter(|instance| instance.buffer == buffer)
        .map(|instance| String::from_utf8_lossy(transaction.bytes(instance)).into_owned())
        .collect()
}

fn describe(out: &mut Transactions) -> String {
    out.iter_mut()
        .map(|transaction| {
            let pieces: Vec<_> = transaction
                .instances()
                .iter()
                .map(|instance| {
                    (
                        instance.direction,
                        instance.buffer,
                        transaction.bytes(instance),
                    )
                })
                .collect();
            format!(
                "{pieces:?} {:?} {:?} {:?}",
                transaction.numbers(),
                transaction.events(),
                [transaction.stage(C), transaction.stage(S)]
            )
        })
        .collect()
}

#[test]
fn a_handshake_is_one_transaction() {
    let (mut out, status) = run(&exchange());
    assert_eq!(status, Status::Ok);
    assert_eq!(out.len(), 1);
    let transaction = out.last().unwrap();
    let text = |buffer| texts(transaction, buffer);
    assert_eq!(text(Buffer::TlsSni), ["example.org"]);
    assert_eq!(text(Buffer::TlsAlpn), ["h2", "http/1.1", "h2"]);
    assert_eq!(
        text(Buffer::Ja3String),
        ["771,4865-49199,0-16-10-11-13-43,29,0"]
    );
    assert_eq!(text(Buffer::Ja3sString), ["771,49199,16"]);
    assert!(text(Buffer::Ja4Hash).concat().starts_with("t13d0206h2_"));
    assert_eq!(text(Buffer::TlsCerts).len(), 2);
    assert_eq!(text(Buffer::TlsCertSerial), ["0A:BC"]);
    assert_eq!(
        text(Buffer::TlsCertIssuer),
        ["C=FR, O=Test\0Org, 1.2.3.4=x"]
    );
    assert_eq!(text(Buffer::TlsCertSubject), ["CN=ab"]);
    assert_eq!(
        text(Buffer::TlsSubjectAltName),
        ["a.example.org", "b.example.org", "192.0.2.1"]
    );
    assert_eq!(text(Buffer::TlsCertFingerprint).concat().len(), 59);
    assert_eq!(
        transaction.numbers(),
        [
            (C, Field::TlsState, 1),
            (C, Field::TlsVersion, 0x0304),
            (S, Field::TlsState, 2),
            (S, Field::TlsVersion, 0x0303),
            (S, Field::TlsCertChainLength, 2),
            (C, Field::TlsState, 3),
        ]
    );
    assert!(
        transaction.events().is_empty(),
        "{:?}",
        transaction.events()
    );
    assert_eq!(transaction.stage(C), Stage::Complete);
}

#[test]
fn the_head_is_known_when_the_hello_is() {
    let (mut out, _) = run(&[(C, record(22, &usual_hello()))]);
    let transaction = out.last().unwrap();
    assert_eq!(transaction.stage(C), Stage::Headers);
    assert_eq!(transaction.stage(S), Stage::Begun);
}

#[test]
fn pieces_of_a_byte_equal_the_whole() {
    let (mut whole, _) = run(&exchange());
    let bytes: Vec<_> = exchange()
        .into_iter()
        .flat_map(|(direction, data)| {
            data.into_iter()
                .map(move |byte| (direction, vec![byte]))
                .collect::<Vec<_>>()
        })
        .collect();
    let (mut cut, _) = run(&bytes);
    assert_eq!(describe(&mut whole), describe(&mut cut));
}

#[test]
fn a_hello_that_is_asked_for_again_is_told_once() {
    let mut retry = server_hello(0);
    retry.splice(
        6..38,
        [
            0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65,
            0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2,
            0xc8, 0xa8, 0x33, 0x9c,
        ],
    );
    let (mut out, _) = run(&[
        (C, record(22, &usual_hello())),
        (S, [record(22, &retry), record(20, &[1])].concat()),
        (C, [record(20, &[1]), record(22, &usual_hello())].concat()),
        (S, record(22, &server_hello(7))),
    ]);
    let transaction = out.last().unwrap();
    assert_eq!(texts(transaction, Buffer::TlsSni).len(), 1);
    assert_eq!(texts(transaction, Buffer::Ja3Hash).len(), 1);
    assert_eq!(texts(transaction, Buffer::Ja3sHash).len(), 1);
    assert!(transaction.events().is_empty());
}

#[test]
fn what_is_wrong_is_an_event() {
    let hello = |extensions: &[Vec<u8>]| vec![(C, record(22, &client_hello(extensions)))];
    let heartbeat = |direction, claimed: u16, length: usize| {
        let mut body = vec![1];
        body.extend(claimed.to_be_bytes());
        body.resize(length, 0);
        (direction, record(24, &body))
    };
    let truncated = certificate()[..60].to_vec();
    let ccs = |direction| (direction, record(20, &[1]));
    for (pieces, event) in [
        (
            hello(&[server_name(b"a"), server_name(b"b")]),
            "tls.multiple_sni_extensions",
        ),
        (
            hello(&[extension(0, &[0, 4, 1, 0, 1, b'a'])]),
            "tls.invalid_sni_type",
        ),
        (
            hello(&[extension(0, &[0, 4, 0, 0, 9, b'a'])]),
            "tls.invalid_sni_length",
        ),
        (
            vec![(C, record(22, &message(1, &[3, 3, 1])))],
            "tls.handshake_invalid_length",
        ),
        (
            vec![(C, record(22, &message(99, &[])))],
            "tls.invalid_handshake_message",
        ),
        (
            vec![(C, vec![22, 9, 9, 0, 1])],
            "tls.invalid_record_version",
        ),
        (vec![(C, vec![99, 3, 3, 0, 1])], "tls.invalid_record_type"),
        (vec![(C, vec![22, 3, 3, 99, 1])], "tls.invalid_tls_header"),
        (vec![(C, vec![0x80, 2, 9, 9])], "tls.invalid_sslv2_header"),
        (
            vec![(C, vec![0x80, 3, 0, 0, 1])],
            "tls.error_message_encountered",
        ),
        (
            vec![(S, record(22, &chain(&[&truncated])))],
            "tls.certificate_invalid_length",
        ),
        (
            vec![(S, record(22, &chain(&[&der(0x30, &[0x30, 9, 4])])))],
            "tls.invalid_certificate",
        ),
        (
            vec![(S, record(22, &chain(&[&der(0x30, &[])])))],
            "tls.certificate_missing_element",
        ),
        (
            vec![(S, record(22, &chain(&[&der(0x31, &[])])))],
            "tls.certificate_unknown_element",
        ),
        (
            vec![heartbeat(C, 0x4000, 3)],
            "tls.overflow_heartbeat_message",
        ),
        (vec![heartbeat(C, 4, 8)], "tls.invalid_heartbeat_message"),
        (
            vec![heartbeat(C, 4, 30), heartbeat(C, 4, 30)],
            "tls.heartbeat_message",
        ),
        (
            vec![ccs(C), ccs(S), heartbeat(C, 4, 30), heartbeat(S, 4, 300)],
            "tls.dataleak_heartbeat_mismatch",
        ),
    ] {
        let (mut out, _) = run(&pieces);
        let raised = out.last().unwrap();
        assert!(raised.has_event(event), "{event}: {:?}", raised.events());
        assert!(EVENTS.contains(&event));
    }
}

#[test]
fn a_late_event_has_a_transaction_of_its_own() {
    let mut out = Transactions::new(Limits::default());
    let mut tls = Tls::new();
    for (direction, piece) in exchange() {
        tls.data(direction, &piece, &mut out);
    }
    out.retire();
    assert!(out.is_empty());
    for _ in 0..3 {
        tls.data(C, &[99, 3, 3, 0, 0], &mut out);
    }
    assert!(out.get(1).unwrap().has_event("tls.invalid_record_type"));
    assert_eq!(out.len(), 2, "one for each event, once");
}

#[test]
fn old_clients_offer_tls_in_a_hello_of_ssl_2() {
    let hello = [
        &[0x80, 28, 1, 3, 1, 0, 3, 0, 0, 0, 16, 0, 0, 0x2f][..],
        &[7; 16],
    ]
    .concat();
    assert_eq!(probe(C, &hello), Probe::Yes);
    let (mut out, _) = run(&[(C, hello), (S, record(22, &server_hello(3)))]);
    let transaction = out.last().unwrap();
    assert_eq!(
        transaction.numbers().first(),
        Some(&(C, Field::TlsVersion, 0x0301))
    );
    assert_eq!(texts(transaction, Buffer::Ja3sHash).len(), 1);
    assert!(transaction.events().is_empty());
}

#[test]
fn a_gap_in_what_is_skipped_costs_nothing() {
    let mut out = Transactions::new(Limits::default());
    let mut tls = Tls::new();
    let data = record(23, &[0xaa; 300]);
    tls.data(C, &data[..100], &mut out);
    tls.gap(C, 100, &mut out);
    tls.data(C, &data[200..], &mut out);
    assert_eq!(tls.data(C, &[99, 3, 3, 0, 0], &mut out), Status::Failed);

    let mut tls = Tls::new();
    let hello = record(22, &usual_hello());
    tls.data(C, &hello[..20], &mut out);
    tls.gap(C, 10, &mut out);
    assert_eq!(tls.data(C, &[99; 50], &mut out), Status::Ok);
}

#[test]
fn probing_tells_tls_from_noise() {
    let hello = record(22, &usual_hello());
    assert_eq!(probe(C, &hello), Probe::Yes);
    for length in 0..6 {
        let expected = if length < 6 {
            Probe::NeedMore
        } else {
            Probe::Yes
        };
        assert_eq!(probe(C, &hello[..length]), expected, "{length}");
    }
    assert_eq!(probe(S, &record(22, &server_hello(1))), Probe::Yes);
    assert_eq!(probe(S, &record(21, &[2, 40])), Probe::Yes);
    assert_eq!(probe(C, b"GET / HTTP/1.1"), Probe::No);
    assert_eq!(probe(C, &[22, 3, 3, 0, 9, 99]), Probe::No);
    assert_eq!(probe(C, &[0xff; 20]), Probe::No);
}

#[test]
fn what_is_held_is_bounded() {
    let mut out = Transactions::new(Limits {
        partial: 1_000,
        ..Limits::default()
    });
    let mut tls = Tls::new();
    tls.data(S, &record(22, &[11, 0xff, 0xff, 0xff]), &mut out);
    for _ in 0..100 {
        tls.data(S, &record(22, &[0; 1_000]), &mut out);
    }
    assert_eq!(out.counters.partial_exceeded, 1);
    assert!(tls.footprint() < 4_096);
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(C), Just(S)]
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(
        pieces in prop::collection::vec(
            (direction(), prop::collection::vec(any::<u8>(), 0..80)), 0..8),
    ) {
        for (direction, piece) in &pieces {
            let _ = probe(*direction, piece);
        }
        run(&pieces);
    }

    #[test]
    fn arbitrary_messages_do_not_panic(
        messages in prop::collection::vec(
            (direction(), prop_oneof![Just(1_u8), Just(2), Just(11)],
             prop::collection::vec(any::<u8>(), 0..200)), 0..6),
    ) {
        let pieces: Vec<_> = messages
            .iter()
            .map(|(direction, kind, body)| (*direction, record(22, &message(*kind, body))))
            .collect();
        run(&pieces);
    }

    #[test]
    fn mutated_certificates_do_not_panic(at in 0_usize..200, value in any::<u8>()) {
        let mut bytes = certificate();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        run(&[(S, record(22, &chain(&[&bytes])))]);
    }

    #[test]
    fn any_segmentation_equals_the_whole(cuts in prop::collection::vec(1_usize..60, 1..12)) {
        let (mut whole, _) = run(&exchange());
        let mut cuts = cuts.iter().cycle();
        let mut pieces = Vec::new();
        for (direction, data) in exchange() {
            let mut rest = data.as_slice();
            while !rest.is_empty() {
                let length = cuts.next().copied().unwrap_or(1).min(rest.len());
                let (piece, tail) = rest.split_at(length);
                pieces.push((direction, piece.to_vec()));
                rest = tail;
            }
        }
        let (mut cut, _) = run(&pieces);
        prop_assert_eq!(describe(&mut whole), describe(&mut cut));
    }
}
