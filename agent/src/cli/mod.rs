//! The command line: what the user typed becomes a validated value, then one call.

mod completions;
mod containers;
pub mod doctor;
mod exit;
mod ledger;
mod options;
mod replay;
mod rules;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};

/// Network intrusion detection between the containers of a Linux host.
#[derive(Debug, Parser)]
#[command(
    name = "hydrophone",
    version,
    propagate_version = true,
    after_help = "\
Events go to standard output, the agent's own log to standard error.

Exit codes:
  0  done
  1  failed while running
  2  the command line is not understood
  3  the configuration or a rule file has errors
  4  something that is needed is missing: permission, kernel feature, kernel object
  5  another Hydrophone watches this host
  6  the ledger is not as it was written"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this host: record what containers say to each other, and alert.
    Run(run::RunArgs),
    /// Inspect a capture file with the same pipeline
    Replay(replay::ReplayArgs),
    /// Check and list rules
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Show which containers this host runs, with their links, cgroup ids and addresses.
    Containers(containers::ContainersArgs),
    /// Show who held an address, MAC, cgroup id or link at a time
    Who(ledger::WhoArgs),
    /// Check the ledger of who was who
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Check what Hydrophone needs, and say what it can and cannot see on this host.
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell.
    Completions(completions::CompletionsArgs),
}

/// Runs the command of this process.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::execute(&args),
        Command::Replay(args) => replay::execute(&args),
        Command::Rules(command) => rules::execute(&command),
        Command::Containers(args) => containers::execute(&args),
        Command::Who(args) => ledger::who(&args),
        Command::Ledger(command) => ledger::execute(&command),
        Command::Doctor(args) => doctor::execute(&args),
        Command::Completions(args) => completions::execute(&args),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_has_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for exit in Exit::ALL {
            assert!(help.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
