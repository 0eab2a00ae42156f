//! Who logs on, as NTLM says it (MS-NLMP 2.2.1.3).

use crate::protocol::read::Reader;

const SIGNATURE: &[u8] = b"NTLMSSP\0";
const AUTHENTICATE: u32 = 3;
const UNICODE: u32 = 1;

/// What the client said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Logon {
    /// No authentication message.
    Nothing,
    /// One that cannot be read.
    Malformed,
    Names {
        user: Vec<u8>,
        domain: Vec<u8>,
    },
}

/// Reads the token of a session setup, bare or inside of SPNEGO.
pub(super) fn logon(token: &[u8]) -> Logon {
    let start = token
        .windows(SIGNATURE.len())
        .position(|window| window == SIGNATURE);
    let Some(message) = start.and_then(|start| token.get(start..)) else {
        return Logon::Nothing;
    };
    let kind = message
        .get(SIGNATURE.len()..)
        .and_then(|rest| Reader::little(rest).u32());
    match kind {
        Some(AUTHENTICATE) => authenticate(message).unwrap_or(Logon::Malformed),
        Some(_) => Logon::Nothing,
        None => Logon::Malformed,
    }
}

fn authenticate(message: &[u8]) -> Option<Logon> {
    let mut reader = Reader::little(message.get(28..)?);
    let domain = field(message, &mut reader)?;
    let user = field(message, &mut reader)?;
    reader.skip(16)?;
    // Old clients leave the flags out.
    let unicode = reader.u32().is_none_or(|flags| flags & UNICODE != 0);
    let text = |bytes: &[u8]| {
        if unicode { utf8(bytes) } else { bytes.to_vec() }
    };
    Some(Logon::Names {
        user: text(user),
        domain: text(domain),
    })
}

fn field<'a>(message: &'a [u8], reader: &mut Reader<'_>) -> Option<&'a [u8]> {
    let length = usize::from(reader.u16()?);
    reader.skip(2)?;
    let offset = reader.length()?;
    message.get(offset..)?.get(..length)
}

/// UTF-16 as rules compare it.
pub(super) fn utf8(bytes: &[u8]) -> Vec<u8> {
    let (units, _) = bytes.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    char::decode_utf16(units)
        .map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect::<String>()
        .into_bytes()
}
