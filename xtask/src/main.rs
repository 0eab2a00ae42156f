//! Hydrophone's build, test and demo tasks.

mod bench;
mod build_ebpf;
mod command;
mod conformance;
mod demo;
mod image;
mod meaning;
mod run;
mod setup;
mod test;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::setup::Group;

#[derive(Parser)]
#[command(name = "cargo xtask", about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install, or explain, everything that building and testing needs
    Setup {
        /// Only what this task needs
        #[arg(value_enum, default_value_t = Group::Test)]
        group: Group,
    },
    /// Build the kernel programs
    BuildEbpf,
    /// Build the agent and watch this host's containers
    Run {
        /// Arguments of `hydrophone run`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check and test all of it; the last line sums up
    Test {
        /// Leave out what needs root: end-to-end tests and kernel fixtures
        #[arg(long)]
        unit: bool,
    },
    /// Show two containers, an attack and the alerts, all of its own
    Demo,
    /// Measure what watching costs: agent off, agent on and tcpdump side by side
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        /// Measurements of each
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        #[command(subcommand)]
        of: Option<bench::Engine>,
    },
    /// Replay the captures under HYDROPHONE_CORPUS and compare the alerts with the reference's
    Conformance {
        /// Only cases whose name contains this
        filter: Option<String>,
        /// An agent that is built already; without it, one is built for release
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
    /// Count what both values of `rules.meaning` do to the rules under HYDROPHONE_CORPUS: attacks found, false alerts
    Meaning {
        /// An agent that is built already; without it, one is built for release
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
    /// Load for the benchmark, inside its containers
    #[command(hide = true)]
    Load {
        #[command(subcommand)]
        load: bench::Load,
    },
    /// Make an OCI image from scratch: the agent and the libraries that it needs
    Image {
        /// An agent that is built already; without it, one is built for release
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
        /// The archive to write; target/image/hydrophone.tar by default
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = root().and_then(|root| match Cli::parse().task {
        Task::Demo => demo::demo(&root).map(|()| ExitCode::SUCCESS),
        Task::Bench { of: None, rounds } => bench::bench(&root, rounds).map(|()| ExitCode::SUCCESS),
        Task::Bench { of: Some(of), .. } => of.run(&root).map(|()| ExitCode::SUCCESS),
        Task::Conformance { filter, binary } => {
            conformance::conformance(&root, filter.as_deref(), binary)
        }
        Task::Meaning { binary } => meaning::meaning(&root, binary).map(|()| ExitCode::SUCCESS),
        Task::Load { load } => load.run().map(|()| ExitCode::SUCCESS),
        Task::Setup { group } => setup::setup(&root, group).map(|_| ExitCode::SUCCESS),
        Task::BuildEbpf => build_ebpf::build_ebpf(&root).map(|_| ExitCode::SUCCESS),
        Task::Run { arguments } => run::run(&root, &arguments),
        Task::Image { binary, output } => {
            image::image(&root, binary, output).map(|()| ExitCode::SUCCESS)
        }
        Task::Test { unit } => Ok(test::test(&root, unit)),
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The workspace that this task was built in.
fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    Ok(root.context("no workspace root")?.to_owned())
}
