//! `hydrophone rules`: rule files without traffic.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::{
    Exit, Failure,
    options::{ConfigOptions, paths},
};
use crate::{
    alert::escape::Hostile,
    config::Setting,
    daemon::{Rules, load_rules},
};

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Read rule files and show everything that is wrong with them, with its place
    Check(RulesArgs),
    /// List the rules that are in force
    List(RulesArgs),
}

#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    #[command(flatten)]
    config: ConfigOptions,

    /// Rule files, beside those of the configuration; the starter set is only read without any
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn execute(command: &RulesCommand) -> Result<Exit, Failure> {
    match command {
        RulesCommand::Check(args) => check(&args.load()?),
        RulesCommand::List(args) => list(&args.load()?),
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

/// Every complaint, then one line that sums up.
fn check(rules: &Rules) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    for (_, shown) in &rules.diagnostics {
        for line in shown.lines() {
            writeln!(out, "{}", Hostile(line))?;
        }
    }
    let loaded = rules.engine.rules().len();
    let warnings = rules.diagnostics.len() - rules.errors;
    let errors = rules.errors;
    writeln!(
        out,
        "{loaded} rules loaded, {errors} errors, {warnings} warnings"
    )?;
    Ok(if errors == 0 { Exit::Ok } else { Exit::Invalid })
}

/// sid, severity, techniques and message of each rule.
fn list(rules: &Rules) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    for rule in rules.engine.rules() {
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
