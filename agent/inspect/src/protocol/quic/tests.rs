//! Packets built and sealed by hand.

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use proptest::prelude::*;

use super::header::{VERSION_1, VERSION_2};
use super::*;
use crate::protocol::Limits;

const C: Direction = Direction::ToServer;
const S: Direction = Direction::ToClient;
const ID: &[u8] = b"12345678";

fn varint(value: usize) -> [u8; 4] {
    (0x8000_0000 | u32::try_from(value).unwrap()).to_be_bytes()
}

fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    [&[6], &varint(offset)[..], &varint(data.len()), data].concat()
}

/// An Initial packet of the keys of `id`, sent to `destination`.
fn initial(version: u32, direction: Direction, id: &[u8], to: &[u8], frames: &[u8]) -> Vec<u8> {
    let keys = Keys::initial(version, id, direction).unwrap();
    let mut payload = frames.to_vec();
    payload.resize(frames.len().max(40), 0);
    let kind = if version == VERSION_2 { 0xd1 } else { 0xc1 };
    let mut header = vec![kind];
    header.extend(version.to_be_bytes());
    header.push(u8::try_from(to.len()).unwrap());
    header.extend(to);
    header.extend([0, 0]);
    header.extend(varint(2 + payload.len() + 16));
    let number_at = header.len();
    header.extend([0, 5]);
    let mut nonce = keys.iv;
    nonce[11] ^= 5;
    let tag = Aes128Gcm::new(&keys.key.into())
        .encrypt_inout_detached(&nonce.into(), &header, payload.as_mut_slice().into())
        .unwrap();
    let mut packet = [header, payload, tag.to_vec()].concat();
    let sample: [u8; 16] = packet[number_at + 4..number_at + 20].try_into().unwrap();
    let mut mask = sample.into();
    Aes128::new(&keys.header.into()).encrypt_block(&mut mask);
    packet[0] ^= mask[0] & 0x0f;
    packet[number_at] ^= mask[1];
    packet[number_at + 1] ^= mask[2];
    packet
}

fn client_hello() -> Vec<u8> {
    let name = b"\0\0\0\x10\0\x0e\0\0\x0bexample.org";
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
    body.extend(name);
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[1, 0][..], &length, &body].concat()
}

fn server_hello(random: &[u8; 32]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(random);
    body.extend([0, 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[2, 0][..], &length, &body].concat()
}

fn run(packets: &[(Direction, Vec<u8>)]) -> Transactions {
    let mut out = Transactions::new(Limits::default());
    let mut quic = Quic::new();
    for (direction, packet) in packets {
        quic.data(*direction, packet, &mut out);
    }
    out
}

fn all(out: &mut Transactions, direction: Direction, buffer: Buffer) -> Vec<String> {
    out.iter_mut()
        .filter_map(|transaction| transaction.first(direction, buffer))
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .collect()
}

#[test]
fn both_hellos_are_read() {
    for version in [VERSION_1, VERSION_2, header::DRAFT_29] {
        let mut out = run(&[
            (C, initial(version, C, ID, ID, &crypto(0, &client_hello()))),
            (
                S,
                initial(version, S, ID, b"", &crypto(0, &server_hello(&[9; 32]))),
            ),
            (C, vec![0x41; 50]),
        ]);
        assert_eq!(out.len(), 2);
        assert_eq!(all(&mut out, C, Buffer::QuicSni), ["example.org"]);
        assert_eq!(all(&mut out, C, Buffer::Ja3String), ["771,4865,0,,"]);
        assert_eq!(all(&mut out, S, Buffer::Ja3sString), ["771,4865,43"]);
        for transaction in out.iter_mut() {
            assert!(transaction.events().is_empty());
            assert_eq!(transaction.stage(C), Stage::Complete);
            assert!(
                transaction
                    .numbers()
                    .iter()
                    .any(|(_, field, value)| *field == Field::QuicVersion
                        && *value == u64::from(version))
            );
        }
        out.retire();
        assert!(out.is_empty());
    }
}

#[test]
fn a_hello_may_be_cut_and_shuffled() {
    let hello = client_hello();
    let first = [
        crypto(20, &hello[20..40]),
        vec![1, 0],
        crypto(0, &hello[..20]),
    ]
    .concat();
    let ack = vec![2, 0, 0, 1, 0, 0, 0];
    let second = [ack, crypto(30, &hello[30..])].concat();
    let mut out = run(&[
        (C, initial(VERSION_1, C, ID, ID, &first)),
        (C, initial(VERSION_1, C, ID, b"another", &second)),
    ]);
    assert_eq!(all(&mut out, C, Buffer::QuicSni), ["example.org"]);
}

#[test]
fn a_server_may_ask_again() {
    let retry = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8,
        0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8,
        0x33, 0x9c,
    ];
    let (again, real) = (server_hello(&retry), server_hello(&[1; 32]));
    let mut out = run(&[
        (
            C,
            initial(VERSION_1, C, ID, ID, &crypto(0, &client_hello())),
        ),
        (S, initial(VERSION_1, S, ID, b"", &crypto(0, &again))),
        (
            S,
            initial(VERSION_1, S, ID, b"", &crypto(again.len(), &real)),
        ),
    ]);
    assert_eq!(all(&mut out, S, Buffer::Ja3sString), ["771,4865,43"]);

    // A Retry packet has the client take another identifier.
    let retry = [&[0xf0, 0, 0, 0, 1, 0, 1, b'x'][..], &[0; 16]].concat();
    let mut out = run(&[
        (C, initial(VERSION_1, C, ID, ID, &[1])),
        (S, retry),
        (
            C,
            initial(VERSION_1, C, b"x", b"x", &crypto(0, &client_hello())),
        ),
    ]);
    assert_eq!(all(&mut out, C, Buffer::QuicSni), ["example.org"]);
}

#[test]
fn what_is_wrong_is_an_event() {
    let mut forged = initial(VERSION_1, C, ID, ID, &crypto(0, &client_hello()));
    *forged.last_mut().unwrap() ^= 1;
    let garbage = [&[1, 0, 0, 4][..], &[9; 40]].concat();
    for (packet, event) in [
        (forged, "quic.failed_decrypt"),
        (
            initial(VERSION_1, C, ID, ID, &crypto(0, &garbage)),
            "quic.error_on_data",
        ),
        (vec![0xc0, 0, 0, 0, 1, 40], "quic.error_on_header"),
        (
            initial(VERSION_1, C, ID, ID, &crypto(1 << 20, b"x")),
            "quic.crypto_frag_too_long",
        ),
    ] {
        let mut out = run(&[(C, packet)]);
        let raised = out.last().unwrap();
        assert!(raised.has_event(event), "{event}: {:?}", raised.events());
        assert!(EVENTS.contains(&event));
    }
}

#[test]
fn the_hello_of_google_is_read() {
    let mut packet = vec![0x09];
    packet.extend(b"12345678Q043\x01");
    packet.extend([0; 12]);
    packet.extend(b"\xa0\x01\0\x40CHLO\x02\0\0\0");
    packet.extend(b"SNI\0\x05\0\0\0UAID\x08\0\0\0a.orgabc");
    assert_eq!(probe(C, &packet), Probe::Yes);
    let mut out = run(&[(C, packet)]);
    assert_eq!(all(&mut out, C, Buffer::QuicSni), ["a.org"]);
    assert_eq!(all(&mut out, C, Buffer::QuicUserAgent), ["abc"]);
}

#[test]
fn probing_tells_quic_from_noise() {
    let packet = initial(VERSION_1, C, ID, ID, &[1]);
    assert_eq!(probe(C, &packet), Probe::Yes);
    assert_eq!(probe(C, &packet[..20]), Probe::No);
    assert_eq!(probe(C, &[0xff; 60]), Probe::No);
    assert_eq!(probe(C, b"\x12\x34\x01\x00\x00\x01\x00\x00"), Probe::No);
}

#[test]
fn packets_that_are_looked_at_are_bounded() {
    let mut forged = initial(VERSION_1, C, ID, ID, &[1]);
    *forged.last_mut().unwrap() ^= 1;
    let mut out = Transactions::new(Limits::default());
    let mut quic = Quic::new();
    for _ in 0..500 {
        quic.data(C, &forged, &mut out);
    }
    assert_eq!(out.next_id(), u64::from(MAX_PACKETS));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(
        long in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut packet = bytes.clone();
        if long {
            packet.splice(0..0, [0xc0, 0, 0, 0, 1]);
        }
        let _ = probe(C, &packet);
        run(&[(C, packet.clone()), (S, packet)]);
    }

    #[test]
    fn arbitrary_frames_do_not_panic(frames in prop::collection::vec(any::<u8>(), 0..120)) {
        run(&[(C, initial(VERSION_1, C, ID, ID, &frames))]);
    }

    #[test]
    fn arbitrary_hellos_of_google_do_not_panic(tail in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = google::hello(&[&b"CHLO"[..], &tail].concat());
    }
}
