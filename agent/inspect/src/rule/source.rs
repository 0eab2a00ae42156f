//! A rule file as rules with exact places.

use std::sync::Arc;

/// A piece of a file: its text and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Span<'a> {
    pub(super) const fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// Without white space and line continuations at its ends.
    pub(super) fn trim(self) -> Self {
        let mut start = 0;
        while let Some(rest) = self.text.get(start..) {
            let blank = rest.len() - rest.trim_start().len();
            let after = rest.get(blank..).unwrap_or_default();
            let folded = ["\\\r\n", "\\\n"]
                .into_iter()
                .find(|fold| after.starts_with(fold));
            match (blank, folded) {
                (0, None) => break,
                (blank, fold) => start += blank + fold.map_or(0, str::len),
            }
        }
        let mut end = self.text.get(start..).unwrap_or_default();
        loop {
            let text = end.trim_end();
            let newline = end
                .get(text.len()..)
                .is_some_and(|rest| rest.starts_with(['\n', '\r']));
            match text.strip_suffix('\\') {
                Some(shorter) if newline => end = shorter,
                _ => {
                    end = text;
                    break;
                }
            }
        }
        Self {
            text: end,
            at: self.at + start,
        }
    }

    /// Splits at the first `separator`.
    pub(super) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let position = self.text.find(separator)?;
        Some((
            self.slice(0, position),
            self.slice(position + separator.len_utf8(), self.text.len()),
        ))
    }

    /// The parts between `separator`s.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> + 'a {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let span = Self { text, at };
            at += text.len() + separator.len_utf8();
            span
        })
    }

    pub(super) fn slice(self, start: usize, end: usize) -> Self {
        Self {
            text: self.text.get(start..end).unwrap_or_default(),
            at: self.at + start,
        }
    }
}

/// The parts between `separator`s that are not inside brackets.
pub(super) fn outside_brackets(span: Span<'_>, separator: char) -> impl Iterator<Item = Span<'_>> {
    let mut depth = 0_usize;
    let mut at = span.at;
    let split = move |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c == separator
    };
    span.text.split(split).map(move |text| {
        let part = Span { text, at };
        at += text.len() + separator.len_utf8();
        part
    })
}

/// A rule file.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) name: Arc<str>,
    text: &'a str,
    /// Offset of each line.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(name: &str, text: &'a str) -> Self {
        let mut lines = vec![0];
        lines.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(at, _)| at + 1),
        );
        Self {
            name: name.into(),
            text,
            lines,
        }
    }

    /// Line and column, both from 1, of an offset.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = line
            .checked_sub(1)
            .and_then(|index| self.lines.get(index))
            .copied();
        (line.max(1), at.saturating_sub(start.unwrap_or(0)) + 1)
    }

    /// Rules: what is neither blank nor comment, continued lines joined.
    pub(super) fn rules(&self) -> Vec<Span<'a>> {
        let mut rules = Vec::new();
        let mut start = 0;
        while start < self.text.len() {
            let first = self.line_end(start);
            let line = self.text.get(start..first).unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                start = first + 1;
                continue;
            }
            let mut end = first;
            while self.text.get(start..end).is_some_and(continued) && end < self.text.len() {
                end = self.line_end(end + 1);
            }
            rules.push(Span::new(self.text.get(start..end).unwrap_or_default(), start).trim());
            start = end + 1;
        }
        rules
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        rest.find('\n')
            .map_or(self.text.len(), |length| from + length)
    }
}

/// Whether a line ends in a backslash.
fn continued(line: &str) -> bool {
    line.strip_suffix('\r').unwrap_or(line).ends_with('\\')
}
