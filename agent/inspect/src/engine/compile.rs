//! Rules into groups, so that only those are tried that could match.

mod buffers;
mod payloads;

use std::sync::Arc;

use super::{Inspection, Rule, Scratch, gate::Gates, pattern::first_pattern, state::States};
use crate::{
    flow::Direction,
    protocol::{AppProtocol, Buffer, FrameSet, Stage, Transaction},
    rule::{AboutFlow, StateChange, StateTest, Target},
    signature::Action,
};
use buffers::Buffers;
use payloads::{Kind, Payloads, Side, looks_at};

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
    roles: Vec<Role>,
    payloads: Payloads,
    buffers: Buffers,
}

/// On what a rule of TCP is tried.
#[derive(Clone, Copy, Debug, Default)]
struct Role {
    transaction: bool,
    stream: bool,
    packet: bool,
}

impl Role {
    fn new(rule: &Rule) -> Self {
        Self {
            transaction: rule.on_transactions(),
            stream: looks_at(rule, Kind::TcpStream),
            packet: looks_at(rule, Kind::TcpPacket),
        }
    }
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
        Self {
            on,
            pattern: first_pattern(rule).map(|it| (it.group.target, it.bytes)),
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
            roles: rules.iter().map(|rule| Role::new(rule)).collect(),
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
        self.role(rule).stream
    }

    fn role(&self, rule: u32) -> Role {
        let rule = usize::try_from(rule).ok();
        let role = rule.and_then(|rule| self.roles.get(rule));
        role.copied().unwrap_or_default()
    }

    /// Notes the rules that could match, and as hints those that could match on a transaction.
    /// Patterns are searched for where they end after `fresh`.
    pub(super) fn candidates(
        &self,
        inspection: &Inspection<'_>,
        fresh: usize,
        scratch: &mut Scratch,
    ) {
        let ports = inspection.headers.ports();
        let mut noted = core::mem::take(&mut scratch.noted);
        self.payloads
            .candidates(inspection, fresh, &mut noted, |rule| {
                if self.gates.open(rule, ports) {
                    if self.role(rule).transaction {
                        scratch.hints.push(rule);
                    } else {
                        scratch.candidate(rule);
                    }
                }
            });
        scratch.noted = noted;
    }

    /// The same for a segment that came in its place, as a part of the stream and as a packet.
    pub(super) fn segment_candidates(
        &self,
        stream: &Inspection<'_>,
        packet: &Inspection<'_>,
        fresh: usize,
        scratch: &mut Scratch,
    ) {
        let ports = packet.headers.ports();
        let mut noted = core::mem::take(&mut scratch.noted);
        self.payloads
            .of_segment(stream, packet, fresh, &mut noted, |rule, side| {
                let role = self.role(rule);
                let wanted = match side {
                    Side::Stream => role.stream || role.transaction,
                    Side::Packet => role.packet,
                };
                if !wanted || !self.gates.open(rule, ports) {
                    return;
                }
                match side {
                    Side::Packet => scratch.on_packet.push(rule),
                    Side::Stream if role.transaction => scratch.hints.push(rule),
                    Side::Stream => scratch.candidate(rule),
                }
            });
        scratch.noted = noted;
    }

    /// Adds the rules whose pattern is in what `transaction` has got in this direction since the
    /// last call to its candidates.
    pub(super) fn transaction_candidates(
        &self,
        transaction: &mut Transaction,
        protocol: Option<AppProtocol>,
        direction: Direction,
        scratch: &mut Scratch,
    ) {
        self.buffers
            .candidates(transaction, protocol, direction, &mut scratch.noted);
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
