//! Messages built by hand.

use proptest::prelude::*;

use super::*;
use crate::protocol::Buffer;
use crate::protocol::{Limits, Transaction};

fn question(name: &[&str], rrtype: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&rrtype.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes
}

fn message(flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    bytes.extend_from_slice(&flags.to_be_bytes());
    for count in counts {
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    bytes.extend_from_slice(body);
    bytes
}

fn request() -> Vec<u8> {
    message(
        0x0100,
        [1, 0, 0, 0],
        &question(&["www", "Example", "org"], 28),
    )
}

/// `www.Example.org` is an alias of `cdn.Example.org`.
fn response() -> Vec<u8> {
    let mut body = question(&["www", "Example", "org"], 28);
    body.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 6]);
    body.extend_from_slice(b"\x03cdn\xc0\x10");
    message(0x8183, [1, 1, 0, 0], &body)
}

fn udp(messages: &[(Direction, &[u8])]) -> Transactions {
    let mut out = Transactions::new(Limits::default());
    let mut dns = Dns::udp();
    for (direction, data) in messages {
        dns.data(*direction, data, &mut out);
    }
    out
}

fn names(transaction: &Transaction, buffer: Buffer) -> Vec<String> {
    transaction
        .instances()
        .iter()
        .filter(|instance| instance.buffer == buffer)
        .map(|instance| String::from_utf8_lossy(transaction.bytes(instance)).into_owned())
        .collect()
}

#[test]
fn a_request_and_its_response_are_two_transactions() {
    let mut out = udp(&[
        (Direction::ToServer, &request()),
        (Direction::ToClient, &response()),
    ]);
    assert_eq!(out.len(), 2);
    let asked = out.get(0).unwrap();
    assert_eq!(names(asked, Buffer::DnsQuery), ["www.Example.org"]);
    assert_eq!(names(asked, Buffer::DnsQueriesRrname), ["www.Example.org"]);
    assert!(
        asked
            .numbers()
            .contains(&(Direction::ToServer, Field::DnsRrtype, 28))
    );
    assert_eq!(asked.stage(Direction::ToClient), Stage::Complete);
    let answered = out.get(1).unwrap();
    assert!(names(answered, Buffer::DnsQuery).is_empty());
    assert_eq!(
        names(answered, Buffer::DnsResponse),
        ["www.Example.org", "www.Example.org", "cdn.Example.org"]
    );
    assert!(
        answered
            .numbers()
            .contains(&(Direction::ToClient, Field::DnsRcode, 3))
    );
    assert!(answered.events().is_empty());
    out.retire();
    assert!(out.is_empty());
}

#[test]
fn the_root_is_an_empty_name() {
    let mut out = udp(&[(
        Direction::ToServer,
        &message(0, [1, 0, 0, 0], &question(&[], 2)),
    )]);
    assert_eq!(names(out.last().unwrap(), Buffer::DnsQuery), [""]);
}

#[test]
fn a_flow_that_begins_with_a_response_is_the_other_way_round() {
    let mut out = udp(&[
        (Direction::ToServer, &response()),
        (Direction::ToClient, &request()),
    ]);
    let answered = out.get(0).unwrap();
    assert!(
        answered
            .first(Direction::ToClient, Buffer::DnsAnswersRrname)
            .is_some()
    );
    assert!(answered.events().is_empty());
    let asked = out.get(1).unwrap();
    assert!(asked.first(Direction::ToServer, Buffer::DnsQuery).is_some());
}

#[test]
fn what_is_wrong_is_an_event() {
    let body = question(&["a"], 1);
    let mut looped = b"\x01a\xc0\x0e".to_vec();
    looped.extend_from_slice(&[0, 1, 0, 1]);
    let mut endless = b"\x01a\xc0\x0c".to_vec();
    endless.extend_from_slice(&[0, 1, 0, 1]);
    let long = vec!["abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"; 30];
    for (second, event) in [
        (message(0x8000, [0; 4], &[]), "dns.not_a_request"),
        (message(0x0040, [1, 0, 0, 0], &body), "dns.z_flag_set"),
        (message(0x3800, [1, 0, 0, 0], &body), "dns.invalid_opcode"),
        (message(0, [2, 0, 0, 0], &body), "dns.malformed_data"),
        (message(0, [1, 0, 0, 0], &looped), "dns.infinite_loop"),
        (message(0, [1, 0, 0, 0], &endless), "dns.too_many_labels"),
        (
            message(0, [1, 0, 0, 0], &question(&long, 1)),
            "dns.name_too_long",
        ),
        (message(0, [1, 0, 1, 0], &body), "dns.invalid_authorities"),
    ] {
        let mut out = udp(&[
            (Direction::ToServer, &request()),
            (Direction::ToServer, &second),
        ]);
        let raised = out.last().unwrap();
        assert!(raised.has_event(event), "{event}: {:?}", raised.events());
        assert!(EVENTS.contains(&event));
    }
    let mut out = udp(&[
        (Direction::ToServer, &request()),
        (Direction::ToClient, &request()),
    ]);
    assert!(out.last().unwrap().has_event("dns.not_a_response"));
}

#[test]
fn pointers_may_lead_forward() {
    let mut body = vec![0xc0, 18, 0, 1, 0, 1];
    body.extend_from_slice(b"\x02fw\x03net\0");
    let mut out = udp(&[(Direction::ToServer, &message(0, [1, 0, 0, 0], &body))]);
    assert_eq!(names(out.last().unwrap(), Buffer::DnsQuery), ["fw.net"]);
}

#[test]
fn a_message_of_many_pointers_is_bounded() {
    let mut body = question(&vec!["abcdefghijklmnopqrstuvwxyzabcdefghijklmno"; 20], 1);
    for _ in 0..5_000 {
        body.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
    }
    let mut out = udp(&[(Direction::ToServer, &message(0, [5_001, 0, 0, 0], &body))]);
    let raised = out.last().unwrap();
    assert!(raised.has_event("dns.name_too_long"));
    assert!(raised.footprint() < 512 << 10);
}

#[test]
fn probing_tells_dns_from_noise() {
    let request = request();
    assert_eq!(probe(Direction::ToServer, &request), Probe::Yes);
    assert_eq!(probe(Direction::ToServer, &response()), Probe::Yes);
    assert_eq!(probe(Direction::ToServer, b"GET / HTTP/1.1\r\n"), Probe::No);
    assert_eq!(probe(Direction::ToServer, &[0x12]), Probe::No);
    let unassigned = message(0x4800, [1, 0, 0, 0], &question(&["a"], 1));
    assert_eq!(probe(Direction::ToServer, &unassigned), Probe::Yes);
    let empty = message(0x4800, [0; 4], &[]);
    assert_eq!(probe(Direction::ToServer, &empty), Probe::No);
    let framed = framed(&[&request]);
    assert_eq!(probe_tcp(Direction::ToServer, &framed), Probe::Yes);
    assert_eq!(
        probe_tcp(Direction::ToServer, framed.get(..20).unwrap()),
        Probe::Yes
    );
    assert_eq!(
        probe_tcp(Direction::ToServer, framed.get(..8).unwrap()),
        Probe::NeedMore
    );
    assert_eq!(
        probe_tcp(Direction::ToServer, b"GET / HTTP/1.1\r\n"),
        Probe::No
    );
}

fn framed(messages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(message);
    }
    bytes
}

fn tcp(pieces: &[&[u8]]) -> String {
    let mut out = Transactions::new(Limits::default());
    let mut dns = Dns::tcp();
    for piece in pieces {
        dns.data(Direction::ToServer, piece, &mut out);
    }
    out.iter_mut()
        .map(|transaction| {
            format!(
                "{:?} {:?} {:?}",
                names(transaction, Buffer::DnsQuery),
                transaction.numbers(),
                transaction.events()
            )
        })
        .collect()
}

#[test]
fn a_gap_inside_a_message_costs_that_message_only() {
    let mut out = Transactions::new(Limits::default());
    let mut dns = Dns::tcp();
    let whole = framed(&[&request(), &request()]);
    dns.data(Direction::ToServer, whole.get(..10).unwrap(), &mut out);
    dns.gap(Direction::ToServer, 5, &mut out);
    dns.data(Direction::ToServer, whole.get(15..).unwrap(), &mut out);
    assert_eq!(out.len(), 1);
    dns.gap(Direction::ToServer, 500, &mut out);
    dns.data(Direction::ToServer, b"\xff\xff\xff\xff", &mut out);
    dns.data(Direction::ToServer, b"GET / HTTP/1.1\r\n\r\n", &mut out);
    dns.data(Direction::ToServer, &framed(&[&request()]), &mut out);
}

#[test]
fn pieces_of_a_byte_equal_the_whole() {
    let whole = framed(&[&request(), &message(0x0040, [0; 4], &[]), b"", &request()]);
    let bytes: Vec<&[u8]> = whole.chunks(1).collect();
    assert_eq!(tcp(&[&whole]), tcp(&bytes));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8),
    ) {
        let mut out = Transactions::new(Limits::default());
        let mut datagrams = Dns::udp();
        let mut stream = Dns::tcp();
        for piece in &pieces {
            let _ = probe(Direction::ToServer, piece);
            datagrams.data(Direction::ToServer, piece, &mut out);
            datagrams.data(Direction::ToClient, piece, &mut out);
            stream.data(Direction::ToServer, piece, &mut out);
        }
    }

    #[test]
    fn arbitrary_bodies_do_not_panic(
        counts in prop::array::uniform4(0_u16..4),
        body in prop::collection::vec(prop_oneof![Just(0xc0_u8), 0_u8..32, any::<u8>()], 0..120),
    ) {
        let _ = Message::parse(&message(0, counts, &body));
    }
}
