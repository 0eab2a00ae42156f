//! Reads the states of runc (`ID/state.json`), crun (`ID/status`) and youki, the bundle that they
//! name (`config.json`, OCI runtime specification), and the storage of podman.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::census::{
    dossier::Dossier,
    identity::{POD_CONTAINER, PodSandbox, Runtime},
};

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Entries of one directory that are looked at.
const MAX_ENTRIES: usize = 4_096;

/// What a runtime keeps of a container. The fields of each runtime that has them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    id: String,
    /// runc.
    init_process_pid: u32,
    /// crun, youki.
    pid: u32,
    bundle: PathBuf,
    annotations: BTreeMap<String, String>,
    /// runc: by controller, empty for cgroup2, below the mount point.
    cgroup_paths: BTreeMap<String, String>,
    /// crun: below each hierarchy's root.
    #[serde(rename = "cgroup-path")]
    cgroup_path: String,
    config: RuncConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuncConfig {
    /// `key=value`: annotations and the bundle.
    labels: Vec<String>,
}

/// The part of a bundle's `config.json` that tells who a container is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bundle {
    annotations: BTreeMap<String, String>,
}

/// An entry of `containers.json` in the storage of podman and CRI-O (containers/storage).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stored {
    id: String,
    names: Vec<String>,
    /// JSON again.
    metadata: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct StoredMetadata {
    image_name: String,
    image_id: String,
}

/// Reads one directory.
#[derive(Debug)]
pub(super) struct Reader {
    directory: PathBuf,
}

impl Reader {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// All containers that it tells of.
    pub(super) fn list(&self) -> Vec<Dossier> {
        let mut found = Vec::new();
        for folder in self.folders() {
            let entries = entries(&folder).into_iter();
            found.extend(entries.filter_map(|(id, path)| read(&id, &path)));
        }
        let stored = self.stored().into_iter();
        found.extend(stored.filter_map(|stored| self.of_stored(stored)));
        found
    }

    /// One container; ids are names of folders, and nothing else is looked for.
    pub(super) fn find(&self, id: &str) -> Option<Dossier> {
        if id.is_empty() || id.starts_with('.') || id.contains(['/', '\0']) {
            return None;
        }
        let mut folders = self.folders().into_iter();
        if let Some(found) = folders.find_map(|folder| read(id, &folder.join(id))) {
            return Some(found);
        }
        let stored = self.stored().into_iter().find(|stored| stored.id == id)?;
        self.of_stored(stored)
    }

    /// The directory itself and those in it: some runtimes keep one for each namespace.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.directory.clone()];
        let below = entries(&self.directory).into_iter();
        // Those with a state are containers' own.
        folders.extend(
            below
                .map(|(_, path)| path)
                .filter(|path| !STATES.iter().any(|state| path.join(state).exists())),
        );
        folders
    }

    fn stored(&self) -> Vec<Stored> {
        parse(&self.directory.join("containers.json")).unwrap_or_default()
    }

    fn of_stored(&self, stored: Stored) -> Option<Dossier> {
        let metadata: StoredMetadata = serde_json::from_str(&stored.metadata).unwrap_or_default();
        let bundle = self.directory.join(&stored.id).join("userdata");
        let annotations = parse::<Bundle>(&bundle.join("config.json"))?.annotations;
        let mut dossier = describe(&stored.id, annotations);
        if let Some(name) = stored.names.into_iter().next() {
            dossier.name = name;
        }
        if !metadata.image_name.is_empty() {
            dossier.image = metadata.image_name;
            dossier.image_digest = metadata.image_id;
        }
        if dossier.kind == Runtime::Oci {
            dossier.kind = Runtime::Podman;
        }
        Some(dossier)
    }
}

/// Files in which a runtime keeps a container's state: runc's and youki's, crun's.
const STATES: [&str; 2] = ["state.json", "status"];

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .take(MAX_ENTRIES)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect()
}

fn parse<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut text = Vec::new();
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(MAX_FILE + 1).read_to_end(&mut text).ok()?;
    if u64::try_from(text.len()).ok()? > MAX_FILE {
        return None;
    }
    serde_json::from_slice(&text).ok()
}

/// The container whose state is in `folder`.
fn read(id: &str, folder: &Path) -> Option<Dossier> {
    let state: State = STATES.iter().find_map(|name| parse(&folder.join(name)))?;
    if !state.id.is_empty() && state.id != id {
        return None;
    }
    let labels = state.config.labels.iter();
    let mut annotations: BTreeMap<_, _> = labels
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .chain(state.annotations)
        .collect();
    let bundle = annotations
        .remove("bundle")
        .map_or(state.bundle, PathBuf::from);
    if annotations.is_empty()
        && bundle.is_absolute()
        && let Some(bundle) = parse::<Bundle>(&bundle.join("config.json"))
    {
        annotations = bundle.annotations;
    }
    let mut dossier = describe(id, annotations);
    dossier.pid = state.init_process_pid.max(state.pid);
    // cgroup2's first: its key is empty.
    dossier.cgroups = state.cgroup_paths.into_values().collect();
    if !state.cgroup_path.is_empty() {
        dossier.cgroups.push(state.cgroup_path);
    }
    Some(dossier)
}

/// What the annotations tell: those of containerd's and CRI-O's CRI, of podman and of nerdctl.
fn describe(id: &str, annotations: BTreeMap<String, String>) -> Dossier {
    let told = |keys: &[&str]| keys.iter().find_map(|key| annotations.get(*key).cloned());
    let pod = told(&[
        "io.kubernetes.cri.sandbox-id",
        "io.kubernetes.cri-o.SandboxID",
    ])
    .map(|sandbox_id| PodSandbox {
        namespace: told(&[
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
        ])
        .unwrap_or_default(),
        name: told(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"])
            .unwrap_or_default(),
        uid: told(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]).unwrap_or_default(),
        sandbox_id,
    });
    let is_sandbox = pod.as_ref().is_some_and(|pod| pod.sandbox_id == id);
    let kind = if annotations.contains_key("io.kubernetes.cri.container-type") {
        Runtime::Containerd
    } else if annotations.contains_key("io.kubernetes.cri-o.ContainerType") {
        Runtime::CriO
    } else if annotations
        .get("io.container.manager")
        .is_some_and(|name| name == "libpod")
    {
        Runtime::Podman
    } else {
        Runtime::Oci
    };
    let name = if is_sandbox {
        Some(POD_CONTAINER.to_owned())
    } else {
        told(&[
            "io.kubernetes.cri.container-name",
            "io.kubernetes.container.name",
            "nerdctl/name",
        ])
    };
    Dossier {
        id: id.to_owned(),
        name: name.unwrap_or_else(|| own_name(id)),
        image: told(&[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.ImageName",
        ])
        .unwrap_or_default(),
        joins: pod
            .as_ref()
            .filter(|_| !is_sandbox)
            .map(|pod| pod.sandbox_id.clone()),
        pod,
        labels: annotations,
        kind,
        complete: true,
        from_state: true,
        ..Dossier::default()
    }
}

/// An id that its user chose is a name; one of 64 hex digits is none.
fn own_name(id: &str) -> String {
    let is_random = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_random {
        String::new()
    } else {
        id.to_owned()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
