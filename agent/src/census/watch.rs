//! Tells of cgroups as they come and go, by inotify(7) on the host's part of the tree.
//!
//! A container's cgroup is made before the container runs: its id is known from then on, however
//! short its life and whatever its runtime has to say.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, mpsc::SyncSender},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

use super::{
    announce::{Wake, wait},
    cgroup::{Cgroups, Group, tree},
    message::{Counters, Message, count},
};

/// Reads announcements of cgroups until it is told to stop.
pub(super) struct Watch {
    cgroups: Cgroups,
    inotify: OwnedFd,
    /// Path below the root, by watch descriptor.
    watched: HashMap<i32, String>,
    census: SyncSender<Message>,
    counters: Arc<Counters>,
}

/// The census has ended.
struct Ended;

impl Watch {
    pub(super) fn open(
        cgroups: Cgroups,
        census: SyncSender<Message>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        Ok(Self {
            cgroups,
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            watched: HashMap::new(),
            census,
            counters,
        })
    }

    pub(super) fn run(mut self, stop: BorrowedFd<'_>) {
        if self.observe(String::new()).is_err() {
            return;
        }
        loop {
            match wait(self.inotify.as_fd(), stop) {
                Ok(Wake::Stop) => return,
                Ok(Wake::Readable) => {
                    if self.drain().is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "cgroups are no longer watched, only walked");
                    return;
                }
            }
        }
    }

    /// Tells of a cgroup and all below it, and watches those of the host.
    fn observe(&mut self, path: String) -> Result<(), Ended> {
        let mut pending = vec![path];
        while let Some(path) = pending.pop() {
            let Ok(group) = tree::look_at(self.cgroups.root(), &path, self.cgroups.declared())
            else {
                continue;
            };
            let is_host = matches!(group, Group::Host { .. });
            self.tell(Message::Group(group))?;
            if is_host {
                // Watched first, then read: what comes in between is seen twice, never missed.
                self.add(&path);
                pending.extend(tree::children(self.cgroups.root(), &path));
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str) {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.inotify, self.cgroups.root().join(path), flags) {
            Ok(descriptor) => {
                self.watched.insert(descriptor, path.to_owned());
            }
            // It has gone already.
            Err(Errno::NOENT) => {}
            Err(error) => {
                count(&self.counters.failures);
                tracing::debug!(path, %error, "a cgroup cannot be watched, only walked");
            }
        }
    }

    fn drain(&mut self) -> Result<(), Ended> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let inotify = self.inotify.try_clone().map_err(|_| Ended)?;
        let mut reader = Reader::new(inotify.as_fd(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(_) => return Err(Ended),
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                count(&self.counters.cgroup_overruns);
                self.tell(Message::Walk)?;
                self.observe(String::new())?;
                continue;
            }
            if flags.contains(ReadFlags::IGNORED) {
                self.watched.remove(&event.wd());
                continue;
            }
            // Files of a cgroup come and go with its controllers; only directories matter.
            if !flags.contains(ReadFlags::ISDIR) {
                continue;
            }
            let (Some(parent), Some(Ok(name))) = (
                self.watched.get(&event.wd()),
                event.file_name().map(std::ffi::CStr::to_str),
            ) else {
                continue;
            };
            let path = tree::join(parent, name);
            if flags.contains(ReadFlags::CREATE) {
                self.observe(path)?;
            } else if flags.contains(ReadFlags::DELETE) {
                self.tell(Message::GroupGone(path))?;
            }
        }
    }

    fn tell(&self, message: Message) -> Result<(), Ended> {
        self.census.send(message).map_err(|_| Ended)
    }
}
