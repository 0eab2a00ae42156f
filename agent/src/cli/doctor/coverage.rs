//! What would be seen on this host, and what not.

use super::Check;
use crate::{
    alert::escape::Hostile,
    census::{Census, Container, RuntimeApi, RuntimeState, UnknownReason},
    cli::containers,
    config::Config,
};

pub(super) fn all(config: &Config) -> Vec<Check> {
    let census = match containers::look(config) {
        Ok(census) => census,
        Err(failure) => {
            return vec![Check::fail(
                format!("containers: {:#}", failure.error),
                "nobody could be named",
            )];
        }
    };
    let snapshot = census.snapshot();
    let living: Vec<&Container> = snapshot.living().iter().map(AsRef::as_ref).collect();
    let mut report = runtimes(&census, &living);
    report.extend(coverage(config, &living));
    report.push(Check::note(
        "blind by design: what is said over Unix sockets, shared memory, what is encrypted, and what follows the \
         first sensor.capture_budget bytes of each direction of a flow (counted, not inspected)",
    ));
    report
}

fn runtimes(census: &Census, living: &[&Container]) -> Vec<Check> {
    let (mut report, mut states) = (Vec::new(), Vec::new());
    let mut absent = Vec::new();
    for runtime in census.runtimes() {
        let socket = runtime.socket.display();
        if runtime.api == RuntimeApi::OciState {
            if matches!(runtime.state, RuntimeState::Reachable { .. }) {
                states.push(Check::ok(format!("states of an OCI runtime at {socket}")));
            }
            continue;
        }
        let why = match runtime.state {
            RuntimeState::Reachable { name, version } => {
                let (name, version) = (Hostile(&name), Hostile(&version));
                report.push(Check::ok(format!("{name} {version} at {socket}")));
                continue;
            }
            RuntimeState::Absent => {
                absent.push(socket.to_string());
                continue;
            }
            RuntimeState::Unreachable(reason) => reason,
            RuntimeState::Connecting => "it has not answered yet".to_owned(),
        };
        report.push(Check::warn(
            format!("no runtime at {socket}: {}", Hostile(&why)),
            "its containers have ids but no names, images and labels",
        ));
    }
    if report.is_empty() {
        report.push(Check::warn(
            format!("no container runtime at {}", absent.join(", ")),
            "without a runtime's API containers have ids but no names, images and labels; \
             set census.docker_sockets or census.cri_sockets",
        ));
    }
    report.extend(states);
    let nameless = living
        .iter()
        .filter(|c| c.unknown == Some(UnknownReason::NotInRuntime))
        .count();
    if nameless > 0 {
        report.push(Check::warn(
            format!("{nameless} containers belong to no runtime that can be asked"),
            "their alerts carry id, cgroup and process, but no name",
        ));
    }
    report
}

/// A container is seen through the host-side ends of its veths; through the socket hooks only its
/// loopback traffic is.
fn coverage(config: &Config, living: &[&Container]) -> Vec<Check> {
    let mut report = Vec::new();
    let shares_links = |container: &Container| {
        living
            .iter()
            .any(|other| other.netns == container.netns && !other.links.is_empty())
    };
    let (covered, blind): (Vec<&Container>, Vec<&Container>) = living
        .iter()
        .partition(|c| !c.host_network && shares_links(c));
    report.push(Check::ok(format!(
        "{} of {} containers are covered by their links",
        covered.len(),
        living.len()
    )));
    for container in blind {
        let name = if container.name.is_empty() {
            &container.id
        } else {
            &container.name
        };
        report.push(if container.host_network {
            Check::warn(
                format!("{} uses the host's network", Hostile(name)),
                "seen where it talks to other containers or over loopback; what it says to \
                 outside is not",
            )
        } else {
            Check::warn(
                format!("{} has no veth on this host", Hostile(name)),
                "only its loopback traffic is seen (none, macvlan, ipvlan and SR-IOV networks)",
            )
        });
    }
    for container in living {
        for (_, link) in &container.links {
            if !config.sensor.takes_link(link) {
                report.push(Check::warn(
                    format!(
                        "link {} is left out by sensor.include_links or exclude_links",
                        Hostile(link)
                    ),
                    "what passes it is not seen",
                ));
            }
        }
    }
    report
}
