//! Who serves which Unix socket, and who is connected: the tables of all network namespaces, and the
//! descriptors of all processes.

use std::{
    collections::{HashMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use super::{
    diag::{UnixRow, sockets},
    target::Target,
};
use crate::{
    census::namespace::{Namespace, cookie_here},
    process::sockets::{all_processes, held_by},
};

/// Time between two looks: each costs some milliseconds, and more on a host with many processes.
const PAUSE: Duration = Duration::from_millis(500);
/// Network namespaces that are looked into.
const NAMESPACES_MAX: usize = 4_096;

/// The tables as they were when last looked at.
#[derive(Debug, Default)]
pub(in crate::process) struct Tables {
    rows: Vec<(u64, UnixRow)>,
    /// Processes by socket inode.
    holders: HashMap<u32, Vec<u32>>,
    looked: Option<Instant>,
    /// Pairs of sockets that have been told of already.
    told: HashSet<(u32, u32)>,
    /// Namespaces that could not be looked into.
    pub(in crate::process) failures: u64,
}

/// A connection that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::process) struct Connection {
    /// The accepted socket's table entry: where it was bound.
    pub(in crate::process) server: UnixRow,
    /// The namespace's cookie.
    pub(in crate::process) namespace: u64,
    /// Who has the client's end.
    pub(in crate::process) clients: Vec<u32>,
    /// Who has the server's.
    pub(in crate::process) servers: Vec<u32>,
}

impl Tables {
    /// The processes that serve `target`. Looks again when it is not known, `pids` being a process in
    /// each network namespace.
    pub(in crate::process) fn servers(&mut self, target: &Target, pids: &[u32]) -> Vec<u32> {
        let known = self.known(target);
        if !known.is_empty() {
            return known;
        }
        if let Some(looked) = self.looked {
            thread::sleep(PAUSE.saturating_sub(looked.elapsed()));
        }
        self.look(pids);
        self.scan();
        self.known(target)
    }

    /// The processes that are known to serve it and still do.
    fn known(&self, target: &Target) -> Vec<u32> {
        let file = target.in_tables();
        let is_meant = |(namespace, row): &&(u64, UnixRow)| match target {
            Target::File { .. } => row.file == file,
            Target::Abstract {
                namespace: own,
                name,
            } => namespace == own && row.name.strip_prefix(&[0]) == Some(name.as_slice()),
        };
        let rows = self.rows.iter().filter(|(_, row)| row.serves);
        let mut pids: Vec<u32> = rows
            .filter(is_meant)
            .flat_map(|(_, row)| {
                let holders = self.holders.get(&row.inode);
                let still = move |pid: &u32| held_by(*pid).contains(&u64::from(row.inode));
                holders.into_iter().flatten().copied().filter(still)
            })
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Connections that are there and have not been told of. Those that were there and are known are
    /// left out.
    pub(in crate::process) fn new_connections(&mut self, pids: &[u32]) -> Vec<Connection> {
        self.look(pids);
        let is_accepted =
            |row: &UnixRow| !row.serves && (row.file.is_some() || row.name.first() == Some(&0));
        let pairs: HashSet<(u32, u32)> = self
            .rows
            .iter()
            .filter(|(_, row)| row.peer != 0 && is_accepted(row))
            .map(|(_, row)| (row.inode, row.peer))
            .collect();
        self.told.retain(|pair| pairs.contains(pair));
        if pairs.iter().all(|pair| self.told.contains(pair)) {
            return Vec::new();
        }
        self.scan();
        let of = |inode: u32| self.holders.get(&inode).cloned().unwrap_or_default();
        let new = self.rows.iter().filter(|(_, row)| {
            let pair = (row.inode, row.peer);
            pairs.contains(&pair) && !self.told.contains(&pair)
        });
        let connections = new
            .map(|(namespace, row)| Connection {
                server: row.clone(),
                namespace: *namespace,
                clients: of(row.peer),
                servers: of(row.inode),
            })
            .collect();
        self.told = pairs;
        connections
    }

    /// Reads the table of each namespace.
    fn look(&mut self, pids: &[u32]) {
        self.looked = Some(Instant::now());
        self.rows.clear();
        let mut seen = HashSet::new();
        for pid in pids {
            let Ok(namespace) = Namespace::of_process(*pid) else {
                continue;
            };
            if seen.len() >= NAMESPACES_MAX || !seen.insert(namespace.inode) {
                continue;
            }
            match namespace.inside(|| Ok((cookie_here()?, sockets()?))) {
                Ok((cookie, rows)) => self.rows.extend(rows.into_iter().map(|row| (cookie, row))),
                Err(error) => {
                    self.failures += 1;
                    tracing::debug!(%error, "the Unix sockets of a namespace cannot be read");
                }
            }
        }
    }

    /// Finds out who has the sockets open.
    fn scan(&mut self) {
        let wanted: HashSet<u32> = self
            .rows
            .iter()
            .flat_map(|(_, row)| [row.inode, row.peer])
            .collect();
        self.holders.clear();
        for pid in all_processes() {
            for inode in held_by(pid) {
                if let Ok(inode) = u32::try_from(inode)
                    && wanted.contains(&inode)
                {
                    let holders = self.holders.entry(inode).or_default();
                    if holders.last() != Some(&pid) {
                        holders.push(pid);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        ffi::OsStrExt as _,
        net::{UnixListener, UnixStream},
    };

    use super::*;
    use crate::process::unix::target::file_of;

    #[test]
    fn a_server_and_a_connection_are_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let own = std::process::id();
        let target = file_of(own, path.as_os_str().as_bytes()).unwrap();
        let mut tables = Tables::default();
        assert_eq!(tables.servers(&target, &[own]), [own]);

        let file = target.in_tables();
        let of_ours = |connections: Vec<Connection>| {
            connections
                .into_iter()
                .filter(|it| it.server.file == file)
                .collect::<Vec<_>>()
        };
        assert_eq!(of_ours(tables.new_connections(&[own])), []);
        let client = UnixStream::connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap();
        let new = of_ours(tables.new_connections(&[own]));
        assert_eq!(new.len(), 1);
        assert_eq!((&new[0].clients, &new[0].servers), (&vec![own], &vec![own]));
        assert_eq!(of_ours(tables.new_connections(&[own])), []);
        drop((client, server, listener));
        assert!(tables.servers(&target, &[own]).is_empty(), "it has gone");
    }
}
