//! `hydrophone completions SHELL`.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit, Failure};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn execute(args: &CompletionsArgs) -> Result<Exit, Failure> {
    // clap_complete panics when it cannot write: to memory first.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hydrophone", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Exit::Ok)
}
