//! What the census knows of one end of a flow. Identity is a value: unknown says why.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::listening::Listening;

use super::owner::Ownership;

/// Which runtime started a container, as far as its cgroup path or its API tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// Docker Engine.
    Docker,
    /// containerd (CRI or other client).
    Containerd,
    /// CRI-O.
    CriO,
    /// podman (libpod).
    Podman,
    /// An OCI runtime without a manager (runc, crun, youki), known by its state on disk.
    Oci,
    /// systemd-nspawn: the container is named after its machine.
    SystemdNspawn,
    /// LXC, LXD and Incus: likewise.
    Lxc,
    /// Something that the cgroup path does not name.
    #[default]
    Other,
}

impl Runtime {
    /// Whether the container's cgroup has its name, and no API knows more.
    #[must_use]
    pub const fn names_by_cgroup(self) -> bool {
        matches!(self, Self::SystemdNspawn | Self::Lxc)
    }
}

impl std::fmt::Display for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Oci => "oci",
            Self::SystemdNspawn => "systemd-nspawn",
            Self::Lxc => "lxc",
            Self::Other => "other",
        })
    }
}

/// What a pod's sandbox is called among the pod's containers: it holds their network namespace and
/// does nothing (the "pause" container).
pub const POD_CONTAINER: &str = "POD";

/// The pod that a container is in, as the runtime tells (CRI `PodSandboxMetadata`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSandbox {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Uid of the pod.
    pub uid: String,
    /// Id of the container that holds the pod's network namespace.
    pub sandbox_id: String,
}

/// One container's dossier. Outlives the container for the configured time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Full id, 64 hex digits for OCI runtimes.
    pub id: String,
    /// Name without a leading slash; empty when no runtime told it (see `unknown`).
    pub name: String,
    /// Image reference as the user gave it, e.g. `nginx:1.27`.
    pub image: String,
    /// Repository digest (`nginx@sha256:…`) where the image has one, else the image id
    /// (`sha256:…`).
    pub image_digest: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whom it belongs to.
    pub owner: Arc<Ownership>,
    /// Runtime.
    pub runtime: Runtime,
    /// Main process in the host's pid namespace; 0 when it has gone.
    pub pid: u32,
    /// cgroup2 id of the container's top cgroup; 0 when it is in v1 hierarchies only.
    pub cgroup_id: u64,
    /// cgroup path below the cgroup2 root.
    pub cgroup_path: String,
    /// Inode of the network namespace; 0 when its process had gone before it could be read.
    pub netns: u64,
    /// The kernel's cookie of that namespace, never used twice; 0 when not known.
    pub netns_cookie: u64,
    /// Whether the namespace is the host's.
    pub host_network: bool,
    /// Host-side links that lead to it: ifindex and name.
    pub links: Vec<(u32, String)>,
    /// Addresses of its network namespace, loopback excluded.
    pub addresses: Vec<IpAddr>,
    /// Those of them that its runtime assigned. The others the container may have given itself.
    pub assigned: Vec<IpAddr>,
    /// MAC addresses of its network namespace.
    pub macs: Vec<[u8; 6]>,
    /// Sockets in its network namespace that wait for others, as of the last look: after so long
    /// as the census takes to look at everything again, at the latest.
    pub listening: Vec<Listening>,
    /// Id of the container whose network namespace it joined (`--network container:X`, or the
    /// pod's sandbox).
    pub joins: Option<String>,
    /// The pod that it is in.
    pub pod: Option<PodSandbox>,
    /// The container within it that is meant: one that this container has started itself (Docker in
    /// Docker, kind). Its runtime cannot be asked, and whatever is in this container chose its id.
    pub nested: Option<Nested>,
    /// Unix time in seconds at which it was seen to be gone.
    pub gone_since: Option<u64>,
    /// Why name, image and labels are missing, when they are.
    pub unknown: Option<UnknownReason>,
}

/// A container in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nested {
    /// Its id, as its cgroup has it.
    pub id: String,
    /// Runtime, as far as the cgroup path names it.
    pub runtime: Runtime,
}

/// Why something about an end is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownReason {
    /// No container runtime's API could be asked: identity is from cgroupfs and procfs alone.
    NoRuntimeApi,
    /// A container runtime's API is there and does not answer as it should.
    RuntimeUnreachable,
    /// The runtime's API has been asked and has not answered yet.
    RuntimePending,
    /// The runtime does not know this id.
    NotInRuntime,
    /// The cgroup has gone before it could be looked at.
    CgroupGone,
    /// The address belongs to no container and no interface of this host.
    AddressNotLocal,
    /// The address belongs to several containers and nothing else tells them apart.
    AddressAmbiguous,
    /// The link leads to a network namespace in which no container is known.
    LinkUnattributed,
    /// The packet was read from a capture file: there is no host to ask.
    CaptureFile,
}

/// A process or address of the host itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The host's name.
    pub hostname: Arc<str>,
    /// cgroup path of the process, when it is known (e.g. `system.slice/ssh.service`).
    pub cgroup_path: Option<String>,
}

/// Who is at one end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A container. Several when they share the network namespace and the kernel told no cgroup:
    /// the first is the namespace's owner, as far as known.
    Container {
        /// The container, or the owner of the shared namespace.
        container: Arc<Container>,
        /// Others in the same network namespace that it could also be.
        or: Vec<Arc<Container>>,
        /// How it was found.
        by: Evidence,
    },
    /// The host.
    Host(Host),
    /// Not known.
    Unknown(UnknownReason),
}

/// What an identity rests on, from the strongest to the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The cgroup id of the socket, told by the kernel.
    Cgroup,
    /// The link that the packet passed.
    Link,
    /// The network namespace of a loopback flow.
    Namespace,
    /// The address alone.
    Address,
}
