//! The host's links as they come and go.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use super::{
    links::{Link, LinkEvent, LinkTable, apply, difference},
    netlink::{Change, Connection, Subscription},
};

/// Keeps a table of the links of the calling thread's network namespace, as the kernel announces
/// their changes. Readable (by its descriptor) when there is something for [`LinkMonitor::drain`].
pub struct LinkMonitor {
    subscription: Subscription,
    connection: Connection,
    links: LinkTable,
    /// Something may have been missed: list them all on the next occasion.
    incomplete: bool,
    overruns: u64,
}

impl LinkMonitor {
    /// Subscribes, then lists the links that are there.
    ///
    /// # Errors
    /// When netlink fails.
    pub fn new() -> io::Result<Self> {
        let subscription = Subscription::open()?;
        let mut connection = Connection::open()?;
        Ok(Self {
            subscription,
            links: connection.links()?,
            connection,
            incomplete: false,
            overruns: 0,
        })
    }

    /// The links that are there.
    #[must_use]
    pub fn links(&self) -> &LinkTable {
        &self.links
    }

    /// Times that the kernel announced more than was read. All links were listed again then.
    #[must_use]
    pub const fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Reads what has been announced, without waiting for more. Returns how the links changed, in
    /// order; empty when only addresses did.
    pub fn drain(&mut self) -> Vec<LinkEvent> {
        let mut events = Vec::new();
        loop {
            let mut changes = Vec::new();
            match self.subscription.read(|change| changes.push(change)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    if error.raw_os_error() == Some(libc::ENOBUFS) {
                        self.overruns += 1;
                    }
                    self.incomplete = true;
                    break;
                }
            }
            for change in changes {
                self.note(change, &mut events);
            }
        }
        if self.incomplete {
            self.list(&mut events);
        }
        events
    }

    fn note(&mut self, change: Change, events: &mut Vec<LinkEvent>) {
        let event = match change {
            Change::Address => return,
            Change::Link(link) => match self.links.get(&link.ifindex) {
                None => LinkEvent::Appeared(link),
                Some(old) if *old == link => return,
                Some(_) => LinkEvent::Changed(link),
            },
            Change::LinkGone(ifindex) => {
                let Some(link) = self.links.get(&ifindex) else {
                    return;
                };
                // A veth's end that leaves for a container is announced; that the end which stays
                // leads elsewhere from now on is not.
                let leads_there =
                    |other: &Link| other.peer == Some(ifindex) && other.peer_nsid.is_none();
                self.incomplete |= self.links.values().any(leads_there);
                let name = link.name.clone();
                LinkEvent::Gone { ifindex, name }
            }
        };
        apply(&mut self.links, &event);
        events.push(event);
    }

    /// Lists all links. Should that fail, the next occasion tries again.
    fn list(&mut self, events: &mut Vec<LinkEvent>) {
        match self.connection.links() {
            Ok(links) => {
                self.incomplete = false;
                events.extend(difference(&self.links, &links));
                self.links = links;
            }
            Err(error) => {
                tracing::debug!(%error, "the host's links cannot be listed, trying again");
                if let Ok(connection) = Connection::open() {
                    self.connection = connection;
                }
            }
        }
    }
}

impl AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.subscription.as_fd()
    }
}
