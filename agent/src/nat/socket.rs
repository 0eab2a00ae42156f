//! nf_conntrack_netlink: what connection tracking announces, and what it has.
#![expect(unsafe_code, reason = "SO_ATTACH_FILTER has no safe wrapper")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::{Duration, Instant},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::{
    event::{PollFd, PollFlags},
    time::Timespec,
};

use super::message::{self, CTA_STATUS, Change, Connection};

/// The kernel writes at most 32 KiB into one datagram of a dump (`NLMSG_GOODSIZE`).
const BUFFER: usize = 64 * 1024;
/// How long the kernel gets for each part of a dump, and for all of it.
const TIMEOUT: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};
const DUMP: Duration = Duration::from_secs(30);

/// A socket that is told of every translated connection as it begins and ends. Later changes of a
/// connection are not asked for: they never concern its translation.
#[derive(Debug)]
pub(super) struct Subscription {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Subscription {
    pub(super) fn open() -> io::Result<Self> {
        /// `NF_NETLINK_CONNTRACK_NEW | NF_NETLINK_CONNTRACK_DESTROY`.
        const GROUPS: u32 = 0x0000_0001 | 0x0000_0004;
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.set_non_blocking(true)?;
        // Some ten thousand connections; where they do not fit, the kernel says so.
        socket.set_rx_buf_sz(4_194_304_i32)?;
        // First, so that nothing else gets in.
        only_translated(socket.as_fd())?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads one datagram. `WouldBlock` when there is none; `ENOBUFS` when news were lost.
    pub(super) fn read(&mut self, take: impl FnMut(Change)) -> io::Result<()> {
        self.buffer.clear();
        let (_, sender) = self.socket.recv_from(&mut self.buffer, 0)?;
        // Any process may send to this socket; only the kernel has port 0.
        if sender.port_number() == 0 {
            message::read(&self.buffer, take);
        }
        Ok(())
    }
}

/// Has the kernel drop what is about connections that are not translated: they are most, and cost
/// nothing then but their announcement.
fn only_translated(socket: BorrowedFd<'_>) -> io::Result<()> {
    // `linux/filter.h`: a load is of a word in network byte order; `nla_find` from A on of type X.
    const LD_IMM: u16 = 0x00;
    const LDX_IMM: u16 = 0x01;
    const LD_ABS: u16 = 0x20;
    const LD_IND: u16 = 0x40;
    const TAX: u16 = 0x07;
    const JEQ: u16 = 0x15;
    const JSET: u16 = 0x45;
    const RET: u16 = 0x06;
    /// `SKF_AD_OFF + SKF_AD_NLATTR`.
    const NLATTR: u32 = (-0x1000_i32 + 12).cast_unsigned();
    /// `nlmsghdr` and `nfgenmsg`.
    const ATTRIBUTES: u32 = 20;
    /// `IPS_SRC_NAT | IPS_DST_NAT`.
    const TRANSLATED: u32 = 0x30;
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        line(LDX_IMM, 0, 0, u32::from(CTA_STATUS)),
        line(LD_IMM, 0, 0, ATTRIBUTES),
        line(LD_ABS, 0, 0, NLATTR),
        // Without a status: let it through.
        line(JEQ, 3, 0, 0),
        line(TAX, 0, 0, 0),
        line(LD_IND, 0, 0, 4),
        line(JSET, 0, 1, TRANSLATED),
        line(RET, 0, 0, u32::MAX),
        line(RET, 0, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or_default(),
        filter: program.as_mut_ptr(),
    };
    let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or_default();
    // SAFETY: the pointers are to live values, which the kernel copies, and `size` is that of the
    // one that is passed.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lists all connections that there are. Some may be told twice, or missing, that come or go
/// meanwhile.
pub(super) fn list(mut take: impl FnMut(Connection)) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&message::dump_request(1), 0)?;
    let end = Instant::now() + DUMP;
    let mut buffer = Vec::with_capacity(BUFFER);
    while Instant::now() < end {
        let mut fds = [PollFd::new(&socket, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&TIMEOUT)) {
            Ok(0) => break,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        let end = message::read(&buffer, |change| {
            if let Change::Begun(connection) = change {
                take(connection);
            }
        });
        match end.error {
            None | Some(0) => {}
            Some(code) => return Err(io::Error::from_raw_os_error(code.saturating_neg())),
        }
        if end.done {
            return Ok(());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_the_filter_and_lists_connections() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let mut subscription = Subscription::open().unwrap();
        let read = subscription.read(|_| ());
        assert!(read.is_ok() || read.unwrap_err().kind() == io::ErrorKind::WouldBlock);
        list(|_| ()).unwrap();
    }
}
