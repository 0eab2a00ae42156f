//! Tests of framing, codings and files.

use super::*;

#[test]
fn chunks_are_put_together() {
    let head = "Transfer-Encoding: chunked\r\n";
    for chunks in [
        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "3;ext=1\r\nabc\r\n02\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
        " 3\nabc\n\n2 x\nde\n0\n\n",
    ] {
        assert_eq!(body_of(head, chunks.as_bytes()), "abcde", "{chunks:?}");
    }
    // Not chunked after all.
    assert_eq!(body_of(head, b"<html>\n<p>"), r"<html>\n<p>");
    assert!(answer(head, b"<html>").has("http.invalid_response_chunk_len"));
    let mut talk = answer(head, b"1;x\r\na\r\n0\r\n\r\n");
    assert!(talk.has("http.response_chunk_extension"));
    // Chunked wins over a length (RFC 9112, 6.3).
    let both = "Content-Length: 2\r\nTransfer-Encoding:\tchunked\r\n";
    assert_eq!(body_of(both, b"3\r\nabc\r\n0\r\n\r\n"), "abc");
}

#[test]
fn bare_cr_and_odd_folding_are_read_as_browsers_do() {
    let chunks = b"1\r\na\r\n0\r\n\r\n";
    for head in [
        "A: b\rTransfer-Encoding: chunked\r\n",
        "A: b\r\n Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding\r\n : chunked\r\n",
        "Transfer-Encoding\x0b:\r\n chunked\r\n",
        "A: b\r\n\r\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert_eq!(body_of(head, chunks), "a", "{head:?}");
    }
}

#[test]
fn codings_are_undone() {
    let coded = [
        ("gzip", gzip(TEXT)),
        ("x-gzip", gzip(TEXT)),
        ("deflate", zlib(TEXT)),
        ("deflate", deflate(TEXT)),
        // Names are mixed up.
        ("gzip", deflate(TEXT)),
        ("deflate", gzip(TEXT)),
        ("gzip, deflate", deflate(&gzip(TEXT))),
        ("gzip, gzip", gzip(TEXT)),
        ("gzip", TEXT.to_vec()),
        ("identity", TEXT.to_vec()),
        ("gzip", [gzip(&TEXT[..9]), gzip(&TEXT[9..])].concat()),
    ];
    for (name, data) in &coded {
        let head = format!("Content-Encoding: {name}\r\n");
        assert_eq!(body_of(&head, data), text(), "{name}");
    }
    // "x" in one uncompressed metablock (RFC 7932, 9.2).
    assert_eq!(
        body_of("Content-Encoding: br\r\n", b"\x0b\x00\x80x\x03"),
        "x"
    );
    // A prefix gives what it holds.
    let whole = gzip(&TEXT.repeat(500));
    let half = whole.get(..whole.len() / 2).unwrap();
    assert!(body_of("Content-Encoding: gzip\r\n", half).starts_with("The quick"));
}

#[test]
fn decompression_is_bounded_and_counted() {
    let limits = Limits {
        decompressed: 10_000,
        ..Limits::default()
    };
    let bomb = gzip(&vec![b'x'; 1 << 20]);
    let response = [
        format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        )
        .as_bytes(),
        &bomb,
    ]
    .concat();
    let mut talk = Conversation::with(limits)
        .say(ToServer, "GET / HTTP/1.0\r\n\r\n")
        .say(ToClient, response);
    assert_eq!(talk.response(Buffer::FileData).len(), 10_000);
    assert_eq!(talk.out.counters.decompression_exceeded, 1);
    assert!(talk.has("http.compression_bomb"));
    let many = "Content-Encoding: gzip, gzip, gzip, gzip\r\n";
    assert!(answer(many, TEXT).has("http.too_many_encoding_layers"));
}

#[test]
fn uploads_are_files() {
    let form = "--B\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\ntext\r\n\
                --B\r\nContent-Disposition: form-data; name=f; filename=\"a;b.txt\"\r\n\r\n\
                line\r\n--\r\n\r\n--B--\r\nepilogue";
    let mut talk = Conversation::new().say(
        ToServer,
        format!(
            "POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=B\r\n\
             Content-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    );
    assert_eq!(talk.request(Buffer::FileName), "a;b.txt");
    assert_eq!(talk.request(Buffer::FileData), r"line\r\n--\r\n");
    assert_eq!(
        talk.request(Buffer::HttpRequestBody),
        form.as_bytes().escape_ascii().to_string()
    );
    let mut talk = Conversation::new().say(
        ToServer,
        "PUT /x/../y.bin HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_eq!(talk.request(Buffer::FileName), "/y.bin");
    assert_eq!(talk.request(Buffer::FileData), "abc");
}

#[test]
fn content_without_a_length_is_unexpected() {
    let mut talk = Conversation::new()
        .say(ToServer, "POST / HTTP/1.1\r\nHost: a\r\n\r\nuser=x")
        .say(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(talk.request(Buffer::HttpRequestBody), "user=x");
    assert!(talk.has("http.request_body_unexpected"));
    let mut talk = Conversation::new()
        .say(ToServer, "POST / HTTP/1.1\r\nHost: a\r\n\r\n")
        .say(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(talk.request(Buffer::HttpRequestBody), "");
    assert_eq!(talk.transaction(0).stage(ToServer), Stage::Complete);
}

#[test]
fn gaps_in_bodies_are_passed_over() {
    let mut talk = get("/f").say(ToClient, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab");
    assert_eq!(talk.parser.gap(ToClient, 6, &mut talk.out), Status::Ok);
    let mut talk = talk.say(ToClient, "yz");
    assert_eq!(talk.transaction(0).stage(ToClient), Stage::Complete);
    assert_eq!(talk.response(Buffer::FileData), "abyz");
    assert_eq!(talk.parser.gap(ToClient, 6, &mut talk.out), Status::Failed);
}
