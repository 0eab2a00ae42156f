//! Which socket a process means by a path: its file, whatever it is called there.

use std::{
    ffi::OsStr,
    fs::File,
    os::{fd::AsFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, major, minor, openat2};

/// A socket as those who connect to it tell it apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::process) enum Target {
    /// By a file: device and inode.
    File {
        /// Major and minor number.
        device: (u32, u32),
        /// Inode.
        inode: u64,
    },
    /// By an abstract name in a network namespace, which is told by its cookie.
    Abstract {
        /// The cookie.
        namespace: u64,
        /// The name, without the leading NUL.
        name: Vec<u8>,
    },
}

impl Target {
    /// Device and inode as the tables of the kernel show them.
    pub(in crate::process) fn in_tables(&self) -> Option<(u32, u32)> {
        match self {
            Self::File {
                device: (major, minor),
                inode,
            } => Some((
                major << 20 | minor,
                u32::try_from(inode & 0xffff_ffff).ok()?,
            )),
            Self::Abstract { .. } => None,
        }
    }
}

/// The file that `pid` means by `path`; `None` when there is no such socket, or the process has gone.
/// Absolute links are followed within its root, which is not ours.
pub(in crate::process) fn file_of(pid: u32, path: &[u8]) -> Option<Target> {
    let place = PathBuf::from(format!("/proc/{pid}"));
    let path = Path::new(OsStr::from_bytes(path));
    let path = if path.is_absolute() {
        path.to_path_buf()
    } else {
        std::fs::read_link(place.join("cwd")).ok()?.join(path)
    };
    file_in(&File::open(place.join("root")).ok()?, &path)
}

/// The same, within a root.
pub(in crate::process) fn file_in(root: &impl AsFd, path: &Path) -> Option<Target> {
    let socket = openat2(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
    .ok()?;
    let status = fstat(&socket).ok()?;
    let device = (major(status.st_dev), minor(status.st_dev));
    (FileType::from_raw_mode(status.st_mode) == FileType::Socket).then_some(Target::File {
        device,
        inode: status.st_ino,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[test]
    fn a_link_is_followed_within_the_root() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        let path = folder.path().join("run/s");
        let _listener = UnixListener::bind(&path).unwrap();
        // As `/var/run` is in most images.
        std::fs::create_dir(folder.path().join("var")).unwrap();
        symlink("/run", folder.path().join("var/run")).unwrap();
        let root = File::open(folder.path()).unwrap();
        let plain = file_in(&root, Path::new("/run/s")).unwrap();
        assert_eq!(file_in(&root, Path::new("/var/run/s")), Some(plain.clone()));
        assert_eq!(
            file_in(&root, Path::new("/../../run/s")),
            Some(plain.clone())
        );
        assert_eq!(file_in(&root, Path::new("/run")), None, "no socket");
        let own = std::process::id();
        assert_eq!(file_of(own, path.as_os_str().as_bytes()), Some(plain));
        assert_eq!(file_of(own, b"/nowhere"), None);
        assert_eq!(file_of(own, b"no\0where"), None);
    }
}
