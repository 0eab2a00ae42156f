use proptest::prelude::*;

use super::*;
use crate::protocol::{Buffer, Field, Limits, Stage};

use Direction::{ToClient, ToServer};

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut all = vec![0, length[1], length[2], length[3]];
    all.extend(message);
    all
}

fn two(command: u16, response: bool, id: u64, tree: u32, body: &[u8]) -> Vec<u8> {
    let mut all = b"\xfeSMB\x40\0\0\0\0\0\0\0".to_vec();
    all.extend(command.to_le_bytes());
    all.extend([1, 0]);
    all.extend(u32::from(response).to_le_bytes());
    all.extend([0; 4]);
    all.extend(id.to_le_bytes());
    all.extend([0; 4]);
    all.extend(tree.to_le_bytes());
    all.extend([0; 24]);
    all.extend(body);
    frame(&all)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn tree_connect(path: &str) -> Vec<u8> {
    let path = wide(path);
    let mut body = vec![9, 0, 0, 0, 72, 0];
    body.extend(u16::try_from(path.len()).unwrap().to_le_bytes());
    body.extend(path);
    body
}

fn create(name: &str) -> Vec<u8> {
    let name = wide(name);
    let mut body = vec![0; 44];
    body[0] = 57;
    body.extend([120, 0]);
    body.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    body.extend([0; 8]);
    body.extend(name);
    body
}

fn created(handle: u8, size: u64) -> Vec<u8> {
    let mut body = vec![0; 48];
    body.extend(size.to_le_bytes());
    body.extend([0; 8]);
    body.extend([handle; 16]);
    body.extend([0; 8]);
    body
}

fn write(handle: u8, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut body = vec![49, 0, 112, 0];
    body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    body.extend(offset.to_le_bytes());
    body.extend([handle; 16]);
    body.extend([0; 16]);
    body.extend(data);
    body
}

fn read(handle: u8, offset: u64) -> Vec<u8> {
    let mut body = vec![49, 0, 0, 0, 0, 16, 0, 0];
    body.extend(offset.to_le_bytes());
    body.extend([handle; 16]);
    body.extend([0; 17]);
    body
}

fn was_read(data: &[u8]) -> Vec<u8> {
    let mut body = vec![17, 0, 80, 0];
    body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    body.extend([0; 8]);
    body.extend(data);
    body
}

fn close(handle: u8) -> Vec<u8> {
    let mut body = vec![24, 0, 0, 0, 0, 0, 0, 0];
    body.extend([handle; 16]);
    body
}

fn share(big: &[u8]) -> Vec<(Direction, Vec<u8>)> {
    vec![
        (ToServer, two(3, false, 1, 0, &tree_connect(r"\\host\data"))),
        (ToClient, two(3, true, 1, 5, &[16, 0, 1, 0])),
        (ToServer, two(5, false, 2, 5, &create("note.txt"))),
        (ToClient, two(5, true, 2, 5, &created(9, 0))),
        (ToServer, two(9, false, 3, 5, &write(9, 6, b"world"))),
        (ToServer, two(9, false, 4, 5, &write(9, 0, b"hello "))),
        (ToServer, two(9, false, 5, 5, &write(9, 11, big))),
        (ToServer, two(8, false, 6, 5, &read(9, 0))),
        (ToClient, two(8, true, 6, 5, &was_read(b"hello "))),
        (ToServer, two(6, false, 7, 5, &close(9))),
        (ToClient, two(6, true, 7, 5, &[60, 0])),
    ]
}

fn run(steps: &[(Direction, Vec<u8>)], size: usize) -> Transactions {
    let mut out = Transactions::new(Limits {
        partial: 512,
        ..Limits::default()
    });
    let mut parser = Smb::new();
    for (direction, data) in steps {
        for piece in data.chunks(size) {
            parser.data(*direction, piece, &mut out);
        }
    }
    out
}

/// All that was pushed, in one text.
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
fn files_are_put_together_and_named() {
    let mut out = run(&share(b"!"), usize::MAX);
    let first = out.get(0).unwrap();
    assert_eq!(
        first.first(ToServer, Buffer::SmbShare),
        Some(&br"\\host\data"[..])
    );
    assert!(first.numbers().contains(&(ToServer, Field::SmbVersion, 2)));
    let written = out
        .iter_mut()
        .find(|one| one.first(ToServer, Buffer::FileData).is_some())
        .unwrap();
    assert_eq!(
        written.first(ToServer, Buffer::FileData),
        Some(&b"hello world!"[..])
    );
    assert_eq!(
        written.first(ToServer, Buffer::FileName),
        Some(&b"note.txt"[..])
    );
    assert!(written.numbers().contains(&(ToServer, Field::FileSize, 12)));
    assert!(written.events().is_empty());
    let read = out
        .iter_mut()
        .find(|one| one.first(ToClient, Buffer::FileData).is_some())
        .unwrap();
    assert_eq!(read.first(ToClient, Buffer::FileData), Some(&b"hello "[..]));
    out.retire();
    assert!(out.is_empty());
}

#[test]
fn a_record_longer_than_what_is_held_is_streamed() {
    let big = vec![7; 5_000];
    let mut out = run(&share(&big), usize::MAX);
    let written = out
        .iter_mut()
        .find(|one| one.first(ToServer, Buffer::FileData).is_some())
        .unwrap();
    assert!(
        written
            .numbers()
            .contains(&(ToServer, Field::FileSize, 5_011))
    );
}

#[test]
fn an_overlap_is_told() {
    let steps = [
        (ToServer, two(9, false, 1, 5, &write(9, 0, b"hello"))),
        (ToServer, two(9, false, 2, 5, &write(9, 2, b"LLO!"))),
    ];
    let mut out = run(&steps, usize::MAX);
    assert!(out.get(0).unwrap().has_event(FILE_OVERLAP));
}

#[test]
fn a_file_that_is_read_again_is_one_more() {
    let steps = [
        (ToServer, two(5, false, 1, 5, &create("note.txt"))),
        (ToClient, two(5, true, 1, 5, &created(9, 5))),
        (ToServer, two(8, false, 2, 5, &read(9, 0))),
        (ToClient, two(8, true, 2, 5, &was_read(b"hello"))),
        (ToServer, two(8, false, 3, 5, &read(9, 0))),
        (ToClient, two(8, true, 3, 5, &was_read(b"hello"))),
    ];
    let mut out = run(&steps, usize::MAX);
    assert_eq!(out.len(), 3);
    for id in 1..3 {
        let file = out.get(id).unwrap();
        assert_eq!(file.stage(ToClient), Stage::Complete);
        assert_eq!(file.first(ToClient, Buffer::FileData), Some(&b"hello"[..]));
        assert!(file.events().is_empty());
    }
}

#[test]
fn a_pipe_carries_calls() {
    let mut request = vec![5, 0, 0, 3, 0x10, 0, 0, 0, 28, 0, 0, 0, 1, 0, 0, 0];
    request.extend([0, 0, 0, 0, 0, 0, 15, 0]);
    request.extend(b"stub");
    let steps = [
        (ToServer, two(3, false, 1, 0, &tree_connect(r"\\host\IPC$"))),
        (ToClient, two(3, true, 1, 5, &[16, 0, 2, 0])),
        (ToServer, two(5, false, 2, 5, &create("svcctl"))),
        (ToClient, two(5, true, 2, 5, &created(9, 0))),
        (ToServer, two(9, false, 3, 5, &write(9, 0, &request))),
    ];
    let mut out = run(&steps, usize::MAX);
    let pipe = Buffer::SmbNamedPipe;
    let tree = out.get(0).unwrap();
    assert_eq!(tree.first(ToServer, pipe), Some(&br"\\host\IPC$"[..]));
    assert_eq!(
        out.get(1).unwrap().first(ToServer, pipe),
        Some(&b"svcctl"[..])
    );
    let call = out.get(2).unwrap();
    assert!(call.numbers().contains(&(ToServer, Field::DcerpcOpnum, 15)));
    assert!(call.numbers().contains(&(ToServer, Field::SmbVersion, 2)));
    assert_eq!(
        call.first(ToServer, Buffer::DcerpcStubData),
        Some(&b"stub"[..])
    );
}

fn one(command: u8, reply: bool, words: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut all = b"\xffSMB".to_vec();
    all.push(command);
    all.extend([0; 4]);
    all.push(if reply { 0x80 } else { 0 });
    all.extend([0; 22]);
    all.push(u8::try_from(words.len() / 2).unwrap());
    all.extend(words);
    all.extend(u16::try_from(bytes.len()).unwrap().to_le_bytes());
    all.extend(bytes);
    frame(&all)
}

#[test]
fn the_old_version_is_read() {
    let connect = [0xff, 0, 0, 0, 0, 0, 1, 0];
    let mut steps = vec![
        (ToServer, one(0x72, false, &[], b"\x02NT LM 0.12\0")),
        (ToClient, one(0x72, true, &[0, 0], &[])),
        (
            ToServer,
            one(0x75, false, &connect, b"\0\\\\h\\C$\0?????\0"),
        ),
        (ToClient, one(0x75, true, &connect[..6], b"A:\0")),
    ];
    let mut words = [0; 24];
    words[0] = 0xff;
    words[4] = 3;
    words[20] = 4;
    words[22] = 59;
    steps.push((ToServer, one(0x2f, false, &words, b"file")));
    steps.push((ToServer, one(0x04, false, &[3, 0, 0, 0, 0, 0], &[])));
    let mut out = run(&steps, usize::MAX);
    assert_eq!(out.get(0).unwrap().stage(ToClient), Stage::Complete);
    assert!(out.iter_mut().all(|one| one.events().is_empty()));
    let tree = out.get(1).unwrap();
    assert_eq!(
        tree.first(ToServer, Buffer::SmbShare),
        Some(&br"\\h\C$"[..])
    );
    let file = out.get(2).unwrap();
    assert_eq!(file.first(ToServer, Buffer::FileData), Some(&b"file"[..]));
    assert_eq!(file.stage(ToServer), Stage::Complete);
}

#[test]
fn negotiation_is_checked() {
    let steps = [
        (ToServer, one(0x72, false, &[], b"\x03NT LM 0.12")),
        (ToServer, one(0x72, false, &[], b"\x02NT LM 0.12\0")),
    ];
    let mut out = run(&steps, usize::MAX);
    assert!(out.get(0).unwrap().has_event(MALFORMED_DIALECTS));
    assert!(out.get(1).unwrap().has_event(DUPLICATE_NEGOTIATE));
}

#[test]
fn who_logs_on_is_told() {
    let mut token = b"NTLMSSP\0\x03\0\0\0".to_vec();
    token.extend([0; 16]);
    token.extend([4, 0, 4, 0, 64, 0, 0, 0]);
    token.extend([6, 0, 6, 0, 68, 0, 0, 0]);
    token.extend([0; 16]);
    token.extend([1, 0, 0, 0]);
    token.extend(wide("DOBob"));
    let mut body = vec![0; 12];
    body.extend([88, 0]);
    body.extend(u16::try_from(token.len()).unwrap().to_le_bytes());
    body.extend([0; 8]);
    let mut good = body.clone();
    good.extend(&token);
    token[40] = 0xff;
    body.extend(token);
    let steps = [
        (ToServer, two(1, false, 1, 0, &good)),
        (ToServer, two(1, false, 2, 0, &body)),
    ];
    let mut out = run(&steps, usize::MAX);
    let first = out.get(0).unwrap();
    let user = first.first(ToServer, Buffer::SmbNtlmsspUser);
    assert_eq!(user, Some(&b"Bob"[..]));
    let domain = first.first(ToServer, Buffer::SmbNtlmsspDomain);
    assert_eq!(domain, Some(&b"DO"[..]));
    assert!(out.get(1).unwrap().has_event(MALFORMED_NTLMSSP));
}

#[test]
fn after_a_gap_the_next_message_is_found() {
    let mut out = Transactions::new(Limits::default());
    let mut parser = Smb::new();
    let lost = two(9, false, 1, 5, &write(9, 0, b"hello"));
    parser.data(ToServer, &lost[..50], &mut out);
    parser.gap(ToServer, 10, &mut out);
    let mut rest = lost[60..].to_vec();
    rest.extend(two(6, false, 2, 5, &close(9)));
    for byte in rest {
        parser.data(ToServer, &[byte], &mut out);
    }
    assert_eq!(out.len(), 1);
}

#[test]
fn probing() {
    let whole = two(0, false, 1, 0, &[0; 36]);
    assert_eq!(probe(ToServer, &whole), Probe::Yes);
    assert_eq!(probe(ToServer, &whole[..6]), Probe::NeedMore);
    assert_eq!(probe(ToServer, b"\0\0\0\x10\x02no"), Probe::No);
    assert_eq!(probe(ToServer, b"GET /"), Probe::No);
    assert_eq!(probe(ToServer, b"\x81\0\0\x44 EEE"), Probe::Yes);
}

proptest! {
    #[test]
    fn segmentation_does_not_matter(size in 1_usize..700) {
        let big = vec![7; 2_000];
        prop_assert_eq!(told(&mut run(&share(&big), usize::MAX)), told(&mut run(&share(&big), size)));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        steps in prop::collection::vec((any::<bool>(), any::<u8>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20)
    ) {
        let mut out = Transactions::new(Limits::default());
        let mut parser = Smb::new();
        for (to_server, command, old, data) in steps {
            let direction = if to_server { ToServer } else { ToClient };
            parser.data(direction, &data, &mut out);
            let message = if old {
                let even = data.len().min(400) & !1;
                one(command, !to_server, &data[..even], &data)
            } else {
                two(u16::from(command % 20), !to_server, 1, 1, &data)
            };
            parser.data(direction, &message, &mut out);
        }
        parser.end(ToServer, &mut out);
        parser.end(ToClient, &mut out);
        prop_assert!(out.len() <= 256);
    }
}
