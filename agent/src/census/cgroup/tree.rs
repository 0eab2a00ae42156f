//! The cgroup tree as files: containers, the host's own groups, and their processes.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    super::identity::{Nested, Runtime},
    declared::Declared,
    path::{classify, unescape_unit},
};

/// A container's top cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundContainer {
    /// Id in the path.
    pub id: String,
    /// Runtime, as far as the path names it.
    pub runtime: Runtime,
    /// Path below the hierarchy's root, without leading slash.
    pub path: String,
    /// cgroup id; 0 in a v1 hierarchy, which has none.
    pub cgroup_id: u64,
    /// The container within it that was looked for ([`super::Cgroups::look_up`]).
    pub nested: Option<Nested>,
}

/// The container that a path leads to or into, by its names or by what is declared.
fn find_container(path: &str, declared: &Declared) -> Option<FoundContainer> {
    if let Some(found) = classify(path) {
        let id = if found.runtime.names_by_cgroup() {
            unescape_unit(found.id)
        } else {
            found.id.to_owned()
        };
        return Some(FoundContainer {
            id,
            runtime: found.runtime,
            path: found.top.to_owned(),
            cgroup_id: 0,
            nested: None,
        });
    }
    let declaration = declared.find(path)?;
    Some(FoundContainer {
        id: declaration.id,
        runtime: declaration.runtime,
        path: declaration.top,
        cgroup_id: 0,
        nested: None,
    })
}

/// One directory of the tree: what [`look_at`] made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// A container's top cgroup.
    Container(FoundContainer),
    /// A cgroup of the host, which may hold containers further down.
    Host {
        /// Path below the root; empty for the root itself.
        path: String,
        /// cgroup id.
        cgroup_id: u64,
    },
}

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Containers' top cgroups.
    pub containers: Vec<FoundContainer>,
    /// Host cgroups: path and id.
    pub host: Vec<(String, u64)>,
    /// Directories that were left out because the tree was too large or too deep.
    pub skipped: u64,
}

/// Directories that a walk looks at. A systemd host with 500 pods has about 2,000.
const MAX_DIRECTORIES: usize = 65_536;
/// Levels that a walk goes down.
const MAX_DEPTH: usize = 32;

/// The cgroup id of a directory: its inode (64-bit kernels, 5.5 and later).
///
/// # Errors
/// When the directory has gone.
pub fn id_of(directory: &Path) -> io::Result<u64> {
    fs::metadata(directory).map(|metadata| metadata.ino())
}

/// Looks at one cgroup directory, `path` below `root`: the container's top cgroup that it is or is
/// in, or the host's.
///
/// # Errors
/// When the directory has gone.
pub fn look_at(root: &Path, path: &str, declared: &Declared) -> io::Result<Group> {
    Ok(match find_container(path, declared) {
        Some(found) => Group::Container(FoundContainer {
            cgroup_id: id_of(&root.join(&found.path))?,
            ..found
        }),
        None => Group::Host {
            path: path.to_owned(),
            cgroup_id: id_of(&root.join(path))?,
        },
    })
}

/// Walks the tree below `path` (empty for all of it) down to the containers' top cgroups. What a
/// container keeps below its own is not looked at: it is the container's, and it may be endless.
#[must_use]
pub fn walk(root: &Path, path: &str, declared: &Declared) -> Tree {
    let mut tree = Tree::default();
    let mut seen = 0_usize;
    let mut pending = vec![(path.to_owned(), 0_usize)];
    while let Some((path, depth)) = pending.pop() {
        if seen >= MAX_DIRECTORIES || depth > MAX_DEPTH {
            tree.skipped += 1;
            continue;
        }
        seen += 1;
        match look_at(root, &path, declared) {
            Ok(Group::Container(found)) => tree.containers.push(found),
            Ok(Group::Host { path, cgroup_id }) => {
                for child in children(root, &path) {
                    pending.push((child, depth + 1));
                }
                tree.host.push((path, cgroup_id));
            }
            // It has gone since its parent was read.
            Err(_) => {}
        }
    }
    tree
}

/// Child cgroups of `path`, as paths below `root`. Names that are not UTF-8 are left out: no
/// runtime writes them.
#[must_use]
pub fn children(root: &Path, path: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join(path)) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| join(path, &name))
        .collect()
}

/// A child's path; the root's is empty.
#[must_use]
pub fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

/// Path of the cgroup with this id, found by walking all of the tree, containers' own parts too.
/// For hosts on which a file handle may not be opened.
#[must_use]
pub fn find_by_id(root: &Path, id: u64) -> Option<String> {
    let mut pending = vec![(String::new(), 0_usize)];
    let mut seen = 0_usize;
    while let Some((path, depth)) = pending.pop() {
        seen += 1;
        if seen > MAX_DIRECTORIES || depth > MAX_DEPTH {
            continue;
        }
        if id_of(&root.join(&path)).is_ok_and(|found| found == id) {
            return Some(path);
        }
        for child in children(root, &path) {
            pending.push((child, depth + 1));
        }
    }
    None
}

/// A process of a container, in the pid namespace that `/proc` shows: the first of its top cgroup,
/// or of the groups below when the container has moved its processes down (systemd in it).
#[must_use]
pub fn first_process(root: &Path, path: &str) -> Option<u32> {
    const MAX_GROUPS: usize = 64;
    let mut pending = vec![PathBuf::from(path)];
    let mut seen = 0_usize;
    while let Some(path) = pending.pop() {
        seen += 1;
        if seen > MAX_GROUPS {
            return None;
        }
        let directory = root.join(&path);
        if let Ok(processes) = fs::read_to_string(directory.join("cgroup.procs"))
            // 0 is a process that this pid namespace does not show.
            && let Some(pid) = processes.lines().filter_map(|line| line.parse().ok()).find(|pid| *pid != 0)
        {
            return Some(pid);
        }
        pending.extend(
            children(root, &path.to_string_lossy())
                .into_iter()
                .map(PathBuf::from),
        );
    }
    None
}

/// Whether a process is in the container whose top cgroup is `path`.
#[must_use]
pub fn holds(pid: u32, path: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .is_ok_and(|cgroups| super::path::is_in(&cgroups, path))
}
