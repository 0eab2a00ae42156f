//! Attaching the classifiers to links, and letting go of them.

use std::collections::HashMap;

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    tc::{self, NlOptions, SchedClassifierLinkId, TcAttachOptions},
};

use super::{ProbeError, load::at_least, names, qdisc};

/// How classifiers are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// tcx links, first in the chain (6.6 and later). They go with the process.
    Tcx,
    /// Filters on a clsact qdisc. What a killed agent leaves is swept by the next one.
    Clsact,
}

impl AttachMode {
    /// tcx where the kernel has it.
    #[must_use]
    pub fn best() -> Self {
        if at_least(6, 6) {
            Self::Tcx
        } else {
            Self::Clsact
        }
    }

    fn options(self) -> TcAttachOptions {
        match self {
            Self::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
            // Priority 1 runs before any filter that lets the kernel choose.
            Self::Clsact => TcAttachOptions::Netlink(NlOptions {
                priority: 1,
                ..NlOptions::default()
            }),
        }
    }
}

const PLACES: [(&str, TcAttachType); 2] = [
    (names::LINK_INGRESS, TcAttachType::Ingress),
    (names::LINK_EGRESS, TcAttachType::Egress),
];

/// The links that are hooked now.
#[derive(Default)]
pub(super) struct Links {
    attached: HashMap<u32, Attached>,
}

struct Attached {
    ids: [Option<SchedClassifierLinkId>; 2],
    /// The clsact qdisc is ours to remove when nobody else uses it.
    made_qdisc: bool,
}

impl Links {
    pub(super) fn contains(&self, ifindex: u32) -> bool {
        self.attached.contains_key(&ifindex)
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        self.attached.keys().copied()
    }

    pub(super) fn attach(
        &mut self,
        ebpf: &mut aya::Ebpf,
        ifindex: u32,
        name: &str,
        mode: AttachMode,
    ) -> Result<(), ProbeError> {
        if self.contains(ifindex) {
            return Ok(());
        }
        let made_qdisc = mode == AttachMode::Clsact && tc::qdisc_add_clsact(name).is_ok();
        let mut attached = Attached {
            ids: [None, None],
            made_qdisc,
        };
        let mut failure = None;
        for ((program, place), slot) in PLACES.into_iter().zip(&mut attached.ids) {
            match classifier(ebpf, program)?.attach_with_options(name, place, mode.options()) {
                Ok(id) => *slot = Some(id),
                Err(source) => {
                    failure = Some(ProbeError::Attach {
                        name: program,
                        place: name.to_owned(),
                        source: Box::new(source),
                    });
                    break;
                }
            }
        }
        if let Some(failure) = failure {
            release(ebpf, ifindex, attached);
            return Err(failure);
        }
        self.attached.insert(ifindex, attached);
        Ok(())
    }

    /// Lets go of a link, whether it still exists or not.
    pub(super) fn detach(&mut self, ebpf: &mut aya::Ebpf, ifindex: u32) -> bool {
        let Some(attached) = self.attached.remove(&ifindex) else {
            return false;
        };
        release(ebpf, ifindex, attached);
        true
    }

    pub(super) fn detach_all(&mut self, ebpf: &mut aya::Ebpf) {
        for (ifindex, attached) in self.attached.drain() {
            release(ebpf, ifindex, attached);
        }
    }
}

fn release(ebpf: &mut aya::Ebpf, ifindex: u32, attached: Attached) {
    for ((program, _), id) in PLACES.into_iter().zip(attached.ids) {
        if let (Some(id), Ok(classifier)) = (id, classifier(ebpf, program)) {
            // The link may have gone, and its filter with it: nothing is left to undo then.
            let _ = classifier.detach(id);
        }
    }
    if attached.made_qdisc {
        // It stays when this fails; without filters it does nothing.
        let _ = qdisc::remove_if_unused(ifindex);
    }
}

fn classifier<'a>(
    ebpf: &'a mut aya::Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, ProbeError> {
    let program = ebpf.program_mut(name).ok_or_else(|| ProbeError::Missing {
        origin: String::new(),
        what: "program",
        name,
    })?;
    program
        .try_into()
        .map_err(|source: ProgramError| ProbeError::Program {
            name,
            source: Box::new(source),
        })
}

/// Removes the clsact filters that a killed agent left on a link. Returns how many hooks had one.
pub fn sweep_leftovers(ifindex: u32, name: &str) -> usize {
    let swept = PLACES
        .into_iter()
        .filter(|(program, place)| tc::qdisc_detach_program(name, *place, program).is_ok())
        .count();
    if swept > 0 {
        // It stays when this fails; without filters it does nothing.
        let _ = qdisc::remove_if_unused(ifindex);
    }
    swept
}
