//! Looking into a network namespace: its addresses and the kernel's cookie for it.
#![expect(unsafe_code, reason = "SO_NETNS_COOKIE has no safe wrapper")]

use std::{
    fs::File,
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    os::unix::fs::MetadataExt,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{
    links::bare,
    listening::{Listening, listening_here},
    netlink::Connection,
};

/// An open network namespace. Do not keep it: it holds the namespace and its links alive.
pub(crate) struct Namespace {
    file: File,
    /// Inode: what `ls -l /proc/PID/ns/net` shows.
    pub(crate) inode: u64,
}

impl Namespace {
    /// The network namespace of a process.
    pub(crate) fn of_process(pid: u32) -> io::Result<Self> {
        Self::open(&format!("/proc/{pid}/ns/net"))
    }

    /// The network namespace of the calling thread.
    pub(super) fn own() -> io::Result<Self> {
        Self::open("/proc/thread-self/ns/net")
    }

    fn open(path: &str) -> io::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Looks into it. `host` is the namespace of the host.
    pub(super) fn look(&self, host: BorrowedFd<'_>) -> io::Result<View> {
        self.inside(|| look_here(Some(host)))
    }

    /// Does something on a thread of its own, which enters it and ends there.
    pub(crate) fn inside<T: Send>(
        &self,
        act: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        thread::scope(|scope| {
            let worker = thread::Builder::new()
                .name("census-netns".to_owned())
                .spawn_scoped(scope, || {
                    move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
                    act()
                })?;
            worker
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace died")))
        })
    }
}

/// What a namespace shows from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Addresses but loopback ones, sorted.
    pub(super) addresses: Vec<IpAddr>,
    /// MAC addresses, sorted.
    pub(super) macs: Vec<[u8; 6]>,
    /// Sockets that wait for others, sorted; none where the kernel does not tell.
    pub(super) listening: Vec<Listening>,
    /// `SO_NETNS_COOKIE` (kernel 5.14); 0 when the kernel has none.
    pub(super) cookie: u64,
    /// Indices of the links in front of which no link of the host can be hooked.
    pub(super) bare: Vec<u32>,
}

/// What the namespace of this thread shows. `host` is that of the host, if it is another.
pub(super) fn look_here(host: Option<BorrowedFd<'_>>) -> io::Result<View> {
    let mut connection = Connection::open()?;
    let host = match host {
        Some(host) => connection.nsid_of(host)?,
        None => None,
    };
    Ok(View {
        addresses: connection.addresses()?,
        macs: connection.macs()?,
        listening: listening_here().unwrap_or_default(),
        cookie: cookie_of(connection.as_fd()),
        bare: bare(&connection.links()?, host),
    })
}

/// The cookie of the namespace of this thread; 0 when the kernel does not tell.
pub(crate) fn cookie_here() -> io::Result<u64> {
    Ok(cookie_of(Connection::open()?.as_fd()))
}

/// The cookie of the namespace in which a socket was made; 0 when the kernel does not tell.
fn cookie_of(socket: BorrowedFd<'_>) -> u64 {
    let mut cookie = 0_u64;
    let mut length: libc::socklen_t = 8;
    // SAFETY: both pointers are to live values, and `length` is the size of the one written.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if status == 0 { cookie } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_has_a_cookie_and_an_inode() {
        assert_ne!(look_here(None).unwrap().cookie, 0);
        let own = Namespace::own().unwrap();
        let by_pid = Namespace::of_process(std::process::id()).unwrap();
        assert_eq!(by_pid.inode, own.inode);
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(Namespace::of_process(pid).is_err());
    }
}
