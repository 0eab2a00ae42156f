use proptest::prelude::*;

use super::super::ber::OCTETS;
use super::*;
use crate::protocol::{Limits, Transaction};

use Direction::{ToClient, ToServer};

#[test]
fn responses_belong_to_their_request() {
    let search = [0x30, 5, 2, 1, 7, 0x63, 0];
    let entry = [0x30, 5, 2, 1, 7, 0x64, 0];
    let done = [0x30, 8, 2, 1, 7, 0x65, 3, 10, 1, 0];
    let mut ldap = Ldap::tcp();
    let mut out = Transactions::new(Limits::default());
    assert_eq!(probe(ToServer, &search), Probe::Yes);
    for byte in search {
        ldap.data(ToServer, &[byte], &mut out);
    }
    ldap.data(ToClient, &[&entry[..], &done].concat(), &mut out);
    assert_eq!(
        out.last().unwrap().numbers(),
        [
            (ToServer, Field::LdapRequestOperation, 3),
            (ToClient, Field::LdapResponsesOperation, 4),
            (ToClient, Field::LdapResponsesResultCode, Field::NONE),
            (ToClient, Field::LdapResponsesOperation, 5),
            (ToClient, Field::LdapResponsesResultCode, 0),
            (ToClient, Field::LdapResponsesCount, 2),
        ]
    );
    out.retire();
    assert!(out.is_empty());
    ldap.data(ToClient, &entry, &mut out);
    assert!(out.last().unwrap().has_event("ldap.request_not_found"));
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[tag, u8::try_from(content.len()).unwrap()][..], &content].concat()
}

fn texts(transaction: &Transaction, buffer: Buffer) -> Vec<&str> {
    let all = transaction.instances().iter();
    all.filter(|it| it.buffer == buffer)
        .map(|it| core::str::from_utf8(transaction.bytes(it)).unwrap())
        .collect()
}

#[test]
fn names_and_attributes_are_told() {
    let octets = |text: &str| element(OCTETS, &[text.as_bytes()]);
    let attribute = |name: &str, value: &str| {
        let values = element(0x31, &[&octets(value)]);
        element(SEQUENCE, &[&octets(name), &values])
    };
    let add = element(
        0x68,
        &[
            &octets("uid=a"),
            &element(SEQUENCE, &[&attribute("cn", "x"), &attribute("sn", "y")]),
        ],
    );
    let result = element(0x69, &[&[10, 1, 68], &octets("dc=b"), &octets("is there")]);
    let id = [INTEGER, 1, 9];
    let mut ldap = Ldap::udp();
    let mut out = Transactions::new(Limits::default());
    ldap.data(ToServer, &element(SEQUENCE, &[&id, &add]), &mut out);
    // Half a datagram is not the beginning of the next.
    ldap.data(ToClient, &[SEQUENCE, 40, 2], &mut out);
    ldap.data(ToClient, &element(SEQUENCE, &[&id, &result]), &mut out);
    let it = out.last().unwrap();
    assert_eq!(texts(it, Buffer::LdapRequestDn), ["uid=a"]);
    assert_eq!(texts(it, Buffer::LdapRequestAttributeType), ["cn", "sn"]);
    assert_eq!(texts(it, Buffer::LdapRequestAttributes), ["cn=x", "sn=y"]);
    assert_eq!(texts(it, Buffer::LdapResponsesDn), ["dc=b"]);
    assert_eq!(texts(it, Buffer::LdapResponsesMessage), ["is there"]);
    let code = (ToClient, Field::LdapResponsesResultCode, 68);
    assert!(it.numbers().contains(&code));
}

#[test]
fn a_server_may_notify_unasked() {
    let mut ldap = Ldap::tcp();
    let mut out = Transactions::new(Limits::default());
    let notice = [0x30, 12, 2, 1, 0, 0x78, 7, 10, 1, 52, 4, 0, 4, 0];
    ldap.data(ToClient, &notice, &mut out);
    let it = out.last().unwrap();
    assert!(!it.has_event("ldap.request_not_found"));
    let operation = (ToClient, Field::LdapResponsesOperation, 24);
    assert!(it.numbers().contains(&operation));
}

#[test]
fn the_last_of_many_responses_is_kept() {
    let mut ldap = Ldap::tcp();
    let mut out = Transactions::new(Limits::default());
    ldap.data(ToServer, &[0x30, 5, 2, 1, 7, 0x63, 0], &mut out);
    for _ in 0..2_000 {
        ldap.data(ToClient, &[0x30, 5, 2, 1, 7, 0x64, 0], &mut out);
    }
    ldap.data(ToClient, &[0x30, 8, 2, 1, 7, 0x65, 3, 10, 1, 0], &mut out);
    let numbers = out.last().unwrap().numbers();
    assert!(numbers.len() < 1_024);
    assert!(numbers.ends_with(&[
        (ToClient, Field::LdapResponsesOperation, 5),
        (ToClient, Field::LdapResponsesResultCode, 0),
        (ToClient, Field::LdapResponsesCount, 2_001),
    ]));
}

#[test]
fn what_waits_is_bounded_and_counted() {
    let mut ldap = Ldap::tcp();
    let mut out = Transactions::new(Limits::default());
    for id in 0..=MAX_PENDING {
        let [.., high, low] = id.to_be_bytes();
        ldap.data(ToServer, &[0x30, 6, 2, 2, high, low, 0x63, 0], &mut out);
    }
    assert_eq!(out.counters.pending_dropped, 1);
}

#[test]
fn start_tls_changes_the_protocol() {
    let mut request = vec![0x30, 29, 2, 1, 1, 0x77, 24, 0x80, 22];
    request.extend_from_slice(START_TLS);
    let mut ldap = Ldap::tcp();
    let mut out = Transactions::new(Limits::default());
    ldap.data(ToServer, &request, &mut out);
    let status = ldap.data(ToClient, &[0x30, 8, 2, 1, 1, 0x78, 3, 10, 1, 0], &mut out);
    assert_eq!(status, Status::Change(Some(AppProtocol::Tls)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut ldap = Ldap::tcp();
        let mut out = Transactions::new(Limits::default());
        let framed = [&[0x30, 0x82, 0, 64, 2, 1, 1][..], &data].concat();
        for direction in [ToServer, ToClient] {
            let _ = probe(direction, &data);
            ldap.data(direction, &framed, &mut out);
            ldap.data(direction, &data, &mut out);
        }
    }
}
