//! What a container runtime's API tells about one container, cut to size.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{
    identity::{Container, PodSandbox, Runtime},
    owner::Ownership,
};

/// What a runtime told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dossier {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) image_digest: String,
    pub(super) labels: BTreeMap<String, String>,
    /// By [`Dossier::bounded`], from all labels.
    pub(super) owner: Arc<Ownership>,
    /// Main process in the runtime's pid namespace; 0 when it does not run.
    pub(super) pid: u32,
    pub(super) host_network: bool,
    pub(super) joins: Option<String>,
    pub(super) pod: Option<PodSandbox>,
    /// What kind of runtime told it.
    pub(super) kind: Runtime,
    pub(super) addresses: Vec<IpAddr>,
    /// Whether it is from an inspection; an event alone tells name, image and labels.
    pub(super) complete: bool,
    /// Whether it was read from disk; what an API tells counts more.
    pub(super) from_state: bool,
    /// cgroups that the state names, cgroup2's first: with or without the mount point.
    pub(super) cgroups: Vec<String>,
    /// Whether the runtime has removed the container.
    pub(super) removed: bool,
    /// The runtime that told it, by place in the configuration.
    pub(super) runtime: usize,
}

/// Longest name or image reference kept, in bytes.
const MAX_TEXT: usize = 512;
/// Labels kept of one container.
const MAX_LABELS: usize = 64;
/// Longest label key or value kept, in bytes.
const MAX_LABEL: usize = 1_024;
/// Assigned addresses kept of one container.
const MAX_ADDRESSES: usize = 64;

impl Dossier {
    /// The same, cut to size: whoever may start a container chooses all of this.
    pub(super) fn bounded(mut self) -> Self {
        for text in [&mut self.name, &mut self.image, &mut self.image_digest] {
            truncate(text, MAX_TEXT);
        }
        if let Some(pod) = &mut self.pod {
            for text in [
                &mut pod.namespace,
                &mut pod.name,
                &mut pod.uid,
                &mut pod.sandbox_id,
            ] {
                truncate(text, MAX_TEXT);
            }
        }
        // Before labels are left out: any number of others may stand before those that count.
        self.owner = Arc::new(Ownership::of_labels(&self.labels));
        let mut labels = std::mem::take(&mut self.labels);
        while self.labels.len() < MAX_LABELS
            && let Some((mut key, mut value)) = labels.pop_first()
        {
            truncate(&mut key, MAX_LABEL);
            truncate(&mut value, MAX_LABEL);
            self.labels.insert(key, value);
        }
        self.cgroups.truncate(MAX_ADDRESSES);
        self.addresses.sort_unstable();
        self.addresses.dedup();
        self.addresses.truncate(MAX_ADDRESSES);
        self
    }

    /// Takes over what `newer` tells. What an event leaves out stays as it was.
    pub(super) fn update(&mut self, newer: Self) {
        if newer.complete {
            let addresses = std::mem::take(&mut self.addresses);
            let digest = std::mem::take(&mut self.image_digest);
            let pod = self.pod.take();
            *self = newer;
            // A container that has ended has no addresses any more; its traffic had.
            if self.addresses.is_empty() && self.pid == 0 {
                self.addresses = addresses;
            }
            if self.image_digest.is_empty() {
                self.image_digest = digest;
            }
            self.pod = self.pod.take().or(pod);
        } else {
            self.name = newer.name;
            if !self.complete {
                self.image = newer.image;
                self.labels = newer.labels;
                self.owner = newer.owner;
            }
        }
    }
}

/// Writes what a runtime told into a container.
pub(super) fn describe(container: &mut Container, dossier: &Dossier) {
    container.name.clone_from(&dossier.name);
    container.image.clone_from(&dossier.image);
    container.image_digest.clone_from(&dossier.image_digest);
    container.labels.clone_from(&dossier.labels);
    container.owner = Arc::clone(&dossier.owner);
    container.joins.clone_from(&dossier.joins);
    container.pod.clone_from(&dossier.pod);
    // What made the cgroup may be told more precisely by who had it made.
    if matches!(container.runtime, Runtime::Other | Runtime::Oci) {
        container.runtime = dossier.kind;
    }
    container.unknown = None;
    // Before its namespace could be read, the runtime's word stands for it.
    if container.netns == 0 {
        container.host_network = dossier.host_network;
    }
    if !container.host_network {
        container.assigned.clone_from(&dossier.addresses);
        for address in &dossier.addresses {
            if !container.addresses.contains(address) {
                container.addresses.push(*address);
            }
        }
        container.addresses.sort_unstable();
    }
}

/// Cuts at a character boundary at or before `limit` bytes.
fn truncate(text: &mut String, limit: usize) {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_labels_are_cut_to_size_and_the_owner_stays() {
        let mut labels: BTreeMap<_, _> = (0..500)
            .map(|n| (format!("a{n:03}"), "é".repeat(5_000)))
            .collect();
        for (key, value) in [("project", "shop"), ("service", "web")] {
            labels.insert(format!("com.docker.compose.{key}"), value.to_owned());
        }
        labels.insert("k".repeat(5_000), String::new());
        let dossier = Dossier {
            name: "n".repeat(10_000),
            labels,
            ..Dossier::default()
        }
        .bounded();
        assert_eq!(dossier.name.len(), MAX_TEXT);
        assert_eq!(dossier.labels.len(), MAX_LABELS);
        assert_eq!(dossier.owner.compose.as_ref().unwrap().service, "web");
        assert!(
            dossier
                .labels
                .iter()
                .all(|(key, value)| key.len() <= MAX_LABEL && value.len() <= MAX_LABEL)
        );
    }

    #[test]
    fn an_event_does_not_undo_an_inspection_but_renames() {
        let inspected = Dossier {
            name: "old".to_owned(),
            image: "image:1".to_owned(),
            pid: 7,
            addresses: vec![[172, 29, 7, 2].into()],
            complete: true,
            ..Dossier::default()
        };
        let mut dossier = inspected.clone();
        dossier.update(Dossier {
            name: "new".to_owned(),
            ..Dossier::default()
        });
        let renamed = Dossier {
            name: "new".to_owned(),
            ..inspected.clone()
        };
        assert_eq!(dossier, renamed);
        // Inspected again after it has ended.
        let ended = Dossier {
            pid: 0,
            addresses: Vec::new(),
            ..inspected.clone()
        };
        dossier.update(ended);
        assert_eq!(dossier.addresses, inspected.addresses);
    }
}
