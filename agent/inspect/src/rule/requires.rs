//! `requires`: rules that say for which engines they are.

use super::{diagnostic::Fault, draft::Options, keyword::known, source::Span};

/// The language version that this engine speaks, for `requires`.
const VERSION: [u32; 3] = [9, 0, 0];

/// `requires:version >= 7.0.3 < 8 | >= 9, feature NAME, keyword NAME`.
pub(super) fn parse(options: &mut Options, value: Span<'_>) -> Result<(), Fault> {
    for part in value.split(',').map(Span::trim) {
        let (kind, rest) = part
            .text
            .split_once(char::is_whitespace)
            .unwrap_or((part.text, ""));
        let met = match kind {
            "version" => rest.split('|').any(version_in),
            "keyword" => known(rest.trim()),
            "feature" => matches!(rest.trim(), "ja3" | "ja4" | "true" | "output::file-store"),
            _ => false,
        };
        if !met {
            options.not_for_us = Some(part.text.to_owned());
        }
    }
    Ok(())
}

/// Whether our version is in `>= 7.0.3 < 8`.
fn version_in(range: &str) -> bool {
    let mut words = range.split_whitespace();
    while let (Some(operator), Some(version)) = (words.next(), words.next()) {
        let mut wanted = [0; 3];
        for (slot, part) in wanted.iter_mut().zip(version.split('.')) {
            *slot = part.parse().unwrap_or(0);
        }
        let holds = match operator {
            ">=" => VERSION >= wanted,
            ">" => VERSION > wanted,
            "<" => VERSION < wanted,
            "<=" => VERSION <= wanted,
            _ => false,
        };
        if !holds {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_part_by_part() {
        for (range, met) in [
            (">= 8", true),
            (">= 7.0.3 < 8", false),
            (">= 9.0.1", false),
            ("< 9.0.1", true),
            ("about 9", false),
        ] {
            assert_eq!(version_in(range), met, "{range}");
        }
    }
}
