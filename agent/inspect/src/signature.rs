//! What a finding says it found: the same for a rule and for a behaviour.

/// What the engine does on a match. Only `Alert` raises a finding; `Pass` silences the packet,
/// or the rest of the stream's direction (Suricata: actions). Hydrophone observes: `drop` and `reject` alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Raise a finding.
    Alert,
    /// Do not look further.
    Pass,
}

/// Identity and meaning of a detection, from a rule's options or from a behaviour's own definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Generator: 1 for rules, [`Signature::BEHAVIOR_GID`] for behaviours (Suricata: `gid`).
    pub gid: u32,
    /// Signature id, unique in its generator (Suricata: `sid`).
    pub sid: u32,
    /// Revision (Suricata: `rev`).
    pub rev: u32,
    /// What was found, one line (Suricata: `msg`).
    pub msg: String,
    /// Class, as in `classification.config` (Suricata: `classtype`); empty when not given.
    pub classtype: String,
    /// 1 (worst) to 4 (Suricata: `priority`, or that of the class).
    pub severity: u8,
    /// ATT&CK technique ids, e.g. `T1046` (from `metadata: mitre_technique_id …`).
    pub attack: Vec<String>,
    /// `metadata` pairs in the order given.
    pub metadata: Vec<(String, String)>,
    /// `reference` pairs: type, value.
    pub references: Vec<(String, String)>,
}

impl Signature {
    /// Generator id of rules.
    pub const RULE_GID: u32 = 1;
    /// Generator id of behaviours.
    pub const BEHAVIOR_GID: u32 = 7001;
}
