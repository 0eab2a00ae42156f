//! What processes do on the host itself, beside the wire: it has no packet, addresses or flow.

use std::sync::Arc;

use hydrophone_inspect::{Signature, Timestamp};

use super::storm::Limited;
use crate::{census::Identity, process::Report};

/// One occurrence. With a signature it is an alert, else an event that was asked for.
#[derive(Clone, Debug)]
pub struct Local {
    /// What was found.
    pub signature: Option<Arc<Signature>>,
    /// When.
    pub timestamp: Timestamp,
    /// Who did it.
    pub source: Party,
    /// Whom it was done to, if there is somebody.
    pub destination: Option<Party>,
    /// What it is about.
    pub subject: Subject,
    /// Occurrences of the same that this one stands for beside itself.
    pub suppressed: u64,
}

/// One side of it.
#[derive(Clone, Debug)]
pub struct Party {
    /// Who.
    pub identity: Identity,
    /// Which process.
    pub process: Option<Report>,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A connection of a Unix socket.
    Unix(UnixSocket),
    /// A socket that was opened to see or to make packets of one's own.
    Raw(RawSocket),
}

/// A Unix socket that is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixSocket {
    /// Path as the client named it; abstract ones begin with `@`.
    pub path: String,
    /// Major and minor number of the file system's device; `None` when abstract.
    pub device: Option<(u32, u32)>,
    /// Inode of the socket's file; 0 when abstract.
    pub inode: u64,
    /// The runtime whose socket it is.
    pub runtime: Option<Arc<str>>,
    /// How it was seen.
    pub seen: Seen,
}

/// How something was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Seen {
    /// At the call.
    #[default]
    Call,
    /// Among the sockets that are there, some time after the call.
    Table,
}

impl Seen {
    /// Name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Table => "table",
        }
    }
}

/// A raw or packet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawSocket {
    /// `ipv4`, `ipv6` or `packet`.
    pub family: &'static str,
    /// IP protocol; of packet sockets the Ethernet type, 3 for every one.
    pub protocol: u16,
    /// How it was seen.
    pub seen: Seen,
}

/// What is limited together: the same finding about the same container and socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    sid: u32,
    source: u64,
    socket: (u64, u16),
}

impl Limited for Local {
    type Key = Kind;

    fn key(&self) -> Kind {
        Kind {
            sid: self.signature.as_ref().map_or(0, |it| it.sid),
            source: match &self.source.identity {
                Identity::Container { container, .. } => container.cgroup_id,
                Identity::Host(_) | Identity::Unknown(_) => 0,
            },
            socket: match &self.subject {
                Subject::Unix(socket) => (socket.inode, 0),
                Subject::Raw(socket) => (0, socket.protocol),
            },
        }
    }

    fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    fn suppressed(&mut self) -> &mut u64 {
        &mut self.suppressed
    }
}
