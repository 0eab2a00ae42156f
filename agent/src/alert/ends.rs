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
            B::SourceService => source.services(self.service_by),
            B::DestinationService => destination.services(self.service_by),
            B::SourceTask => source.each(task),
            B::DestinationTask => destination.each(task),
            B::SourceComposeProject => source.each(project),
            B::DestinationComposeProject => destination.each(project),
            B::SourceComposeService => source.each(compose_service),
            B::DestinationComposeService => destination.each(compose_service),
            B::SourceNamespace => source.each(namespace),
            B::DestinationNamespace => destination.each(namespace),
            B::SourcePod => source.each(pod),
            B::DestinationPod => destination.each(pod),
            B::SourceWorkload => source.each(workload),
            B::DestinationWorkload => destination.each(workload),
            B::SourceEcsCluster => source.each(ecs_cluster),
            B::DestinationEcsCluster => destination.each(ecs_cluster),
            B::SourceEcsFamily => source.each(ecs_family),
            B::DestinationEcsFamily => destination.each(ecs_family),
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

    fn services(&self, by: &[ServiceBy]) -> Vec<String> {
        self.containers()
            .filter_map(|container| container.service(by))
            .map(|service| service.to_string())
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

fn task(container: &Container) -> Option<&str> {
    container.owner.task()
}

fn project(container: &Container) -> Option<&str> {
    Some(&container.owner.compose.as_ref()?.project)
}

fn compose_service(container: &Container) -> Option<&str> {
    Some(&container.owner.compose.as_ref()?.service)
}

fn namespace(container: &Container) -> Option<&str> {
    Some(&container.owner.kubernetes.as_ref()?.namespace)
}

fn pod(container: &Container) -> Option<&str> {
    Some(&container.owner.kubernetes.as_ref()?.pod)
}

fn pod_uid(container: &Container) -> Option<&str> {
    let uid = container.owner.kubernetes.as_ref()?.uid.as_str();
    (!uid.is_empty()).then_some(uid)
}

fn workload(container: &Container) -> Option<&str> {
    let of = container.owner.kubernetes.as_ref()?;
    Some(&of.workload.as_ref()?.name)
}

fn ecs_cluster(container: &Container) -> Option<&str> {
    Some(&container.owner.ecs.as_ref()?.cluster)
}

fn ecs_family(container: &Container) -> Option<&str> {
    Some(&container.owner.ecs.as_ref()?.family)
}

fn same_container(one: &Container, other: &Container) -> bool {
    !one.id.is_empty() && one.id == other.id
}

fn same_pod(one: &Container, other: &Container) -> bool {
    if same_container(one, other) {
        return true;
    }
    match (pod_uid(one), pod_uid(other)) {
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
    let service = one.service(by);
    service.is_some() && service == other.service(by)
}

#[cfg(test)]
#[path = "ends_tests.rs"]
mod tests;
