//! containerd's own services, on the socket that also answers CRI: containers of every client
//! (`ctr`, `nerdctl`, BuildKit) in every namespace, and events on all versions.
//!
//! Messages by hand, with the tags of containerd's `api/services/*/v1/*.proto` (1.0 and later).

use std::collections::{BTreeMap, HashMap};

use futures_util::StreamExt as _;
use prost::Message;
use serde::Deserialize;
use tonic::Status;

use super::{
    api::{ApiError, Event, EventStream},
    cri::Nothing,
    rpc::{Client, if_found},
};
use crate::census::{
    dossier::Dossier,
    identity::{POD_CONTAINER, PodSandbox, Runtime},
};

const VERSION: &str = "/containerd.services.version.v1.Version/Version";
const NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
const CONTAINERS: &str = "/containerd.services.containers.v1.Containers/List";
const CONTAINER: &str = "/containerd.services.containers.v1.Containers/Get";
const EVENTS: &str = "/containerd.services.events.v1.Events/Subscribe";

/// Docker's namespace: Docker's own API tells more of what is in it.
const DOCKERS: &str = "moby";
/// Namespaces that are looked into.
const MAX_NAMESPACES: usize = 64;
/// Longest specification that is read, in bytes.
const MAX_SPEC: usize = 1 << 20;

#[derive(Clone, PartialEq, Eq, Message)]
struct VersionResponse {
    #[prost(string, tag = "1")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListNamespacesResponse {
    #[prost(message, repeated, tag = "1")]
    namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Namespace {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<Container>,
}

/// `GetContainerRequest`, and all events about one container: its id has the first tag.
#[derive(Clone, PartialEq, Eq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct TaskExit {
    #[prost(string, tag = "1")]
    container_id: String,
    /// The process within the container: the container's id for the main one.
    #[prost(string, tag = "2")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    container: Option<Container>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(btree_map = "string, string", tag = "2")]
    labels: BTreeMap<String, String>,
    #[prost(string, tag = "3")]
    image: String,
    #[prost(message, optional, tag = "5")]
    spec: Option<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Eq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    topic: String,
    #[prost(message, optional, tag = "4")]
    event: Option<Any>,
}

/// The part of the OCI runtime specification that tells who a container is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    annotations: HashMap<String, String>,
}

/// containerd's services.
#[derive(Clone)]
pub(super) struct Containerd {
    client: Client,
    version: String,
}

impl Containerd {
    /// `None` when it is not containerd that answers.
    pub(super) async fn open(client: &Client) -> Option<Self> {
        let told: VersionResponse = client.ask(VERSION, Nothing {}).await.ok()?;
        Some(Self {
            client: client.clone(),
            version: told.version,
        })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) async fn ping(&self) -> Result<(), Status> {
        let _: VersionResponse = self.client.ask(VERSION, Nothing {}).await?;
        Ok(())
    }

    pub(super) fn events(&self) -> EventStream {
        let told = self.client.stream(EVENTS, Nothing {});
        Box::pin(told.map(|told: Result<Envelope, Status>| {
            told.map(|envelope| event_of(&envelope))
                .map_err(ApiError::from)
        }))
    }

    /// The same connection for each namespace but Docker's.
    async fn namespaces(&self) -> Result<Vec<Client>, Status> {
        let told: ListNamespacesResponse = self.client.ask(NAMESPACES, Nothing {}).await?;
        let names = told.namespaces.into_iter().map(|one| one.name);
        Ok(names
            .filter(|name| name != DOCKERS)
            .take(MAX_NAMESPACES)
            .filter_map(|name| self.client.within(&name))
            .collect())
    }

    pub(super) async fn list(&self) -> Result<Vec<Dossier>, Status> {
        let mut all = Vec::new();
        for namespace in self.namespaces().await? {
            let told: ListContainersResponse = namespace.ask(CONTAINERS, Nothing {}).await?;
            all.extend(told.containers.into_iter().map(of_container));
        }
        Ok(all)
    }

    pub(super) async fn find(&self, id: &str) -> Result<Option<Dossier>, Status> {
        for namespace in self.namespaces().await? {
            let question = Id { id: id.to_owned() };
            let answer = if_found(namespace.ask(CONTAINER, question).await)?;
            if let Some(container) =
                answer.and_then(|answer: GetContainerResponse| answer.container)
            {
                return Ok(Some(of_container(container)));
            }
        }
        Ok(None)
    }
}

fn event_of(envelope: &Envelope) -> Event {
    let event = envelope
        .event
        .as_ref()
        .filter(|_| envelope.namespace != DOCKERS);
    let Some(event) = event else {
        return Event::Other;
    };
    let told = event.value.as_slice();
    let read = match envelope.topic.as_str() {
        "/containers/create" | "/containers/update" | "/tasks/start" => {
            Id::decode(told).map(|about| Event::Changed(about.id, None))
        }
        "/containers/delete" => Id::decode(told).map(|about| Event::Removed(about.id)),
        "/tasks/exit" => TaskExit::decode(told).map(|exit| {
            if exit.id == exit.container_id {
                Event::Ended(exit.container_id)
            } else {
                Event::Other
            }
        }),
        _ => return Event::Other,
    };
    read.unwrap_or(Event::Other)
}

fn of_container(mut container: Container) -> Dossier {
    let spec: Spec = container
        .spec
        .take()
        .filter(|spec| spec.value.len() <= MAX_SPEC)
        .and_then(|spec| serde_json::from_slice(&spec.value).ok())
        .unwrap_or_default();
    let sandbox_id = spec.annotations.get("io.kubernetes.cri.sandbox-id");
    let pod = sandbox_id.map(|sandbox_id| pod_of(sandbox_id, &container.labels, &spec));
    let is_sandbox = pod
        .as_ref()
        .is_some_and(|pod| pod.sandbox_id == container.id);
    let name = if is_sandbox {
        POD_CONTAINER.to_owned()
    } else {
        name_of(&container, &spec)
    };
    Dossier {
        name,
        joins: sandbox_id.filter(|_| !is_sandbox).cloned(),
        image: container.image,
        id: container.id,
        labels: container.labels,
        kind: Runtime::Containerd,
        pod,
        complete: true,
        ..Dossier::default()
    }
}

/// What its client calls it; a client that has no names gives ids that are one.
fn name_of(container: &Container, spec: &Spec) -> String {
    let labels = &container.labels;
    spec.annotations
        .get("io.kubernetes.cri.container-name")
        .or_else(|| labels.get("io.kubernetes.container.name"))
        .or_else(|| labels.get("nerdctl/name"))
        .unwrap_or(&container.id)
        .clone()
}

/// The annotations are CRI's own, the labels the kubelet's.
fn pod_of(sandbox_id: &str, labels: &BTreeMap<String, String>, spec: &Spec) -> PodSandbox {
    let of = |annotation: &str, label: &str| {
        let told = spec.annotations.get(annotation);
        told.or_else(|| labels.get(label))
            .cloned()
            .unwrap_or_default()
    };
    PodSandbox {
        namespace: of(
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
        ),
        name: of("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"),
        uid: of("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"),
        sandbox_id: sandbox_id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, labels: &[(&str, &str)], spec: &str) -> Container {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Container {
            id: id.to_owned(),
            labels: labels.iter().map(text).collect(),
            image: "docker.io/library/busybox:1".to_owned(),
            spec: Some(Any {
                type_url: "types.containerd.io/opencontainers/runtime-spec/1/Spec".to_owned(),
                value: spec.as_bytes().to_vec(),
            }),
        }
    }

    #[test]
    fn a_sandbox_and_its_containers_know_their_pod_before_cri_does() {
        let spec = r#"{"annotations": {"io.kubernetes.cri.sandbox-id": "box",
            "io.kubernetes.cri.sandbox-name": "web-0", "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.container-name": "web"}}"#;
        let labels = [("io.kubernetes.pod.uid", "11-22")];
        let pod = PodSandbox {
            namespace: "shop".to_owned(),
            name: "web-0".to_owned(),
            uid: "11-22".to_owned(),
            sandbox_id: "box".to_owned(),
        };
        let sandbox = of_container(container("box", &labels, spec));
        assert_eq!((sandbox.name.as_str(), sandbox.joins), ("POD", None));
        assert_eq!(sandbox.pod.as_ref(), Some(&pod));
        let web = of_container(container("abc", &labels, spec));
        assert_eq!(
            (web.name.as_str(), web.joins.as_deref()),
            ("web", Some("box"))
        );
        assert_eq!(web.pod, Some(pod));
    }

    #[test]
    fn containers_of_other_clients_have_the_names_that_these_give() {
        let plain = of_container(container("mine", &[], "{}"));
        assert_eq!((plain.name.as_str(), plain.pod), ("mine", None));
        let named = of_container(container("abc", &[("nerdctl/name", "web")], "not JSON"));
        assert_eq!(named.name, "web");
    }

    #[test]
    fn events_are_told_apart_and_dockers_and_broken_ones_passed_over() {
        let told = |namespace: &str, topic: &str, value: Vec<u8>| {
            event_of(&Envelope {
                namespace: namespace.to_owned(),
                topic: topic.to_owned(),
                event: Some(Any {
                    type_url: String::new(),
                    value,
                }),
            })
        };
        let about = |id: &str| Id { id: id.to_owned() }.encode_to_vec();
        // Further fields of other types follow the id: `TaskStart.pid` is a number.
        let started = [about("a"), vec![0x10, 0x07]].concat();
        assert!(matches!(
            told("k8s.io", "/tasks/start", started),
            Event::Changed(id, None) if id == "a"
        ));
        assert!(matches!(
            told("k8s.io", "/containers/delete", about("a")),
            Event::Removed(id) if id == "a"
        ));
        let exit = |id: &str| {
            TaskExit {
                container_id: "a".to_owned(),
                id: id.to_owned(),
            }
            .encode_to_vec()
        };
        assert!(matches!(
            told("k8s.io", "/tasks/exit", exit("a")),
            Event::Ended(id) if id == "a"
        ));
        for other in [
            told("k8s.io", "/tasks/exit", exit("exec-1")),
            told("moby", "/tasks/exit", exit("a")),
            told("k8s.io", "/images/create", about("a")),
            told("k8s.io", "/tasks/start", vec![0xff; 9]),
            event_of(&Envelope::default()),
        ] {
            assert!(matches!(other, Event::Other), "{other:?}");
        }
    }
}
