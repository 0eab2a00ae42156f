//! `hydrophone replay`: the same pipeline from a capture file, on one thread.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{
    Exit, Failure,
    options::{ConfigOptions, paths, spelled},
};
use crate::{
    config::{Format, Setting},
    daemon,
};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    config: ConfigOptions,

    /// Capture file, pcap or pcapng
    #[arg(value_name = "FILE")]
    capture: PathBuf,

    /// Rule file in the Suricata rule language, beside the starter set; may be given again
    #[arg(long, short, value_name = "FILE")]
    rules: Vec<PathBuf>,

    /// Leave out the starter rules
    #[arg(long)]
    no_default_rules: bool,

    /// What standard output gets
    #[arg(long, short)]
    format: Option<Format>,

    /// A configuration key, e.g. `inspect.window=32KiB`; also `midstream`, `async_oneside`,
    /// `checksums` (`ignore` or `validate`) and `inline`, as other engines call them
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub(super) fn execute(args: &ReplayArgs) -> Result<Exit, Failure> {
    let mut settings = Vec::new();
    let mut set = |key, option, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            settings.push(Setting::command_line(key, value, option));
        }
    };
    set("rules.files", "--rules", paths(&args.rules));
    let only_own = args.no_default_rules.then_some(true.into());
    set("rules.no_default_rules", "--no-default-rules", only_own);
    set(
        "alert.format",
        "--format",
        args.format.as_ref().map(spelled),
    );
    // Nobody knows who the ends in a capture file were: addresses mean what they do elsewhere.
    settings.push(Setting::command_line(
        "rules.meaning",
        "classic".into(),
        "replay",
    ));
    for text in &args.set {
        settings.extend(setting(text)?);
    }
    let config = args.config.load(settings)?;
    let rules =
        daemon::load_rules(&config.rules).map_err(|error| Failure::new(Exit::Invalid, error))?;
    rules.log();
    let summary = daemon::replay(&config, &rules, &args.capture).context("replay")?;
    if let Some(link_type) = summary.skipped_link_type {
        tracing::warn!(
            packets = summary.skipped,
            link_type,
            "packets of a link type that is not known were left out"
        );
    }
    Ok(Exit::Ok)
}

/// One `KEY=VALUE`. `None` for what is so here anyway.
fn setting(text: &str) -> Result<Option<Setting>, Failure> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| Failure::new(Exit::Usage, anyhow!("--set {text}: KEY=VALUE is expected")))?;
    let key = match key.trim() {
        "midstream" => "inspect.midstream",
        "async_oneside" => "inspect.async_oneside",
        "checksums" => "inspect.checksums",
        // Data is looked at as it comes, acknowledged or not: that is what `inline` asks for.
        "inline" => return Ok(None),
        key => key,
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok(Some(Setting::command_line(key, value, "--set")))
}
