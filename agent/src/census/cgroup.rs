//! cgroup2: where it is mounted, what an id stands for, whose a path is.
#![expect(unsafe_code, reason = "open_by_handle_at has no safe wrapper")]

use std::{
    ffi::CStr,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use super::Runtime;

/// Deepest cgroup path that is looked at, in components.
const MAX_DEPTH: usize = 32;

/// A mounted cgroup2 hierarchy.
#[derive(Debug)]
pub struct Cgroups {
    root: PathBuf,
    /// Open root, for `open_by_handle_at`.
    mount: File,
}

impl Cgroups {
    /// Finds the mount in `/proc/self/mounts` by its type: on hybrid hosts it is not at
    /// `/sys/fs/cgroup`.
    ///
    /// # Errors
    /// When none is mounted, or it cannot be opened.
    pub fn find() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let root = mount_point(&mounts).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "no cgroup2 file system is mounted (mount -t cgroup2 none /sys/fs/cgroup/unified)",
            )
        })?;
        let mount = File::open(&root)?;
        Ok(Self { root, mount })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path below the root of the cgroup with `id`; `None` when it has gone.
    ///
    /// By file handle (`FILEID_KERNFS`, since 5.5): exact, and no walk.
    #[must_use]
    pub fn path_of(&self, id: u64) -> Option<String> {
        /// `struct file_handle` with room for a kernfs id.
        #[repr(C)]
        struct Handle {
            bytes: u32,
            kind: i32,
            id: u64,
        }
        const FILEID_KERNFS: i32 = 0xfe;
        let mut handle = Handle {
            bytes: 8,
            kind: FILEID_KERNFS,
            id,
        };
        // SAFETY: the handle has the layout of `struct file_handle` with 8 bytes of payload.
        let fd = unsafe {
            libc::open_by_handle_at(
                self.mount.as_raw_fd(),
                (&raw mut handle).cast(),
                libc::O_PATH | libc::O_CLOEXEC,
            )
        };
        if fd < 0 {
            return None;
        }
        // SAFETY: a file descriptor that the call above has just returned.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
        let path = link.strip_prefix(&self.root).ok()?;
        Some(path.to_string_lossy().into_owned())
    }

    /// id of the cgroup at `path` below the root: the inode of its directory.
    #[must_use]
    pub fn id_of(&self, path: &str) -> Option<u64> {
        fs::metadata(self.root.join(path))
            .ok()
            .map(|metadata| metadata.ino())
    }

    /// All containers' top cgroups, by walking the tree. Unreadable parts are left out.
    #[must_use]
    pub fn containers(&self) -> Vec<Found> {
        let mut found = Vec::new();
        let mut folders = vec![(self.root.clone(), 0_usize)];
        while let Some((folder, depth)) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let path = entry.path();
                let Some(relative) = path.strip_prefix(&self.root).ok().and_then(Path::to_str)
                else {
                    continue;
                };
                if let Some(owner) = container_of(relative) {
                    if let Ok(metadata) = entry.metadata() {
                        found.push(Found {
                            id: owner.id.to_owned(),
                            runtime: owner.runtime,
                            path: relative.to_owned(),
                            cgroup_id: metadata.ino(),
                        });
                    }
                } else if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                }
            }
        }
        found
    }

    /// A process in the cgroup or below it.
    #[must_use]
    pub fn first_process(&self, path: &str) -> Option<u32> {
        let mut folders = vec![(self.root.join(path), 0_usize)];
        while let Some((folder, depth)) = folders.pop() {
            let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            let first = processes
                .lines()
                .filter_map(|line| line.parse().ok())
                .find(|pid| *pid != 0);
            if first.is_some() {
                return first;
            }
            if depth < MAX_DEPTH
                && let Ok(entries) = fs::read_dir(&folder)
            {
                let children = entries
                    .flatten()
                    .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
                folders.extend(children.map(|entry| (entry.path(), depth + 1)));
            }
        }
        None
    }
}

/// A container's top cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Container id.
    pub id: String,
    /// Runtime, as far as the path tells.
    pub runtime: Runtime,
    /// Path below the root.
    pub path: String,
    /// cgroup2 id.
    pub cgroup_id: u64,
}

/// Whose a cgroup path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathOwner<'a> {
    /// Container id.
    pub id: &'a str,
    /// Runtime.
    pub runtime: Runtime,
}

/// The container that a cgroup path belongs to: its own cgroup or one below. The outermost container
/// wins, for what runs inside it is its own business.
#[must_use]
pub fn container_of(path: &str) -> Option<PathOwner<'_>> {
    let mut parent = "";
    for component in path.split('/').take(MAX_DEPTH) {
        if let Some(owner) = container_component(parent, component) {
            return Some(owner);
        }
        parent = component;
    }
    None
}

/// Path components by runtime and cgroup driver (systemd: `PREFIX-ID.scope`, cgroupfs: `ID`).
const PREFIXES: [(&str, Runtime); 5] = [
    ("docker-", Runtime::Docker),
    ("cri-containerd-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
    ("libpod-", Runtime::Podman),
    ("containerd-", Runtime::Containerd),
];

fn container_component<'a>(parent: &str, component: &'a str) -> Option<PathOwner<'a>> {
    let bare = component.strip_suffix(".scope").unwrap_or(component);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = bare.strip_prefix(prefix)
            && is_id(id)
        {
            return Some(PathOwner { id, runtime });
        }
    }
    if !is_id(bare) {
        return None;
    }
    let runtime = match parent {
        "docker" => Runtime::Docker,
        "libpod_parent" => Runtime::Podman,
        _ if parent.starts_with("pod") || parent.starts_with("kubepods") => Runtime::Containerd,
        _ => Runtime::Other,
    };
    Some(PathOwner { id: bare, runtime })
}

/// OCI runtimes name containers by 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn mount_point(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let point = fields.nth(1)?;
        // Blanks in a mount point are written as \040.
        (fields.next()? == "cgroup2").then(|| PathBuf::from(point.replace("\\040", " ")))
    })
}

/// The cgroup2 path of a process, from `/proc/PID/cgroup`.
#[must_use]
pub fn path_of_process(pid: u32) -> Option<String> {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(path.to_owned())
}

/// Name of this host.
#[must_use]
pub fn hostname() -> String {
    let uname = rustix::system::uname();
    let name: &CStr = uname.nodename();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn paths_name_their_container() {
        let cases = [
            (format!("docker/{ID}"), Runtime::Docker),
            (format!("docker/{ID}/init.scope/deeper"), Runtime::Docker),
            (format!("system.slice/docker-{ID}.scope"), Runtime::Docker),
            (
                format!(
                    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12.slice/cri-containerd-{ID}.scope"
                ),
                Runtime::Containerd,
            ),
            (
                format!("kubepods/besteffort/pod0f-12/{ID}"),
                Runtime::Containerd,
            ),
            (
                format!("kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope"),
                Runtime::CriO,
            ),
            (
                format!("machine.slice/libpod-{ID}.scope/container"),
                Runtime::Podman,
            ),
            (format!("ecs/0a1b2c3d/{ID}"), Runtime::Other),
        ];
        for (path, runtime) in cases {
            assert_eq!(
                container_of(&path),
                Some(PathOwner { id: ID, runtime }),
                "{path}"
            );
        }
    }

    #[test]
    fn the_host_is_no_container() {
        for path in [
            "",
            "init.scope",
            "system.slice/ssh.service",
            "user.slice/user-0.slice/session-1.scope",
            "system.slice/docker.service",
            "docker/0123",
            "system.slice/docker-0123.scope",
        ] {
            assert_eq!(container_of(path), None, "{path}");
        }
    }

    #[test]
    fn the_mount_is_found_by_its_type() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/uni\\040fied cgroup2 rw 0 0\n";
        assert_eq!(
            mount_point(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/uni fied"))
        );
        assert_eq!(mount_point("cgroup /sys/fs/cgroup cgroup rw 0 0\n"), None);
    }

    #[test]
    fn ids_and_paths_agree_on_this_host() {
        let cgroups = Cgroups::find().unwrap();
        let path = path_of_process(std::process::id()).unwrap();
        let id = cgroups.id_of(&path).unwrap();
        assert_eq!(cgroups.path_of(id).as_deref(), Some(path.as_str()));
        assert_eq!(cgroups.path_of(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn any_path_is_taken(path in ".{0,300}") {
            let _ = container_of(&path);
        }
    }
}
