//! Rules into groups, so that only those are tried that could match.

mod buffers;
mod payloads;

use std::sync::Arc;

use super::{Inspection, Rule, Scratch, gate::Gates, pattern::fast_pattern, state::States};
use crate::{
    flow::Direction,
    protocol::{AppProtocol, Buffer, FrameSet, Stage, Transaction},
    rule::{AboutFlow, StateChange, StateTest, Target},
    signature::Action,
};
use buffers::Buffers;
use payloads::{Kind, Payloads, looks_at};

/// All rules, in groups by what they look at and in which direction.
#[derive(Debug)]
pub(super) struct Compiled {
    /// In the order in which they are tried: `pass` first, and who sets a bit before who asks for it.
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) states: Vec<States>,
    pub(super) about_flow: Vec<Option<AboutFlow>>,
    gates: Gates,
    /// See [`Rule::decided_at`].
    decided_at: Vec<Option<Stage>>,
    /// A rule asks for the hash of a file or mail.
    pub(super) hashes: bool,
    /// Frames that rules look into.
    pub(super) frames: FrameSet,
    payloads: Payloads,
    buffers: Buffers,
}

/// How a rule is tried, for who wants to know why it costs what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    /// What its tests are done on.
    pub on: PlanUnit,
    /// What is searched for first, and where: `None` when the rule is tried on everything.
    pub pattern: Option<(Target, &'a [u8])>,
}

/// What the tests of a rule are done on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanUnit {
    /// Each transaction.
    Transaction,
    /// The reassembled stream.
    Stream,
    /// What happens to a stream.
    StreamEvent,
    /// Each packet.
    Packet,
}

impl<'a> Plan<'a> {
    pub(super) fn new(rule: &'a Rule) -> Self {
        let on = if rule.on_transactions() {
            PlanUnit::Transaction
        } else if looks_at(rule, Kind::StreamEvent) {
            PlanUnit::StreamEvent
        } else if looks_at(rule, Kind::TcpStream) {
            PlanUnit::Stream
        } else {
            PlanUnit::Packet
        };
        let pattern = fast_pattern(rule, |group| match group.target {
            Target::Transaction(_) => on == PlanUnit::Transaction && !rule.transactional,
            Target::Payload => on != PlanUnit::Transaction,
            _ => false,
        });
        Self {
            on,
            pattern: pattern.map(|it| (it.group.target, it.bytes)),
        }
    }
}

impl Compiled {
    pub(super) fn new(rules: &[Arc<Rule>]) -> Self {
        let mut rules = rules.to_vec();
        rules.sort_by_key(|rule| order(rule));
        Self {
            states: rules.iter().map(|rule| States::new(rule)).collect(),
            decided_at: rules.iter().map(|rule| rule.decided_at()).collect(),
            hashes: rules.iter().any(|rule| wants_hashes(rule)),
            frames: frames(&rules),
            about_flow: rules.iter().map(|rule| rule.about_flow()).collect(),
            gates: Gates::new(rules.iter().map(|rule| &**rule)),
            payloads: Payloads::new(&rules),
            buffers: Buffers::new(&rules),
            rules,
        }
    }

    /// Whether a rule that does not match where a transaction has come to `stage` never will.
    pub(super) fn decided(&self, rule: u32, stage: Stage) -> bool {
        let at = usize::try_from(rule)
            .ok()
            .and_then(|rule| self.decided_at.get(rule));
        at.copied().flatten().is_some_and(|at| at <= stage)
    }

    /// Whether a rule is tried on streams.
    pub(super) fn on_stream(&self, rule: u32) -> bool {
        let rule = usize::try_from(rule).ok().and_then(|at| self.rules.get(at));
        rule.is_some_and(|rule| looks_at(rule, Kind::TcpStream))
    }

    /// Notes the rules that could match. Patterns are searched for where they end after `fresh`.
    pub(super) fn candidates(
        &self,
        inspection: &Inspection<'_>,
        fresh: usize,
        scratch: &mut Scratch,
    ) {
        let ports = inspection.headers.ports();
        self.payloads.candidates(inspection, fresh, |rule| {
            if self.gates.open(rule, ports) {
                scratch.candidate(rule);
            }
        });
    }

    /// Adds the rules whose pattern is in what `transaction` has got in this direction since the
    /// last call to its candidates.
    pub(super) fn transaction_candidates(
        &self,
        transaction: &mut Transaction,
        protocol: Option<AppProtocol>,
        direction: Direction,
    ) {
        self.buffers.candidates(transaction, protocol, direction);
    }
}

/// The frames that the rules look into.
fn frames(rules: &[Arc<Rule>]) -> FrameSet {
    let groups = rules.iter().flat_map(|rule| &rule.groups);
    groups.fold(FrameSet::NONE, |set, group| match group.target {
        Target::Transaction(buffer) => set.with(buffer),
        _ => set,
    })
}

fn wants_hashes(rule: &Rule) -> bool {
    rule.groups.iter().any(|group| {
        matches!(
            group.target,
            Target::Transaction(
                Buffer::FileMd5 | Buffer::FileSha1 | Buffer::FileSha256 | Buffer::EmailBodyMd5
            )
        )
    })
}

/// What is tried first: `pass`, then who only sets bits, who asks and sets, who only asks, then by
/// severity.
fn order(rule: &Rule) -> (bool, u8, u8) {
    let asks = rule
        .states
        .iter()
        .any(|test| matches!(test, StateTest::Bit { .. }));
    let sets = rule
        .changes
        .iter()
        .any(|change| matches!(change, StateChange::Bit { .. }));
    let bits = match (sets, asks) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    };
    (rule.action != Action::Pass, bits, rule.signature.severity)
}
