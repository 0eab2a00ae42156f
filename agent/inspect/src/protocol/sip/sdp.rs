//! Session descriptions in the bodies of messages (RFC 8866).

use super::super::line::trim;
use super::super::{Buffer, Transaction};
use crate::flow::Direction;

/// Pushes the lines that rules look into.
pub(super) fn push(direction: Direction, body: &[u8], out: &mut Transaction) {
    let mut media = false;
    for line in body.split(|byte| *byte == b'\n') {
        let [kind, b'=', value @ ..] = line else {
            continue;
        };
        media |= *kind == b'm';
        let buffer = if media {
            of_media(*kind)
        } else {
            of_session(*kind)
        };
        if let Some(buffer) = buffer {
            out.push(direction, buffer, trim(value));
        }
    }
}

const fn of_session(kind: u8) -> Option<Buffer> {
    Some(match kind {
        b'o' => Buffer::SdpOrigin,
        b's' => Buffer::SdpSessionName,
        b'i' => Buffer::SdpSessionInfo,
        b'u' => Buffer::SdpUri,
        b'e' => Buffer::SdpEmail,
        b'p' => Buffer::SdpPhoneNumber,
        b'c' => Buffer::SdpConnectionData,
        b'b' => Buffer::SdpBandwidth,
        b't' => Buffer::SdpTime,
        b'r' => Buffer::SdpRepeatTime,
        b'z' => Buffer::SdpTimezone,
        b'k' => Buffer::SdpEncryptionKey,
        b'a' => Buffer::SdpAttribute,
        _ => return None,
    })
}

const fn of_media(kind: u8) -> Option<Buffer> {
    Some(match kind {
        b'm' => Buffer::SdpMedia,
        b'i' => Buffer::SdpMediaInfo,
        b'c' => Buffer::SdpMediaConnectionData,
        b'k' => Buffer::SdpMediaEncryptionKey,
        _ => return None,
    })
}
