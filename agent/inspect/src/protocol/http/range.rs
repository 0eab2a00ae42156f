//! `Content-Range` (RFC 9110, 14.4).

/// Whether it is a `Content-Range` of bytes (RFC 9110, 14.4).
pub(in crate::protocol) fn is_range(value: &[u8]) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    let parse = || {
        let text = core::str::from_utf8(value).ok()?.trim();
        let (range, size) = text.strip_prefix("bytes")?.trim().split_once('/')?;
        let size = match size {
            "*" => u64::MAX,
            size => number(size)?,
        };
        if range == "*" {
            return Some(true);
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        Some(first <= last && last < size)
    };
    parse().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_what_the_standard_says() {
        for good in ["bytes 0-499/1234", "bytes 42-1233/*", "bytes */1234"] {
            assert!(is_range(good.as_bytes()), "{good}");
        }
        for bad in [
            "bytes 5-3/10",
            "bytes 0-10/10",
            "0-1/2",
            "bytes",
            "bytes a-b/c",
        ] {
            assert!(!is_range(bad.as_bytes()), "{bad}");
        }
    }
}
