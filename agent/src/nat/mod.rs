//! Which connections are translated on the way (NAT), as the kernel's connection tracking tells.
//!
//! Connection tracking is only listened to, never switched on: it runs where a rule of the packet
//! filter asks for it. A translation is fixed before the first packet of a connection leaves the
//! host, and the kernel tells it before that packet goes on ([`Nat::refresh`]): so what a hook saw
//! of the translated connection is always younger than the news of it.
//!
//! Listened to is the network namespace of the agent. In others that translate (nested engines) the
//! two views of a connection are recognised by how it began ([`hydrophone_inspect::views`]).

mod message;
mod socket;
mod table;

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use hydrophone_inspect::{Timestamp, Translation, packet::SocketId};

use crate::{
    probe::{Clock, Shutdown, Wake},
    telemetry,
};
use message::Change;
use socket::Subscription;
use table::Table;

/// A look whether connection tracking is there meanwhile.
const IDLE: Duration = Duration::from_secs(5);

/// Whether the kernel tells of translations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// It does.
    Listening,
    /// `net.netfilter.nf_conntrack_events` is 0.
    Silent,
    /// There is no connection tracking, hence no translation by it.
    Absent,
}

impl Tracking {
    /// What the kernel says in `/proc/sys` of this network namespace. Looks without loading a module.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self::of(Path::new("/proc/sys/net/netfilter"))
    }

    fn of(folder: &Path) -> Self {
        if !folder.join("nf_conntrack_max").exists() {
            return Self::Absent;
        }
        // 1: always, 2 (since 5.19): while somebody listens. Absent: built without events.
        match fs::read_to_string(folder.join("nf_conntrack_events")) {
            Ok(flag) if flag.trim() != "0" => Self::Listening,
            _ => Self::Silent,
        }
    }
}

/// What is known of translations. Clones share it.
#[derive(Clone, Debug)]
pub struct Nat(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    subscription: Option<Subscription>,
    table: Table,
    overruns: u64,
    dumps: u64,
    /// Something may have been missed.
    incomplete: bool,
}

/// The running thread.
pub struct NatThread(JoinHandle<()>);

impl NatThread {
    /// Waits until it has ended.
    pub fn join(self) {
        let _ended = self.0.join();
    }
}

impl Nat {
    /// Starts listening. Where the host has no connection tracking yet, the thread asks for it again after each wait.
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn start(shutdown: Shutdown) -> io::Result<(Self, NatThread)> {
        let nat = Self(Arc::new(Mutex::new(State {
            subscription: None,
            table: Table::new(table::CAPACITY),
            overruns: 0,
            dumps: 0,
            incomplete: false,
        })));
        nat.listen();
        let shared = nat.clone();
        let thread = thread::Builder::new()
            .name("nat".to_owned())
            .spawn(move || shared.run(&shutdown))?;
        Ok((nat, NatThread(thread)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the kernel has told. Never waits.
    pub fn refresh(&self) {
        self.lock().drain();
    }

    /// How the connection is translated that has these ends in either order and on either side.
    /// `start` is when the flow began: what had ended before is not meant.
    #[must_use]
    pub fn translation(
        &self,
        protocol: u8,
        ends: [SocketId; 2],
        start: Timestamp,
    ) -> Option<Arc<Translation>> {
        self.lock().table.find(protocol, ends, start)
    }

    /// Figures for the `stats` event.
    #[must_use]
    pub fn figures(&self) -> telemetry::Figures {
        let state = self.lock();
        [
            ("translations", state.table.len() as u64),
            ("translations_evicted", state.table.evicted()),
            ("conntrack_overruns", state.overruns),
            ("conntrack_dumps", state.dumps),
            (
                "conntrack_listening",
                u64::from(state.subscription.is_some()),
            ),
        ]
        .into()
    }

    fn listen(&self) {
        let mut state = self.lock();
        if state.subscription.is_some() || Tracking::of_this_host() != Tracking::Listening {
            return;
        }
        match Subscription::open() {
            Ok(subscription) => {
                state.subscription = Some(subscription);
                // What there was before nobody announces.
                state.incomplete = true;
            }
            Err(error) => tracing::warn!(
                %error,
                "connection tracking is not listened to: translated connections are told apart by \
                 how they began"
            ),
        }
    }

    fn run(&self, shutdown: &Shutdown) {
        let mut descriptor = None;
        loop {
            if descriptor.is_none() {
                self.listen();
                descriptor = self.descriptor();
            }
            self.complete();
            let woken = match &descriptor {
                Some(descriptor) => shutdown.wait(descriptor, IDLE),
                None => shutdown.wait(shutdown, IDLE),
            };
            match woken {
                Ok(Wake::Shutdown) => return,
                Ok(Wake::Ready | Wake::TimedOut) => self.refresh(),
                Err(error) => {
                    tracing::error!(%error, "connection tracking is no longer listened to");
                    return;
                }
            }
        }
    }

    /// The socket, to wait for.
    fn descriptor(&self) -> Option<OwnedFd> {
        let state = self.lock();
        let socket = state.subscription.as_ref()?.as_fd();
        socket.try_clone_to_owned().ok()
    }

    /// Lists all connections, if something may have been missed. Takes its time without the lock.
    fn complete(&self) {
        if !std::mem::take(&mut self.lock().incomplete) {
            return;
        }
        let mut found = Vec::new();
        let listed = socket::list(|connection| {
            if connection.is_translated() && found.len() < table::CAPACITY {
                found.push(connection);
            }
        });
        if let Err(error) = listed {
            tracing::warn!(%error, "the connections that there are cannot be listed");
        }
        let mut state = self.lock();
        state.dumps += 1;
        for connection in found {
            state.table.begin(&connection);
        }
    }
}

impl State {
    fn drain(&mut self) {
        let Some(subscription) = &mut self.subscription else {
            return;
        };
        let (table, now) = (&mut self.table, Clock::wall_now());
        loop {
            let read = subscription.read(|change| match change {
                Change::Begun(connection) if connection.is_translated() => table.begin(&connection),
                Change::Ended(connection) if connection.is_translated() => {
                    table.end(&connection, now);
                }
                Change::Begun(_) | Change::Ended(_) => {}
            });
            match read {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // More was told than fits: go on with what is left, and list them all.
                    self.overruns += 1;
                    self.incomplete = true;
                    break;
                }
            }
        }
        table.expire(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Tracking::of(folder.path()), Tracking::Absent);
        fs::write(folder.path().join("nf_conntrack_max"), "1\n").unwrap();
        assert_eq!(Tracking::of(folder.path()), Tracking::Silent);
        for (flag, tracking) in [("0\n", Tracking::Silent), ("2\n", Tracking::Listening)] {
            fs::write(folder.path().join("nf_conntrack_events"), flag).unwrap();
            assert_eq!(Tracking::of(folder.path()), tracking);
        }
    }
}
