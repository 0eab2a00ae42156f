//! The Unix sockets of a network namespace (`sock_diag(7)`, `linux/unix_diag.h`).

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// Sockets of one namespace that are taken in.
const SOCKETS_MAX: usize = 65_536;
/// `SOCK_DIAG_BY_FAMILY`, `NLMSG_ERROR`, `NLMSG_DONE`.
const BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER`.
const SHOW: u32 = 7;
/// Attributes that are asked for.
const NAME: u16 = 0;
const VFS: u16 = 1;
const PEER: u16 = 2;
/// Bytes of a netlink header, of a `unix_diag_msg` and of an attribute's header.
const HEADER: usize = 16;
const MESSAGE: usize = 16;
const ATTRIBUTE: usize = 4;
/// `TCP_LISTEN`.
const LISTEN: u8 = 10;

/// One socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::process) struct UnixRow {
    /// Inode in sockfs.
    pub(in crate::process) inode: u32,
    /// Inode of its peer; 0 when it has none.
    pub(in crate::process) peer: u32,
    /// Where it is bound, or where the socket was bound that it was accepted from: device as the kernel
    /// counts them (major number times 2^20, and minor number), and inode's lower half.
    pub(in crate::process) file: Option<(u32, u32)>,
    /// The name it is bound to; abstract ones begin with NUL.
    pub(in crate::process) name: Vec<u8>,
    /// Whether connections are accepted from it, or datagrams may come in by its name.
    pub(in crate::process) serves: bool,
}

/// All Unix sockets of the namespace of the calling thread.
pub(in crate::process) fn sockets() -> io::Result<Vec<UnixRow>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(), 0)?;
    let mut rows = Vec::new();
    loop {
        let (received, _) = socket.recv_from_full()?;
        if take(&received, &mut rows)? || received.is_empty() {
            return Ok(rows);
        }
    }
}

/// `struct unix_diag_req` behind a netlink header.
fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    bytes.extend(40_u32.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    // Sequence number and port; the port is filled in by the kernel.
    bytes.extend([0; 8]);
    // AF_UNIX, protocol, padding.
    bytes.extend([1, 0, 0, 0]);
    // All states, any inode.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(SHOW.to_ne_bytes());
    // Any cookie.
    bytes.extend([0xff; 8]);
    bytes
}

/// Takes one datagram of messages in. True when it was the last.
fn take(mut rest: &[u8], rows: &mut Vec<UnixRow>) -> io::Result<bool> {
    while let Some(length) = word(rest, 0) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let kind = half(rest, 4).unwrap_or_default();
        let Some(body) = rest.get(HEADER..length) else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        match kind {
            DONE => return Ok(true),
            ERROR => {
                let code = word(body, 0).unwrap_or_default().cast_signed();
                return match code {
                    0 => Ok(true),
                    code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                };
            }
            BY_FAMILY if rows.len() < SOCKETS_MAX => rows.extend(row(body)),
            _ => {}
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

fn row(body: &[u8]) -> Option<UnixRow> {
    /// `SOCK_DGRAM`.
    const DATAGRAM: u8 = 2;
    let [_family, kind, state, _pad, ..] = *body.first_chunk::<4>()?;
    let mut row = UnixRow {
        inode: word(body, 4)?,
        ..UnixRow::default()
    };
    let mut rest = body.get(MESSAGE..)?;
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(ATTRIBUTE..length)?;
        match kind {
            NAME => row.name = value.to_vec(),
            VFS => row.file = word(value, 4).zip(word(value, 0)),
            PEER => row.peer = word(value, 0)?,
            _ => {}
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    row.serves = state == LISTEN || (kind == DATAGRAM && !row.name.is_empty());
    Some(row)
}

const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::MetadataExt as _,
        net::{UnixListener, UnixStream},
    };

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ends_of_a_connection_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let (_server, _) = listener.accept().unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        let (major, minor) = (
            rustix::fs::major(metadata.dev()),
            rustix::fs::minor(metadata.dev()),
        );
        let file = (
            major << 20 | minor,
            u32::try_from(metadata.ino() & 0xffff_ffff).unwrap(),
        );
        let rows = sockets().unwrap();
        let of_file: Vec<_> = rows.iter().filter(|row| row.file == Some(file)).collect();
        assert_eq!(of_file.iter().filter(|row| row.serves).count(), 1);
        let accepted = of_file.iter().find(|row| !row.serves).unwrap();
        assert!(
            rows.iter()
                .any(|row| row.inode == accepted.peer && row.peer == accepted.inode)
        );
    }

    proptest! {
        #[test]
        fn nothing_that_could_be_received_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rows = Vec::new();
            let _ = take(&bytes, &mut rows);
            let _ = row(&bytes);
        }
    }
}
