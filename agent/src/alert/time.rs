//! Timestamps as text, in UTC.

use core::fmt;

use hydrophone_inspect::Timestamp;
use serde::{Serialize, Serializer};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// A point of time broken down by the Gregorian calendar.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    microsecond: u64,
}

impl Civil {
    /// Days to date: eras of 400 years that start on 1 March, so that the leap day ends a year.
    const fn new(timestamp: Timestamp) -> Self {
        let seconds = timestamp.0 / SECOND;
        let days = seconds / DAY + 719_468;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Self {
            year: year_of_era + days / 146_097 * 400 + (month <= 2) as u64,
            month,
            day: of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: seconds % DAY / 3_600,
            minute: seconds % 3_600 / 60,
            second: seconds % 60,
            microsecond: timestamp.0 % SECOND / 1_000,
        }
    }
}

/// As in EVE: `2026-11-23T20:23:10.123456+0000`.
#[derive(Clone, Copy, Debug)]
pub(super) struct EveTime(pub(super) Timestamp);

impl fmt::Display for EveTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+0000", DateTime(self.0))
    }
}

impl Serialize for EveTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As in RFC 5424 section 6.2.3: `2026-11-23T20:23:10.123456Z`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyslogTime(pub(crate) Timestamp);

impl fmt::Display for SyslogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", DateTime(self.0))
    }
}

/// As a person wants it: `2026-11-23 20:23:10.123`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShortTime(pub(super) Timestamp);

impl fmt::Display for ShortTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            microsecond,
        } = Civil::new(self.0);
        let millisecond = microsecond / 1_000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millisecond:03}"
        )
    }
}

struct DateTime(Timestamp);

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            microsecond,
        } = Civil::new(self.0);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        // From `date -u -d @N +%FT%T`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000+0000"),
            (951_782_400, "2000-02-29T00:00:00.000000+0000"),
            (1_709_251_199, "2024-02-29T23:59:59.000000+0000"),
            (1_735_689_600, "2025-01-01T00:00:00.000000+0000"),
            (1_795_465_390, "2026-11-23T20:23:10.000000+0000"),
            (4_107_542_400, "2100-03-01T00:00:00.000000+0000"),
        ] {
            assert_eq!(EveTime(Timestamp(seconds * SECOND)).to_string(), text);
        }
    }

    #[test]
    fn fractions() {
        let time = Timestamp(1_795_465_390_123_456_789);
        assert_eq!(SyslogTime(time).to_string(), "2026-11-23T20:23:10.123456Z");
        assert_eq!(ShortTime(time).to_string(), "2026-11-23 20:23:10.123");
        assert_eq!(
            EveTime(Timestamp(u64::MAX)).to_string(),
            "2554-07-21T23:34:33.709551+0000"
        );
    }
}
