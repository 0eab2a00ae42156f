//! ONC RPC (RFC 5531) and the data representation under it (RFC 4506).

use crate::protocol::read::Reader;

const VERSION: u32 = 2;
const NFS: u32 = 100_003;
/// Names and handles are shorter; a longer length is none.
const MAX_OPAQUE: usize = 4096;

/// A message, and what it carries for the procedure.
#[derive(Debug)]
pub(super) enum Message<'a> {
    Call {
        xid: u32,
        version: u32,
        procedure: u32,
        arguments: Reader<'a>,
    },
    Reply {
        xid: u32,
        /// `None` when the call was refused.
        results: Option<Reader<'a>>,
    },
}

/// Reads one message. `None` for what is no NFS.
pub(super) fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let mut reader = Reader::big(bytes);
    let xid = reader.u32()?;
    match reader.u32()? {
        0 => {
            if reader.u32()? != VERSION || reader.u32()? != NFS {
                return None;
            }
            let version = reader.u32()?;
            let procedure = reader.u32()?;
            for _ in 0..2 {
                reader.skip(4)?;
                opaque(&mut reader)?;
            }
            Some(Message::Call {
                xid,
                version,
                procedure,
                arguments: reader,
            })
        }
        1 => Some(Message::Reply {
            xid,
            results: results(reader),
        }),
        _ => None,
    }
}

fn results(mut reader: Reader<'_>) -> Option<Reader<'_>> {
    let accepted = reader.u32()? == 0;
    reader.skip(4)?;
    opaque(&mut reader)?;
    let success = reader.u32()? == 0;
    (accepted && success).then_some(reader)
}

/// Bytes with their length before and filled up to a multiple of four.
pub(super) fn opaque<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.length()?;
    if length > MAX_OPAQUE {
        return None;
    }
    let bytes = reader.take(length)?;
    reader.skip((4 - length % 4) % 4)?;
    Some(bytes)
}

/// Content of a file: its length, and as much of it as there is.
pub(super) fn content<'a>(reader: &mut Reader<'a>) -> Option<(usize, &'a [u8])> {
    let length = reader.length()?;
    let present = reader.rest().len();
    let bytes = reader.take(length.min(present))?;
    // The padding of what is cut off has not come.
    let _ = reader.skip((4 - length % 4) % 4);
    Some((length, bytes))
}

/// Whether this is the front of a call of NFS, or of a reply. `None` when too little has come.
pub(super) fn plausible(bytes: &[u8]) -> Option<bool> {
    let mut reader = Reader::big(bytes);
    reader.skip(4)?;
    match reader.u32()? {
        0 => {
            let (rpc, program, version) = (reader.u32()?, reader.u32()?, reader.u32()?);
            Some(rpc == VERSION && program == NFS && (2..=4).contains(&version))
        }
        _ => Some(false),
    }
}
