//! The Suricata rule language: from text to typed rules, with every error at its place.
//!
//! A subset of it: a rule that uses more is rejected with a reason and the rest loads.

mod classification;
mod content;
mod diagnostic;
mod group;
mod header;
mod keyword;
mod options;
mod set;
mod source;
#[cfg(test)]
mod tests;
mod variables;

use std::sync::Arc;

pub use classification::{Classification, classification};
pub use content::Content;
pub use diagnostic::{Diagnostic, Severity};
pub use group::Group;
pub use header::{AddressGroup, PortGroup, Protocol};
pub use options::{FlagsTest, FlowOption, ItemRange, Threshold, ThresholdKind, Track};
pub use set::{RuleSet, RuleSetBuilder};
pub use variables::Variables;

use crate::signature::{Action, Signature};

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
    /// `content` with its modifiers, in the order given.
    pub contents: Vec<Content>,
    /// `flow`.
    pub flow: FlowOption,
    /// `flags`.
    pub flags: Option<FlagsTest>,
    /// `dsize`.
    pub dsize: Option<ItemRange>,
    /// `itype`.
    pub itype: Option<ItemRange>,
    /// `icode`.
    pub icode: Option<ItemRange>,
    /// `threshold`.
    pub threshold: Option<Threshold>,
    /// File and line.
    pub place: (Arc<str>, usize),
}
