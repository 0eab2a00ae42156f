use proptest::prelude::*;

use super::*;
use crate::protocol::{Buffer, Limits};

const INVITE: &[u8] =
    b"INVITE sip:b@example.org SIP/2.0\r\nv: SIP/2.0/UDP h\r\nFROM: <a>\r\nt: <b>\r\n\
To: <c>,\r\n <d>\r\nc: application/sdp\r\nl: 24\r\n\r\nv=0\r\ns=x\r\nm=audio\r\ni=y\r\n";
const OK: &[u8] = b"SIP/2.0 200 OK then\r\nUser-Agent: u\r\nContent-Length: 0\r\n\r\n";

fn pushed(out: &mut Transactions) -> Vec<(u64, Buffer, Vec<u8>)> {
    out.iter_mut()
        .flat_map(|transaction| {
            let pieces = transaction.instances().iter();
            pieces
                .map(|piece| {
                    (
                        transaction.id,
                        piece.buffer,
                        transaction.bytes(piece).to_vec(),
                    )
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn values(out: &mut Transactions, buffer: Buffer) -> Vec<Vec<u8>> {
    let all = pushed(out).into_iter();
    all.filter(|(_, other, _)| *other == buffer)
        .map(|(_, _, value)| value)
        .collect()
}

#[test]
fn a_datagram_is_a_message() {
    let mut sip = Sip::udp();
    let mut out = Transactions::new(Limits::default());
    sip.data(Direction::ToServer, INVITE, &mut out);
    sip.data(Direction::ToClient, OK, &mut out);
    assert_eq!(out.len(), 2);
    assert_eq!(values(&mut out, Buffer::SipMethod), [b"INVITE"]);
    assert_eq!(values(&mut out, Buffer::SipTo), [&b"<b>"[..], b"<c>, <d>"]);
    assert_eq!(values(&mut out, Buffer::SipFrom), [b"<a>"]);
    assert_eq!(values(&mut out, Buffer::SdpSessionName), [b"x"]);
    assert_eq!(values(&mut out, Buffer::SdpMediaInfo), [b"y"]);
    assert_eq!(values(&mut out, Buffer::SipStatMsg), [b"OK then"]);
    out.retire();
    assert!(out.is_empty());
}

#[test]
fn streams_are_framed_by_content_length() {
    let both = [INVITE, b"\r\n\r\n", INVITE].concat();
    let mut whole = Transactions::new(Limits::default());
    Sip::tcp().data(Direction::ToServer, &both, &mut whole);
    assert_eq!(whole.len(), 2);
    let mut single = Transactions::new(Limits::default());
    let mut sip = Sip::tcp();
    for byte in both.chunks(1) {
        sip.data(Direction::ToServer, byte, &mut single);
    }
    assert_eq!(pushed(&mut whole), pushed(&mut single));
}

#[test]
fn what_is_no_message_raises_an_event() {
    let mut out = Transactions::new(Limits::default());
    Sip::udp().data(Direction::ToServer, b"nonsense\r\n\r\n", &mut out);
    assert!(out.last().unwrap().has_event(INVALID));
}

#[test]
fn a_head_without_end_is_given_up() {
    let mut out = Transactions::new(Limits {
        partial: 64,
        ..Limits::default()
    });
    let mut sip = Sip::tcp();
    let status = sip.data(Direction::ToServer, &[b'a'; 100], &mut out);
    assert_eq!(status, Status::Failed);
    assert_eq!(out.counters.partial_exceeded, 1);
}

#[test]
fn flows_are_known_by_their_first_word() {
    assert_eq!(probe(Direction::ToServer, b"INVITE sip:"), Probe::Yes);
    assert_eq!(probe(Direction::ToClient, b"SIP/2.0 "), Probe::Yes);
    assert_eq!(probe(Direction::ToServer, b"INV"), Probe::NeedMore);
    assert_eq!(probe(Direction::ToServer, b"GET / "), Probe::No);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..256), stream: bool) {
        let mut sip = if stream { Sip::tcp() } else { Sip::udp() };
        let mut out = Transactions::new(Limits { partial: 64, ..Limits::default() });
        sip.data(Direction::ToServer, &data, &mut out);
        sip.data(Direction::ToClient, &data, &mut out);
        sip.gap(Direction::ToServer, 3, &mut out);
        sip.end(Direction::ToClient, &mut out);
    }
}
