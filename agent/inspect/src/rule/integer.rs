//! Numbers against numbers, as all integer keywords write it.

use super::{diagnostic::Fault, source::Span};

/// A comparison with a number (Suricata: integer keywords).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerTest {
    /// `low..=high`, possibly negated.
    Range {
        /// Lowest.
        low: u64,
        /// Highest.
        high: u64,
        /// Everything outside.
        negated: bool,
    },
    /// `&MASK`: any of the bits; `&MASK=VALUE`: these bits are so.
    Bits {
        /// Looked at.
        mask: u64,
        /// Wanted; `None` is any.
        wanted: Option<u64>,
        /// Turned round.
        negated: bool,
    },
}

impl IntegerTest {
    /// Whether `value` passes.
    #[must_use]
    pub const fn matches(self, value: u64) -> bool {
        match self {
            Self::Range { low, high, negated } => (value >= low && value <= high) != negated,
            Self::Bits {
                mask,
                wanted,
                negated,
            } => {
                let found = match wanted {
                    None => value & mask != 0,
                    Some(wanted) => value & mask == wanted,
                };
                found != negated
            }
        }
    }

    /// The highest number that passes, where there is one.
    #[must_use]
    pub(crate) const fn most(self) -> Option<u64> {
        match self {
            Self::Range {
                high,
                negated: false,
                ..
            } => Some(high),
            _ => None,
        }
    }

    /// Whatever number.
    pub(crate) const ANY: Self = Self::Range {
        low: 0,
        high: u64::MAX,
        negated: false,
    };

    /// Exactly one number.
    #[must_use]
    pub const fn exact(value: u64) -> Self {
        Self::Range {
            low: value,
            high: value,
            negated: false,
        }
    }
}

/// Parses `N`, `!N`, `<N`, `<=N`, `>N`, `>=N`, `LOW<>HIGH`, `LOW-HIGH`, `&MASK`; `names` translates words.
pub(super) fn parse(
    value: Span<'_>,
    names: &dyn Fn(&str) -> Option<u64>,
) -> Result<IntegerTest, Fault> {
    comparison(value, names, 1)
}

/// The same, but `LOW<>HIGH` and `LOW-HIGH` have their ends in them.
pub(super) fn parse_inclusive(
    value: Span<'_>,
    names: &dyn Fn(&str) -> Option<u64>,
) -> Result<IntegerTest, Fault> {
    comparison(value, names, 0)
}

/// `inset` is how far inside its ends a range begins.
fn comparison(
    value: Span<'_>,
    names: &dyn Fn(&str) -> Option<u64>,
    inset: u64,
) -> Result<IntegerTest, Fault> {
    let fault = || {
        Fault::new(value.at, format!("`{}` is no number or range", value.text))
            .hint("N, !N, <N, <=N, >N, >=N or LOW<>HIGH")
    };
    let number = |text: &str| -> Result<u64, Fault> {
        let text = text.trim();
        if let Some(number) = names(text) {
            return Ok(number);
        }
        scaled(text).ok_or_else(fault)
    };
    let text = value.text.trim();
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) if !rest.starts_with('=') => (true, rest.trim()),
        Some(rest) => (true, rest.get(1..).unwrap_or_default().trim()),
        None => (false, text),
    };
    if let Some(rest) = text.strip_prefix('&') {
        let (mask, wanted) = match rest.split_once('=') {
            Some((mask, wanted)) => (number(mask)?, Some(number(wanted)?)),
            None => (number(rest)?, None),
        };
        return Ok(IntegerTest::Bits {
            mask,
            wanted,
            negated,
        });
    }
    let (low, high) = if let Some((low, high)) = text.split_once("<>") {
        let low = number(low)?.checked_add(inset).ok_or_else(fault)?;
        (low, number(high)?.checked_sub(inset).ok_or_else(fault)?)
    } else if let Some(rest) = text.strip_prefix("<=") {
        (0, number(rest)?)
    } else if let Some(rest) = text.strip_prefix(">=") {
        (number(rest)?, u64::MAX)
    } else if let Some(rest) = text.strip_prefix('<') {
        (0, number(rest)?.checked_sub(1).ok_or_else(fault)?)
    } else if let Some(rest) = text.strip_prefix('>') {
        (number(rest)?.checked_add(1).ok_or_else(fault)?, u64::MAX)
    } else if let Some(exact) = names(text) {
        (exact, exact)
    } else if let Some((low, high)) = text.split_once('-') {
        let low = number(low)?.checked_add(inset).ok_or_else(fault)?;
        (low, number(high)?.checked_sub(inset).ok_or_else(fault)?)
    } else {
        let exact = number(text.trim_start_matches('='))?;
        (exact, exact)
    };
    if low > high {
        return Err(fault());
    }
    Ok(IntegerTest::Range { low, high, negated })
}

/// A decimal or `0x` number, with `KiB`, `MiB`, `GiB` as units.
fn scaled(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => 1,
        "kib" | "kb" => 1 << 10,
        "mib" | "mb" => 1 << 20,
        "gib" | "gb" => 1 << 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}
