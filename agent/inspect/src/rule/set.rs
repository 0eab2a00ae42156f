//! Rule files to a rule set.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Rule, Variables, classification,
    diagnostic::{Diagnostic, Fault, Severity},
    header,
    keyword::{self, Options},
    source::{Source, Span},
};
use crate::signature::Signature;

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
}

/// Reads rule files, keeps what is right and says what is not.
#[derive(Debug)]
pub struct RuleSetBuilder {
    variables: Variables,
    pub(super) max_rules: usize,
    rules: Vec<Arc<Rule>>,
    diagnostics: Vec<Diagnostic>,
    /// Where each (gid, sid) stands.
    seen: HashMap<(u32, u32), (Arc<str>, usize)>,
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
            seen: HashMap::new(),
        }
    }

    /// Reads a file that the caller has loaded. `name` is what diagnostics call it.
    pub fn add_source(&mut self, name: &str, text: &str) {
        let source = Source::new(name, text);
        for span in source.rules() {
            let mut faults = Vec::new();
            let rule = self.rule(&source, span, &mut faults);
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
    pub fn build(self) -> (RuleSet, Vec<Diagnostic>) {
        (RuleSet { rules: self.rules }, self.diagnostics)
    }

    fn rule(
        &mut self,
        source: &Source<'_>,
        span: Span<'_>,
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
        let options = keyword::parse(options, faults);
        let signature = self.signature(source, span, &options, faults)?;
        let header = header?;
        keyword::fit(&options, header.protocol, span, faults);
        let line = source.place(span.at).0;
        Some(Rule {
            signature: Arc::new(signature),
            action: header.action,
            protocol: header.protocol,
            source: header.source,
            source_port: header.source_port,
            destination: header.destination,
            destination_port: header.destination_port,
            bidirectional: header.bidirectional,
            contents: options.contents,
            flow: options.flow.unwrap_or_default(),
            flags: options.flags,
            dsize: options.dsize,
            itype: options.itype,
            icode: options.icode,
            threshold: options.threshold,
            place: (Arc::clone(&source.name), line),
        })
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
        if let Some((file, line)) = self.seen.get(&(gid, sid)) {
            faults.push(
                Fault::new(
                    options.place("sid", span),
                    format!("sid {sid} stands already at {file}:{line}"),
                )
                .keyword("sid"),
            );
            return None;
        }
        self.seen
            .insert((gid, sid), (Arc::clone(&source.name), line));
        let class = options
            .classtype
            .as_ref()
            .and_then(|(name, _)| classification(name));
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
            severity: options
                .priority
                .or(class.map(|class| class.priority))
                .unwrap_or(DEFAULT_PRIORITY),
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
            *counts
                .entry(format!("{:?}", rule.protocol).to_lowercase())
                .or_default() += 1;
        }
        counts
    }
}
