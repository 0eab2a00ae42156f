//! Options that several commands share, as settings over the configuration file.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use clap::Args;
use serde_json::Value;

use super::Failure;
use crate::config::{self, Config, LogLevel, Setting};

/// Where the configuration is, and how much is logged.
#[derive(Debug, Default, Args)]
pub(super) struct ConfigOptions {
    /// Configuration file (YAML); without it every key has its default
    #[arg(long, short, value_name = "FILE", env = "HYDROPHONE_CONFIG")]
    config: Option<PathBuf>,

    /// Least important level of the agent's own log
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
}

/// A value that clap accepted, as the configuration spells it.
pub(super) fn spelled(value: &impl clap::ValueEnum) -> Value {
    value
        .to_possible_value()
        .map_or(Value::Null, |value| value.get_name().into())
}

/// Files that were typed, as the configuration has them; `None` when there are none.
pub(super) fn paths(paths: &[PathBuf]) -> Option<Value> {
    let list: Vec<Value> = paths
        .iter()
        .map(|path| path.display().to_string().into())
        .collect();
    (!list.is_empty()).then(|| list.into())
}

impl ConfigOptions {
    /// The configuration of this process, and its log set up accordingly.
    pub(super) fn load(&self, mut settings: Vec<Setting>) -> Result<Config, Failure> {
        if let Some(level) = &self.log_level {
            settings.push(Setting::command_line(
                "log.level",
                spelled(level),
                "--log-level",
            ));
        }
        // What is not UTF-8 is no value of ours.
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let loaded = config::load(self.config.as_deref(), environment, settings)?;
        start_log(loaded.config.log.level);
        for name in loaded.unused_variables {
            tracing::warn!(
                name,
                "this environment variable is no configuration key: ignored"
            );
        }
        Ok(loaded.config)
    }
}

fn start_log(level: LogLevel) {
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // Only a test that runs two commands in one process has a log already.
    let _already_started = log.try_init();
}
