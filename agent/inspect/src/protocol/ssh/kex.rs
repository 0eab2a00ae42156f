//! What each side offers to agree on (RFC 4253, section 7.1), and the fingerprint of it.

use crate::flow::Direction;
use crate::protocol::read::Reader;

/// Bytes before the lists.
const COOKIE: usize = 16;

/// What the hash of HASSH is made over: key exchange, encryption, authentication and compression
/// of what the sender sends.
pub(super) fn hassh(body: &[u8], direction: Direction) -> Option<Vec<u8>> {
    let mut reader = Reader::big(body);
    reader.take(COOKIE)?;
    let mut list = || {
        let length = usize::try_from(reader.u32()?).ok()?;
        reader.take(length)
    };
    let exchange = list()?;
    let _host_keys = list()?;
    let mut of_sender = || {
        let (client, server) = (list()?, list()?);
        Some(match direction {
            Direction::ToServer => client,
            Direction::ToClient => server,
        })
    };
    Some([exchange, of_sender()?, of_sender()?, of_sender()?].join(&b';'))
}
