//! Times of certificates (RFC 5280, section 4.1.2.5).

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Seconds since 1970 of a date; what lies before is 0. `None` when there is no such date.
pub(crate) fn seconds(date: [u64; 3], time: [u64; 3]) -> Option<u64> {
    let [year, month, day] = date;
    let [hour, minute, second] = time;
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    let in_month = 1..=*lengths.get(before)?;
    if !in_month.contains(&day) || year > 9_999 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since the beginning of the year 1, without its own.
    let days = |year: u64| {
        let past = year.saturating_sub(1);
        past * 365 + past / 4 - past / 100 + past / 400
    };
    let months: u64 = lengths.iter().take(before).sum();
    let day = days(year) + months + day - 1;
    let since = day.saturating_sub(days(1970));
    Some(since * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Seconds since 1970 of `UTCTime` or `GeneralizedTime`.
pub(super) fn of_der(tag: u8, content: &[u8]) -> Option<u64> {
    let digits: Vec<u64> = content
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .map(|byte| u64::from(byte - b'0'))
        .collect();
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = year.iter().fold(0, |year, digit| year * 10 + digit);
            (year + if year < 50 { 2_000 } else { 1_900 }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.iter().fold(0, |year, digit| year * 10 + digit), rest)
        }
        _ => return None,
    };
    let mut pairs = rest.as_chunks::<2>().0.iter().map(|[a, b]| a * 10 + b);
    let date = [year, pairs.next()?, pairs.next()?];
    // Seconds may be left out.
    let time = [pairs.next()?, pairs.next()?, pairs.next().unwrap_or(0)];
    seconds(date, time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds() {
        assert_eq!(seconds([1970, 1, 1], [0, 0, 0]), Some(0));
        assert_eq!(seconds([2000, 2, 29], [12, 30, 1]), Some(951_827_401));
        assert_eq!(seconds([2038, 1, 19], [3, 14, 8]), Some(1 << 31));
        assert_eq!(seconds([1902, 1, 1], [0, 0, 0]), Some(0));
        for wrong in [[2001, 2, 29], [2000, 13, 1], [2000, 0, 1], [2000, 4, 31]] {
            assert_eq!(seconds(wrong, [0, 0, 0]), None, "{wrong:?}");
        }
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(of_der(0x17, b"380119031408Z"), Some(1 << 31));
        assert_eq!(of_der(0x18, b"20380119031408Z"), Some(1 << 31));
        assert_eq!(of_der(0x17, b"000229123001Z"), Some(951_827_401));
        assert_eq!(of_der(0x17, b"99"), None);
        assert_eq!(of_der(0x18, b"2038"), None);
        assert_eq!(of_der(0x04, b"380119031408Z"), None);
    }
}
