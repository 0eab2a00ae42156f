use proptest::prelude::*;

use super::*;
use crate::protocol::{AppProtocol, Limits};

use Direction::{ToClient, ToServer};

const SESSION: &[(Direction, &str)] = &[
    (ToClient, "220-a\r\n220 mail ESMTP\r\n"),
    (ToServer, "EHLO me\r\n"),
    (ToClient, "250-hello\r\n250 PIPELINING\r\n"),
    (
        ToServer,
        "MAIL FROM: <a@b> SIZE=10\r\nRCPT TO:<c@d>\r\nrcpt to:<e@f>\r\nDATA\r\n",
    ),
    (ToClient, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
    (
        ToServer,
        "Subject: one\r\nContent-Disposition: attachment; filename=x\r\n\r\n..dot\r\n.\r\n",
    ),
    (ToClient, "250 queued\r\n"),
    (ToServer, "MAIL FROM:<g@h>\r\n"),
    (ToClient, "250 ok\r\n"),
    (
        ToServer,
        "BDAT 8\r\nSubject:BDAT 10 LAST\r\n two\r\n\r\nx\n",
    ),
    (ToClient, "250 ok\r\n250 ok\r\n"),
    (ToServer, "QUIT\r\n"),
    (ToClient, "221 bye\r\n"),
];

type Pushed = Vec<(u64, Buffer, String)>;

fn pushed(out: &mut Transactions) -> Pushed {
    let mut all = Vec::new();
    for transaction in out.iter_mut() {
        for piece in transaction.instances() {
            let bytes = String::from_utf8_lossy(transaction.bytes(piece)).into_owned();
            all.push((transaction.id, piece.buffer, bytes));
        }
    }
    all
}

fn events(out: &mut Transactions) -> Vec<&'static str> {
    let each = out.iter_mut().map(|it| it.events().to_vec());
    each.flatten().map(|(_, event)| event).collect()
}

fn run(session: &[(Direction, &str)], size: usize) -> (Transactions, Status) {
    let mut out = Transactions::new(Limits::default());
    let mut smtp = Smtp::new();
    let mut last = Status::Ok;
    for (direction, text) in session {
        for chunk in text.as_bytes().chunks(size) {
            last = smtp.data(*direction, chunk, &mut out);
        }
    }
    (out, last)
}

#[test]
fn each_mail_is_a_transaction() {
    let (mut out, _) = run(SESSION, usize::MAX);
    let all = pushed(&mut out);
    let of = |id: u64, buffer: Buffer| -> Vec<&str> {
        let mine = all.iter().filter(|it| it.0 == id && it.1 == buffer);
        mine.map(|it| it.2.as_str()).collect()
    };
    assert_eq!(of(0, Buffer::SmtpHelo), ["me"]);
    assert_eq!(of(0, Buffer::SmtpMailFrom), ["<a@b>"]);
    assert_eq!(of(0, Buffer::SmtpRcptTo), ["<c@d>", "<e@f>"]);
    assert_eq!(of(0, Buffer::EmailSubject), ["one"]);
    assert_eq!(of(0, Buffer::FileData), [".dot"]);
    assert_eq!(of(1, Buffer::SmtpHelo), ["me"]);
    assert_eq!(of(1, Buffer::EmailSubject), ["two"]);
    assert_eq!(events(&mut out), [""; 0]);
    assert_eq!(out.len(), 2);
    out.retire();
    assert!(out.is_empty());
}

#[test]
fn what_waits_is_bounded_and_counted() {
    let mut out = Transactions::new(Limits::default());
    let mut smtp = Smtp::new();
    for _ in 0..=MAX_PENDING {
        smtp.data(ToServer, b"NOOP\r\n", &mut out);
    }
    assert_eq!(smtp.pending.len(), MAX_PENDING);
    assert_eq!(out.counters.pending_dropped, 1);
}

#[test]
fn leaving_begins_no_transaction() {
    let mut out = Transactions::new(Limits::default());
    let mut smtp = Smtp::new();
    for (direction, text) in SESSION {
        smtp.data(*direction, text.as_bytes(), &mut out);
        out.retire();
    }
    assert_eq!(out.next_id(), 2);
}

#[test]
fn pieces_of_any_size_say_the_same() {
    let (mut whole, _) = run(SESSION, usize::MAX);
    for size in [1, 2, 7] {
        let (mut cut, _) = run(SESSION, size);
        assert_eq!(pushed(&mut whole), pushed(&mut cut));
        assert_eq!(events(&mut whole), events(&mut cut));
    }
}

#[test]
fn starttls_changes_the_protocol() {
    let greeting = (ToClient, "220 x\r\n");
    let command = (ToServer, "STARTTLS\r\n");
    let (_, status) = run(&[greeting, command, (ToClient, "220 go\r\n")], 100);
    assert_eq!(status, Status::Change(Some(AppProtocol::Tls)));
    let (mut out, status) = run(&[greeting, command, (ToClient, "454 no\r\n")], 100);
    assert_eq!(status, Status::Ok);
    assert_eq!(events(&mut out), ["smtp.tls_rejected"]);
}

#[test]
fn a_refused_mail_leads_back_to_commands() {
    let (mut out, _) = run(
        &[
            (ToClient, "220 x\r\n"),
            (ToServer, "MAIL FROM:<a>\r\nDATA\r\n"),
            (ToClient, "550 no\r\n503 no\r\n"),
            (ToServer, "RSET\r\nMAIL FROM:<b>\r\n"),
        ],
        100,
    );
    assert_eq!(events(&mut out), ["smtp.data_command_rejected"]);
    let all = pushed(&mut out);
    assert_eq!(
        all.last().unwrap(),
        &(1, Buffer::SmtpMailFrom, "<b>".into())
    );
}

#[test]
fn what_breaks_the_rules_raises_events() {
    let raised = |session: &[(Direction, &str)]| events(&mut run(session, 10_000).0);
    let long = format!("NOOP {}\r\n", "x".repeat(600));
    assert_eq!(
        raised(&[(ToServer, &long)]),
        ["smtp.max_command_line_len_exceeded"]
    );
    assert_eq!(raised(&[(ToClient, "999 x\r\n")]), ["smtp.invalid_reply"]);
    assert_eq!(
        raised(&[(ToClient, "250 x\r\n")]),
        [
            "smtp.no_server_welcome_message",
            "smtp.unable_to_match_reply_with_request"
        ]
    );
    assert_eq!(
        raised(&[(ToServer, "DATA\r\nx\r\n")]),
        ["smtp.invalid_pipelined_sequence"]
    );
    assert_eq!(
        raised(&[(ToServer, "BDAT 1\r\nxyz\r\n")]),
        ["smtp.bdat_chunk_len_exceeded"]
    );
    assert_eq!(
        raised(&[(ToServer, "MAIL FROM:<a>\r\nMAIL FROM:<b>\r\nRCPT x\r\n")]),
        ["smtp.duplicate_fields", "smtp.unparsable_content"]
    );
    for event in raised(SESSION) {
        assert!(EVENTS.contains(&event));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        pieces in proptest::collection::vec(
            (any::<bool>(), prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "(DATA|BDAT [0-9]{1,3}( LAST)?|STARTTLS|RSET|354 x|250 x|--x|\\.)\r\n".prop_map(String::into_bytes),
                "Content-(Type|Disposition): [a-z/]{1,20}; (boundary|filename)=x\r\n\r\n".prop_map(String::into_bytes),
            ]),
            0..40,
        ),
    ) {
        let mut smtp = Smtp::new();
        let mut out = Transactions::new(Limits { transactions: 2, hashes: true, ..Limits::default() });
        for (index, (client, piece)) in pieces.iter().enumerate() {
            let direction = if *client { ToServer } else { ToClient };
            smtp.data(direction, piece, &mut out);
            if index % 16 == 15 {
                smtp.gap(direction, 7, &mut out);
            }
        }
        smtp.end(ToServer, &mut out);
        smtp.end(ToClient, &mut out);
    }
}
