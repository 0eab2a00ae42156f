//! `cargo xtask bench engine`: what one thread takes in, with more and more rules.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use hydrophone_tests::program;

use crate::command::{cargo, check, output};

/// What of the engine is measured.
#[derive(Subcommand)]
pub(crate) enum Engine {
    /// Packets a second on one thread, over made-up service traffic and, with HYDROPHONE_CORPUS, captures
    Engine {
        /// Count the instructions of a fixed input by valgrind instead: the same on every machine of a
        /// kind, however busy
        #[arg(long)]
        callgrind: bool,
    },
}

impl Engine {
    pub(crate) fn run(&self, root: &Path) -> Result<()> {
        let Self::Engine { callgrind } = self;
        let bench = build(root)?;
        if !callgrind {
            return check(&mut Command::new(bench), "the benchmark failed");
        }
        let valgrind = program("valgrind").context("`apt-get install valgrind` brings it")?;
        for rules in ["0", "1000", "10000", "all"] {
            println!("\n{rules} rules");
            let mut run = Command::new(&valgrind);
            run.args(["--tool=callgrind", "--toggle-collect=throughput::measured*"])
                .arg(format!(
                    "--callgrind-out-file={}",
                    root.join(format!("target/callgrind.{rules}")).display()
                ))
                .arg(&bench)
                .args(["--once", rules]);
            check(&mut run, "valgrind failed")?;
        }
        println!("\n`callgrind_annotate target/callgrind.RULES` says where they go.");
        Ok(())
    }
}

/// Builds the benchmark and says where it is.
fn build(root: &Path) -> Result<PathBuf> {
    let mut build = cargo(root);
    build
        .args(["bench", "--locked", "--no-run", "--message-format=json"])
        .args(["--package", "hydrophone-inspect", "--bench", "throughput"]);
    let messages = output(&mut build, "the benchmark did not build")?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let name = message.pointer("/target/name")?.as_str()?;
        let path = message.get("executable")?.as_str()?;
        (name == "throughput").then(|| PathBuf::from(path))
    });
    executables.next_back().context("cargo names no benchmark")
}
