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

/// The innermost container within the one whose top cgroup is `top`, when `path` leads to one.
#[must_use]
pub fn nested<'a>(path: &'a str, top: &str) -> Option<ContainerPath<'a>> {
    let mut rest = path.trim_start_matches('/').strip_prefix(top)?;
    let mut innermost = None;
    while let Some(found) = classify(rest) {
        rest = rest.trim_start_matches('/').strip_prefix(found.top)?;
        innermost = Some(found);
    }
    innermost
}

/// What systemd has escaped in the name of a unit (`systemd-escape(1)`): `\x2d` for a dash.
#[must_use]
pub fn unescape_unit(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("\\x") {
        out.extend_from_slice(before.as_bytes());
        let code = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (code, after.get(2..)) {
            (Some(code), Some(tail)) => {
                out.push(code);
                rest = tail;
            }
            _ => {
                out.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// The id that a container would have whose cgroup is called so, when the name tells nothing else:
/// OCI runtimes without a manager take any id (`/ID`, `runc-ID.scope`).
#[must_use]
pub fn possible_id(path: &str) -> Option<&str> {
    let component = path.rsplit('/').next()?;
    let name = component.strip_suffix(".scope");
    let id = match name {
        Some(name) => OCI_SCOPES
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))?,
        None => component,
    };
    let is_unit = [".slice", ".service", ".mount", ".socket", ".swap"]
        .iter()
        .any(|suffix| id.ends_with(suffix));
    let is_id = !id.is_empty() && id.len() <= 255 && !id.starts_with('.') && !is_unit;
    is_id.then_some(id)
}

/// Prefixes of scopes that OCI runtimes make themselves, with the systemd driver.
const OCI_SCOPES: [&str; 3] = ["runc-", "crun-", "youki-"];

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
const PREFIXES: [(&str, Runtime); 7] = [
    ("libpod-payload-", Runtime::Podman),
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
    if let Some(found) = classify_machine(component, parent) {
        return Some(found);
    }
    // Fargate: `/ecs/<task>/<task>-<number>`.
    if grandparent == "ecs" && is_fargate_id(name, parent) {
        return Some((name, Runtime::Other));
    }
    None
}

/// Containers whose cgroup has their name: systemd-nspawn's machines and LXC's payloads.
fn classify_machine<'a>(component: &'a str, parent: &str) -> Option<(&'a str, Runtime)> {
    if let Some(service) = component.strip_prefix("systemd-nspawn@") {
        let name = service.strip_suffix(".service")?;
        return is_machine(name).then_some((name, Runtime::SystemdNspawn));
    }
    if parent == "machine.slice"
        && let Some(name) = component.strip_prefix("machine-")
        && let Some(name) = name.strip_suffix(".scope")
    {
        // libvirt's: `qemu` machines are no containers.
        let runtime = match name.split_once("\\x2d") {
            Some(("qemu", _)) => return None,
            Some(("lxc", _)) => Runtime::Lxc,
            _ => Runtime::SystemdNspawn,
        };
        return is_machine(name).then_some((name, runtime));
    }
    let name = match component.strip_prefix("lxc.payload.") {
        Some(name) => name,
        None if parent == "lxc" || parent == "lxc.payload" => component,
        None => return None,
    };
    is_machine(name).then_some((name, Runtime::Lxc))
}

/// A name that a cgroup can have and that is not one of the kernel's files.
fn is_machine(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.')
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

/// Whether `/proc/PID/cgroup` says that the process is in the cgroup `top` or below it: by its
/// cgroup2 line, or where that names no container by those of the v1 controllers, which is where a
/// hybrid host's runtime may have put it.
#[must_use]
pub fn is_in(proc_cgroup: &str, top: &str) -> bool {
    let mut paths = proc_cgroup
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .map(|path| path.trim_start_matches('/'));
    let unified = proc_cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(|path| path.trim_start_matches('/'));
    match unified.filter(|path| classify(path).is_some()) {
        Some(path) => is_below(path, top),
        None => paths.any(|path| is_below(path, top)),
    }
}

/// Whether `path` is `top` or below it.
#[must_use]
pub fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
