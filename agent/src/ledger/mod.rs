//! The ledger of identities: who held which cgroup id, link, MAC, address and port, and when.
//!
//! The census' snapshots come in, their differences (`book`) go to disk as JSON, one object a
//! line ([`record`]), each line bound to the one before it by its hash ([`chain`]), in segment files
//! within a budget of bytes ([`store`]). All of that is done by one thread ([`recorder`]) behind a
//! bounded queue. Questions ([`question`], [`mod@verify`]) read only the files: they are
//! answered while the agent runs and after it has died.

mod book;
pub mod chain;
pub mod facts;
#[cfg(test)]
mod fixtures;
mod history;
mod hold;
pub mod question;
pub mod record;
pub mod recorder;
mod segment;
pub mod store;
pub mod verify;
mod when;
mod writer;

use std::{path::PathBuf, time::Duration};

pub use chain::{Digest, Head};
pub use facts::Facts;
pub use recorder::{Ledger, Report};
pub use when::{Stamp, Wall, parse_time};

/// Where the ledger is, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Folder of the segment files; nobody else's files are touched.
    pub directory: PathBuf,
    /// Bytes that all segments may take together.
    pub budget: u64,
    /// How long a segment is kept after its last line.
    pub retention: Duration,
    /// File with the key that lines are sealed with; without it a hash seals them.
    pub key_file: Option<PathBuf>,
    /// SHA-256 of the configuration, for the record of the start.
    pub config_digest: Digest,
}
