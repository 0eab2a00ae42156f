//! What the alert stage asks: census and processes together.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use hydrophone_inspect::{Owner, packet::SocketId};

use super::{Place, Processes, Report};
use crate::{
    alert::{Ask, Resolve},
    census::{Census, Container, Identity},
};

/// Who is who on this host.
#[derive(Clone)]
pub struct HostResolver {
    census: Arc<Census>,
    processes: Arc<Processes>,
}

impl HostResolver {
    /// Asks these two.
    #[must_use]
    pub const fn new(census: Arc<Census>, processes: Arc<Processes>) -> Self {
        Self { census, processes }
    }

    fn server(&self, ask: &Ask<'_>) -> Option<Report> {
        let protocol = ask.context.protocol?;
        let ends = [&ask.end.socket, &ask.peer.socket].map(address);
        let processes = &self.processes;
        match ask.identity {
            Identity::Container { container, or, .. } => {
                let root = self.census.cgroups().root();
                let sharers = || std::iter::once(container).chain(or);
                let folders: Vec<PathBuf> = sharers()
                    .filter(|it| it.cgroup_id != 0)
                    .map(|it| root.join(&it.cgroup_path))
                    .collect();
                let place = living(sharers()).map(|pid| Place {
                    pid,
                    cgroups: folders.iter().map(PathBuf::as_path).collect(),
                });
                let namespace = container.netns_cookie;
                processes.server(place.as_ref(), namespace, protocol, ends, ask.patient)
            }
            Identity::Host(_) => {
                let place = Place {
                    // The agent is in the host's network namespace, and may look at itself anywhere.
                    pid: std::process::id(),
                    cgroups: Vec::new(),
                };
                let namespace = self.census.snapshot().host_namespace();
                processes.server(Some(&place), namespace, protocol, ends, ask.patient)
            }
            Identity::Unknown(_) => None,
        }
    }
}

fn living<'a>(mut containers: impl Iterator<Item = &'a Arc<Container>>) -> Option<u32> {
    containers.find_map(|it| (it.pid != 0).then_some(it.pid))
}

fn address(socket: &SocketId) -> SocketAddr {
    SocketAddr::new(socket.address, socket.port)
}

impl Resolve for HostResolver {
    fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        self.census.resolve(owner, address, scope)
    }

    fn interface(&self, ifindex: u32) -> Option<Arc<str>> {
        self.census.snapshot().interface(ifindex)
    }

    fn process(&self, ask: &Ask<'_>) -> Option<Report> {
        match &ask.end.owner.process {
            Some(process) => {
                let started = ask.context.flow.start;
                Some(self.processes.caller(process, started, ask.patient))
            }
            None => self.server(ask),
        }
    }
}
