use proptest::prelude::*;

use super::*;
use crate::protocol::Limits;

use Direction::{ToClient, ToServer};

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u8::try_from(content.len()).unwrap();
    [&[tag, length], content.as_slice()].concat()
}

fn name(parts: &[&[u8]]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = parts.iter().map(|it| element(0x1b, &[it])).collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let list = element(field(1), &[&element(SEQUENCE, &parts)]);
    element(SEQUENCE, &[&element(field(0), &[&[2, 1, 1]]), &list])
}

fn request() -> Vec<u8> {
    let client = element(field(1), &[&name(&[b"me"])]);
    let server = element(field(3), &[&name(&[b"host", b"x"])]);
    let body = element(field(4), &[&element(SEQUENCE, &[&client, &server])]);
    element(0x60 | AS_REQ, &[&element(SEQUENCE, &[&body])])
}

#[test]
fn names_are_found() {
    let mut framed = vec![0, 0, 0, u8::try_from(request().len()).unwrap()];
    framed.extend(request());
    assert_eq!(probe(ToServer, &framed), Probe::Yes);
    assert_eq!(probe(ToServer, &request()), Probe::Yes);
    let mut out = Transactions::new(Limits::default());
    let mut stream = Krb5::tcp();
    for byte in &framed {
        stream.data(ToServer, &[*byte], &mut out);
    }
    Krb5::udp().data(ToServer, &request(), &mut out);
    assert_eq!(out.len(), 2);
    for transaction in out.iter_mut() {
        let pieces = transaction.instances().iter();
        let pieces: Vec<_> = pieces
            .map(|it| (it.buffer, transaction.bytes(it)))
            .collect();
        assert_eq!(
            pieces,
            [
                (Buffer::Krb5Cname, &b"me"[..]),
                (Buffer::Krb5Sname, b"host"),
                (Buffer::Krb5Sname, b"x")
            ]
        );
        assert_eq!(
            transaction.numbers(),
            [(ToServer, Field::Krb5MessageType, 10)]
        );
        assert!(transaction.events().is_empty());
    }
}

#[test]
fn errors_and_weak_encryption_are_told() {
    let code = element(field(6), &[&[2, 1, 25]]);
    let error = element(0x60 | ERROR, &[&element(SEQUENCE, &[&code])]);
    let kind = element(field(0), &[&[2, 1, 23]]);
    let sealed = element(field(6), &[&element(SEQUENCE, &[&kind])]);
    let reply = element(0x60 | AS_REP, &[&element(SEQUENCE, &[&sealed])]);
    let mut out = Transactions::new(Limits::default());
    let mut udp = Krb5::udp();
    udp.data(ToClient, &error, &mut out);
    let numbers = out.last().unwrap().numbers();
    assert!(numbers.contains(&(ToClient, Field::Krb5ErrorCode, 25)));
    udp.data(ToClient, &reply, &mut out);
    assert!(out.last().unwrap().has_event("krb5.weak_encryption"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..64), tag in 10_u8..31) {
        let mut out = Transactions::new(Limits::default());
        let framed = [&[0, 0, 0, 60, 0x60 | tag, 0x40, SEQUENCE, 0x40][..], &data].concat();
        for bytes in [&data, &framed] {
            let _ = probe(ToServer, bytes);
            Krb5::udp().data(ToServer, bytes, &mut out);
            Krb5::tcp().data(ToClient, bytes, &mut out);
        }
    }
}
