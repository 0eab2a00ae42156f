//! The socket tables of a network namespace, as `/proc/PID/net` shows them (`proc(5)`), and who holds
//! a socket.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// Bytes of one table that are read: about 50,000 sockets.
const TABLE_MAX: u64 = 8 << 20;
/// Descriptors of one process that are looked at.
const DESCRIPTORS_MAX: usize = 65_536;

/// `TCP_LISTEN` (`net/tcp_states.h`).
const LISTEN: u8 = 10;

/// One socket of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its own end.
    pub(super) local: SocketAddr,
    /// The other end; unspecified when it has none.
    pub(super) remote: SocketAddr,
    /// State, as TCP counts them.
    pub(super) state: u8,
    /// Inode in sockfs; 0 when no process has it (any more).
    pub(super) inode: u64,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let local = address(words.next()?)?;
        let remote = address(words.next()?)?;
        let state = u8::from_str_radix(words.next()?, 16).ok()?;
        // Queues, timer, retransmissions, uid and timeout come before the inode.
        let inode = words.nth(5)?.parse().ok()?;
        Some(Self {
            local,
            remote,
            state,
            inode,
        })
    }

    /// Whether it is a TCP socket that connections are accepted from.
    #[must_use]
    pub(super) const fn listens(&self) -> bool {
        self.state == LISTEN
    }

    /// Whether what is sent to `address` may reach it.
    #[must_use]
    pub(super) fn takes(&self, address: SocketAddr) -> bool {
        let own = self.local.ip().to_canonical();
        self.local.port() == address.port()
            && (own == address.ip().to_canonical() || own.is_unspecified())
    }
}

/// An address as the kernel prints it: words in host byte order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, to) in bytes.chunks_exact_mut(4).enumerate() {
                to.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// The sockets of a protocol in the network namespace of a process. What cannot be read has none.
pub(super) fn table(pid: u32, protocol: u8) -> Vec<Row> {
    let names: &[&str] = match protocol {
        6 => &["tcp", "tcp6"],
        17 => &["udp", "udp6"],
        _ => &[],
    };
    let mut rows = Vec::new();
    for name in names {
        let Ok(file) = File::open(format!("/proc/{pid}/net/{name}")) else {
            continue;
        };
        let lines = BufReader::new(file.take(TABLE_MAX)).lines().skip(1);
        rows.extend(
            lines
                .map_while(Result::ok)
                .filter_map(|line| Row::parse(&line)),
        );
    }
    rows
}

/// A raw or packet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawRow {
    /// `ipv4`, `ipv6` or `packet`.
    pub(super) family: &'static str,
    /// IP protocol; of packet sockets the Ethernet type.
    pub(super) protocol: u16,
    /// Inode in sockfs.
    pub(super) inode: u64,
}

/// The raw and packet sockets in the network namespace of a process.
pub(super) fn raw_table(pid: u32) -> Vec<RawRow> {
    let mut rows = Vec::new();
    for (name, family) in [("raw", "ipv4"), ("raw6", "ipv6"), ("packet", "packet")] {
        let Ok(file) = File::open(format!("/proc/{pid}/net/{name}")) else {
            continue;
        };
        let lines = BufReader::new(file.take(TABLE_MAX)).lines().skip(1);
        rows.extend(lines.map_while(Result::ok).filter_map(|line| {
            if family == "packet" {
                packet_row(&line)
            } else {
                // The place of the port has the protocol.
                Row::parse(&line).map(|row| RawRow {
                    family,
                    protocol: row.local.port(),
                    inode: row.inode,
                })
            }
        }));
    }
    rows
}

/// `sk RefCnt Type Proto Iface R Rmem User Inode`.
fn packet_row(line: &str) -> Option<RawRow> {
    let mut words = line.split_ascii_whitespace().skip(3);
    let protocol = u16::from_str_radix(words.next()?, 16).ok()?;
    let inode = words.nth(4)?.parse().ok()?;
    Some(RawRow {
        family: "packet",
        protocol,
        inode,
    })
}

/// The sockets that a process has open, by inode.
pub(super) fn held_by(pid: u32) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    descriptors
        .flatten()
        .take(DESCRIPTORS_MAX)
        .filter_map(|entry| inode_of(&fs::read_link(entry.path()).ok()?))
        .collect()
}

/// `socket:[INODE]`.
fn inode_of(target: &Path) -> Option<u64> {
    let text = target.to_str()?;
    text.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// All processes that there are.
pub(super) fn all_processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.flatten().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_holder() {
        for host in ["127.0.0.1:0", "[::]:0"] {
            let listener = TcpListener::bind(host).unwrap();
            let address = listener.local_addr().unwrap();
            let own = std::process::id();
            let row = table(own, 6)
                .into_iter()
                .find(|row| row.listens() && row.takes(address))
                .unwrap();
            assert!(held_by(own).contains(&row.inode));
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert!(
            table(std::process::id(), 17)
                .iter()
                .any(|row| row.takes(address))
        );
    }

    #[test]
    fn packet_sockets_are_read() {
        let line = "ffff888003a1d000 3      3    0003   2     1 0      0      4711";
        let row = packet_row(line).unwrap();
        assert_eq!((row.protocol, row.inode), (3, 4_711));
        for end in 0..line.len() {
            let _ = packet_row(&line[..end]);
        }
    }

    #[test]
    fn lines_are_read_as_the_kernel_prints_them() {
        if cfg!(target_endian = "big") {
            return;
        }
        let line = "   0: 0100007F:1F90 0200007F:C001 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100";
        let row = Row::parse(line).unwrap();
        assert_eq!(row.local, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(row.remote, "127.0.0.2:49153".parse().unwrap());
        assert_eq!((row.listens(), row.inode), (true, 4_711));
        for end in 0..60 {
            let _ = Row::parse(&line[..end]);
        }
        assert_eq!(
            address("0000000000000000FFFF00000100007F:0050")
                .unwrap()
                .ip(),
            Ipv4Addr::LOCALHOST
        );
        assert_eq!(address("\u{e9}000000:0050"), None);
    }
}
