//! Banners and key exchanges built by hand.

use proptest::prelude::*;

use super::*;
use crate::protocol::Limits;

const C: Direction = Direction::ToServer;
const S: Direction = Direction::ToClient;

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 2).unwrap();
    [&length.to_be_bytes()[..], &[0, kind], body].concat()
}

fn kexinit() -> Vec<u8> {
    let mut body = vec![7; 16];
    for list in ["kex", "host", "ec,2", "es", "mc", "ms", "cc", "cs", "", ""] {
        body.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
        body.extend(list.as_bytes());
    }
    body.extend([0; 5]);
    record(20, &body)
}

fn exchange() -> Vec<(Direction, Vec<u8>)> {
    vec![
        (S, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec()),
        (C, [b"SSH-2.0-Go\n".to_vec(), kexinit()].concat()),
        (S, kexinit()),
        (C, record(30, &[1; 40])),
        (
            S,
            [record(31, &[1; 40]), record(21, &[]), vec![9; 60]].concat(),
        ),
        (C, [record(21, &[]), vec![0xff; 60]].concat()),
        (S, vec![0xfe; 60]),
    ]
}

fn run(pieces: &[(Direction, Vec<u8>)]) -> Transactions {
    let mut out = Transactions::new(Limits::default());
    let mut ssh = Ssh::new();
    for (direction, piece) in pieces {
        ssh.data(*direction, piece, &mut out);
    }
    out
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
            let stages = [transaction.stage(C), transaction.stage(S)];
            format!("{pieces:?} {:?} {stages:?}", transaction.events())
        })
        .collect()
}

#[test]
fn both_sides_are_told() {
    let mut out = run(&exchange());
    assert_eq!(out.len(), 1);
    let transaction = out.last().unwrap();
    for (direction, buffer, text) in [
        (S, Buffer::SshProto, "2.0"),
        (S, Buffer::SshSoftware, "OpenSSH_9.2p1"),
        (C, Buffer::SshSoftware, "Go"),
        (C, Buffer::SshHasshString, "kex;ec,2;mc;cc"),
        (S, Buffer::SshHasshServerString, "kex;es;ms;cs"),
    ] {
        assert_eq!(transaction.first(direction, buffer), Some(text.as_bytes()));
    }
    assert_eq!(
        transaction.first(C, Buffer::SshHassh),
        Some(md5_hex(b"kex;ec,2;mc;cc").as_bytes())
    );
    assert!(transaction.events().is_empty());
    assert_eq!(transaction.stage(C), Stage::Complete);
    assert_eq!(transaction.stage(S), Stage::Complete);
}

#[test]
fn what_is_wrong_is_an_event() {
    let banner = b"SSH-2.0-x\r\n";
    for (data, event) in [
        (b"Hello\r\nSSH-2.0-x\r\n".to_vec(), "ssh.invalid_banner"),
        (b"SSH-\r\n".to_vec(), "ssh.invalid_banner"),
        ([b"SSH-2.0-", &[b'x'; 300][..]].concat(), "ssh.long_banner"),
        (
            [banner, &[0, 0, 0, 1, 0, 20][..]].concat(),
            "ssh.invalid_record",
        ),
        (
            [&banner[..], &record(20, &[1; 30])].concat(),
            "ssh.invalid_record",
        ),
        (
            [banner, &[0, 9, 0, 0, 0, 20][..]].concat(),
            "ssh.long_kex_record",
        ),
    ] {
        let mut out = run(&[(S, data)]);
        let raised = out.last().unwrap();
        assert!(raised.has_event(event), "{event}: {:?}", raised.events());
        assert!(EVENTS.contains(&event));
    }
}

#[test]
fn lines_may_come_before_the_banner_and_a_long_banner_ends() {
    let banner = [b"SSH-2.0-long ", &[b'x'; 300][..], b"\n", &kexinit()].concat();
    let mut out = run(&[(S, [b"Hello\r\n".to_vec(), banner].concat())]);
    let transaction = out.last().unwrap();
    assert_eq!(
        transaction.first(S, Buffer::SshSoftware),
        Some(&b"long"[..])
    );
    assert!(transaction.first(S, Buffer::SshHasshServer).is_some());

    let mut out = run(&[(S, b"x\n".repeat(1_000))]);
    assert_eq!(out.last().unwrap().stage(S), Stage::Headers);
}

#[test]
fn a_gap_in_what_is_skipped_costs_nothing() {
    let mut out = Transactions::new(Limits::default());
    let mut ssh = Ssh::new();
    let skipped = record(30, &[1; 100]);
    ssh.data(C, b"SSH-2.0-x\n", &mut out);
    ssh.data(C, &skipped[..50], &mut out);
    ssh.gap(C, 20, &mut out);
    ssh.data(C, &[&skipped[70..], &kexinit()].concat(), &mut out);
    let transaction = out.last().unwrap();
    assert!(transaction.first(C, Buffer::SshHassh).is_some());
    assert!(transaction.events().is_empty());
    ssh.gap(C, 1, &mut out);
    ssh.data(C, &[0; 50], &mut out);
    assert!(out.last().unwrap().events().is_empty());
}

#[test]
fn probing_tells_ssh_from_noise() {
    assert_eq!(probe(C, b"SSH-2.0-x"), Probe::Yes);
    assert_eq!(probe(C, b"SS"), Probe::NeedMore);
    assert_eq!(probe(C, b"SMTP"), Probe::No);
}

#[test]
fn pieces_of_a_byte_equal_the_whole() {
    let bytes: Vec<_> = exchange()
        .into_iter()
        .flat_map(|(direction, data)| data.into_iter().map(move |byte| (direction, vec![byte])))
        .collect();
    assert_eq!(describe(&mut run(&exchange())), describe(&mut run(&bytes)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(
        banner in any::<bool>(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8),
    ) {
        let mut all = Vec::new();
        if banner {
            all.push((C, b"SSH-2.0-x\n\0\0\0".to_vec()));
        }
        all.extend(pieces.into_iter().map(|piece| (C, piece)));
        run(&all);
    }
}
