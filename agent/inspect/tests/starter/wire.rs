//! What two ends say, byte by byte.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test support: what does not fit is a mistake in a case"
)]

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

/// A piece of a conversation: from the client, or from the server.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Client(Vec<u8>),
    Server(Vec<u8>),
}

pub(crate) fn client(bytes: impl AsRef<[u8]>) -> Vec<Said> {
    vec![Said::Client(bytes.as_ref().to_vec())]
}

pub(crate) fn server(bytes: impl AsRef<[u8]>) -> Vec<Said> {
    vec![Said::Server(bytes.as_ref().to_vec())]
}

/// A request with further header lines, each with its line end, and a body of stated length.
pub(crate) fn request(method: &str, target: &str, header: &str, body: &[u8]) -> Vec<Said> {
    let length = match body {
        [] => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: web\r\n{header}{length}\r\n");
    client([head.as_bytes(), body].concat())
}

pub(crate) fn get(target: &str) -> Vec<Said> {
    request("GET", target, "", b"")
}

pub(crate) fn header(line: &str) -> Vec<Said> {
    request("GET", "/", &format!("{line}\r\n"), b"")
}

pub(crate) fn post(target: &str, body: &str) -> Vec<Said> {
    request("POST", target, "", body.as_bytes())
}

pub(crate) fn answer(status: &str, header: &str, body: &[u8]) -> Vec<Said> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{header}Content-Length: {}\r\n\r\n",
        body.len()
    );
    server([head.as_bytes(), body].concat())
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Chunks of `size` bytes (RFC 9112, 7.1).
pub(crate) fn chunked(data: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in data.chunks(size) {
        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// A request of HTTP/2 with prior knowledge (RFC 9113), its fields as literals.
pub(crate) fn http2(fields: &[(&str, &str)], body: &[u8]) -> Vec<Said> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let mut length = text.len();
            // An integer of seven bits and more (RFC 7541, 5.1).
            if length < 127 {
                block.push(u8::try_from(length).unwrap());
            } else {
                block.push(127);
                length -= 127;
                while length > 127 {
                    block.push(u8::try_from(length & 127).unwrap() | 128);
                    length >>= 7;
                }
                block.push(u8::try_from(length).unwrap());
            }
            block.extend(text.bytes());
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(http2_frame(4, 0, 0, b""));
    bytes.extend(http2_frame(1, 4 | u8::from(body.is_empty()), 1, &block));
    if !body.is_empty() {
        bytes.extend(http2_frame(0, 1, 1, body));
    }
    client(bytes)
}

pub(crate) fn http2_get(target: &str, field: (&str, &str)) -> Vec<Said> {
    let start = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", target),
        (":authority", "web"),
    ];
    http2(&[&start[..], &[field]].concat(), b"")
}

fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A question (RFC 1035, 4.1).
pub(crate) fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut message = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.extend([0, 0, kind, 0, 1]);
    message
}

/// A message on a stream, behind its length in two bytes.
pub(crate) fn with_length(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    [&length, message].concat()
}

/// A ClientHello (RFC 8446, 4.1.2) for a name.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    let name = with_length(name.as_bytes());
    let list = with_length(&[&[0], name.as_slice()].concat());
    let extension = [&[0, 0], with_length(&list).as_slice()].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(with_length(&extension));
    handshake(1, &body)
}

/// ServerHello and a certificate.
pub(crate) fn server_hello(certificate: &[u8]) -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend([8; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    let three = |data: &[u8]| {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[1..], data].concat()
    };
    let list = three(&three(certificate));
    [handshake(2, &hello), handshake(11, &list)].concat()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend_from_slice(body);
    [&[0x16, 3, 1], with_length(&message).as_slice()].concat()
}

/// One message of SMB 2 (MS-SMB2 2.2.1), behind its length.
fn smb2(command: u16, response: bool, id: u64, body: &[u8]) -> Vec<u8> {
    let mut all = b"\xfeSMB\x40\0\0\0\0\0\0\0".to_vec();
    all.extend(command.to_le_bytes());
    all.extend([1, 0]);
    all.extend(u32::from(response).to_le_bytes());
    all.extend([0; 4]);
    all.extend(id.to_le_bytes());
    all.extend([0; 4]);
    all.extend(5_u32.to_le_bytes());
    all.extend([0; 24]);
    all.extend(body);
    let length = u32::try_from(all.len()).unwrap().to_be_bytes();
    [&length, all.as_slice()].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A share connected, a file or pipe on it opened, and written.
pub(crate) fn smb_write(share: &str, name: &str, data: &[u8]) -> Vec<Said> {
    let (share, name) = (wide(share), wide(name));
    let length = |of: &[u8]| u16::try_from(of.len()).unwrap().to_le_bytes();
    let connect = [&[9, 0, 0, 0, 72, 0], &length(&share)[..], &share].concat();
    let mut create = vec![0; 44];
    create[0] = 57;
    create.extend([120, 0]);
    create.extend(length(&name));
    create.extend([0; 8]);
    create.extend(name);
    let mut created = vec![0; 64];
    created.extend([9; 16]);
    created.extend([0; 8]);
    let mut write = vec![49, 0, 112, 0];
    write.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    write.extend([0; 8]);
    write.extend([9; 16]);
    write.extend([0; 16]);
    write.extend_from_slice(data);
    [
        client(smb2(3, false, 1, &connect)),
        server(smb2(3, true, 1, &[16, 0, 1, 0])),
        client(smb2(5, false, 2, &create)),
        server(smb2(5, true, 2, &created)),
        client(smb2(9, false, 3, &write)),
        client(smb2(
            6,
            false,
            4,
            &[
                24, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
            ],
        )),
    ]
    .concat()
}

/// A call of NFS 3 (RFC 1813) with AUTH_SYS (RFC 5531, appendix A), behind its record mark.
pub(crate) fn nfs_call(uid: u32) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let head: Vec<u8> = words(&[7, 0, 2, 100_003, 3, 1]);
    let mut credential: Vec<u8> = words(&[0, 5]);
    credential.extend(b"web-1\0\0\0");
    credential.extend::<Vec<u8>>(words(&[uid, 0, 0]));
    let length = u32::try_from(credential.len()).unwrap();
    let mut call = [head, words(&[1, length]), credential, words(&[0, 0, 0])].concat();
    let mark = 0x8000_0000 | u32::try_from(call.len()).unwrap();
    call.splice(..0, mark.to_be_bytes());
    call
}
