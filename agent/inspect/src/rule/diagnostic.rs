//! What is wrong with a rule, and where.

use std::{fmt, sync::Arc};

/// Whether the rule was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The rule was left out.
    Error,
    /// The rule was loaded.
    Warning,
}

/// One complaint about a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// Whether the rule was left out.
    pub severity: Severity,
    /// The keyword it is about, if it is about one.
    pub keyword: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Self {
            file,
            line,
            column,
            message,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {message}")?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Diagnostic {
    /// The complaint with the source line and a caret below the place.
    #[must_use]
    pub fn render(&self, source: &str) -> String {
        /// Longest part of a line that is shown before and after the place.
        const SHOWN: usize = 60;
        let Some(line) = source.lines().nth(self.line.saturating_sub(1)) else {
            return self.to_string();
        };
        let at = self.column.saturating_sub(1);
        let start = floor(line, at.saturating_sub(SHOWN));
        let end = floor(line, at.saturating_add(SHOWN));
        let shown = line.get(start..end).unwrap_or_default().replace('\t', " ");
        let indent = line
            .get(start..floor(line, at))
            .map_or(0, |before| before.chars().count());
        format!("{self}\n    | {shown}\n    | {:indent$}^", "")
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What went wrong inside a rule: an offset into the file instead of line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) keyword: Option<String>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            keyword: None,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn keyword(mut self, keyword: &str) -> Self {
        self.keyword = Some(keyword.to_owned());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
