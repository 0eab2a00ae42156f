//! What the ledger says of one container, and how it changes.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    alert::escape::{STRING_MAX, bounded},
    census::{Container, Listening, Runtime, UnknownReason},
};

/// What is known of a container at one time. What is empty is left out of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Full id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Name; empty while no runtime has told it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Image reference.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Digest or id of the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_digest: String,
    /// Whom it belongs to, by what says so: `compose_project`, `pod`, `task_arn` and so on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub owner: BTreeMap<String, String>,
    /// Runtime, as far as known.
    pub runtime: Runtime,
    /// cgroup2 id; 0 when it has none.
    #[serde(skip_serializing_if = "is_zero")]
    pub cgroup_id: u64,
    /// cgroup path below the root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cgroup_path: String,
    /// Inode of the network namespace.
    #[serde(skip_serializing_if = "is_zero")]
    pub netns: u64,
    /// Cookie of the network namespace.
    #[serde(skip_serializing_if = "is_zero")]
    pub netns_cookie: u64,
    /// Whether the namespace is the host's.
    #[serde(skip_serializing_if = "is_false")]
    pub host_network: bool,
    /// Id of the container whose namespace it joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joins: Option<String>,
    /// Host-side links that lead to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkFact>,
    /// MAC addresses in its namespace, `02:42:ac:12:00:05`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<String>,
    /// Addresses in its namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Those of them that its runtime assigned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assigned: Vec<IpAddr>,
    /// Ports on which something in its namespace listens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<PortFact>,
    /// Why name, image and owner are missing, when they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<UnknownReason>,
}

/// A host-side link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    /// Interface index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
}

/// A socket that waits for others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortFact {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Address it is bound to.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
}

impl From<&Listening> for PortFact {
    fn from(socket: &Listening) -> Self {
        let protocol = if socket.protocol == 6 { "tcp" } else { "udp" };
        Self {
            protocol: protocol.to_owned(),
            address: socket.address,
            port: socket.port,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Items of each list that are kept of one container.
const MAX_ITEMS: usize = 64;

/// Labels that say whom a container belongs to, with the names that they have here.
const OWNERS: [(&str, &str); 22] = [
    ("com.docker.compose.project", "compose_project"),
    ("com.docker.compose.service", "compose_service"),
    ("com.docker.stack.namespace", "swarm_stack"),
    ("com.docker.swarm.service.name", "swarm_service"),
    ("com.docker.swarm.task.name", "swarm_task"),
    ("com.docker.swarm.node.id", "swarm_node"),
    ("io.kubernetes.pod.namespace", "namespace"),
    ("io.kubernetes.pod.name", "pod"),
    ("io.kubernetes.pod.uid", "pod_uid"),
    ("io.kubernetes.container.name", "container"),
    ("app.kubernetes.io/name", "workload"),
    ("app", "app"),
    ("k8s-app", "k8s_app"),
    ("com.amazonaws.ecs.cluster", "ecs_cluster"),
    ("com.amazonaws.ecs.task-arn", "ecs_task_arn"),
    ("com.amazonaws.ecs.task-definition-family", "ecs_family"),
    ("com.amazonaws.ecs.task-definition-version", "ecs_revision"),
    ("com.amazonaws.ecs.container-name", "ecs_container"),
    ("com.hashicorp.nomad.job_name", "nomad_job"),
    ("com.hashicorp.nomad.alloc_id", "nomad_allocation"),
    ("com.hashicorp.nomad.task_name", "nomad_task"),
    ("com.hashicorp.nomad.namespace", "nomad_namespace"),
];

impl From<&Container> for Facts {
    fn from(container: &Container) -> Self {
        let owner = OWNERS.iter().filter_map(|(label, name)| {
            let value = container.labels.get(*label)?;
            Some(((*name).to_owned(), cut(value)))
        });
        let links = container.links.iter().take(MAX_ITEMS);
        Self {
            id: cut(&container.id),
            name: cut(&container.name),
            image: cut(&container.image),
            image_digest: cut(&container.image_digest),
            owner: owner.collect(),
            runtime: container.runtime,
            cgroup_id: container.cgroup_id,
            cgroup_path: cut(&container.cgroup_path),
            netns: container.netns,
            netns_cookie: container.netns_cookie,
            host_network: container.host_network,
            joins: container.joins.as_deref().map(cut),
            links: links
                .map(|(ifindex, name)| LinkFact {
                    ifindex: *ifindex,
                    name: cut(name),
                })
                .collect(),
            macs: container.macs.iter().take(MAX_ITEMS).map(mac).collect(),
            addresses: few(&container.addresses),
            assigned: few(&container.assigned),
            listening: container
                .listening
                .iter()
                .take(MAX_ITEMS)
                .map(PortFact::from)
                .collect(),
            unknown: container.unknown,
        }
    }
}

/// The start of a text: as much as events have of it.
fn cut(text: &str) -> String {
    bounded(text, STRING_MAX).0.to_owned()
}

fn mac(octets: &[u8; 6]) -> String {
    let octets: Vec<_> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}

fn few<T: Clone>(items: &[T]) -> Vec<T> {
    items.iter().take(MAX_ITEMS).cloned().collect()
}

impl Facts {
    /// The newer facts, where a runtime that cannot be asked any more has not taken back what one
    /// had told, nor a container that has ended its addresses.
    #[must_use]
    pub(super) fn or_known(mut self, known: &Self) -> Self {
        if self.unknown.is_some() && known.unknown.is_none() {
            self.name.clone_from(&known.name);
            self.image.clone_from(&known.image);
            self.image_digest.clone_from(&known.image_digest);
            self.owner.clone_from(&known.owner);
            self.joins.clone_from(&known.joins);
            self.assigned.clone_from(&known.assigned);
            self.unknown = None;
        }
        self
    }

    /// What changes from these facts to `newer`, as a JSON merge patch (RFC 7396); empty when
    /// nothing does.
    #[must_use]
    pub fn patch(&self, newer: &Self) -> Map<String, Value> {
        let (old, mut new) = (self.object(), newer.object());
        let gone = old.keys().filter(|key| !new.contains_key(*key));
        let gone: Vec<_> = gone.map(|key| (key.clone(), Value::Null)).collect();
        new.retain(|key, value| old.get(key) != Some(value));
        new.extend(gone);
        new
    }

    /// Applies a patch. One that makes no sense changes nothing.
    pub fn apply(&mut self, patch: &Map<String, Value>) {
        let mut object = self.object();
        for (key, value) in patch {
            if value.is_null() {
                object.remove(key);
            } else {
                object.insert(key.clone(), value.clone());
            }
        }
        if let Ok(patched) = serde_json::from_value(Value::Object(object)) {
            *self = patched;
        }
    }

    fn object(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(object)) => object,
            _ => Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::escape::STRING_MAX as MAX_TEXT;

    #[test]
    fn what_a_container_chose_is_cut_to_size() {
        let labels = OWNERS.map(|(label, _)| (label.to_owned(), "é".repeat(5_000)));
        let facts = Facts::from(&Container {
            name: "n".repeat(65_536),
            labels: labels.into(),
            links: (0..1_000).map(|index| (index, "veth".to_owned())).collect(),
            addresses: vec![[127, 0, 0, 1].into(); 1_000],
            ..Container::default()
        });
        assert_eq!(
            (facts.name.len(), facts.owner.len()),
            (MAX_TEXT, OWNERS.len())
        );
        assert_eq!(
            (facts.links.len(), facts.addresses.len()),
            (MAX_ITEMS, MAX_ITEMS)
        );
        assert!(facts.owner.values().all(|value| value.len() <= MAX_TEXT));
    }

    #[test]
    fn a_patch_says_what_came_what_changed_and_what_went() {
        let old = Facts {
            name: "web".to_owned(),
            addresses: vec![[172, 18, 0, 5].into()],
            unknown: Some(UnknownReason::RuntimePending),
            ..Facts::default()
        };
        let new = Facts {
            name: "front".to_owned(),
            netns: 7,
            addresses: old.addresses.clone(),
            ..Facts::default()
        };
        let patch = old.patch(&new);
        assert_eq!(
            Value::Object(patch.clone()),
            serde_json::json!({"name": "front", "netns": 7, "unknown": null})
        );
        let mut patched = old.clone();
        patched.apply(&patch);
        assert_eq!(patched, new);
        assert!(new.patch(&new).is_empty());
        // Of what is no patch nothing is taken.
        patched.apply(&Map::from_iter([(
            "netns".to_owned(),
            Value::from("seven"),
        )]));
        assert_eq!(patched, new);
    }

    #[test]
    fn what_a_runtime_told_stays_known_when_it_cannot_be_asked() {
        let known = Facts {
            name: "web".to_owned(),
            ..Facts::default()
        };
        let asked_in_vain = Facts {
            netns: 7,
            unknown: Some(UnknownReason::NoRuntimeApi),
            ..Facts::default()
        };
        let facts = asked_in_vain.or_known(&known);
        assert_eq!(
            (facts.name.as_str(), facts.netns, facts.unknown),
            ("web", 7, None)
        );
    }
}
