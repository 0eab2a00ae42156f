//! What the options of one rule add up to, while they are read.

use super::{
    NumberTest,
    content::Content,
    diagnostic::Fault,
    identity::IdentityFlag,
    options::{FlowOption, Threshold},
    packet::PacketTest,
    source::Span,
    state::{StateChange, StateTest},
    test::{Group, Target, Test},
    transform::Transform,
};
use crate::protocol::AppProtocol;

/// Most tests of one rule.
const MAX_TESTS: usize = 256;
/// Most variables of one rule.
const MAX_VARIABLES: usize = 64;

/// Names that `byte_extract` and `byte_math` give.
#[derive(Debug, Default)]
pub(super) struct Variables {
    names: Vec<String>,
}

impl Variables {
    pub(super) fn index(&self, name: &str) -> Option<u8> {
        let at = self.names.iter().position(|known| known == name)?;
        u8::try_from(at).ok()
    }

    pub(super) fn define(&mut self, name: Span<'_>) -> Result<u8, Fault> {
        if let Some(index) = self.index(name.text) {
            return Ok(index);
        }
        if name.text.is_empty() || self.names.len() >= MAX_VARIABLES {
            return Err(Fault::new(
                name.at,
                format!("a variable needs a name, and a rule has {MAX_VARIABLES} at most"),
            ));
        }
        self.names.push(name.text.to_owned());
        self.index(name.text)
            .ok_or_else(|| Fault::new(name.at, "too many variables"))
    }
}

/// What the options of one rule add up to.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) msg: Option<String>,
    pub(super) sid: Option<u32>,
    pub(super) rev: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) priority: Option<u8>,
    pub(super) classtype: Option<(String, usize)>,
    pub(super) references: Vec<(String, String)>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) groups: Vec<Group>,
    pub(super) packet: Vec<PacketTest>,
    pub(super) numbers: Vec<NumberTest>,
    pub(super) events: Vec<&'static str>,
    pub(super) states: Vec<StateTest>,
    pub(super) changes: Vec<StateChange>,
    pub(super) identity: Vec<(IdentityFlag, bool)>,
    pub(super) flow: Option<FlowOption>,
    pub(super) threshold: Option<Threshold>,
    pub(super) noalert: bool,
    /// `requires` that this engine does not meet: the rule is for another one.
    pub(super) not_for_us: Option<String>,
    pub(super) variables: Variables,
    /// The application protocol of the header.
    pub(super) application: Option<AppProtocol>,
    /// The group that a sticky buffer has made current.
    pub(super) current: Option<usize>,
    /// Where the last test went.
    last: Option<usize>,
    /// Where the last content went.
    last_content: Option<usize>,
    tests: usize,
    /// Where each option stands.
    pub(super) places: Vec<(String, usize)>,
}

impl Options {
    /// Of a rule for this application protocol.
    pub(super) fn new(application: Option<AppProtocol>) -> Self {
        Self {
            application,
            ..Self::default()
        }
    }

    /// Where `keyword` stands in the file, if the rule `rule` has it; else where the rule begins.
    pub(super) fn place(&self, keyword: &str, rule: Span<'_>) -> usize {
        let mut places = self.places.iter();
        places
            .find(|(name, _)| *name == keyword)
            .map_or(rule.at, |(_, at)| *at)
    }

    /// Whether the rule asks who the two ends are.
    pub(super) fn asks_who(&self) -> bool {
        let text =
            |group: &Group| matches!(group.target, Target::Identity(_)) && !group.tests.is_empty();
        !self.identity.is_empty() || self.groups.iter().any(text)
    }

    /// The group of `target` without transforms; a new one when there is none.
    pub(super) fn group(&mut self, target: Target) -> usize {
        let known = self
            .groups
            .iter()
            .position(|group| group.target == target && group.transforms.is_empty());
        known.unwrap_or_else(|| self.new_group(target))
    }

    fn new_group(&mut self, target: Target) -> usize {
        self.groups.push(Group {
            target,
            transforms: Vec::new(),
            tests: Vec::new(),
        });
        self.groups.len() - 1
    }

    /// Makes `target` the buffer of what follows.
    pub(super) fn stick(&mut self, target: Target) {
        let several = match target {
            Target::Transaction(buffer) => buffer.has_instances(),
            _ => false,
        };
        // A group with transforms is a buffer of its own.
        let at = if several || target == Target::Base64 {
            self.new_group(target)
        } else {
            self.group(target)
        };
        self.current = Some(at);
        self.last = Some(at);
    }

    /// Adds a transform to the current buffer. Behind tests it makes a buffer of its own: what comes
    /// before it is about the data as it is up to there.
    pub(super) fn transform(&mut self, transform: Transform) -> Option<()> {
        let at = self.current?;
        let group = self.groups.get_mut(at)?;
        if group.tests.is_empty() {
            group.transforms.push(transform);
            return Some(());
        }
        let mut transforms = group.transforms.clone();
        transforms.push(transform);
        let target = group.target;
        let at = self.new_group(target);
        self.groups.get_mut(at)?.transforms = transforms;
        self.current = Some(at);
        self.last = Some(at);
        Some(())
    }

    pub(super) fn add(&mut self, at: usize, test: Test, span: Span<'_>) -> Result<(), Fault> {
        self.tests += 1;
        if self.tests > MAX_TESTS {
            return Err(Fault::new(
                span.at,
                format!("more than {MAX_TESTS} tests in one rule"),
            ));
        }
        if matches!(test, Test::Content(_)) {
            self.last_content = Some(at);
        }
        if let Some(group) = self.groups.get_mut(at) {
            group.tests.push(test);
        }
        self.last = Some(at);
        Ok(())
    }

    /// Adds a test to the current buffer. One that is relative goes where the test before it is.
    pub(super) fn test(&mut self, test: Test, relative: bool, span: Span<'_>) -> Result<(), Fault> {
        let at = match (self.current, self.last) {
            (Some(current), _) => current,
            (None, Some(last)) if relative => last,
            _ => self.group(Target::Payload),
        };
        self.add(at, test, span)
    }

    /// The content that a modifier changes: the last one, whatever stands between.
    pub(super) fn content(&mut self, at: Span<'_>) -> Result<&mut Content, Fault> {
        let group = self.last_content.and_then(|at| self.groups.get_mut(at));
        let last = group.and_then(|group| {
            group.tests.iter_mut().rev().find_map(|test| match test {
                Test::Content(content) => Some(content),
                _ => None,
            })
        });
        last.ok_or_else(|| Fault::new(at.at, "there is no content before it"))
    }

    /// Moves the last content to `target` (the older spelling of buffers).
    pub(super) fn modify(&mut self, target: Target, at: Span<'_>) -> Result<(), Fault> {
        let payload = self.last_content.and_then(|last| self.groups.get_mut(last));
        let Some(group) = payload.filter(|group| group.target == Target::Payload) else {
            return Err(Fault::new(
                at.at,
                "needs a content before it that is in no buffer yet",
            ));
        };
        let content = group
            .tests
            .iter()
            .rposition(|test| matches!(test, Test::Content(_)))
            .ok_or_else(|| Fault::new(at.at, "there is no content before it"))?;
        let test = group.tests.remove(content);
        let to = self.group(target);
        if let Some(group) = self.groups.get_mut(to) {
            group.tests.push(test);
        }
        self.last = Some(to);
        self.last_content = Some(to);
        Ok(())
    }
}
