//! `pcre`: regular expressions with bounded work.

use std::sync::OnceLock;

use pcre2::bytes::{Regex, RegexBuilder};

use super::{Target, diagnostic::Fault, source::Span};
use crate::protocol::Buffer;

/// Steps of one match (Suricata: `pcre.match-limit`), set inside the pattern so that it holds for
/// compiled code too.
const LIMITS: &str = "(*LIMIT_MATCH=3500)(*LIMIT_DEPTH=1500)";
/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 8_192;

/// A regular expression with its modifiers.
#[derive(Debug)]
pub struct Pcre {
    /// As written, between the slashes.
    pub pattern: String,
    /// Letters behind the slash that concern the pattern.
    flags: String,
    /// It must not match.
    pub negated: bool,
    /// `R`: from the previous match on.
    pub relative: bool,
    /// It ends in `$`: what has not come yet matters.
    pub anchored_at_end: bool,
    compiled: OnceLock<Option<Regex>>,
}

impl Pcre {
    /// Checks that the pattern compiles; it is translated to machine code when it is first needed.
    ///
    /// # Errors
    /// What the library says of the pattern.
    pub fn compile(pattern: String, negated: bool, flags: &str) -> Result<Self, String> {
        let pcre = Self {
            relative: flags.contains('R'),
            flags: flags.to_owned(),
            negated,
            anchored_at_end: pattern.ends_with('$') && !pattern.ends_with("\\$"),
            pattern,
            compiled: OnceLock::new(),
        };
        pcre.build(false).map(|_| pcre)
    }

    fn build(&self, jit: bool) -> Result<Regex, String> {
        let anchored = if self.flags.contains('A') { "\\G" } else { "" };
        let mut builder = RegexBuilder::new();
        builder
            .caseless(self.flags.contains('i'))
            .multi_line(self.flags.contains('m'))
            .dotall(self.flags.contains('s'))
            .extended(self.flags.contains('x'))
            .jit_if_available(jit);
        let greedy = if self.flags.contains('G') { "(?U)" } else { "" };
        builder
            .build(&format!("{LIMITS}{greedy}{anchored}(?:{})", self.pattern))
            .or_else(|_| builder.build(&format!("{LIMITS}{}", self.pattern)))
            .map_err(|error| error.to_string())
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| self.build(true).ok()).as_ref()
    }

    /// Where it first matches from `from` on: start and end. An exceeded limit counts in `exceeded`.
    pub fn find(&self, data: &[u8], from: usize, exceeded: &mut bool) -> Option<(usize, usize)> {
        // `^` is where the search begins, also behind a previous match.
        let rest = data.get(from..)?;
        match self.regex()?.find(rest) {
            Ok(found) => found.map(|found| (from + found.start(), from + found.end())),
            Err(_) => {
                *exceeded = true;
                None
            }
        }
    }

    /// The bytes of the first capture group.
    pub fn capture<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        let captures = self.regex()?.captures(data).ok()??;
        captures.get(1).map(|group| group.as_bytes())
    }
}

/// Parses `[!]"/PATTERN/FLAGS[, captures]"`. The buffer is that of its flags, if they name one.
pub(super) fn parse(value: Span<'_>) -> Result<(Pcre, Option<Target>), Fault> {
    let (negated, text) = match value.text.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, value.text),
    };
    let text = text.strip_prefix('"').unwrap_or(text);
    let text = text.strip_suffix('"').unwrap_or(text);
    let fault = || Fault::new(value.at, "a pattern is written \"/PATTERN/FLAGS\"");
    let open = text.find('/').ok_or_else(fault)?;
    let close = text
        .rfind('/')
        .filter(|close| *close > open)
        .ok_or_else(fault)?;
    let pattern = text.get(open + 1..close).unwrap_or_default();
    if pattern.len() > MAX_PATTERN {
        return Err(Fault::new(
            value.at,
            format!("pattern longer than {MAX_PATTERN} bytes"),
        ));
    }
    // Behind a comma stand the names of captures: they are for other engines' variables.
    let flags = text.get(close + 1..).unwrap_or_default();
    let flags = flags.split(',').next().unwrap_or_default().trim();
    let mut target = None;
    for flag in flags.chars() {
        let buffer = match flag {
            'i' | 'm' | 's' | 'x' | 'A' | 'E' | 'G' | 'R' | 'B' | 'O' => continue,
            'U' => Buffer::HttpUri,
            'I' => Buffer::HttpRawUri,
            'P' => Buffer::HttpRequestBody,
            'Q' => Buffer::FileData,
            'H' => Buffer::HttpHeader,
            'D' => Buffer::HttpRawHeader,
            'M' => Buffer::HttpMethod,
            'C' => Buffer::HttpCookie,
            'S' => Buffer::HttpStatCode,
            'Y' => Buffer::HttpStatMsg,
            'V' => Buffer::HttpUserAgent,
            'W' => Buffer::HttpHost,
            'Z' => Buffer::HttpRawHost,
            other => {
                return Err(Fault::new(value.at, format!("unknown pcre flag `{other}`"))
                    .hint("i m s x A E G R B O and U I P Q H D M C S Y V W Z"));
            }
        };
        if target.replace(Target::Transaction(buffer)).is_some() {
            return Err(Fault::new(value.at, "a pcre names two buffers"));
        }
    }
    // A rule file escapes `;`, `"` and `:`; the library reads those escapes as the characters.
    let pcre = Pcre::compile(pattern.to_owned(), negated, flags)
        .map_err(|error| Fault::new(value.at, format!("the pattern does not compile: {error}")))?;
    Ok((pcre, target))
}
