//! Whom a container belongs to: pod, task, allocation, compose or swarm service.
//!
//! Orchestrators write it into labels. Whoever builds an image may give it labels of the same names,
//! and Docker mixes the two: what is here is as good as whoever may start containers.

mod kubernetes;
mod service;

use std::collections::BTreeMap;

pub use kubernetes::{Kubernetes, Workload, WorkloadKind};
pub use service::{Service, ServiceBy};

/// Longest text that is kept, in bytes. A name in Kubernetes has 253 at most, an ARN about 200.
const MAX_TEXT: usize = 512;

/// Whom a container belongs to, as far as its runtime told. More than one may be there: Compose
/// names services of a Nomad task, for instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Its pod.
    pub kubernetes: Option<Kubernetes>,
    /// Its ECS task.
    pub ecs: Option<Ecs>,
    /// Its Nomad allocation.
    pub nomad: Option<Nomad>,
    /// Its Swarm service and stack.
    pub swarm: Option<Swarm>,
    /// Its Compose project.
    pub compose: Option<Compose>,
}

/// A container of a task of Amazon ECS, from the labels that the ECS agent gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ecs {
    /// Cluster (`com.amazonaws.ecs.cluster`), by name or ARN.
    pub cluster: String,
    /// The task's ARN (`com.amazonaws.ecs.task-arn`).
    pub task_arn: String,
    /// Family of its task definition (`com.amazonaws.ecs.task-definition-family`).
    pub family: String,
    /// Revision of it (`com.amazonaws.ecs.task-definition-version`).
    pub revision: String,
    /// The container's name in the task definition (`com.amazonaws.ecs.container-name`).
    pub container: String,
}

impl Ecs {
    /// The task's id: what follows the last slash of its ARN (both the old and the long format).
    #[must_use]
    pub fn task(&self) -> &str {
        self.task_arn
            .rsplit_once('/')
            .map_or(self.task_arn.as_str(), |(_, id)| id)
    }
}

/// A task of Nomad, from the labels of its Docker driver: the allocation always, the rest when
/// `extra_labels` asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nomad {
    /// Allocation (`com.hashicorp.nomad.alloc_id`).
    pub allocation: String,
    /// Namespace (`….namespace`).
    pub namespace: String,
    /// Job (`….job_name`, or else its id, `….job_id`).
    pub job: String,
    /// Task group (`….task_group_name`).
    pub group: String,
    /// Task (`….task_name`).
    pub task: String,
    /// Node (`….node_name`, or else its id, `….node_id`).
    pub node: String,
}

/// A task of a Docker Swarm service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swarm {
    /// Service (`com.docker.swarm.service.name`).
    pub service: String,
    /// Task (`com.docker.swarm.task.name`, e.g. `web.1.n9o3…`).
    pub task: String,
    /// Node's id (`com.docker.swarm.node.id`).
    pub node: String,
    /// Stack (`com.docker.stack.namespace`).
    pub stack: String,
}

/// A container of a Compose project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compose {
    /// Project (`com.docker.compose.project`).
    pub project: String,
    /// Service (`com.docker.compose.service`).
    pub service: String,
    /// Number of the replica (`com.docker.compose.container-number`).
    pub number: String,
}

impl Ownership {
    /// Reads what orchestrators wrote into labels.
    #[must_use]
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Self {
        let labels = Labels(labels);
        Self {
            kubernetes: Kubernetes::of(&labels),
            ecs: ecs(&labels),
            nomad: nomad(&labels),
            swarm: swarm(&labels),
            compose: compose(&labels),
        }
    }

    /// The namespace: of Kubernetes or Nomad, else the Swarm stack or Compose project.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        known([
            self.kubernetes.as_ref().map(|of| of.namespace.as_str()),
            self.nomad.as_ref().map(|of| of.namespace.as_str()),
            self.swarm.as_ref().map(|of| of.stack.as_str()),
            self.compose.as_ref().map(|of| of.project.as_str()),
        ])
    }

    /// What was scheduled as one: a pod, an ECS or Swarm task, a Nomad allocation.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        known([
            self.kubernetes.as_ref().map(|of| of.pod.as_str()),
            self.ecs.as_ref().map(Ecs::task),
            self.nomad.as_ref().map(|of| of.allocation.as_str()),
            self.swarm.as_ref().map(|of| of.task.as_str()),
        ])
    }
}

/// The first that is known.
fn known<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> Option<&'a str> {
    texts.into_iter().flatten().find(|text| !text.is_empty())
}

/// A container's labels, cut to size when they are read.
struct Labels<'a>(&'a BTreeMap<String, String>);

impl<'a> Labels<'a> {
    /// A label's value; none when it is not there or empty.
    fn get(&self, key: &str) -> Option<&'a str> {
        let value = self.0.get(key)?;
        let end = (0..=MAX_TEXT.min(value.len()))
            .rev()
            .find(|end| value.is_char_boundary(*end))
            .unwrap_or_default();
        value.get(..end).filter(|value| !value.is_empty())
    }

    /// The same as text; empty when it is not there.
    fn text(&self, key: &str) -> String {
        self.get(key).unwrap_or_default().to_owned()
    }
}

fn ecs(labels: &Labels<'_>) -> Option<Ecs> {
    let task_arn = labels.get("com.amazonaws.ecs.task-arn")?.to_owned();
    Some(Ecs {
        cluster: labels.text("com.amazonaws.ecs.cluster"),
        task_arn,
        family: labels.text("com.amazonaws.ecs.task-definition-family"),
        revision: labels.text("com.amazonaws.ecs.task-definition-version"),
        container: labels.text("com.amazonaws.ecs.container-name"),
    })
}

fn nomad(labels: &Labels<'_>) -> Option<Nomad> {
    let allocation = labels.get("com.hashicorp.nomad.alloc_id")?.to_owned();
    let either = |name, id| labels.get(name).or_else(|| labels.get(id));
    let job = either("com.hashicorp.nomad.job_name", "com.hashicorp.nomad.job_id");
    let node = either(
        "com.hashicorp.nomad.node_name",
        "com.hashicorp.nomad.node_id",
    );
    Some(Nomad {
        allocation,
        namespace: labels.text("com.hashicorp.nomad.namespace"),
        job: job.unwrap_or_default().to_owned(),
        group: labels.text("com.hashicorp.nomad.task_group_name"),
        task: labels.text("com.hashicorp.nomad.task_name"),
        node: node.unwrap_or_default().to_owned(),
    })
}

fn swarm(labels: &Labels<'_>) -> Option<Swarm> {
    let service = labels.get("com.docker.swarm.service.name")?.to_owned();
    Some(Swarm {
        service,
        task: labels.text("com.docker.swarm.task.name"),
        node: labels.text("com.docker.swarm.node.id"),
        stack: labels.text("com.docker.stack.namespace"),
    })
}

fn compose(labels: &Labels<'_>) -> Option<Compose> {
    let project = labels.get("com.docker.compose.project")?.to_owned();
    Some(Compose {
        project,
        service: labels.text("com.docker.compose.service"),
        number: labels.text("com.docker.compose.container-number"),
    })
}

#[cfg(test)]
mod tests;
