//! What is known of the two ends of a finding, for rules that ask who they are.
//!
//! What is not known does not hold: a rule about a stranger is never silenced for want of a name.

use std::sync::Arc;

use hydrophone_inspect::{
    Context, Endpoint,
    rule::{IdentityBuffer, IdentityConditions, IdentityFlag},
};

use super::comm;
use crate::{
    census::{Container, Identity},
    config::ServiceBy,
};

const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD_NAME: &str = "io.kubernetes.pod.name";
const POD_UID: &str = "io.kubernetes.pod.uid";
/// Labels that the pods of one workload share, the recommended one first.
const WORKLOAD: [&str; 3] = ["app.kubernetes.io/name", "app", "k8s-app"];

/// The two ends of a finding.
pub(super) struct Ends<'a> {
    source: End<'a>,
    destination: End<'a>,
    service_by: &'a [ServiceBy],
}

struct End<'a> {
    identity: &'a Identity,
    endpoint: &'a Endpoint,
}

impl<'a> Ends<'a> {
    /// `service_by`: what makes containers one service, in the order of trial.
    pub(super) const fn new(
        context: &'a Context,
        source: &'a Identity,
        destination: &'a Identity,
        service_by: &'a [ServiceBy],
    ) -> Self {
        Self {
            source: End {
                identity: source,
                endpoint: &context.source,
            },
            destination: End {
                identity: destination,
                endpoint: &context.destination,
            },
            service_by,
        }
    }

    /// Whether all that a rule asks of them holds.
    pub(super) fn meet(&self, conditions: &IdentityConditions) -> bool {
        conditions.hold(&|buffer| self.texts(buffer), &|flag| self.relation(flag))
    }

    fn texts(&self, buffer: IdentityBuffer) -> Vec<String> {
        use IdentityBuffer as B;
        let (source, destination) = (&self.source, &self.destination);
        match buffer {
            B::SourceContainerId => source.each(id),
            B::DestinationContainerId => destination.each(id),
            B::SourceContainerName => source.each(name),
            B::DestinationContainerName => destination.each(name),
            B::SourceContainerImage => source.each(image),
            B::DestinationContainerImage => destination.each(image),
            B::SourceContainerImageDigest => source.each(digest),
            B::DestinationContainerImageDigest => destination.each(digest),
            B::SourceContainerLabel => source.labels(),
            B::DestinationContainerLabel => destination.labels(),
            B::SourceComposeProject => source.each(project),
            B::DestinationComposeProject => destination.each(project),
            B::SourceComposeService => source.each(service),
            B::DestinationComposeService => destination.each(service),
            B::SourceNamespace => source.each(|container| label(container, POD_NAMESPACE)),
            B::DestinationNamespace => {
                destination.each(|container| label(container, POD_NAMESPACE))
            }
            B::SourcePod => source.each(|container| label(container, POD_NAME)),
            B::DestinationPod => destination.each(|container| label(container, POD_NAME)),
            B::SourceProcess => source.process(),
            B::DestinationProcess => destination.process(),
        }
    }

    /// Whether a relation is known to hold.
    fn relation(&self, flag: IdentityFlag) -> bool {
        let (source, destination) = (self.source.identity, self.destination.identity);
        match flag {
            IdentityFlag::SameContainer => self.every_pair(same_container),
            IdentityFlag::SamePod => self.every_pair(same_pod),
            IdentityFlag::SameService => self.every_pair(|one, other| {
                same_container(one, other) || same_service(one, other, self.service_by)
            }),
            IdentityFlag::SourceIsContainer => matches!(source, Identity::Container { .. }),
            IdentityFlag::DestinationIsContainer => {
                matches!(destination, Identity::Container { .. })
            }
            IdentityFlag::SourceIsHost => matches!(source, Identity::Host(_)),
            IdentityFlag::DestinationIsHost => matches!(destination, Identity::Host(_)),
        }
    }

    /// Whether `related` holds whichever of the containers the two ends are. An end that could be one
    /// of several is not known to be any of them.
    fn every_pair(&self, related: impl Fn(&Container, &Container) -> bool) -> bool {
        let (mut sources, destinations) = (self.source.containers(), self.destination.containers());
        let is_known = sources.clone().next().is_some() && destinations.clone().next().is_some();
        is_known && sources.all(|one| destinations.clone().all(|other| related(one, other)))
    }
}

impl<'a> End<'a> {
    /// The container, or all that it could be.
    fn containers(&self) -> impl Iterator<Item = &'a Container> + Clone {
        let (first, others): (_, &[Arc<Container>]) = match self.identity {
            Identity::Container { container, or, .. } => (Some(container), or),
            Identity::Host(_) | Identity::Unknown(_) => (None, &[]),
        };
        first.into_iter().chain(others).map(AsRef::as_ref)
    }

    /// A text of each container that it could be; what is empty is not known.
    fn each(&self, text: impl Fn(&Container) -> Option<&str>) -> Vec<String> {
        self.containers()
            .filter_map(text)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn labels(&self) -> Vec<String> {
        self.containers()
            .flat_map(|container| &container.labels)
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    fn process(&self) -> Vec<String> {
        self.endpoint
            .owner
            .process
            .iter()
            .map(comm)
            .filter(|name| !name.is_empty())
            .collect()
    }
}

fn id(container: &Container) -> Option<&str> {
    Some(&container.id)
}

fn name(container: &Container) -> Option<&str> {
    Some(&container.name)
}

fn image(container: &Container) -> Option<&str> {
    Some(&container.image)
}

fn digest(container: &Container) -> Option<&str> {
    Some(&container.image_digest)
}

fn project(container: &Container) -> Option<&str> {
    container.compose_project.as_deref()
}

fn service(container: &Container) -> Option<&str> {
    container.compose_service.as_deref()
}

fn label<'a>(container: &'a Container, key: &str) -> Option<&'a str> {
    let value = container.labels.get(key)?;
    (!value.is_empty()).then_some(value.as_str())
}

fn same_container(one: &Container, other: &Container) -> bool {
    !one.id.is_empty() && one.id == other.id
}

fn same_pod(one: &Container, other: &Container) -> bool {
    if same_container(one, other) {
        return true;
    }
    match (label(one, POD_UID), label(other, POD_UID)) {
        (Some(one), Some(other)) => return one == other,
        (None, None) => {}
        // One is in a pod and the other is not.
        _ => return false,
    }
    // All that use the host's namespace have nothing else in common.
    let own = !one.host_network && !other.host_network;
    own && if one.netns_cookie != 0 && other.netns_cookie != 0 {
        one.netns_cookie == other.netns_cookie
    } else {
        one.netns != 0 && one.netns == other.netns
    }
}

/// The first way that knows a service of either container decides: to have one and not the other is
/// not to be of the same.
fn same_service(one: &Container, other: &Container, by: &[ServiceBy]) -> bool {
    by.iter()
        .map(|by| (service_of(one, *by), service_of(other, *by)))
        .find(|services| *services != (None, None))
        .is_some_and(|(one, other)| one == other)
}

/// What two containers of one service have in common; `None` when this way tells nothing of it.
fn service_of(container: &Container, by: ServiceBy) -> Option<(&str, &str)> {
    match by {
        ServiceBy::Compose => project(container).zip(service(container)),
        ServiceBy::Kubernetes => {
            let namespace = label(container, POD_NAMESPACE)?;
            let workload = WORKLOAD.iter().find_map(|key| label(container, key));
            // Without such a label a pod stands for itself.
            Some(namespace).zip(workload.or_else(|| label(container, POD_NAME)))
        }
        ServiceBy::Image => (!container.image.is_empty()).then_some((&container.image, "")),
    }
}

#[cfg(test)]
#[path = "ends_tests.rs"]
mod tests;
