use super::super::line::Lines;
use super::*;
use crate::protocol::{Field, Limits, Transactions};

const MAIL: &str = "From: a\r\nSubject: one\r\n\ttwo\r\nContent-Type: multipart/mixed;\r\n boundary=\"=x\"\r\n\r\n\
preamble\r\n--=x\r\nContent-Type: text/plain\r\n\r\nsee http://link.example/ here\r\n--=x\r\n\
Content-Type: application/zip; name=\"b.zip\"\r\nContent-Transfer-Encoding: base64\r\n\
Content-Disposition: attachment; filename=a.zip\r\n\r\naGVsbG8g\r\nd29ybGQ=\r\n--=x\r\n\
Content-Type: text/plain; name=t\r\n\r\none\r\ntwo\r\n--=x--\r\nepilogue\r\n";

fn feed(mail: &str, most: usize) -> Transactions {
    let mut out = Transactions::new(Limits {
        hashes: true,
        ..Limits::default()
    });
    let id = out.begin();
    let transaction = out.get(id).unwrap();
    let mut parser = Mail::new(Direction::ToServer, true);
    let mut lines = Lines::default();
    let mut input = mail.as_bytes();
    while let Some(piece) = lines.next(&mut input, most) {
        parser.piece(&piece, transaction);
    }
    parser.end(transaction);
    out
}

fn all(out: &mut Transactions, buffer: Buffer) -> Vec<String> {
    let transaction = out.last().unwrap();
    let pieces = transaction.instances().iter();
    pieces
        .filter(|piece| piece.buffer == buffer)
        .map(|piece| String::from_utf8(transaction.bytes(piece).to_vec()).unwrap())
        .collect()
}

#[test]
fn fields_and_files_of_a_mail_are_found() {
    let mut out = feed(MAIL, 4_096);
    assert_eq!(all(&mut out, Buffer::EmailSubject), ["onetwo"]);
    assert_eq!(all(&mut out, Buffer::EmailUrl), ["link.example/"]);
    assert_eq!(all(&mut out, Buffer::FileName), ["a.zip", "t"]);
    assert_eq!(
        all(&mut out, Buffer::FileData),
        ["hello world", "one\r\ntwo"]
    );
    assert_eq!(
        all(&mut out, Buffer::FileMd5)[0],
        "5eb63bbbe01eeed093cb22bb8f5acdc3"
    );
    assert_eq!(all(&mut out, Buffer::EmailBodyMd5).len(), 1);
    let sizes = out.last().unwrap().numbers();
    assert_eq!(sizes.first().unwrap().1, Field::FileSize);
    assert_eq!(sizes.first().unwrap().2, 11);
    assert!(out.last().unwrap().events().is_empty());
}

#[test]
fn a_mail_within_a_mail_is_followed() {
    let mail = "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\n\n\
        Subject: inner\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\
        Content-Disposition: attachment; filename=f\n\nx\n--i--\n--o--\n";
    let mut out = feed(mail, 4_096);
    assert_eq!(all(&mut out, Buffer::FileData), ["x"]);
    assert!(all(&mut out, Buffer::EmailSubject).is_empty());
}

#[test]
fn anomalies_raise_events() {
    let long = format!(
        "{}: {}\nContent-Transfer-Encoding: base64\n\n*{}\n",
        "n".repeat(80),
        "v".repeat(2_100),
        "A".repeat(90)
    );
    let mut out = feed(&long, 4_096);
    let transaction = out.last().unwrap();
    for event in [
        "smtp.mime_long_line",
        "smtp.mime_long_enc_line",
        "smtp.mime_long_header_name",
        "smtp.mime_long_header_value",
        "smtp.mime_invalid_base64",
    ] {
        assert!(transaction.has_event(event), "{event}");
    }
}
