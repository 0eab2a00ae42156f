//! cgroups: where they are mounted, what their paths say, and from an id to a path.

mod declared;
pub mod handle;
pub mod mount;
pub mod path;
pub mod tree;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use declared::{Declaration, Declared};
pub use mount::CgroupMounts;
pub use tree::{FoundContainer, Group};

use super::identity::Nested;

/// The cgroup2 hierarchy of this host.
#[derive(Clone, Debug)]
pub struct Cgroups {
    root: PathBuf,
    root_id: u64,
    declared: Declared,
}

impl Cgroups {
    /// Finds the hierarchy in `/proc/self/mounts`, by file system type: it may be anywhere.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn find() -> io::Result<Self> {
        match CgroupMounts::read()?.unified {
            Some(root) => Self::open(&root),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no cgroup2 file system is mounted",
            )),
        }
    }

    /// Opens the hierarchy mounted at `root`.
    ///
    /// # Errors
    /// When `root` cannot be read.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: root.to_path_buf(),
            root_id: tree::id_of(root)?,
            declared: Declared::default(),
        })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The id of the root cgroup.
    #[must_use]
    pub const fn root_id(&self) -> u64 {
        self.root_id
    }

    /// Cgroups that are containers' although their path does not say so.
    #[must_use]
    pub const fn declared(&self) -> &Declared {
        &self.declared
    }

    /// Path of the cgroup with this id below the root; empty for the root itself.
    /// `None` when there is no such cgroup (any more).
    #[must_use]
    pub fn path_of(&self, id: u64) -> Option<String> {
        match handle::path_of(&self.root, id) {
            Ok(path) => path.into_os_string().into_string().ok(),
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => None,
            // Without the capability, or on a kernel before 5.9.
            Err(_) => tree::find_by_id(&self.root, id),
        }
    }

    /// What the cgroup with this id is, now: a container's (by its top cgroup) or the host's.
    #[must_use]
    pub fn look_up(&self, id: u64) -> Option<Group> {
        let path = self.path_of(id)?;
        let mut group = tree::look_at(&self.root, &path, &self.declared).ok()?;
        if let Group::Container(found) = &mut group {
            found.nested = path::nested(&path, &found.path).map(|nested| Nested {
                id: nested.id.to_owned(),
                runtime: nested.runtime,
            });
        }
        Some(group)
    }
}
