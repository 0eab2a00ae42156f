//! What an alert says of a process.

use std::sync::Arc;

use hydrophone_inspect::Process;
use serde::Serialize;

use super::procfs::{Dossier, Missing};

/// Other processes that an end could also be, as far as they are named.
pub const CANDIDATES_MAX: usize = 8;

/// The process at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Thread group id in the host's namespace.
    pub pid: u32,
    /// User id in the host's namespace.
    pub uid: u32,
    /// Name of the calling thread at the call; of a server, its name now.
    pub comm: String,
    /// What `/proc` told.
    pub dossier: Option<Arc<Dossier>>,
    /// Why it is not sure, if it is not.
    pub doubt: Option<Doubt>,
    /// Others that have the same socket open: the process is one of these and the one above.
    pub candidates: Vec<Candidate>,
}

/// Why what is said of a process is not sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// It had gone before it was looked at: only what the kernel told at the call is known.
    Exited,
    /// The same, and another process has its pid by now.
    PidReused,
    /// The name at the call is neither that of the executable nor the one that it was executed under:
    /// the process has given itself a name.
    Renamed,
    /// The name at the call is not the executable's, and under which one it was executed was not seen:
    /// a script, a link to the executable, a thread with a name of its own, or as above.
    NameDiffers,
    /// Several processes have the socket open.
    SharedSocket,
    /// The call was not reported (too many at once, or before the agent): the process was looked at
    /// later.
    NotReported,
}

impl From<Missing> for Doubt {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Exited => Self::Exited,
            Missing::Reused => Self::PidReused,
        }
    }
}

/// A process that an end could also be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Thread group id in the host's namespace.
    pub pid: u32,
    /// Name.
    pub comm: String,
}

impl Report {
    /// What the kernel alone tells.
    #[must_use]
    pub fn bare(process: &Process) -> Self {
        Self {
            pid: process.pid,
            uid: process.uid,
            comm: text(&process.comm),
            dossier: None,
            doubt: None,
            candidates: Vec::new(),
        }
    }

    /// A process that has a socket, as it is now; of several, the one that started first.
    pub(super) fn of_holders(pids: &[u32]) -> Option<Self> {
        let mut dossiers: Vec<Dossier> = pids
            .iter()
            .filter_map(|pid| Dossier::read_now(*pid).ok())
            .collect();
        dossiers.sort_by_key(|dossier| (dossier.start, dossier.pid));
        let mut dossiers = dossiers.into_iter();
        let first = dossiers.next()?;
        let candidates: Vec<_> = dossiers
            .take(CANDIDATES_MAX)
            .map(|dossier| Candidate {
                pid: dossier.pid,
                comm: dossier.comm,
            })
            .collect();
        Some(Self {
            pid: first.pid,
            uid: first.uid,
            comm: first.comm.clone(),
            doubt: (!candidates.is_empty()).then_some(Doubt::SharedSocket),
            dossier: Some(Arc::new(first)),
            candidates,
        })
    }
}

/// A name up to the first NUL.
pub(super) fn text(comm: &[u8; 16]) -> String {
    let name = comm.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
