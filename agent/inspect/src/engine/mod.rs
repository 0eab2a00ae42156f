//! Rules against traffic: which rules match what the flow stage hands over.

mod view;

use std::sync::Arc;

pub use view::{FlowView, Inspection, Unit};

use crate::signature::Signature;

/// One loaded rule.
#[derive(Debug)]
pub struct Rule {
    /// What it finds.
    pub signature: Arc<Signature>,
}

/// All rules, ready to match. Immutable, shared by the inspection threads.
#[derive(Debug, Default)]
pub struct Engine {}

/// Memory that one inspector lends to each evaluation.
#[derive(Debug, Default)]
pub struct Scratch {}

/// What one direction of one flow has matched in part.
#[derive(Debug, Default)]
pub struct FlowMatches {}

impl Engine {
    /// An engine without rules.
    #[must_use]
    pub const fn empty() -> Self {
        Self {}
    }

    /// Calls `matched` with each rule that matches.
    pub fn inspect(
        &self,
        inspection: &Inspection<'_>,
        flow: &mut FlowMatches,
        scratch: &mut Scratch,
        matched: &mut dyn FnMut(&Arc<Rule>),
    ) {
        let _ = (inspection, flow, scratch, matched);
    }
}
