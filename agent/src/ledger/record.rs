//! The lines of the ledger.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Digest, Facts, Stamp, Wall};

/// One line, but for its seal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Number, from 1.
    pub seq: u64,
    /// SHA-256 of the line before it; zeros for the first.
    pub prev: Digest,
    /// The wall clock.
    pub time: Wall,
    /// `CLOCK_BOOTTIME` in microseconds.
    pub boottime: u64,
    /// What it says.
    #[serde(flatten)]
    pub record: Record,
}

impl Line {
    /// When it was written.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        Stamp {
            wall: self.time,
            boottime: self.boottime,
        }
    }
}

/// What a line says, by `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// A file begins. As many `carry` lines follow as containers are there.
    Segment {
        /// The number in the file's name.
        number: u64,
        /// The boot of the host, as in `start`.
        boot: String,
        /// The highest number that a container has had.
        last_container: u64,
        /// How many containers are carried over.
        carries: u64,
    },
    /// An agent begins to write.
    Start {
        /// Its version.
        agent: String,
        /// `/proc/sys/kernel/random/boot_id`.
        boot: String,
        /// The host's name.
        host: String,
        /// SHA-256 of its configuration.
        config: Digest,
        /// Whether the agent before it said that it ended.
        after_stop: bool,
    },
    /// The agent ends as it should.
    Stop,
    /// The end of a file was no whole line: it was cut off.
    Cut {
        /// Number of the segment.
        segment: u64,
        /// Bytes cut off.
        bytes: u64,
        /// SHA-256 of them.
        sha256: Digest,
    },
    /// The agent is there; so are all containers that are open.
    Checkpoint {
        /// How many they are.
        open: u64,
    },
    /// The wall clock was set.
    Clock {
        /// By how much, in microseconds; negative is back.
        step: i64,
    },
    /// The oldest segments were removed.
    Dropped {
        /// Number of the first.
        first: u64,
        /// Number of the last.
        last: u64,
        /// Number of their last line.
        last_seq: u64,
        /// SHA-256 of their last line.
        last_hash: Digest,
        /// Their size in bytes.
        bytes: u64,
        /// Why.
        why: DropReason,
    },
    /// Snapshots of the census found the queue full: what came and changed between them is not
    /// here.
    Lost {
        /// How many.
        snapshots: u64,
    },
    /// A container is there.
    Appear {
        /// Its number in the ledger, never used twice.
        container: u64,
        /// What is known of it.
        facts: Facts,
    },
    /// More or other things are known of a container, also of one that has gone.
    Change {
        /// Its number.
        container: u64,
        /// Merge patch (RFC 7396) to its facts.
        facts: Map<String, Value>,
    },
    /// A container has gone.
    Gone {
        /// Its number.
        container: u64,
        /// How that is known.
        why: GoneReason,
        /// When it was last known to be there, if it was not seen to go.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        last_seen: Option<Wall>,
    },
    /// A container that was there before this file or this start is there still.
    Carry {
        /// Its number.
        container: u64,
        /// When it was first seen.
        since: Wall,
        /// What is known of it.
        facts: Facts,
    },
}

/// Why segments were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// `ledger.budget`.
    Budget,
    /// `ledger.retention`.
    Age,
}

/// How it is known that a container has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoneReason {
    /// It was seen to go.
    Seen,
    /// It was gone when the agent came back: not seen since `last_seen`.
    NotSeenSince,
    /// The host has started anew: not seen since `last_seen`.
    HostRestarted,
}
