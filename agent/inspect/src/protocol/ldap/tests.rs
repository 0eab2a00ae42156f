use proptest::prelude::*;

use super::*;
use crate::protocol::Limits;

use Direction::{ToClient, ToServer};

#[test]
fn responses_belong_to_their_request() {
    let search = [0x30, 5, 2, 1, 7, 0x63, 0];
    let entry = [0x30, 5, 2, 1, 7, 0x64, 0];
    let done = [0x30, 8, 2, 1, 7, 0x65, 3, 10, 1, 0];
    let mut ldap = Ldap::new();
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
            (ToClient, Field::LdapResponsesOperation, 5),
            (ToClient, Field::LdapResponsesCount, 2),
        ]
    );
    out.retire();
    assert!(out.is_empty());
    ldap.data(ToClient, &entry, &mut out);
    assert!(out.last().unwrap().has_event("ldap.request_not_found"));
}

#[test]
fn what_waits_is_bounded_and_counted() {
    let mut ldap = Ldap::new();
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
    let mut ldap = Ldap::new();
    let mut out = Transactions::new(Limits::default());
    ldap.data(ToServer, &request, &mut out);
    let status = ldap.data(ToClient, &[0x30, 8, 2, 1, 1, 0x78, 3, 10, 1, 0], &mut out);
    assert_eq!(status, Status::Change(Some(AppProtocol::Tls)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut ldap = Ldap::new();
        let mut out = Transactions::new(Limits::default());
        let framed = [&[0x30, 0x82, 0, 64, 2, 1, 1][..], &data].concat();
        for direction in [ToServer, ToClient] {
            let _ = probe(direction, &data);
            ldap.data(direction, &framed, &mut out);
            ldap.data(direction, &data, &mut out);
        }
    }
}
