//! Docker Engine's API, which podman speaks, too.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use bollard::{
    API_DEFAULT_VERSION,
    errors::Error as BollardError,
    models::{
        ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, EventMessage,
        EventMessageTypeEnum, SystemVersion,
    },
    query_parameters::{
        EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    },
};
use futures_util::StreamExt;

use super::api::{
    Api, ApiError, DEADLINE, Event, EventStream, Listed, Outbox, SessionError, within,
};
use crate::census::{dossier::Dossier, identity::Runtime, message::Told};

/// Image digests that are remembered.
const MAX_DIGESTS: usize = 4_096;

impl From<BollardError> for ApiError {
    fn from(error: BollardError) -> Self {
        Self(error.to_string())
    }
}

/// One connection to the API.
pub(super) struct Docker {
    client: bollard::Docker,
    /// Events from this moment on are wanted; Unix time in seconds.
    since: u64,
    digests: Mutex<HashMap<String, String>>,
    runtime: Runtime,
    version: String,
}

impl Api for Docker {
    async fn open(socket: &Path) -> Result<Self, ApiError> {
        let path = socket
            .to_str()
            .ok_or_else(|| ApiError("the socket's path is not UTF-8".to_owned()))?;
        // The API replays events since a given second: none is lost between the list and them.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs().saturating_sub(1));
        let client =
            bollard::Docker::connect_with_unix(path, DEADLINE.as_secs(), API_DEFAULT_VERSION)?;
        let client = client.negotiate_version().await?;
        let version = client.version().await?;
        Ok(Self {
            client,
            since,
            digests: Mutex::default(),
            runtime: runtime_of(&version),
            version: version.version.unwrap_or_default(),
        })
    }

    fn version(&self) -> (String, String) {
        let name = match self.runtime {
            Runtime::Podman => "podman",
            _ => "Docker",
        };
        (name.to_owned(), self.version.clone())
    }

    fn events(&self) -> EventStream {
        let filters = HashMap::from([("type", vec!["container", "network"])]);
        let options = EventsOptionsBuilder::new()
            .since(&self.since.to_string())
            .filters(&filters)
            .build();
        let runtime = self.runtime;
        let events = self.client.events(Some(options));
        Box::pin(events.map(move |event| Ok(of_message(event?, runtime))))
    }

    /// Those that do not run are told by what the list says.
    async fn list(&self) -> Result<Vec<Listed>, ApiError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let listed = self.client.list_containers(Some(options)).await?;
        let listed = listed.into_iter().map(|summary| Listed {
            inspect: summary.state == Some(ContainerSummaryStateEnum::RUNNING),
            dossier: Dossier {
                kind: self.runtime,
                ..of_summary(summary)
            },
        });
        Ok(listed.collect())
    }

    async fn inspect(&self, id: &str, outbox: &Outbox) -> Result<(), SessionError> {
        let request = self
            .client
            .inspect_container(id, None::<InspectContainerOptions>);
        let mut dossier = match tokio::time::timeout(DEADLINE, request).await {
            Ok(Ok(response)) => of_inspection(response),
            Ok(Err(BollardError::DockerResponseServerError {
                status_code: 404, ..
            })) => return Ok(outbox.tell(Told::NotThere(id.to_owned())).await?),
            Ok(Err(error)) => return Err(ApiError::from(error).into()),
            Err(elapsed) => return Err(ApiError::from(elapsed).into()),
        };
        // The API takes names and beginnings of ids, too: that is another container then.
        if dossier.id != id {
            return Ok(outbox.tell(Told::NotThere(id.to_owned())).await?);
        }
        dossier.kind = self.runtime;
        let image = dossier.image_digest.clone();
        if let Some(digest) = self.known_digest(&image) {
            dossier.image_digest = digest;
            return Ok(outbox.dossier(dossier).await?);
        }
        // The digest takes another question; everything else is told before it.
        outbox.dossier(dossier.clone()).await?;
        if let Ok(inspected) = within(self.client.inspect_image(&image)).await {
            let digest = inspected
                .repo_digests
                .unwrap_or_default()
                .into_iter()
                .next();
            dossier.image_digest = digest.unwrap_or_else(|| image.clone());
            self.remember_digest(image, dossier.image_digest.clone());
            outbox.dossier(dossier).await?;
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), ApiError> {
        self.client.ping().await?;
        Ok(())
    }
}

impl Docker {
    fn known_digest(&self, image: &str) -> Option<String> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.get(image).cloned()
    }

    fn remember_digest(&self, image: String, digest: String) {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.len() >= MAX_DIGESTS {
            digests.clear();
        }
        digests.insert(image, digest);
    }
}

/// podman names its engine among the components.
fn runtime_of(version: &SystemVersion) -> Runtime {
    let is_podman = version
        .components
        .iter()
        .flatten()
        .any(|component| component.name.starts_with("Podman"));
    if is_podman {
        Runtime::Podman
    } else {
        Runtime::Docker
    }
}

fn of_message(message: EventMessage, runtime: Runtime) -> Event {
    let Some(actor) = message.actor else {
        return Event::Other;
    };
    let (Some(action), Some(id)) = (message.action, actor.id) else {
        return Event::Other;
    };
    let attributes = actor.attributes.unwrap_or_default();
    match (message.typ, action.as_str()) {
        (Some(EventMessageTypeEnum::CONTAINER), "create" | "start" | "rename") => {
            let dossier = Dossier {
                kind: runtime,
                ..of_event(&id, attributes)
            };
            Event::Changed(id, Some(Box::new(dossier)))
        }
        (Some(EventMessageTypeEnum::CONTAINER), "die" | "died") => Event::Ended(id),
        (Some(EventMessageTypeEnum::CONTAINER), "destroy" | "remove") => Event::Removed(id),
        (Some(EventMessageTypeEnum::NETWORK), "connect" | "disconnect") => attributes
            .get("container")
            .map_or(Event::Other, |id| Event::Changed(id.clone(), None)),
        _ => Event::Other,
    }
}

fn of_summary(summary: ContainerSummary) -> Dossier {
    let name = summary.names.unwrap_or_default().into_iter().next();
    Dossier {
        id: summary.id.unwrap_or_default(),
        name: plain_name(name),
        image: summary.image.unwrap_or_default(),
        image_digest: summary.image_id.unwrap_or_default(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        ..Dossier::default()
    }
}

/// Name, image and, as whatever else there is, labels.
fn of_event(id: &str, mut attributes: HashMap<String, String>) -> Dossier {
    let name = attributes.remove("name");
    let image = attributes.remove("image").unwrap_or_default();
    attributes.remove("oldName");
    Dossier {
        id: id.to_owned(),
        name: plain_name(name),
        image,
        labels: attributes.into_iter().collect(),
        ..Dossier::default()
    }
}

fn of_inspection(response: ContainerInspectResponse) -> Dossier {
    let config = response.config.unwrap_or_default();
    let pid = response.state.and_then(|state| state.pid).unwrap_or(0);
    let mode = response
        .host_config
        .and_then(|host| host.network_mode)
        .unwrap_or_default();
    let networks = response
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default();
    let addresses = networks
        .into_values()
        .flat_map(|endpoint| [endpoint.ip_address, endpoint.global_ipv6_address])
        .filter_map(|address| address?.parse().ok())
        .collect();
    Dossier {
        id: response.id.unwrap_or_default(),
        name: plain_name(response.name),
        image: config.image.unwrap_or_default(),
        image_digest: response.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        pid: u32::try_from(pid).unwrap_or(0),
        host_network: mode == "host",
        joins: mode.strip_prefix("container:").map(str::to_owned),
        addresses,
        complete: true,
        ..Dossier::default()
    }
}

/// A name without the slash that the API writes before it.
fn plain_name(name: Option<String>) -> String {
    let name = name.unwrap_or_default();
    name.strip_prefix('/').map(str::to_owned).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_name_image_and_labels() {
        let attributes = [
            ("name", "web"),
            ("image", "nginx:1.27"),
            ("oldName", "/old"),
            ("com.docker.compose.service", "front"),
        ];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let dossier = of_event("id", attributes.into());
        assert_eq!(
            (dossier.name.as_str(), dossier.image.as_str()),
            ("web", "nginx:1.27")
        );
        assert_eq!(dossier.labels.len(), 1);
        assert!(!dossier.complete);
        assert_eq!(of_event("id", HashMap::new()).name, "");
    }

    #[test]
    fn an_inspection_is_read_and_what_it_lacks_is_empty() {
        let response: ContainerInspectResponse = serde_json::from_value(serde_json::json!({
            "Id": "abc",
            "Name": "/web",
            "Image": "sha256:11",
            "State": {"Pid": 77},
            "Config": {"Image": "nginx:1.27", "Labels": {"a": "b"}},
            "HostConfig": {"NetworkMode": "container:def"},
            "NetworkSettings": {"Networks": {
                "one": {"IPAddress": "172.29.7.2", "GlobalIPv6Address": "fd00::2"},
                "two": {"IPAddress": "", "GlobalIPv6Address": "nonsense"},
            }},
        }))
        .unwrap();
        let mut dossier = of_inspection(response);
        dossier.addresses.sort_unstable();
        let expected = Dossier {
            id: "abc".to_owned(),
            name: "web".to_owned(),
            image: "nginx:1.27".to_owned(),
            image_digest: "sha256:11".to_owned(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            pid: 77,
            joins: Some("def".to_owned()),
            addresses: vec!["172.29.7.2".parse().unwrap(), "fd00::2".parse().unwrap()],
            complete: true,
            ..Dossier::default()
        };
        assert_eq!(dossier, expected);
        let empty = of_inspection(ContainerInspectResponse::default());
        assert_eq!(
            empty,
            Dossier {
                complete: true,
                ..Dossier::default()
            }
        );
        let negative: ContainerInspectResponse =
            serde_json::from_value(serde_json::json!({"State": {"Pid": -1}})).unwrap();
        assert_eq!(of_inspection(negative).pid, 0);
    }
}
