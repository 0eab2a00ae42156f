//! The process at one end.

use serde::Serialize;

use crate::{
    alert::escape::Hostile,
    process::{Ancestor, Candidate, Doubt, Report},
};

/// `certainty` says whether all that is told is known; if not, `reason` says why. What is not known is
/// left out.
#[derive(Serialize)]
pub(super) struct ProcessFields<'a> {
    pid: u32,
    uid: u32,
    comm: Hostile<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parents: Vec<Other<'a>>,
    certainty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Doubt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Other<'a>>,
}

/// A process that is named only.
#[derive(Serialize)]
struct Other<'a> {
    pid: u32,
    comm: Hostile<'a>,
}

impl<'a> From<&'a Ancestor> for Other<'a> {
    fn from(ancestor: &'a Ancestor) -> Self {
        Self {
            pid: ancestor.pid,
            comm: Hostile(&ancestor.comm),
        }
    }
}

impl<'a> From<&'a Candidate> for Other<'a> {
    fn from(candidate: &'a Candidate) -> Self {
        Self {
            pid: candidate.pid,
            comm: Hostile(&candidate.comm),
        }
    }
}

impl<'a> ProcessFields<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let dossier = report.dossier.as_deref();
        let told = |text: &'a str| (!text.is_empty()).then_some(Hostile(text));
        let parents = dossier.map(|it| it.parents.as_slice()).unwrap_or_default();
        Self {
            pid: report.pid,
            uid: report.uid,
            comm: Hostile(&report.comm),
            container_pid: dossier.map(|it| it.container_pid).filter(|pid| *pid != 0),
            executable: dossier.and_then(|it| told(&it.executable)),
            command_line: dossier.and_then(|it| told(&it.command_line)),
            parents: parents.iter().map(Other::from).collect(),
            certainty: if report.doubt.is_none() {
                "certain"
            } else {
                "unsure"
            },
            reason: report.doubt,
            candidates: report.candidates.iter().map(Other::from).collect(),
        }
    }
}
