//! Points of time in the ledger, and how people write them.

use core::fmt;

use hydrophone_inspect::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::alert::time::SyslogTime;

const SECOND: u64 = 1_000_000;

/// Unix time in microseconds; as text `2026-11-23T10:15:00.123456Z` (RFC 3339).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

impl Wall {
    /// The wall clock.
    #[must_use]
    pub fn now() -> Self {
        Self(microseconds(clock_gettime(ClockId::Realtime)))
    }

    /// Seconds from `earlier`, 0 when that is later.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / SECOND
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SyslogTime(Timestamp(self.0.saturating_mul(1_000))).fmt(f)
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).ok_or_else(|| D::Error::custom("not a time as RFC 3339 has it"))
    }
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The wall clock, which may be set.
    pub wall: Wall,
    /// `CLOCK_BOOTTIME` in microseconds: never goes back until the host starts again.
    pub boottime: u64,
}

impl Stamp {
    /// Both clocks now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            wall: Wall::now(),
            boottime: microseconds(clock_gettime(ClockId::Boottime)),
        }
    }

    /// How far the wall clock is ahead of the other one, in microseconds.
    #[must_use]
    pub const fn offset(self) -> i64 {
        self.wall
            .0
            .cast_signed()
            .wrapping_sub(self.boottime.cast_signed())
    }
}

fn microseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(SECOND).saturating_add(rest / 1_000)
}

/// What a person writes: RFC 3339 (`2026-11-23T10:15:00Z`, with fraction and offset), `now`, or a
/// span before now (`-10m`).
///
/// # Errors
/// Says what is expected.
pub fn parse_time(text: &str, now: Wall) -> Result<Wall, String> {
    if text == "now" {
        return Ok(now);
    }
    if let Some(span) = text.strip_prefix('-') {
        let span: crate::config::Interval = span.parse()?;
        let back = span.nanoseconds() / 1_000;
        return Ok(Wall(now.0.saturating_sub(back)));
    }
    parse_rfc3339(text).ok_or_else(|| {
        format!("`{text}` is not a time: write 2026-11-23T10:15:00Z, or -10m for ten minutes ago")
    })
}

/// Section 5.6 of RFC 3339, from 1970 on. A space for the `T` is taken, as the RFC has it.
fn parse_rfc3339(text: &str) -> Option<Wall> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (
        number(date.next()?, 4, 9_999)?,
        number(date.next()?, 2, 12)?,
        number(date.next()?, 2, 31)?,
    );
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':');
    let (hour, minute, second) = (
        number(clock.next()?, 2, 23)?,
        number(clock.next()?, 2, 59)?,
        number(clock.next()?, 2, 60)?,
    );
    let days = days_from_civil(year, month, day)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let local = seconds.checked_mul(SECOND)? + fraction_of(fraction)?;
    match zone.split_at_checked(1)? {
        ("Z" | "z", "") => Some(Wall(local)),
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let ahead = (number(hours, 2, 23)? * 3_600 + number(minutes, 2, 59)? * 60) * SECOND;
            match sign {
                "+" => local.checked_sub(ahead).map(Wall),
                "-" => local.checked_add(ahead).map(Wall),
                _ => None,
            }
        }
    }
}

fn number(text: &str, digits: usize, most: u64) -> Option<u64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|_| is_number)?;
    (value <= most).then_some(value)
}

fn fraction_of(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.bytes()
        .chain(core::iter::repeat(b'0'))
        .take(6)
        .try_fold(0, |sum, digit| {
            Some(sum * 10 + u64::from(digit.checked_sub(b'0')?))
        })
}

/// Days since 1970-01-01; years begin on 1 March here, so that the leap day ends one.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let longest = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if month == 0 || day == 0 || day > longest {
        return None;
    }
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = (year % 400) * 365 + (year % 400) / 4 - (year % 400) / 100 + of_year;
    (year / 400 * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let now = Wall(1_795_465_390 * SECOND);
        for (text, expected) in [
            // Seconds from `date -u -d … +%s`.
            ("2026-11-23T20:23:10Z", 1_795_465_390_000_000),
            ("2026-11-23 21:23:10.5+01:00", 1_795_465_390_500_000),
            ("2024-02-29T23:59:59-00:30", 1_709_252_999_000_000),
            ("1970-01-01T00:00:00Z", 0),
            ("now", now.0),
            ("-10m", now.0 - 600 * SECOND),
        ] {
            assert_eq!(parse_time(text, now), Ok(Wall(expected)), "{text}");
        }
        for text in [
            "",
            "10m",
            "-10",
            "yesterday",
            "2026-11-23",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T20:23:10",
            "2026-11-23T20:23:10+1",
            "+026-11-23T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "2026-11-23T20:23:10.Z",
            "2026-11-23T20:23:10é",
        ] {
            assert!(parse_time(text, now).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(wall in 0..u64::MAX / 1_000) {
            prop_assert_eq!(parse_rfc3339(&Wall(wall).to_string()), Some(Wall(wall)));
        }

        #[test]
        fn any_text_is_a_time_or_an_error(text in "\\PC{0,40}") {
            let _ = parse_time(&text, Wall(0));
        }
    }
}
