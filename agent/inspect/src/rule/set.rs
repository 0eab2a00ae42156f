//! Rule files to a rule set.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    NumberTest, Rule, ThresholdKind, Variables, classification,
    dataset::{Datasets, Files},
    diagnostic::{Diagnostic, Fault, Severity},
    draft::Options,
    filter::{self, AlertFilters},
    frame,
    header::{self, Header},
    identity::IdentityConditions,
    keyword,
    reputation::Reputations,
    source::{Source, Span},
    test::{Group, Target, Test},
};
use crate::{
    protocol::{AppProtocol, Buffer},
    rule::Protocol,
    signature::{Action, Signature},
};

/// Longest rule, in bytes.
const MAX_RULE: usize = 64 << 10;
/// Most rules of a set.
const MAX_RULES: usize = 200_000;
/// Priority of a rule that has neither `priority` nor a known class (Suricata's default).
const DEFAULT_PRIORITY: u8 = 3;

/// Rules that loaded.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// In the order read.
    pub rules: Vec<Arc<Rule>>,
    /// Which of their alerts, and of those of the behaviours, are held back.
    pub filters: Arc<AlertFilters>,
}

/// Reads rule files, keeps what is right and says what is not.
#[derive(Debug)]
pub struct RuleSetBuilder {
    variables: Variables,
    pub(super) max_rules: usize,
    rules: Vec<Arc<Rule>>,
    diagnostics: Vec<Diagnostic>,
    datasets: Datasets,
    reputations: Reputations,
    classes: HashMap<String, u8>,
    filters: AlertFilters,
    /// Where each (gid, sid) stands, and its revision.
    seen: HashMap<(u32, u32), (Arc<str>, usize, u32)>,
}

impl RuleSetBuilder {
    /// A builder with these variables.
    #[must_use]
    pub fn new(variables: Variables) -> Self {
        Self {
            variables,
            max_rules: MAX_RULES,
            rules: Vec::new(),
            diagnostics: Vec::new(),
            datasets: Datasets::default(),
            reputations: Reputations::default(),
            classes: HashMap::new(),
            filters: AlertFilters::default(),
            seen: HashMap::new(),
        }
    }

    /// Reads a `classification.config`: `config classification: NAME,DESCRIPTION,PRIORITY`.
    pub fn add_classifications(&mut self, name: &str, text: &str) {
        self.each_line(name, text, |set, line| {
            let (name, priority) = classification::line(line)?;
            set.classes.insert(name, priority);
            Ok(())
        });
    }

    /// Reads the categories of reputations: `ID,SHORT NAME,DESCRIPTION`.
    pub fn add_categories(&mut self, name: &str, text: &str) {
        self.each_line(name, text, |set, line| set.reputations.category(line));
    }

    /// Reads reputations: `ADDRESS[/PREFIX],CATEGORY,SCORE`. To be called after the categories and before
    /// the rules have been added.
    pub fn add_reputations(&mut self, name: &str, text: &str) {
        self.each_line(name, text, |set, line| set.reputations.network(line));
    }

    fn each_line(
        &mut self,
        name: &str,
        text: &str,
        mut take: impl FnMut(&mut Self, Span<'_>) -> Result<(), Fault>,
    ) {
        let source = Source::new(name, text);
        for line in source.rules() {
            if let Err(fault) = take(self, line) {
                self.complain(&source, fault, Severity::Error);
            }
        }
    }

    /// Reads a `threshold.config`: `suppress`, `event_filter`, `rate_filter`. To be called after the
    /// rules have been added.
    pub fn add_filters(&mut self, name: &str, text: &str) {
        let source = Source::new(name, text);
        for span in source.rules() {
            let line = match filter::parse(span, &self.variables) {
                Ok(line) => line,
                Err(fault) => {
                    self.complain(&source, fault, Severity::Error);
                    continue;
                }
            };
            let (gid, sid) = line.id;
            if gid != Signature::BEHAVIOR_GID && sid > 0 && !self.seen.contains_key(&line.id) {
                let message = format!("no rule has gid {gid} and sid {sid}");
                self.complain(&source, Fault::new(span.at, message), Severity::Warning);
            }
            if let Some(warning) = line.warning {
                self.complain(&source, warning, Severity::Warning);
            }
            self.filters.add(line.id, line.filter);
        }
    }

    /// Reads a file that the caller has loaded. `name` is what diagnostics call it.
    pub fn add_source(&mut self, name: &str, text: &str) {
        self.add_source_with(name, text, &|_| None);
    }

    /// As [`Self::add_source`], for rules that name other files: `load` reads one of those.
    pub fn add_source_with(
        &mut self,
        name: &str,
        text: &str,
        load: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) {
        let source = Source::new(name, text);
        for span in source.rules() {
            let mut faults = Vec::new();
            let rule = self.rule(&source, span, load, &mut faults);
            let failed = !faults.is_empty();
            for fault in faults {
                self.complain(&source, fault, Severity::Error);
            }
            if let (Some(rule), false) = (rule, failed) {
                self.rules.push(Arc::new(rule));
            }
        }
    }

    /// The rules that are right, and everything that is not.
    #[must_use]
    pub fn build(mut self) -> (RuleSet, Vec<Diagnostic>) {
        for rule in &mut self.rules {
            limit(rule, &self.filters);
        }
        let set = RuleSet {
            rules: self.rules,
            filters: Arc::new(self.filters),
        };
        (set, self.diagnostics)
    }

    fn rule(
        &mut self,
        source: &Source<'_>,
        span: Span<'_>,
        load: &dyn Fn(&str) -> Option<Vec<u8>>,
        faults: &mut Vec<Fault>,
    ) -> Option<Rule> {
        if span.text.len() > MAX_RULE {
            faults.push(Fault::new(
                span.at,
                format!("rule longer than {MAX_RULE} bytes"),
            ));
            return None;
        }
        if self.rules.len() >= self.max_rules {
            let message = format!("more than {} rules", self.max_rules);
            faults.push(Fault::new(span.at, message));
            return None;
        }
        let (head, options) = match span.split_once('(') {
            Some((head, rest)) if rest.text.ends_with(')') => {
                (head, rest.slice(0, rest.text.len() - 1))
            }
            _ => {
                faults.push(
                    Fault::new(span.at, "a rule's options stand in parentheses")
                        .hint("action protocol source port -> destination port (options)"),
                );
                return None;
            }
        };
        let header = header::parse(head, &self.variables, faults);
        let application = header.as_ref().and_then(|it| it.protocol.application());
        let mut files = Files {
            datasets: &mut self.datasets,
            reputations: &self.reputations,
            load,
        };
        let options = keyword::parse(options, application, &mut files, faults);
        if let Some(wanted) = &options.not_for_us {
            let message = format!("left out, as it asks: needs {wanted}");
            let fault = Fault::new(span.at, message).keyword("requires");
            self.complain(source, fault, Severity::Warning);
            faults.clear();
            return None;
        }
        let signature = self.signature(source, span, &options, faults)?;
        let header = header?;
        keyword::fit(&options, header.protocol, span, faults);
        frame::fit(&options, span, faults);
        if header.action == Action::Pass && options.asks_who() {
            let message = "a pass rule is decided before it is known who the two ends are";
            let fault = Fault::new(span.at, message)
                .hint("name addresses instead, or put the condition on the rules to silence");
            faults.push(fault);
        }
        Some(self.assemble(source, span, header, options, signature))
    }

    /// A rule out of its parts.
    fn assemble(
        &self,
        source: &Source<'_>,
        span: Span<'_>,
        header: Header,
        options: Options,
        signature: Signature,
    ) -> Rule {
        let line = source.place(span.at).0;
        let (identity, mut groups): (Vec<Group>, Vec<Group>) = options
            .groups
            .into_iter()
            .filter(|group| !group.tests.is_empty())
            .partition(|group| matches!(group.target, Target::Identity(_)));
        let mut flow = options.flow.unwrap_or_default();
        if !header.transactional && flow.to_server.is_none() {
            flow.to_server = direction_of(&groups);
        }
        // Short buffers first: the payload may be long. What is extracted from one for the tests of
        // another must come before these.
        let extracts = |test: &Test| {
            matches!(
                test,
                Test::ByteExtract(_) | Test::ByteMath(_) | Test::Base64Decode { .. }
            )
        };
        if !groups.iter().flat_map(|group| &group.tests).any(extracts) {
            groups.sort_by_key(|group| group.target == Target::Payload);
        }
        Rule {
            signature: Arc::new(signature),
            action: header.action,
            protocol: header.protocol,
            source: header.source,
            source_port: header.source_port,
            destination: header.destination,
            destination_port: header.destination_port,
            bidirectional: header.bidirectional,
            transactional: header.transactional,
            application: application_of(header.protocol, &groups, &options.numbers),
            groups,
            packet: options.packet,
            numbers: options.numbers,
            events: options.events,
            states: options.states,
            changes: options.changes,
            identity: Arc::new(IdentityConditions {
                groups: identity,
                flags: options.identity,
                external: header.external && self.variables.by_identity(),
            }),
            external: header.external,
            silent: options.noalert,
            flow,
            thresholds: options.threshold.into_iter().collect(),
            place: (Arc::clone(&source.name), line),
        }
    }

    fn signature(
        &mut self,
        source: &Source<'_>,
        span: Span<'_>,
        options: &Options,
        faults: &mut Vec<Fault>,
    ) -> Option<Signature> {
        let Some(sid) = options.sid.filter(|sid| *sid > 0) else {
            let at = options.place("sid", span);
            faults.push(Fault::new(at, "a rule needs a sid above 0").keyword("sid"));
            return None;
        };
        let gid = options.gid.unwrap_or(Signature::RULE_GID);
        let line = source.place(span.at).0;
        let rev = options.rev.unwrap_or(0);
        if let Some((file, line, known)) = self.seen.get(&(gid, sid)) {
            let place = options.place("sid", span);
            let message = format!("sid {sid} stands already at {file}:{line}");
            if rev <= *known {
                faults.push(Fault::new(place, message).keyword("sid"));
                return None;
            }
            let fault = Fault::new(place, format!("{message}: this newer one takes its place"));
            self.complain(source, fault.keyword("sid"), Severity::Warning);
            let same = |rule: &Rule| (rule.signature.gid, rule.signature.sid) == (gid, sid);
            self.rules.retain(|rule| !same(rule));
        }
        self.seen
            .insert((gid, sid), (Arc::clone(&source.name), line, rev));
        let class = options.classtype.as_ref().and_then(|(name, _)| {
            let known = || classification(name).map(|class| class.priority);
            self.classes.get(name).copied().or_else(known)
        });
        if let (Some((name, at)), None) = (&options.classtype, class) {
            let fault = Fault::new(*at, format!("unknown classtype `{name}`")).keyword("classtype");
            self.complain(source, fault, Severity::Warning);
        }
        let attack = options
            .metadata
            .iter()
            .filter(|(key, _)| key == "mitre_technique_id")
            .map(|(_, value)| value.clone())
            .collect();
        Some(Signature {
            gid,
            sid,
            rev: options.rev.unwrap_or(0),
            msg: options.msg.clone().unwrap_or_default(),
            classtype: options
                .classtype
                .as_ref()
                .map(|(name, _)| name.clone())
                .unwrap_or_default(),
            severity: options.priority.or(class).unwrap_or(DEFAULT_PRIORITY),
            attack,
            metadata: options.metadata.clone(),
            references: options.references.clone(),
        })
    }

    fn complain(&mut self, source: &Source<'_>, fault: Fault, severity: Severity) {
        let (line, column) = source.place(fault.at);
        self.diagnostics.push(Diagnostic {
            file: Arc::clone(&source.name),
            line,
            column,
            severity,
            keyword: fault.keyword,
            message: fault.message,
            hint: fault.hint,
        });
    }
}

impl RuleSet {
    /// Rules by protocol, for a summary.
    #[must_use]
    pub fn by_protocol(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for rule in &self.rules {
            *counts.entry(rule.protocol.name().to_owned()).or_default() += 1;
        }
        counts
    }
}

/// Gives a rule the `event_filter` for it. One that names the rule takes the place of its `threshold`,
/// one for all is for rules without. A `detection_filter` is part of what is detected and stays.
fn limit(rule: &mut Arc<Rule>, filters: &AlertFilters) {
    let (gid, sid) = (rule.signature.gid, rule.signature.sid);
    let named = filters.limit_of(gid, sid);
    let limit = match rule.thresholds.is_empty() {
        true => filters.limit(gid, sid),
        false => named,
    };
    if let Some(limit) = limit {
        let thresholds = &mut Arc::make_mut(rule).thresholds;
        thresholds.retain(|threshold| threshold.kind == ThresholdKind::Filter);
        thresholds.push(limit);
    }
}

/// The protocol that a rule is about: that of its header, or of the buffers it names.
fn application_of(
    protocol: Protocol,
    groups: &[Group],
    numbers: &[NumberTest],
) -> Option<AppProtocol> {
    if let Protocol::Application(application) = protocol {
        return Some(application);
    }
    let buffers = groups.iter().find_map(|group| match group.target {
        Target::Transaction(buffer) => protocol_of(buffer),
        _ => None,
    });
    // One that wants a number not to be there must not take another protocol's transaction for it.
    buffers.or_else(|| {
        numbers
            .iter()
            .find_map(|it| protocol_named(it.field.name()))
    })
}

/// The protocol that alone has a buffer.
fn protocol_of(buffer: Buffer) -> Option<AppProtocol> {
    if buffer.is_frame() {
        return frame::protocol(buffer);
    }
    protocol_named(buffer.name())
}

/// The protocol that alone has what is called so.
fn protocol_named(name: &str) -> Option<AppProtocol> {
    let protocol = match name.split('.').next()? {
        "http" => AppProtocol::Http,
        "dns" => AppProtocol::Dns,
        "mdns" => AppProtocol::Mdns,
        "ssh" => AppProtocol::Ssh,
        "ftp" => AppProtocol::Ftp,
        "smtp" | "email" => AppProtocol::Smtp,
        "sip" => AppProtocol::Sip,
        "smb" => AppProtocol::Smb,
        "ldap" => AppProtocol::Ldap,
        "krb5" => AppProtocol::Krb5,
        "snmp" => AppProtocol::Snmp,
        _ => return None,
    };
    Some(protocol)
}

/// The direction in which alone all buffers of a rule can be.
fn direction_of(groups: &[Group]) -> Option<bool> {
    groups.iter().find_map(|group| match group.target {
        Target::Transaction(buffer) => buffer.only_to_server(),
        _ => None,
    })
}
