//! `hydrophone who`: who held something at a time.

use std::io::{self, Write as _};

use clap::Args;

use super::{LedgerOptions, ask, render, time};
use crate::{
    cli::{Exit, Failure, containers::TableFormat},
    ledger::{
        Wall,
        question::{Needle, Question},
    },
};

#[derive(Debug, Args)]
#[command(after_help = "\
Only the ledger's files are read: the agent need not run. An answer is `certain` when the container
was seen to hold it then, `likely` or `possible` with the reason why it is no surer.")]
pub(in crate::cli) struct WhoArgs {
    /// Address, MAC, cgroup id, link (name or index), or container id (its beginning) or name
    #[arg(value_name = "WHAT")]
    what: String,

    /// When: 2026-11-23T10:15:00Z, or -10m for ten minutes ago
    #[arg(
        long,
        value_name = "TIME",
        default_value = "now",
        allow_hyphen_values = true
    )]
    at: String,

    /// Everybody from then until --at
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,

    /// Only those in whose network namespace something listened on this port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Text, or one JSON object
    #[arg(long, short, default_value = "text")]
    format: TableFormat,

    #[command(flatten)]
    ledger: LedgerOptions,
}

pub(super) fn execute(args: &WhoArgs) -> Result<Exit, Failure> {
    let place = args.ledger.open()?;
    let now = Wall::now();
    let to = time(&args.at, now)?;
    let from = args
        .since
        .as_deref()
        .map_or(Ok(to), |since| time(since, now))?;
    if from > to {
        let error = anyhow::anyhow!("--since {from} is after --at {to}");
        return Err(Failure::new(Exit::Usage, error));
    }
    let question = Question {
        needle: Needle::parse(&args.what),
        port: args.port,
        from,
        to,
    };
    let answers = ask(&question, place)?;
    let mut out = Vec::new();
    match args.format {
        TableFormat::Text => render::text(&mut out, &args.what, &question, &answers)?,
        TableFormat::Json => render::object(&mut out, &args.what, &question, &answers)?,
    }
    io::stdout().write_all(&out)?;
    Ok(Exit::Ok)
}
