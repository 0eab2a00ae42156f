//! One agent a host.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::ProbeError;

/// Held while this agent runs. A second one is refused.
#[derive(Debug)]
pub struct Instance {
    _root: File,
}

impl Instance {
    /// Claims the host by a lock on the cgroup2 root that its hooks go to.
    ///
    /// The lock goes with the process, however that ends, and is the same one in every mount and
    /// network namespace. Containers do not see that directory, unless they are given it: a name
    /// that any of them could take first would let it keep the agent from starting.
    ///
    /// # Errors
    /// [`ProbeError::AlreadyRunning`] with the pid of the other agent.
    pub fn claim(cgroup_root: &Path) -> Result<Self, ProbeError> {
        let failed = |source| ProbeError::Io {
            what: format!("cannot lock {}", cgroup_root.display()),
            source,
        };
        let root = File::open(cgroup_root).map_err(failed)?;
        match flock(&root, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _root: root }),
            Err(Errno::WOULDBLOCK) => Err(ProbeError::AlreadyRunning {
                pid: holder(&root).unwrap_or(0),
            }),
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// The process that holds the lock, as `/proc/locks` tells (`proc_locks(5)`).
fn holder(root: &File) -> Option<i32> {
    let metadata = root.metadata().ok()?;
    let device = metadata.dev();
    let place = format!(
        "{:02x}:{:02x}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device),
        metadata.ino()
    );
    let locks = fs::read_to_string("/proc/locks").ok()?;
    holder_in(&locks, &place)
}

/// The pid in the line of the lock at `place` (`MAJOR:MINOR:INODE`).
fn holder_in(locks: &str, place: &str) -> Option<i32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            // A waiting process has an arrow before the kind of its lock.
            [_, "FLOCK", _, _, pid, at, ..] if *at == place => pid.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = Instance::claim(folder.path()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        match Instance::claim(folder.path()) {
            Err(ProbeError::AlreadyRunning { pid }) => assert_eq!(pid, own),
            other => panic!("{other:?}"),
        }
        drop(first);
        assert!(Instance::claim(folder.path()).is_ok());
    }

    #[test]
    fn only_the_holder_counts() {
        let locks = "1: FLOCK  ADVISORY  WRITE 7 fe:00:1 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 8 00:26:1 0 EOF\n\
                     3: POSIX  ADVISORY  WRITE 9 00:26:1 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 10 00:26:1 0 EOF\n";
        assert_eq!(holder_in(locks, "00:26:1"), Some(10));
        assert_eq!(holder_in(locks, "00:26:2"), None);
        assert_eq!(holder_in("", "00:26:1"), None);
    }
}
