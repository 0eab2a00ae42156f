//! QUIC as Google had it, whose hello was not encrypted (versions Q039 to Q046).

use crate::protocol::read::Reader;

/// Bytes before the hello in which it is looked for: header, hash, and the frame's.
const WINDOW: usize = 96;
/// Tags of one hello.
const MAX_TAGS: u32 = 64;

/// What a hello tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    pub(super) name: Option<&'a [u8]>,
    pub(super) user_agent: Option<&'a [u8]>,
    /// Its tags in their order, as the fingerprint CYU has them.
    pub(super) tags: Vec<u8>,
}

/// The version of a packet, if it is one of these.
pub(super) fn version(data: &[u8]) -> Option<u32> {
    let mut reader = Reader::big(data);
    let first = reader.u8()?;
    // Q046 has the version in front, as the standard has.
    if first & 0x80 == 0 {
        // Before, it was there if a flag said so, behind eight bytes of a connection identifier.
        if first & 0xc9 != 0x09 {
            return None;
        }
        reader.take(8)?;
    }
    let version = reader.array()?;
    matches!(&version, b"Q039" | b"Q043" | b"Q044" | b"Q046").then_some(u32::from_be_bytes(version))
}

/// The hello of a packet, if there is one. Headers before it are of many lengths: it is found by
/// its tag.
pub(super) fn hello(data: &[u8]) -> Option<Hello<'_>> {
    let window = data.get(..WINDOW).unwrap_or(data);
    let at = window.windows(4).position(|tag| tag == b"CHLO")?;
    let mut reader = Reader::big(data.get(at + 4..)?);
    let count = u32::from(reader.array().map(u16::from_le_bytes)?).min(MAX_TAGS);
    reader.take(2)?;
    let mut tags = Vec::new();
    for _ in 0..count {
        let tag: [u8; 4] = reader.array()?;
        let end = reader.array().map(u32::from_le_bytes)?;
        tags.push((tag, usize::try_from(end).ok()?));
    }
    let mut hello = Hello::default();
    let mut start = 0;
    for (tag, end) in tags {
        if !hello.tags.is_empty() {
            hello.tags.push(b'-');
        }
        let name = tag.iter().filter(|byte| byte.is_ascii_graphic());
        hello.tags.extend(name);
        let value = reader.rest().get(start..end)?;
        start = end;
        match &tag {
            b"SNI\0" => hello.name = Some(value),
            b"UAID" => hello.user_agent = Some(value),
            _ => {}
        }
    }
    Some(hello)
}
