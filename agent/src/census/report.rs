//! What the census tells about itself: for `hydrophone containers`, `doctor` and statistics.

use std::path::PathBuf;

use serde::Serialize;

/// Whether a runtime's API can be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "detail")]
pub enum RuntimeState {
    /// It is being tried for the first time.
    #[default]
    Connecting,
    /// It answers.
    Reachable {
        /// What it calls itself.
        name: String,
        /// Its version.
        version: String,
    },
    /// Its socket is there and it does not answer as it should: why.
    Unreachable(String),
    /// There is no such socket.
    Absent,
}

/// The API that a container runtime is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeApi {
    /// Docker Engine's API, which podman speaks, too.
    Docker,
    /// The Container Runtime Interface of containerd and CRI-O.
    Cri,
    /// None: what an OCI runtime writes to disk.
    OciState,
}

/// One container runtime's API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuntimeReport {
    /// How it is asked.
    pub api: RuntimeApi,
    /// Its socket, or its directory of states.
    pub socket: PathBuf,
    /// Whether it can be asked.
    #[serde(flatten)]
    pub state: RuntimeState,
}

impl RuntimeReport {
    pub(super) fn new(api: RuntimeApi, socket: PathBuf) -> Self {
        Self {
            api,
            socket,
            state: RuntimeState::default(),
        }
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CensusFigures {
    /// Looks at the host, each of which published a snapshot.
    pub looks: u64,
    /// Containers that are there.
    pub containers: u64,
    /// Containers that have gone and are still known.
    pub gone: u64,
    /// Reads of the host (netlink, procfs, cgroupfs) that failed.
    pub failures: u64,
    /// Times that the kernel announced more links than were read; all were listed again then.
    pub link_overruns: u64,
    /// The same for cgroups.
    pub cgroup_overruns: u64,
    /// Containers, dossiers and cgroups that did not fit into their bounds.
    pub dropped: u64,
    /// cgroup ids that were looked up because no snapshot had them.
    pub lookups: u64,
}
