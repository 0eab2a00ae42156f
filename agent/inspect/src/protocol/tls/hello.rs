//! The messages that begin a connection (RFC 8446, section 4.1), and what they tell.

use super::fingerprint;
use crate::flow::Direction;
use crate::protocol::read::{Reader, numbers16};
use crate::protocol::{Buffer, Field, Transaction};

pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const GROUPS: u16 = 10;
pub(crate) const POINT_FORMATS: u16 = 11;
pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const ALPN: u16 = 16;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;

/// Extensions of one hello. A record has room for more, no client sends them.
const MAX_EXTENSIONS: usize = 256;

/// The random of a ServerHello that asks for another ClientHello (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What carries the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Quic,
}

/// ClientHello or ServerHello.
#[derive(Debug)]
pub(crate) struct Hello<'a> {
    /// Of the message; TLS 1.3 is in an extension.
    pub(crate) version: u16,
    pub(crate) random: [u8; 32],
    /// Of a ServerHello the one that was chosen.
    pub(crate) ciphers: Vec<u16>,
    pub(crate) extensions: Vec<(u16, &'a [u8])>,
}

impl<'a> Hello<'a> {
    pub(crate) fn client(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::big(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        reader.sized8()?;
        let ciphers = numbers16(reader.sized16()?).collect();
        reader.sized8()?;
        Some(Self {
            version,
            random,
            ciphers,
            extensions: extensions(&mut reader)?,
        })
    }

    pub(crate) fn server(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::big(body);
        let version = reader.u16()?;
        let random = reader.array()?;
        // Drafts of TLS 1.3 had neither session nor compression.
        let draft = version >> 8 == 0x7f;
        if !draft {
            reader.sized8()?;
        }
        let ciphers = vec![reader.u16()?];
        if !draft {
            reader.u8()?;
        }
        Some(Self {
            version,
            random,
            ciphers,
            extensions: extensions(&mut reader)?,
        })
    }

    pub(crate) fn extension(&self, kind: u16) -> Option<&'a [u8]> {
        self.extensions
            .iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, data)| *data)
    }

    /// The protocols of ALPN, in order.
    pub(crate) fn protocols(&self) -> Vec<&'a [u8]> {
        let mut protocols = Vec::new();
        let mut outer = Reader::big(self.extension(ALPN).unwrap_or_default());
        let mut list = Reader::big(outer.sized16().unwrap_or_default());
        while let Some(protocol) = list.sized8() {
            protocols.push(protocol);
        }
        protocols
    }

    /// Versions that the client can speak (RFC 8446, section 4.2.1), without GREASE.
    pub(crate) fn versions(&self) -> impl Iterator<Item = u16> {
        let mut outer = Reader::big(self.extension(SUPPORTED_VERSIONS).unwrap_or_default());
        numbers16(outer.sized8().unwrap_or_default()).filter(|version| !is_grease(*version))
    }

    pub(crate) fn is_retry(&self) -> bool {
        self.random == RETRY
    }
}

/// None of them is well-formed: SSL 3.0 ends before.
fn extensions<'a>(reader: &mut Reader<'a>) -> Option<Vec<(u16, &'a [u8])>> {
    let mut found = Vec::new();
    if reader.is_empty() {
        return Some(found);
    }
    let mut list = Reader::big(reader.sized16()?);
    while !list.is_empty() && found.len() < MAX_EXTENSIONS {
        found.push((list.u16()?, list.sized16()?));
    }
    Some(found)
}

/// Values that clients make up so that servers stay tolerant (RFC 8701).
pub(crate) const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// Whether it is a version that was ever spoken.
pub(crate) const fn is_version(version: u16) -> bool {
    // The last are the drafts of TLS 1.3, and the one that Facebook ran.
    matches!(version, 0x0300..=0x0304 | 0x7f00..=0x7fff | 0xfb1a)
}

/// Pushes what a ClientHello tells.
pub(crate) fn push_client(hello: &Hello<'_>, transport: Transport, transaction: &mut Transaction) {
    let direction = Direction::ToServer;
    let version = hello
        .versions()
        .find(|version| is_version(*version))
        .unwrap_or(hello.version);
    transaction.number(direction, Field::TlsVersion, version.into());
    push_names(hello, transport, transaction);
    for protocol in hello.protocols() {
        transaction.push(direction, Buffer::TlsAlpn, protocol);
    }
    push_random(&hello.random, direction, transaction);
    let ja3 = fingerprint::ja3(hello);
    transaction.push(direction, Buffer::Ja3String, ja3.as_bytes());
    let hash = crate::protocol::read::md5_hex(ja3.as_bytes());
    transaction.push(direction, Buffer::Ja3Hash, hash.as_bytes());
    let ja4 = fingerprint::ja4(hello, transport);
    transaction.push(direction, Buffer::Ja4Hash, ja4.as_bytes());
}

/// Pushes what a ServerHello tells.
pub(crate) fn push_server(hello: &Hello<'_>, transaction: &mut Transaction) {
    let direction = Direction::ToClient;
    let version = hello
        .extension(SUPPORTED_VERSIONS)
        .and_then(|data| Reader::big(data).u16())
        .unwrap_or(hello.version);
    transaction.number(direction, Field::TlsVersion, version.into());
    for protocol in hello.protocols() {
        transaction.push(direction, Buffer::TlsAlpn, protocol);
    }
    push_random(&hello.random, direction, transaction);
    let ja3s = fingerprint::ja3s(hello);
    transaction.push(direction, Buffer::Ja3sString, ja3s.as_bytes());
    let hash = crate::protocol::read::md5_hex(ja3s.as_bytes());
    transaction.push(direction, Buffer::Ja3sHash, hash.as_bytes());
}

fn push_random(random: &[u8; 32], direction: Direction, transaction: &mut Transaction) {
    transaction.push(direction, Buffer::TlsRandom, random);
    if let Some((time, bytes)) = random.split_at_checked(4) {
        transaction.push(direction, Buffer::TlsRandomTime, time);
        transaction.push(direction, Buffer::TlsRandomBytes, bytes);
    }
}

/// Pushes the names that the client asks for (RFC 6066, section 3).
pub(crate) fn push_names(hello: &Hello<'_>, transport: Transport, transaction: &mut Transaction) {
    let direction = Direction::ToServer;
    let mut seen = false;
    for (kind, data) in &hello.extensions {
        if *kind != SERVER_NAME {
            continue;
        }
        if seen {
            transaction.event(direction, "tls.multiple_sni_extensions");
        }
        seen = true;
        match server_name(data) {
            Ok(name) => {
                transaction.push(direction, Buffer::TlsSni, name);
                if transport == Transport::Quic {
                    transaction.push(direction, Buffer::QuicSni, name);
                }
            }
            Err(event) => transaction.event(direction, event),
        }
    }
}

fn server_name(data: &[u8]) -> Result<&[u8], &'static str> {
    const LENGTH: &str = "tls.invalid_sni_length";
    let mut reader = Reader::big(data);
    reader.u16().ok_or(LENGTH)?;
    if reader.u8().ok_or(LENGTH)? != 0 {
        return Err("tls.invalid_sni_type");
    }
    reader.sized16().ok_or(LENGTH)
}
