use proptest::prelude::*;

use super::ftp_data::FtpData;
use super::*;
use crate::protocol::Limits;

use Direction::{ToClient, ToServer};

const SESSION: &[(Direction, &str)] = &[
    (ToClient, "220-hello\r\n220 ftp\r\n"),
    (ToServer, "user me\r\n"),
    (ToClient, "331 Password?\r\n"),
    (ToServer, "PORT 10,0,0,1,4,1\r\n"),
    (ToClient, "200 ok\r\n"),
    (ToServer, "NLST\r\n"),
    (ToClient, "150 here\r\n226 done\r\n"),
    (ToServer, "EPSV\r\n"),
    (ToClient, "229 Entering (|||6446|)\r\n"),
    (ToServer, "STOR a b.txt\r\n"),
    (ToClient, "150 go\r\n226-one\r\n 226 two\r\n226 three\r\n"),
];

type Pushed = Vec<(u64, Buffer, String)>;

fn run(size: usize) -> (Ftp, Transactions, Pushed) {
    let mut ftp = Ftp::new();
    let mut out = Transactions::new(Limits::default());
    for (direction, text) in SESSION {
        for chunk in text.as_bytes().chunks(size) {
            assert_eq!(ftp.data(*direction, chunk, &mut out), Status::Ok);
        }
    }
    let mut all = Vec::new();
    for transaction in out.iter_mut() {
        for piece in transaction.instances() {
            let bytes = String::from_utf8(transaction.bytes(piece).to_vec()).unwrap();
            all.push((transaction.id, piece.buffer, bytes));
        }
    }
    (ftp, out, all)
}

#[test]
fn replies_belong_to_their_commands() {
    let (_, mut out, all) = run(usize::MAX);
    let of = |id: u64, buffer: Buffer| -> Vec<&str> {
        let mine = all.iter().filter(|it| it.0 == id && it.1 == buffer);
        mine.map(|it| it.2.as_str()).collect()
    };
    assert_eq!(of(0, Buffer::FtpReply), ["hello", "ftp"]);
    assert_eq!(of(1, Buffer::FtpCommand), ["USER"]);
    assert_eq!(of(1, Buffer::FtpCompletionCode), ["331"]);
    assert_eq!(of(3, Buffer::FtpCompletionCode), ["150", "226"]);
    assert_eq!(of(5, Buffer::FtpCommandData), ["a b.txt"]);
    assert_eq!(of(5, Buffer::FtpReply), ["go", "one", " 226 two", "three"]);
    let numbers = out.get(2).unwrap().numbers().to_vec();
    assert!(numbers.contains(&(ToServer, Field::FtpDynamicPort, 1_025)));
    assert!(numbers.contains(&(ToClient, Field::FtpMode, 1)));
    assert!(
        out.get(4)
            .unwrap()
            .numbers()
            .contains(&(ToServer, Field::FtpMode, 0))
    );
    out.retire();
    assert!(out.is_empty());
}

#[test]
fn pieces_of_any_size_say_the_same() {
    for size in [1, 3] {
        assert_eq!(run(usize::MAX).2, run(size).2);
    }
}

#[test]
fn data_connections_are_announced() {
    let (mut ftp, ..) = run(usize::MAX);
    let [list, store] = ftp.take_expectations().try_into().unwrap();
    assert_eq!(
        (list.port, list.active, list.command.as_slice()),
        (1_025, true, &b"NLST"[..])
    );
    assert_eq!(list.address, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(
        (store.port, store.active, store.address),
        (6_446, false, None)
    );
    assert_eq!(store.file_name, b"a b.txt");
    assert!(ftp.take_expectations().is_empty());
    assert_eq!(
        address::within_parentheses(b"227 Entering Passive Mode (1,2,3,4,0,9)."),
        Some((Some("1.2.3.4".parse().unwrap()), 9))
    );
    assert_eq!(
        address::extended(b"|2|::1|9|"),
        Some((Some("::1".parse().unwrap()), 9))
    );
}

#[test]
fn what_waits_is_bounded_and_counted() {
    let mut ftp = Ftp::new();
    let mut out = Transactions::new(Limits::default());
    for _ in 0..MAX_PENDING {
        ftp.data(ToServer, b"PORT 1,1,1,1,1,1\r\nRETR x\r\n", &mut out);
    }
    assert_eq!(ftp.pending.len(), MAX_PENDING);
    assert_eq!(ftp.take_expectations().len(), MAX_EXPECTATIONS);
    let dropped = MAX_PENDING + (MAX_PENDING - MAX_EXPECTATIONS);
    assert_eq!(out.counters.pending_dropped, dropped as u64);
}

#[test]
fn auth_changes_the_protocol() {
    let mut ftp = Ftp::new();
    let mut out = Transactions::new(Limits::default());
    ftp.data(ToServer, b"AUTH TLS\r\n", &mut out);
    let status = ftp.data(ToClient, b"234 go\r\n", &mut out);
    assert_eq!(status, Status::Change(Some(AppProtocol::Tls)));
}

#[test]
fn a_data_connection_carries_one_file() {
    let mut data = FtpData::new(b"RETR".to_vec(), b"x".to_vec());
    let mut out = Transactions::new(Limits::default());
    data.data(ToClient, b"one ", &mut out);
    data.data(ToClient, b"two", &mut out);
    data.end(ToClient, &mut out);
    data.end(ToServer, &mut out);
    let transaction = out.last().unwrap();
    assert_eq!(
        transaction.first(ToClient, Buffer::FtpDataCommand),
        Some(&b"RETR"[..])
    );
    assert_eq!(
        transaction.first(ToClient, Buffer::FileData),
        Some(&b"one two"[..])
    );
    assert_eq!(transaction.numbers(), [(ToClient, Field::FileSize, 7)]);
    out.retire();
    assert!(out.is_empty());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        pieces in proptest::collection::vec(
            (any::<bool>(), prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "(PORT|EPRT|EPSV|RETR|227|229|220-|226) [|(,0-9]{0,30}\r\n".prop_map(String::into_bytes),
            ]),
            0..40,
        ),
    ) {
        let mut ftp = Ftp::new();
        let mut out = Transactions::new(Limits { transactions: 2, ..Limits::default() });
        for (client, piece) in &pieces {
            let direction = if *client { ToServer } else { ToClient };
            let _ = probe(direction, piece);
            ftp.data(direction, piece, &mut out);
        }
        ftp.gap(ToServer, 1, &mut out);
        ftp.end(ToClient, &mut out);
    }
}
