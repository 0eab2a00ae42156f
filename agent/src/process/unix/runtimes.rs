//! The sockets of container runtimes: who may use one owns the host.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::target::{Target, file_in};

/// Where runtimes have their sockets.
const KNOWN: [(&str, &str); 12] = [
    ("docker", "/run/docker.sock"),
    ("containerd", "/run/containerd/containerd.sock"),
    ("containerd", "/run/containerd/containerd.sock.ttrpc"),
    ("containerd", "/run/docker/containerd/containerd.sock"),
    ("containerd", "/run/k3s/containerd/containerd.sock"),
    ("cri-o", "/run/crio/crio.sock"),
    ("cri-dockerd", "/run/cri-dockerd.sock"),
    ("podman", "/run/podman/podman.sock"),
    ("buildkit", "/run/buildkit/buildkitd.sock"),
    ("kubelet", "/var/lib/kubelet/pod-resources/kubelet.sock"),
    ("kubelet", "/var/lib/kubelet/device-plugins/kubelet.sock"),
    ("kubelet", "/var/lib/kubelet/kubelet.sock"),
];
/// Where those of users have theirs, below `/run/user/UID`.
const OF_USERS: [(&str, &str); 2] = [("docker", "docker.sock"), ("podman", "podman/podman.sock")];
/// How often they are looked for: a runtime that is started again makes its socket anew.
const FRESH: Duration = Duration::from_secs(1);
/// Files that are known; a container may still have one that has been replaced.
const FILES_MAX: usize = 256;
/// Users whose runtimes are looked for.
const USERS_MAX: usize = 64;

/// The files of the runtimes' sockets.
#[derive(Debug)]
pub(in crate::process) struct Runtimes {
    configured: Vec<(Arc<str>, PathBuf)>,
    files: HashMap<Target, Arc<str>>,
    looked: Option<Instant>,
}

impl Runtimes {
    /// The known ones and those that are configured, each with its name.
    pub(in crate::process) fn new(configured: Vec<(Arc<str>, PathBuf)>) -> Self {
        Self {
            configured,
            files: HashMap::new(),
            looked: None,
        }
    }

    /// The runtime whose socket this is.
    pub(in crate::process) fn of(&mut self, target: &Target) -> Option<Arc<str>> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= FRESH) {
            self.look();
        }
        self.files.get(target).map(Arc::clone)
    }

    fn look(&mut self) {
        self.looked = Some(Instant::now());
        let Ok(root) = host_root() else {
            return;
        };
        let known = KNOWN.map(|(name, path)| (Arc::from(name), PathBuf::from(path)));
        let all = self.configured.iter().cloned().chain(known);
        for (name, path) in all.chain(of_users()) {
            if let Some(target) = file_in(&root, &path) {
                if self.files.len() >= FILES_MAX {
                    self.files.clear();
                }
                self.files.entry(target).or_insert(name);
            }
        }
    }
}

/// The host's root, also where the agent is in a container; its own where the first process may not be
/// looked at.
fn host_root() -> io::Result<File> {
    File::open("/proc/1/root").or_else(|_| File::open("/"))
}

fn of_users() -> Vec<(Arc<str>, PathBuf)> {
    let users = fs::read_dir("/proc/1/root/run/user").or_else(|_| fs::read_dir("/run/user"));
    let Ok(users) = users else {
        return Vec::new();
    };
    let folders = users
        .flatten()
        .take(USERS_MAX)
        .map(|user| Path::new("/run/user").join(user.file_name()));
    folders
        .flat_map(|folder| OF_USERS.map(|(name, file)| (Arc::from(name), folder.join(file))))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStrExt as _, net::UnixListener};

    use super::*;
    use crate::process::unix::target::file_of;

    #[test]
    fn a_runtime_is_known_by_its_file_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let mut runtimes = Runtimes::new(vec![("docker".into(), path.clone())]);
        let _first = UnixListener::bind(&path).unwrap();
        let link = folder.path().join("harmless");
        fs::hard_link(&path, &link).unwrap();
        let by_link = file_of(std::process::id(), link.as_os_str().as_bytes()).unwrap();
        assert_eq!(runtimes.of(&by_link).as_deref(), Some("docker"));
        let other = folder.path().join("other");
        let _other = UnixListener::bind(&other).unwrap();
        let other = file_of(std::process::id(), other.as_os_str().as_bytes()).unwrap();
        assert_eq!(runtimes.of(&other), None);
    }
}
