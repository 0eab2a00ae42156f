//! The frames of ONC RPC and of NFS in it.

use crate::{
    flow::Direction,
    protocol::{Buffer, Transactions, read::Reader},
};

const ALL: &[Buffer] = &[
    Buffer::FrameRpcPdu,
    Buffer::FrameRpcHdr,
    Buffer::FrameRpcData,
    Buffer::FrameRpcCreds,
    Buffer::FrameNfsPdu,
    Buffer::FrameNfsStatus,
    Buffer::FrameNfs4Pdu,
    Buffer::FrameNfs4Hdr,
    Buffer::FrameNfs4Ops,
    Buffer::FrameNfs4Status,
];
/// Bytes of a call before its credentials, and of a reply before what it says (RFC 5531, 9).
const CALL: usize = 24;
const REPLY: usize = 8;
/// The number of operations of a compound, and what is before it where it has no tag.
const COMPOUND: usize = 8;

/// Pushes those of one message. `mark` is how many bytes of `record` are before it; `version` that of
/// the last call, which a reply does not tell.
pub(super) fn push(
    direction: Direction,
    record: &[u8],
    mark: usize,
    version: &mut u32,
    out: &mut Transactions,
) {
    if !out.frames.wants(ALL) {
        return;
    }
    let mut add = |frame, bytes: Option<&[u8]>| {
        if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
            out.frames.push(direction, frame, bytes);
        }
    };
    add(Buffer::FrameRpcPdu, Some(record));
    let message = record.get(mark..).unwrap_or_default();
    let is_call = message.get(4..8) == Some(&[0; 4]);
    let header = mark + if is_call { CALL } else { REPLY };
    add(Buffer::FrameRpcHdr, record.get(..header));
    add(Buffer::FrameRpcData, record.get(header..));
    let mut rest = Reader::big(record.get(header..).unwrap_or_default());
    if is_call {
        let called = message.get(16..20).and_then(|it| it.first_chunk::<4>());
        *version = called.map_or(0, |it| u32::from_be_bytes(*it));
        add(Buffer::FrameRpcCreds, opaque(&mut rest));
        let _ = opaque(&mut rest);
    } else {
        // Accepted or not, the verifier, and whether it succeeded.
        let _ = rest.skip(4);
        let _ = opaque(&mut rest);
        let _ = rest.skip(4);
    }
    let nfs = rest.rest();
    let (pdu, status) = if *version == 4 {
        (Buffer::FrameNfs4Pdu, Buffer::FrameNfs4Status)
    } else {
        (Buffer::FrameNfsPdu, Buffer::FrameNfsStatus)
    };
    add(pdu, Some(nfs));
    if !is_call {
        add(status, nfs.get(..4));
    } else if *version == 4 {
        add(Buffer::FrameNfs4Hdr, nfs.get(..COMPOUND));
        add(Buffer::FrameNfs4Ops, nfs.get(COMPOUND..));
    }
}

/// A flavour, a length and so many bytes.
fn opaque<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let front = reader.rest().get(..8)?;
    let length = u32::from_be_bytes(*front.last_chunk::<4>()?);
    let length = usize::try_from(length).ok()?.checked_next_multiple_of(4)?;
    reader.take(length.checked_add(8)?)
}
