//! `hydrophone doctor`: what is there, what is missing, what can be seen, and what to do.

pub mod capabilities;
mod checks;
mod coverage;

use core::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;

use super::{Exit, Failure, options::ConfigOptions};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigOptions,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// As it must be, and good to know.
    Note,
    /// Hydrophone runs, but sees or tells less.
    Warn,
    /// Hydrophone does not run.
    Fail,
}

/// One line of the report, and what to do about it.
#[derive(Debug)]
struct Check {
    verdict: Verdict,
    what: String,
    advice: Option<String>,
}

impl Check {
    fn ok(what: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Ok,
            what: what.into(),
            advice: None,
        }
    }

    fn note(what: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Note,
            what: what.into(),
            advice: None,
        }
    }

    fn warn(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            what: what.into(),
            advice: Some(advice.into()),
        }
    }

    fn fail(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            what: what.into(),
            advice: Some(advice.into()),
        }
    }
}

pub(super) fn execute(args: &DoctorArgs) -> Result<Exit, Failure> {
    let config = args.config.load(Vec::new())?;
    let mut report = checks::all(&config);
    report.extend(coverage::all(&config));
    let color = io::stdout().is_terminal();
    let mut text = String::new();
    for check in &report {
        text.push_str(&Line { check, color }.to_string());
    }
    let failed = count(&report, Verdict::Fail);
    let warned = count(&report, Verdict::Warn);
    text.push_str(&match (failed, warned) {
        (0, 0) => "everything is there\n".to_owned(),
        (0, warned) => format!("hydrophone can run; {warned} to look at\n"),
        (failed, _) => format!("hydrophone cannot run: {failed} to repair\n"),
    });
    io::stdout().write_all(text.as_bytes())?;
    Ok(if failed == 0 {
        Exit::Ok
    } else {
        Exit::Prerequisite
    })
}

fn count(report: &[Check], verdict: Verdict) -> usize {
    report
        .iter()
        .filter(|check| check.verdict == verdict)
        .count()
}

struct Line<'a> {
    check: &'a Check,
    color: bool,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, code) = match self.check.verdict {
            Verdict::Ok => ("ok  ", "\x1b[32m"),
            Verdict::Note => ("note", "\x1b[36m"),
            Verdict::Warn => ("warn", "\x1b[33m"),
            Verdict::Fail => ("FAIL", "\x1b[31m"),
        };
        let (code, reset) = if self.color {
            (code, "\x1b[0m")
        } else {
            ("", "")
        };
        writeln!(f, "{code}{word}{reset}  {}", self.check.what)?;
        match &self.check.advice {
            Some(advice) => writeln!(f, "      → {advice}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_to_do() {
        let check = Check::warn("a", "b");
        let line = Line {
            check: &check,
            color: false,
        };
        assert_eq!(line.to_string(), "warn  a\n      → b\n");
    }
}
