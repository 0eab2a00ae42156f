//! `hydrophone ledger verify`: is the ledger what was written?

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::Args;

use super::{LedgerOptions, Place, render};
use crate::{
    cli::{Exit, Failure, containers::TableFormat},
    ledger::{Head, verify::verify},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 0: every line is as it was written and none is missing. 6: a line is not, or lines are
missing; the first place is named. Lines cut off at the end show only against --anchor: take
`ledger.head` of a `stats` event that is kept elsewhere.")]
pub(in crate::cli) struct VerifyArgs {
    /// A line that must be there: number and hash, from a `stats` event
    #[arg(long, value_name = "SEQ:HASH")]
    anchor: Option<Head>,

    /// Text, or one JSON object
    #[arg(long, short, default_value = "text")]
    format: TableFormat,

    #[command(flatten)]
    ledger: LedgerOptions,
}

pub(super) fn execute(args: &VerifyArgs) -> Result<Exit, Failure> {
    let Place { directory, sealer } = args.ledger.open()?;
    let verdict = verify(&directory, sealer, args.anchor)
        .with_context(|| format!("cannot read the ledger in {}", directory.display()))?;
    let mut out = Vec::new();
    match args.format {
        TableFormat::Text => render::verdict(&mut out, &verdict)?,
        TableFormat::Json => render::json(&mut out, &verdict)?,
    }
    io::stdout().write_all(&out)?;
    Ok(if verdict.is_sound() {
        Exit::Ok
    } else {
        Exit::Broken
    })
}
