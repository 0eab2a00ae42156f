//! The Suricata rule language: from text to typed rules, with every error at its place.
//!
//! A rule that uses what is not known is rejected with a reason and the rest loads.

mod app_protocol;
mod bytes;
mod classification;
mod content;
mod dataset;
mod diagnostic;
mod draft;
mod entropy;
mod filter;
#[cfg(test)]
mod filter_tests;
mod frame;
mod group;
mod header;
mod header_buffer;
mod identity;
mod integer;
mod keyword;
mod names;
mod number;
mod options;
mod packet;
mod pcre;
mod reputation;
mod requires;
mod set;
mod source;
mod state;
mod table;
mod test;
#[cfg(test)]
mod tests;
mod transform;
mod value;
mod variables;

use std::sync::Arc;

pub use app_protocol::{ProtocolOf, ProtocolTest, Spoken};
pub use classification::{Classification, classification};
pub use content::Content;
pub(crate) use dataset::address_key;
pub use dataset::{Dataset, DatasetCommand, DatasetTest};
pub use diagnostic::{Diagnostic, Severity};
pub use entropy::EntropyTest;
pub use filter::{AlertFilters, RateFilter};
pub use group::Group as ValueGroup;
pub use header::{AddressGroup, PortGroup, Protocol};
pub use header_buffer::HeaderBuffer;
pub use identity::{IdentityBuffer, IdentityConditions, IdentityFlag};
pub use integer::IntegerTest;
pub use number::{NumberTest, Wanted, Which};
pub use options::{FlagsMode, FlagsTest, FlowOption, Threshold, ThresholdKind, Track};
pub use packet::{PacketNumber, PacketTest, StreamSide, VlanLayer};
pub use pcre::Pcre;
pub use reputation::{Category, ReputationSide, ReputationTest};
pub use set::{RuleSet, RuleSetBuilder};
pub use state::{IntegerComparison, IntegerValue, Scope, StateChange, StateTest};
pub use test::{
    ByteExtract, ByteJump, ByteMath, ByteTest, Comparison, Group, NumberFormat, Operator, Target,
    Test, Value,
};
pub(crate) use transform::decode_base64;
pub use transform::{Base64Mode, Transform};
pub use variables::Variables;

use crate::{
    protocol::{AppProtocol, Stage},
    signature::{Action, Signature},
};

/// The starter set: rules of our own for attacks between containers.
pub const STARTER: &str = include_str!("../../../../rules/hydrophone.rules");
/// Name of [`STARTER`] in diagnostics.
pub const STARTER_NAME: &str = "rules/hydrophone.rules";

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Identity and meaning.
    pub signature: Arc<Signature>,
    /// What a match does.
    pub action: Action,
    /// Transport.
    pub protocol: Protocol,
    /// Who sends.
    pub source: AddressGroup,
    /// From which port.
    pub source_port: PortGroup,
    /// Who receives.
    pub destination: AddressGroup,
    /// On which port.
    pub destination_port: PortGroup,
    /// `<>`: either end may be the source.
    pub bidirectional: bool,
    /// `=>`: its buffers may be of both directions of one transaction.
    pub transactional: bool,
    /// The application protocol that the header or a buffer asks for.
    pub application: Option<AppProtocol>,
    /// Tests by the buffer they look at.
    pub groups: Vec<Group>,
    /// Tests of headers, and of the flow's counters.
    pub packet: Vec<PacketTest>,
    /// Numbers of the transaction.
    pub numbers: Vec<NumberTest>,
    /// Events of the transaction: all of them.
    pub events: Vec<&'static str>,
    /// What must have been remembered.
    pub states: Vec<StateTest>,
    /// What a match remembers.
    pub changes: Vec<StateChange>,
    /// What must hold of the two ends.
    pub identity: Arc<IdentityConditions>,
    /// One side is `$EXTERNAL_NET`.
    pub external: bool,
    /// `noalert`: only remember.
    pub silent: bool,
    /// `flow`.
    pub flow: FlowOption,
    /// `threshold` or `detection_filter`, and the `event_filter` beside the rules: an alert must pass all.
    pub thresholds: Vec<Threshold>,
    /// File and line.
    pub place: (Arc<str>, usize),
}

impl Rule {
    /// The tests of the payload, if there are any.
    #[must_use]
    pub fn payload(&self) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| group.target == Target::Payload && !group.tests.is_empty())
    }

    /// What must hold of the two ends for a match to be a finding; `None` when nothing must.
    #[must_use]
    pub fn conditions(&self) -> Option<Arc<IdentityConditions>> {
        (!self.identity.is_empty()).then(|| Arc::clone(&self.identity))
    }

    /// Whether it asks for nothing but addresses, or nothing but what the flow speaks: that is so once
    /// in a flow, and not anew with each packet.
    #[must_use]
    pub fn about_flow(&self) -> Option<AboutFlow> {
        let plain = self.action != Action::Pass
            && self.groups.is_empty()
            && !self.on_transactions()
            && self.flow
                == FlowOption {
                    to_server: self.flow.to_server,
                    ..FlowOption::default()
                };
        let protocol = |test: &PacketTest| matches!(test, PacketTest::Protocol(_));
        let reputation = |test: &PacketTest| matches!(test, PacketTest::Reputation(_));
        let addressed = plain && self.flow.to_server.is_none() && self.states.is_empty();
        match self.packet.as_slice() {
            tests if addressed && tests.iter().all(reputation) => Some(AboutFlow::Addresses),
            tests if plain && tests.iter().all(protocol) => Some(AboutFlow::Protocol),
            _ => None,
        }
    }

    /// When all that it looks at in a transaction has been seen, so that what did not match by then
    /// never will. `None` when something else can still change its mind: numbers, events, bits, or
    /// the stream beside the transaction.
    #[must_use]
    pub fn decided_at(&self) -> Option<Stage> {
        let fixed = self.numbers.is_empty()
            && self.events.is_empty()
            && self.states.is_empty()
            && self.packet.is_empty()
            && self.flow.established.is_none_or(|wanted| wanted)
            && !self.transactional;
        let stages = self.groups.iter().map(|group| match group.target {
            Target::Transaction(buffer) => Some(buffer.complete_at()),
            Target::Base64 => Some(Stage::Begun),
            Target::Payload | Target::Header(_) | Target::Identity(_) => None,
        });
        stages
            .collect::<Option<Vec<Stage>>>()
            .filter(|_| fixed)
            .and_then(|stages| stages.into_iter().max())
    }

    /// Whether it is decided on frames, each by itself.
    #[must_use]
    pub fn on_frames(&self) -> bool {
        let frame =
            |group: &Group| matches!(group.target, Target::Transaction(it) if it.is_frame());
        self.groups.iter().any(frame)
    }

    /// Whether it is decided on transactions.
    #[must_use]
    pub fn on_transactions(&self) -> bool {
        !self.numbers.is_empty()
            || !self.events.is_empty()
            || self
                .groups
                .iter()
                .any(|group| matches!(group.target, Target::Transaction(_)))
    }
}

/// What a rule that is about the flow as a whole asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AboutFlow {
    /// The two ends: once in each direction.
    Addresses,
    /// What is spoken: once.
    Protocol,
}
