use proptest::prelude::*;

use super::*;
use crate::protocol::{Buffer, Limits, Stage};

use Direction::{ToClient, ToServer};

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn opaque(bytes: &[u8]) -> Vec<u8> {
    let mut all = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    all.extend(bytes);
    all.resize(all.len().next_multiple_of(4), 0);
    all
}

fn call(xid: u32, version: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let mut all = words(&[xid, 0, 2, 100_003, version, procedure, 0, 0, 0, 0]);
    all.extend(arguments);
    all
}

fn reply(xid: u32, results: &[u8]) -> Vec<u8> {
    let mut all = words(&[xid, 1, 0, 0, 0, 0]);
    all.extend(results);
    all
}

fn marked(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap() | LAST_FRAGMENT;
    let mut all = length.to_be_bytes().to_vec();
    all.extend(message);
    all
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn exchange(content: &[u8]) -> Vec<(Direction, Vec<u8>)> {
    let length = u32::try_from(content.len()).unwrap();
    let file = opaque(b"file");
    let write = join(&[file.clone(), words(&[0, 0, length, 2]), opaque(content)]);
    let read = join(&[file.clone(), words(&[0, 0, length])]);
    let was_read = join(&[words(&[0, 0, length, 1]), opaque(content)]);
    vec![
        (
            ToServer,
            call(1, 3, 3, &join(&[opaque(b"root"), opaque(b"note.txt")])),
        ),
        (
            ToClient,
            reply(1, &join(&[words(&[0]), file.clone(), words(&[0, 0])])),
        ),
        (ToServer, call(2, 3, 7, &write)),
        (ToClient, reply(2, &words(&[0, 0, 0, length, 2, 0, 0]))),
        (ToServer, call(3, 3, 21, &join(&[file, words(&[0, 0, 0])]))),
        (ToClient, reply(3, &words(&[0, 0, 0, 0, 0]))),
        (ToServer, call(4, 3, 6, &read)),
        (ToClient, reply(4, &was_read)),
    ]
}

fn run(steps: &[(Direction, Vec<u8>)], size: usize) -> Transactions {
    let mut out = Transactions::new(Limits {
        partial: 512,
        ..Limits::default()
    });
    let mut parser = Nfs::tcp();
    for (direction, data) in steps {
        for piece in marked(data).chunks(size) {
            parser.data(*direction, piece, &mut out);
        }
    }
    out
}

fn told(out: &mut Transactions) -> Vec<String> {
    out.iter_mut()
        .map(|one| {
            let pieces: Vec<_> = one
                .instances()
                .iter()
                .map(|piece| (piece.buffer, piece.direction, one.bytes(piece)))
                .collect();
            format!("{:?} {pieces:?} {:?}", one.numbers(), one.events())
        })
        .collect()
}

#[test]
fn files_are_named_and_put_together() {
    let mut out = run(&exchange(b"hello"), usize::MAX);
    assert_eq!(out.len(), 3);
    let lookup = out.get(0).unwrap();
    assert!(
        lookup
            .numbers()
            .contains(&(ToServer, Field::NfsProcedure, 3))
    );
    let written = out.get(1).unwrap();
    for number in [
        (ToServer, Field::NfsVersion, 3),
        (ToServer, Field::NfsProcedure, 7),
        (ToServer, Field::FileSize, 5),
    ] {
        assert!(written.numbers().contains(&number));
    }
    let name = written.first(ToServer, Buffer::FileName);
    assert_eq!(name, Some(&b"note.txt"[..]));
    assert_eq!(written.stage(ToServer), Stage::Complete);
    let read = out.get(2).unwrap();
    assert_eq!(read.first(ToClient, Buffer::FileData), Some(&b"hello"[..]));
    assert_eq!(read.stage(ToClient), Stage::Complete);
}

#[test]
fn datagrams_are_read() {
    let mut out = Transactions::new(Limits::default());
    let mut parser = Nfs::udp();
    let steps = exchange(b"hello");
    assert_eq!(probe_udp(ToServer, &steps[0].1), Probe::Yes);
    for (direction, data) in &steps {
        parser.data(*direction, data, &mut out);
    }
    assert_eq!(out.len(), 3);
}

#[test]
fn compounds_are_read() {
    let open = join(&[
        words(&[18, 0, 1, 0, 0, 0]),
        opaque(b"owner"),
        words(&[0, 0]),
        opaque(b"new.txt"),
    ]);
    let first = join(&[words(&[0, 0, 3, 22]), opaque(b"dir"), open, words(&[10])]);
    let opened = join(&[
        words(&[0, 0, 3, 22, 0, 18, 0]),
        vec![0; 40],
        words(&[0, 0, 10, 0]),
        opaque(b"file"),
    ]);
    let write = join(&[
        words(&[0, 0, 2, 22]),
        opaque(b"file"),
        words(&[38]),
        vec![0; 28],
        opaque(b"hello"),
    ]);
    let steps = [
        (ToServer, call(1, 4, 1, &first)),
        (ToClient, reply(1, &opened)),
        (ToServer, call(2, 4, 1, &write)),
    ];
    let mut out = run(&steps, usize::MAX);
    assert_eq!(out.len(), 1);
    let file = out.get(0).unwrap();
    assert!(
        file.numbers()
            .contains(&(ToServer, Field::NfsProcedure, 38))
    );
    assert_eq!(file.first(ToServer, Buffer::FileData), Some(&b"hello"[..]));
    assert_eq!(
        file.first(ToServer, Buffer::FileName),
        Some(&b"new.txt"[..])
    );
}

#[test]
fn a_call_that_cannot_be_read_is_told() {
    let mut out = run(&[(ToServer, call(1, 3, 3, &words(&[9, 9])))], usize::MAX);
    assert!(out.get(0).unwrap().has_event(MALFORMED_DATA));
}

#[test]
fn after_a_gap_the_next_record_is_found() {
    let mut out = Transactions::new(Limits::default());
    let mut parser = Nfs::tcp();
    let steps = exchange(b"hello");
    parser.data(ToServer, &marked(&steps[0].1)[..20], &mut out);
    parser.gap(ToServer, 10, &mut out);
    for byte in join(&[vec![9; 33], marked(&steps[0].1)]) {
        parser.data(ToServer, &[byte], &mut out);
    }
    assert_eq!(out.len(), 1);
}

#[test]
fn probing() {
    let whole = marked(&call(1, 3, 0, &[]));
    assert_eq!(probe(ToServer, &whole), Probe::Yes);
    assert_eq!(probe(ToServer, &whole[..10]), Probe::NeedMore);
    assert_eq!(
        probe(ToServer, b"GET / HTTP/1.1\r\n\r\n________"),
        Probe::No
    );
}

proptest! {
    #[test]
    fn segmentation_does_not_matter(size in 1_usize..700, length in 0_usize..2_000) {
        let steps = exchange(&vec![7; length]);
        prop_assert_eq!(told(&mut run(&steps, usize::MAX)), told(&mut run(&steps, size)));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        steps in prop::collection::vec((any::<bool>(), 2_u32..5, 0_u32..22, prop::collection::vec(any::<u8>(), 0..200)), 0..20)
    ) {
        let mut out = Transactions::new(Limits::default());
        let mut stream = Nfs::tcp();
        let mut datagrams = Nfs::udp();
        for (to_server, version, procedure, data) in steps {
            let (direction, message) = if to_server {
                (ToServer, call(1, version, procedure, &data))
            } else {
                (ToClient, reply(1, &data))
            };
            datagrams.data(direction, &message, &mut out);
            stream.data(direction, &marked(&message), &mut out);
            stream.data(direction, &data, &mut out);
        }
        stream.end(ToServer, &mut out);
        stream.end(ToClient, &mut out);
        prop_assert!(out.len() <= 256);
    }
}
