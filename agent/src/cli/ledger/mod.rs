//! `hydrophone who`, `hydrophone containers --at` and `hydrophone ledger`: questions to the ledger.

mod render;
mod verify;
mod who;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{Exit, Failure, options::ConfigOptions};
use crate::ledger::{
    Wall,
    chain::Sealer,
    parse_time,
    question::{Answers, Needle, Question},
    store,
};

pub(super) use who::WhoArgs;

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Check that every line of the ledger is the one that was written, and that none is missing
    Verify(verify::VerifyArgs),
}

pub(super) fn execute(command: &LedgerCommand) -> Result<Exit, Failure> {
    match command {
        LedgerCommand::Verify(args) => verify::execute(args),
    }
}

pub(super) fn who(args: &WhoArgs) -> Result<Exit, Failure> {
    who::execute(args)
}

/// Where the ledger is.
#[derive(Debug, Args)]
pub(super) struct LedgerOptions {
    #[command(flatten)]
    config: ConfigOptions,

    /// Folder of the ledger, if not that of the configuration
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,

    /// File with the key that lines are sealed with, if not that of the configuration
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl LedgerOptions {
    /// The ledger of a configuration that another command has read.
    fn open(&self) -> Result<Place, Failure> {
        let config = self.config.load(Vec::new())?.ledger;
        let key_file = self.key_file.clone().or(config.key_file);
        place(
            self.ledger.clone().unwrap_or(config.directory),
            key_file.as_ref(),
        )
    }
}

/// A ledger and what its lines are checked with.
struct Place {
    directory: PathBuf,
    sealer: Sealer,
}

fn place(directory: PathBuf, key_file: Option<&PathBuf>) -> Result<Place, Failure> {
    let sealer =
        store::sealer(key_file.map(PathBuf::as_path)).context("cannot read the ledger's key")?;
    Ok(Place { directory, sealer })
}

/// A time as a user types it, against the clock when it is asked.
fn time(text: &str, now: Wall) -> Result<Wall, Failure> {
    parse_time(text, now).map_err(|error| Failure::new(Exit::Usage, anyhow::anyhow!(error)))
}

fn ask(question: &Question, place: Place) -> Result<Answers, Failure> {
    let Place { directory, sealer } = place;
    let answers = question.ask(&directory, sealer);
    answers
        .with_context(|| format!("cannot read the ledger in {}", directory.display()))
        .map_err(Failure::from)
}

/// `hydrophone containers --at TIME`: the answers, and what one has to know of them.
pub(super) fn containers_at(
    config: &crate::config::Ledger,
    at: &str,
    json: bool,
) -> Result<Vec<u8>, Failure> {
    let at = time(at, Wall::now())?;
    let question = Question {
        needle: Needle::All,
        port: None,
        from: at,
        to: at,
    };
    let answers = ask(
        &question,
        place(config.directory.clone(), config.key_file.as_ref())?,
    )?;
    for note in answers.notes.iter().chain(&answers.unknown) {
        eprintln!("hydrophone: {}", crate::alert::escape::Hostile(note));
    }
    let mut out = Vec::new();
    if json {
        render::lines(&mut out, &answers.answers)?;
    } else {
        render::table(&mut out, &answers.answers)?;
    }
    Ok(out)
}
