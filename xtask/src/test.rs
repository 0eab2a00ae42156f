//! `cargo xtask test`: all that a change has to pass, and one line that sums it up.

use std::{
    fmt,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    command::{build_agent, cargo, check},
    setup::{self, Group},
};

/// Tests that need root, by nextest's name of their binary.
const NEEDS_ROOT: &str = "package(hydrophone-tests)";

/// Runs everything. The last line on standard output is `N passed, N failed, N skipped`.
pub(crate) fn test(root: &Path, unit: bool) -> ExitCode {
    let tally = run(root, unit).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        // What failed is the check that stopped us.
        Tally {
            failed: 1,
            ..Tally::default()
        }
    });
    println!("{tally}");
    if tally.failed == 0 && tally.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(root: &Path, unit: bool) -> Result<Tally> {
    setup::setup(root, if unit { Group::Unit } else { Group::Test })?;

    step("formatting");
    check(
        cargo(root).args(["fmt", "--all", "--check"]),
        "formatting: `cargo fmt` repairs it",
    )?;

    step("kernel programs and agent");
    build_agent(root, "dev")?;

    step("lints");
    let mut clippy = cargo(root);
    clippy.args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    check(&mut clippy, "lints")?;

    step("documentation");
    let mut doc = cargo(root);
    doc.args(["doc", "--locked", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    check(&mut doc, "documentation")?;

    step("tests");
    nextest(root, unit)
}

fn step(name: &str) {
    println!("\n== {name}");
}

fn nextest(root: &Path, unit: bool) -> Result<Tally> {
    let mut nextest = cargo(root);
    nextest
        .args([
            "nextest",
            "run",
            "--locked",
            "--workspace",
            "--no-fail-fast",
        ])
        .env("PATH", setup::path(root)?)
        .stderr(Stdio::piped());
    if unit {
        nextest.args(["--filterset", &format!("not ({NEEDS_ROOT})")]);
    }
    let mut child = nextest.spawn().context("cannot start cargo nextest")?;
    let mut tally = None;
    if let Some(output) = child.stderr.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cannot read what nextest says")?;
            let line = String::from_utf8_lossy(&line);
            eprintln!("{line}");
            tally = Tally::parse(&line).or(tally);
        }
    }
    let status = child.wait()?;
    let mut tally = tally.context("the tests did not run (see above)")?;
    if !status.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// How the tests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

impl Tally {
    /// Reads nextest's summary, e.g. `Summary [ 3.7s] 4 tests run: 2 passed (1 slow), 1 failed,
    /// 1 timed out, 3 skipped`; figures that are 0 may be left out. `None` for any other line.
    fn parse(line: &str) -> Option<Self> {
        let (head, figures) = line.split_once(" run: ")?;
        if !head.trim_start().starts_with("Summary [") {
            return None;
        }
        let mut tally = Self::default();
        for figure in figures.split(", ") {
            let mut words = figure.split_whitespace();
            let Some(count) = words.next().and_then(|count| count.parse::<u64>().ok()) else {
                continue;
            };
            match words.next() {
                Some("passed") => tally.passed += count,
                Some("skipped") => tally.skipped += count,
                Some("failed" | "timed" | "exec") => tally.failed += count,
                // A remark, e.g. `(2 slow, 1 flaky)`.
                _ => {}
            }
        }
        Some(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_is_read_in_all_its_forms() {
        for (line, passed, failed, skipped) in [
            (
                "     Summary [   3.727s] 1 test run: 1 passed, 0 skipped",
                1,
                0,
                0,
            ),
            (
                "     Summary [  13.917s] 1 test run: 0 passed, 1 failed, 2 skipped",
                0,
                1,
                2,
            ),
            (
                "Summary [ 1.0s] 9 tests run: 4 passed (2 slow, 1 flaky), 3 failed, 1 timed out, \
                 1 exec failed, 0 skipped",
                4,
                5,
                0,
            ),
        ] {
            let expected = Tally {
                passed,
                failed,
                skipped,
            };
            assert_eq!(Tally::parse(line), Some(expected), "{line}");
        }
        assert_eq!(
            Tally::parse("   a test printed: 3 tests run: 3 passed"),
            None
        );
        assert_eq!(Tally::parse("    Finished `test` profile"), None);
    }
}
