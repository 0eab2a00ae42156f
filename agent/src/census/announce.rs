//! The threads that read the kernel's announcements for the census.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, atomic::Ordering, mpsc::SyncSender},
};

use rustix::event::{PollFd, PollFlags};

use super::{
    links::LinkEvent,
    message::{Counters, Message},
    monitor::LinkMonitor,
};

/// Tells the census which links changed, until `stop` is written.
pub(super) fn links(
    mut monitor: LinkMonitor,
    census: &SyncSender<Message>,
    counters: &Arc<Counters>,
    stop: BorrowedFd<'_>,
) {
    loop {
        match wait(monitor.as_fd(), stop) {
            Ok(Wake::Readable) => {}
            Ok(Wake::Stop) => return,
            Err(error) => {
                tracing::error!(%error, "links are no longer followed, only listed");
                return;
            }
        }
        let events = monitor.drain();
        let links = events.iter().map(|event| match event {
            LinkEvent::Appeared(link) | LinkEvent::Changed(link) => link.ifindex,
            LinkEvent::Gone { ifindex, .. } => *ifindex,
        });
        counters
            .link_overruns
            .store(monitor.overruns(), Ordering::Relaxed);
        // A census too busy to be told which lists them on its next round anyway.
        counters.links_changed.store(true, Ordering::Release);
        let _ = census.try_send(Message::Links(links.collect()));
    }
}

/// Why [`wait`] returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Stop,
    Readable,
}

/// Waits until `fd` can be read or `stop` is written.
pub(super) fn wait(fd: BorrowedFd<'_>, stop: BorrowedFd<'_>) -> io::Result<Wake> {
    let mut fds = [
        PollFd::new(&stop, PollFlags::IN),
        PollFd::new(&fd, PollFlags::IN),
    ];
    loop {
        match rustix::event::poll(&mut fds, None) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let [stop, _] = &fds;
    Ok(if stop.revents().is_empty() {
        Wake::Readable
    } else {
        Wake::Stop
    })
}
