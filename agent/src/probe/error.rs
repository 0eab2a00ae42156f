//! What can go wrong between the agent and the kernel.

use std::io;

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use thiserror::Error;

/// An error of the probe. Each names what was tried and, where there is one, what to do.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The binary carries no kernel object and none was named.
    #[error(
        "this binary was built without its kernel object: run `cargo xtask build-ebpf` and build \
         again, or name one with --kernel-object"
    )]
    NoObject,
    /// The object file could not be read.
    #[error("cannot read the kernel object {path}: {source}")]
    ReadObject {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The object is not one of ours, is damaged, or has another layout.
    #[error("the kernel object {origin} cannot be loaded: {source}")]
    Load {
        /// Where it came from.
        origin: String,
        /// Why.
        source: Box<EbpfError>,
    },
    /// The object lacks a program or map.
    #[error("the kernel object {origin} has no {what} `{name}`: it was built from another version")]
    Missing {
        /// Where it came from.
        origin: String,
        /// `program` or `map`.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The kernel refused a program.
    #[error(
        "the kernel refused program `{name}`: {source} (`hydrophone doctor` says what is missing)"
    )]
    Program {
        /// The program.
        name: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// A program could not be attached.
    #[error("cannot attach `{name}` to {place}: {source}")]
    Attach {
        /// The program.
        name: &'static str,
        /// Link or cgroup.
        place: String,
        /// Why.
        source: Box<ProgramError>,
    },
    /// A map could not be made, read or written.
    #[error("map `{name}`: {source}")]
    Map {
        /// The map.
        name: &'static str,
        /// Why.
        source: Box<MapError>,
    },
    /// An operating system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// Another agent is running on this host.
    #[error(
        "another Hydrophone (pid {pid}) is already watching this host: stop it first, two would \
         report everything twice"
    )]
    AlreadyRunning {
        /// Its process id, 0 when it could not be told.
        pid: i32,
    },
}

impl ProbeError {
    pub(super) fn map(name: &'static str, source: MapError) -> Self {
        Self::Map {
            name,
            source: Box::new(source),
        }
    }

    pub(super) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            what: what.into(),
            source: source.into(),
        }
    }
}
