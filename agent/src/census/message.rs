//! What the census' threads tell each other.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{cgroup::Group, dossier::Dossier, report::RuntimeState};

/// News for the census thread.
#[derive(Debug)]
pub(super) enum Message {
    /// A cgroup is there.
    Group(Group),
    /// A cgroup has been removed: its path.
    GroupGone(String),
    /// Some cgroups may have been missed: walk the tree.
    Walk,
    /// These links changed; none when only addresses did.
    Links(Vec<u32>),
    /// A runtime told something.
    Runtime(usize, Told),
    /// Look at everything again.
    Refresh,
    /// End.
    Stop,
}

/// What a runtime told.
#[derive(Debug)]
pub(super) enum Told {
    /// Whether it can be asked.
    State(RuntimeState),
    /// One container.
    Dossier(Box<Dossier>),
    /// The ids of all containers that it has.
    Listed(BTreeSet<String>),
    /// It does not know this id.
    NotThere(String),
    /// It has removed this id.
    Removed(String),
    /// The container's main process has ended.
    Ended(String),
}

/// Counts since the start. Read with [`super::Census::figures`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) refreshes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) link_overruns: AtomicU64,
    pub(super) cgroup_overruns: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) lookups: AtomicU64,
    /// The host's links or addresses have changed since they were listed. No count.
    pub(super) links_changed: AtomicBool,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
