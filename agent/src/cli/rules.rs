//! `hydrophone rules`: rule files without traffic.

mod explain;
mod words;

use core::net::IpAddr;
use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use clap::{Args, Subcommand};
use hydrophone_inspect::{engine::Rule, protocol::AppProtocol, rule::Severity};

use super::{
    Exit, Failure,
    options::{ConfigOptions, paths},
};
use crate::{
    alert::escape::{Hostile, Readable},
    config::Setting,
    daemon::{Rules, load_rules},
};

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Read rule files and show everything that is wrong with them, with its place
    Check {
        /// Show the counts only
        #[arg(long)]
        summary: bool,
        #[command(flatten)]
        rules: RulesArgs,
    },
    /// List the rules that are in force
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        rules: RulesArgs,
    },
    /// Say in words what a rule looks for, and how it is tried
    Explain {
        /// Its sid
        #[arg(value_name = "SID")]
        sid: u32,
        #[command(flatten)]
        rules: RulesArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    #[command(flatten)]
    config: ConfigOptions,

    /// Rule files, beside those of the configuration; the starter set is only read without any
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Which rules are listed: those of which all that is given holds.
#[derive(Debug, Default, Args)]
pub(super) struct Filter {
    /// The rule of this sid
    #[arg(long)]
    sid: Option<u32>,
    /// Rules of this class
    #[arg(long, value_name = "CLASS")]
    classtype: Option<String>,
    /// Rules of this severity, 1 is the worst
    #[arg(long, value_name = "NUMBER")]
    severity: Option<u8>,
    /// Rules for this protocol, of the header or of what a buffer asks for
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Rules whose message contains this, in any case
    #[arg(long, value_name = "TEXT")]
    msg: Option<String>,
    /// Rules for this ATT&CK technique or its sub-techniques, e.g. T1190
    #[arg(long, value_name = "TECHNIQUE")]
    attack: Option<String>,
}

pub(super) fn execute(command: &RulesCommand) -> Result<Exit, Failure> {
    match command {
        RulesCommand::Check { summary, rules } => check(&rules.load()?, *summary),
        RulesCommand::List { filter, rules } => list(&rules.load()?, filter),
        RulesCommand::Explain { sid, rules } => explain_rule(&rules.load()?, *sid),
    }
}

impl RulesArgs {
    fn load(&self) -> Result<Rules, Failure> {
        let mut settings = Vec::new();
        if let Some(files) = paths(&self.files) {
            settings.push(Setting::command_line("rules.files", files, "FILE"));
            settings.push(Setting::command_line(
                "rules.no_default_rules",
                true.into(),
                "FILE",
            ));
        }
        let config = self.config.load(settings)?;
        load_rules(&config.rules).map_err(|error| Failure::new(Exit::Invalid, error))
    }
}

impl Filter {
    fn takes(&self, rule: &Rule) -> bool {
        let signature = &rule.signature;
        let technique = |wanted: &str| {
            signature.attack.iter().any(|technique| {
                let rest = technique
                    .get(..wanted.len())
                    .filter(|start| start.eq_ignore_ascii_case(wanted))
                    .and_then(|_| technique.get(wanted.len()..));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let protocol = |wanted: &str| {
            let application = rule.application.map(AppProtocol::name);
            rule.protocol.name() == wanted || application == Some(wanted)
        };
        let message = |wanted: &str| {
            let wanted = wanted.to_lowercase();
            signature.msg.to_lowercase().contains(&wanted)
        };
        self.sid.is_none_or(|sid| signature.sid == sid)
            && self
                .classtype
                .as_deref()
                .is_none_or(|class| signature.classtype == class)
            && self
                .severity
                .is_none_or(|severity| signature.severity == severity)
            && self.protocol.as_deref().is_none_or(protocol)
            && self.msg.as_deref().is_none_or(message)
            && self.attack.as_deref().is_none_or(technique)
    }
}

/// Every complaint unless only a summary is wanted, then the counts.
fn check(rules: &Rules, summary: bool) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    for (_, shown) in rules.diagnostics.iter().filter(|_| !summary) {
        for line in shown.lines() {
            writeln!(out, "{}", Hostile(line))?;
        }
    }
    let counts = by_keyword(rules);
    if !counts.is_empty() {
        writeln!(out, "errors by keyword:")?;
    }
    for (keyword, count) in counts {
        writeln!(out, "{count:>8}  {}", Hostile(keyword))?;
    }
    writeln!(
        out,
        "{} rules can match between two private addresses",
        between_containers(rules)
    )?;
    let loaded = rules.engine.rules().len();
    let warnings = rules.diagnostics.len() - rules.errors;
    let errors = rules.errors;
    writeln!(
        out,
        "{loaded} rules loaded, {errors} errors, {warnings} warnings"
    )?;
    Ok(if errors == 0 { Exit::Ok } else { Exit::Invalid })
}

/// How many rules have a header that takes two containers on one bridge.
fn between_containers(rules: &Rules) -> usize {
    let [from, to] = [2, 3].map(|host| IpAddr::from([172, 18, 0, host]));
    let takes = |rule: &&Arc<Rule>| rule.source.contains(from) && rule.destination.contains(to);
    rules.engine.rules().iter().filter(takes).count()
}

/// How many errors each keyword has, the most frequent first.
fn by_keyword(rules: &Rules) -> Vec<(&str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (diagnostic, _) in &rules.diagnostics {
        if let (Severity::Error, Some(keyword)) = (diagnostic.severity, &diagnostic.keyword) {
            *counts.entry(keyword).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
    counts
}

/// sid, severity, techniques and message of each rule.
fn list(rules: &Rules, filter: &Filter) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    for rule in rules
        .engine
        .rules()
        .iter()
        .filter(|rule| filter.takes(rule))
    {
        let signature = &rule.signature;
        writeln!(
            out,
            "{:>8}  {}  {:<22} {}",
            signature.sid,
            signature.severity,
            Hostile(&signature.attack.join(",")),
            Hostile(&signature.msg)
        )?;
    }
    Ok(Exit::Ok)
}

/// Every rule of this sid: groups may each have one.
fn explain_rule(rules: &Rules, sid: u32) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    let mut found = false;
    for rule in rules.engine.rules() {
        if rule.signature.sid != sid {
            continue;
        }
        if core::mem::replace(&mut found, true) {
            writeln!(out)?;
        }
        for line in explain::explain(rule) {
            writeln!(out, "{}", Readable(&line))?;
        }
    }
    if found {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(
        Exit::Invalid,
        anyhow::anyhow!(
            "no rule in force has the sid {sid}: `hydrophone rules list` shows those that have loaded, `hydrophone rules check` why others have not"
        ),
    ))
}
