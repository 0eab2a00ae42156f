//! The serving process: who has the socket that a flow goes to.
//!
//! The socket tables of the server's namespace are asked when an alert needs them, so that a server
//! which listened before the agent is known like any other. What was bound is remembered for those
//! that have gone by then.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    report::{Doubt, Report},
    sockets::{self, Row},
};

/// For how long what was found out is taken for true.
const FRESH: Duration = Duration::from_secs(2);
/// Servers whose processes are remembered for that long.
const REMEMBERED_MAX: usize = 1_024;
/// Time that looks at the host may take in [`FRESH`]: a container may have tables of any length. What is
/// asked beyond is answered by what is known.
const EFFORT: Duration = Duration::from_millis(500);
/// Processes of one container that are looked at.
const PROCESSES_MAX: usize = 4_096;
/// Depth of the cgroups below a container's.
const DEPTH_MAX: usize = 8;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// A process in its network namespace.
    pub pid: u32,
    /// The cgroup directories whose processes it is one of; all processes when there are none.
    pub cgroups: Vec<&'a Path>,
}

/// One server, as far as alerts tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    protocol: u8,
    local: SocketAddr,
}

/// What was found out of late.
#[derive(Debug, Default)]
pub(super) struct Servers {
    known: HashMap<Key, (Instant, Option<Report>)>,
    spent: Duration,
    since: Option<Instant>,
}

impl Servers {
    /// Who serves `local`; with several, who of them has the connection with `remote`.
    pub(super) fn find(
        &mut self,
        place: &Place<'_>,
        protocol: u8,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Option<Report> {
        let key = Key {
            pid: place.pid,
            protocol,
            local,
        };
        let fresh = |since: &Instant| since.elapsed() < FRESH;
        let recent = self.known.get(&key).filter(|(since, _)| fresh(since));
        let known = match recent.map(|(_, report)| report.clone()) {
            Some(report) => report,
            _ if !self.may_look() => return None,
            _ => {
                let report = self.look(place, protocol, local, None);
                if self.known.len() >= REMEMBERED_MAX {
                    self.known.retain(|_, (since, _)| fresh(since));
                }
                if self.known.len() < REMEMBERED_MAX {
                    self.known.insert(key, (Instant::now(), report.clone()));
                }
                report
            }
        };
        let is_certain = known.as_ref().is_some_and(|it| it.doubt.is_none());
        if is_certain || known.is_none() || !self.may_look() {
            return known;
        }
        self.look(place, protocol, local, Some(remote)).or(known)
    }

    fn look(
        &mut self,
        place: &Place<'_>,
        protocol: u8,
        local: SocketAddr,
        remote: Option<SocketAddr>,
    ) -> Option<Report> {
        let started = Instant::now();
        let report = look(place, protocol, local, remote);
        self.spent += started.elapsed();
        report
    }

    /// What is known without a look.
    pub(super) fn recall(&self, pid: u32, protocol: u8, local: SocketAddr) -> Option<Report> {
        let key = Key {
            pid,
            protocol,
            local,
        };
        self.known.get(&key)?.1.clone()
    }

    fn may_look(&mut self) -> bool {
        if self.since.is_none_or(|since| since.elapsed() >= FRESH) {
            self.since = Some(Instant::now());
            self.spent = Duration::ZERO;
        }
        self.spent < EFFORT
    }
}

/// Who holds the sockets that take what is sent to `local`; with `remote`, the socket of that very
/// connection.
fn look(
    place: &Place<'_>,
    protocol: u8,
    local: SocketAddr,
    remote: Option<SocketAddr>,
) -> Option<Report> {
    let table = sockets::table(place.pid, protocol);
    let is_tcp = protocol == 6;
    let takes = |row: &&Row| match remote {
        Some(remote) => same(row.local, local) && same(row.remote, remote),
        None => row.takes(local) && (!is_tcp || row.listens()),
    };
    let rows: Vec<&Row> = table.iter().filter(takes).collect();
    // One that is bound to the address itself comes before one for any address.
    let exact = rows.iter().any(|row| !row.local.ip().is_unspecified());
    let inodes: Vec<u64> = rows
        .iter()
        .filter(|row| !exact || !row.local.ip().is_unspecified())
        .map(|row| row.inode)
        .filter(|inode| *inode != 0)
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let mut holders = Vec::new();
    for pid in processes(place) {
        let held = sockets::held_by(pid);
        if held.iter().any(|inode| inodes.contains(inode)) {
            holders.push(pid);
        }
    }
    let mut report = Report::of_holders(&holders)?;
    // Several sockets for one address (`SO_REUSEPORT`) that one process has are one server.
    if holders.len() == 1 {
        report.doubt = None;
    } else {
        report.doubt = Some(Doubt::SharedSocket);
    }
    Some(report)
}

fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// The processes that may hold the socket.
fn processes(place: &Place<'_>) -> Vec<u32> {
    let mut pids = Vec::new();
    for folder in &place.cgroups {
        members(folder, DEPTH_MAX, &mut pids);
    }
    if pids.is_empty() {
        pids = sockets::all_processes();
    }
    pids
}

/// The processes of a cgroup and of those below it.
pub(super) fn members(folder: &Path, depth: usize, pids: &mut Vec<u32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    if depth == 0 || pids.len() >= PROCESSES_MAX {
        pids.truncate(PROCESSES_MAX);
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            members(&entry.path(), depth - 1, pids);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_listener_is_found_and_recalled() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        let own = std::process::id();
        let place = Place {
            pid: own,
            cgroups: Vec::new(),
        };
        let mut servers = Servers::default();
        let report = servers
            .find(&place, 6, local, client.local_addr().unwrap())
            .unwrap();
        assert_eq!((report.pid, report.doubt), (own, None));
        assert_eq!(servers.recall(own, 6, local), Some(report));
        assert_eq!(look(&place, 6, "127.0.0.1:1".parse().unwrap(), None), None);
        let accepted = look(&place, 6, local, Some(client.local_addr().unwrap()));
        // Not accepted yet: the kernel has it, no process does.
        assert_eq!(accepted, None);
        let (_stream, _) = listener.accept().unwrap();
        let accepted = look(&place, 6, local, Some(client.local_addr().unwrap())).unwrap();
        assert_eq!(accepted.pid, own);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let place = Place {
            pid: u32::MAX,
            cgroups: Vec::new(),
        };
        let mut servers = Servers::default();
        for port in 0..3_000 {
            let local = SocketAddr::new([10, 0, 0, 1].into(), port);
            assert_eq!(servers.find(&place, 6, local, local), None);
        }
        assert!(servers.known.len() <= REMEMBERED_MAX);
        servers.spent = EFFORT;
        servers.since = Some(Instant::now());
        assert!(!servers.may_look(), "and so are the looks");
        servers.since = Instant::now().checked_sub(FRESH);
        assert!(servers.may_look());
    }
}
