//! What is known of files from their content: hashes and kinds.

mod magic;

pub use magic::magic;

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// Bytes from which the kind of a file is told.
const MAGIC_WINDOW: usize = 1_024;

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The hashes of a file that is coming.
#[derive(Clone, Debug, Default)]
struct Hashes {
    md5: Md5,
    sha1: Sha1,
    sha256: Sha256,
}

/// The hashes of a whole file, in lower-case hexadecimal digits.
#[derive(Debug)]
pub(crate) struct Digests {
    pub(crate) md5: Vec<u8>,
    pub(crate) sha1: Vec<u8>,
    pub(crate) sha256: Vec<u8>,
}

/// Looks at one file as it comes.
#[derive(Debug)]
pub(crate) struct Inspection {
    hashes: Option<Box<Hashes>>,
    /// The first bytes, until the kind is told.
    front: Option<Vec<u8>>,
}

impl Inspection {
    pub(crate) fn new(hashed: bool) -> Self {
        Self {
            hashes: hashed.then(Box::default),
            front: Some(Vec::new()),
        }
    }

    /// Takes what follows; gives the kind when enough has come to tell.
    pub(crate) fn data(&mut self, data: &[u8]) -> Option<&'static str> {
        if let Some(hashes) = &mut self.hashes {
            hashes.md5.update(data);
            hashes.sha1.update(data);
            hashes.sha256.update(data);
        }
        let front = self.front.as_mut()?;
        let room = MAGIC_WINDOW - front.len().min(MAGIC_WINDOW);
        front.extend_from_slice(data.get(..room).unwrap_or(data));
        if front.len() < MAGIC_WINDOW {
            return None;
        }
        self.kind()
    }

    /// The kind, if it was not given before.
    pub(crate) fn kind(&mut self) -> Option<&'static str> {
        self.front.take().map(|front| magic(&front))
    }

    /// The hashes, if they were asked for.
    pub(crate) fn digests(&mut self) -> Option<Digests> {
        let hashes = self.hashes.take()?;
        Some(Digests {
            md5: hex(&hashes.md5.finalize()),
            sha1: hex(&hashes.sha1.finalize()),
            sha256: hex(&hashes.sha256.finalize()),
        })
    }

    pub(crate) fn footprint(&self) -> usize {
        let hashes = self.hashes.as_ref().map_or(0, |_| size_of::<Hashes>());
        size_of::<Self>() + hashes + self.front.as_ref().map_or(0, Vec::capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Direction;
    use crate::protocol::{Buffer, Limits, Stage, Transactions};

    #[test]
    fn hashes_cover_what_is_not_kept() {
        let mut out = Transactions::new(Limits {
            body: 1,
            hashes: true,
            ..Limits::default()
        });
        let id = out.begin();
        let transaction = out.get(id).unwrap();
        transaction.file_open(Direction::ToClient, Some(b"x"));
        transaction.file_data(Direction::ToClient, b"ab");
        transaction.file_data(Direction::ToClient, b"c");
        transaction.advance(Direction::ToClient, Stage::Complete);
        let first = |buffer| transaction.first(Direction::ToClient, buffer);
        assert_eq!(first(Buffer::FileData), Some(&b"a"[..]));
        assert_eq!(first(Buffer::FileMagic), Some(&b"ASCII text"[..]));
        let md5 = b"900150983cd24fb0d6963f7d28e17f72";
        assert_eq!(first(Buffer::FileMd5), Some(&md5[..]));
        assert_eq!(transaction.numbers().len(), 1);
    }

    #[test]
    fn hashes_are_those_of_all_pieces() {
        let mut inspection = Inspection::new(true);
        assert_eq!(inspection.data(b"a"), None);
        assert_eq!(inspection.data(b"bc"), None);
        assert!(inspection.kind().is_some());
        assert!(inspection.kind().is_none());
        let digests = inspection.digests().unwrap();
        assert_eq!(digests.md5, b"900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(digests.sha1, b"a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            digests.sha256,
            b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_kind_is_told_as_soon_as_enough_has_come() {
        let mut inspection = Inspection::new(false);
        assert_eq!(inspection.data(&[0; 1_000]), None);
        assert!(inspection.data(&[0; 1_000]).is_some());
        assert_eq!(inspection.data(&[0; 1_000]), None);
    }
}
