//! What a cgroup path says: a container's id and runtime, or that it is the host's.

use super::super::identity::Runtime;

/// A container's place in a cgroup path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerPath<'a> {
    /// The container's id, as its runtime writes it.
    pub id: &'a str,
    /// The runtime, as far as the path names it.
    pub runtime: Runtime,
    /// The path up to and including the container's own cgroup.
    pub top: &'a str,
}

/// Finds the container in a cgroup path (relative to the cgroup2 root, leading slash or none);
/// `None` when the cgroup is the host's.
///
/// The outermost container counts: what is nested below it was named by the container itself, so
/// a container that may write cgroups cannot pass for another one.
#[must_use]
pub fn classify(path: &str) -> Option<ContainerPath<'_>> {
    let mut parent = "";
    let mut grandparent = "";
    let mut offset = 0;
    for component in path.split('/') {
        let end = offset + component.len();
        if let Some((id, runtime)) = classify_component(component, parent, grandparent) {
            let top = path.get(..end)?.trim_start_matches('/');
            return Some(ContainerPath { id, runtime, top });
        }
        offset = end + 1;
        grandparent = parent;
        parent = component;
    }
    None
}

/// Prefixes of the cgroup names that runtimes give to their containers.
const PREFIXES: [(&str, Runtime); 6] = [
    ("cri-containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("docker-", Runtime::Docker),
    ("crio-", Runtime::CriO),
    ("libpod-", Runtime::Podman),
    ("buildkit-", Runtime::Other),
];

fn classify_component<'a>(
    component: &'a str,
    parent: &str,
    grandparent: &str,
) -> Option<(&'a str, Runtime)> {
    // A systemd-style triple that a runtime with the cgroupfs driver takes for a plain name:
    // `kubelet-kubepods-….slice:cri-containerd:<id>`.
    if let Some((slice_and_prefix, id)) = component.rsplit_once(':') {
        let prefix = slice_and_prefix.rsplit(':').next().unwrap_or_default();
        return is_oci_id(id).then(|| (id, runtime_of_prefix(prefix)));
    }
    let name = component.strip_suffix(".scope").unwrap_or(component);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = name.strip_prefix(prefix) {
            return is_oci_id(id).then_some((id, runtime));
        }
    }
    if parent == "buildkit" && is_buildkit_id(name) {
        return Some((name, Runtime::Other));
    }
    if is_oci_id(name) {
        let runtime = match (grandparent, parent) {
            (_, "docker") | ("ecs", _) => Runtime::Docker,
            (_, "libpod_parent") => Runtime::Podman,
            _ => Runtime::Other,
        };
        return Some((name, runtime));
    }
    // Fargate: `/ecs/<task>/<task>-<number>`.
    if grandparent == "ecs" && is_fargate_id(name, parent) {
        return Some((name, Runtime::Other));
    }
    None
}

fn runtime_of_prefix(prefix: &str) -> Runtime {
    match prefix {
        "docker" => Runtime::Docker,
        "cri-containerd" | "nerdctl" => Runtime::Containerd,
        "crio" => Runtime::CriO,
        "libpod" => Runtime::Podman,
        _ => Runtime::Other,
    }
}

/// 64 lower-case hex digits: the id of a container in the OCI runtimes' own managers.
fn is_oci_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// BuildKit's `identity.NewID`: 25 characters of base 36.
fn is_buildkit_id(text: &str) -> bool {
    text.len() == 25
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

fn is_fargate_id(name: &str, task: &str) -> bool {
    task.len() == 32
        && name
            .strip_prefix(task)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|number| {
                !number.is_empty()
                    && number.len() <= 20
                    && number.bytes().all(|b| b.is_ascii_digit())
            })
}

/// The cgroup2 path in `/proc/PID/cgroup` (the line with hierarchy 0), without leading slash.
#[must_use]
pub fn unified_path(proc_cgroup: &str) -> Option<&str> {
    proc_cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(|path| path.trim_start_matches('/'))
}

/// The container that any line of `/proc/PID/cgroup` names: the cgroup2 one first, then those of
/// the v1 controllers, which is where a hybrid host's runtime may have put it.
#[must_use]
pub fn classify_process(proc_cgroup: &str) -> Option<ContainerPath<'_>> {
    if let Some(found) = unified_path(proc_cgroup).and_then(classify) {
        return Some(found);
    }
    proc_cgroup
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find_map(classify)
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
