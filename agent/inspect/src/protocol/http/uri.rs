//! Request targets (RFC 9112, 3.2): their parts, and paths as servers understand them.

/// Bytes of a path that are kept as the name of a file.
const LONGEST_NAME: usize = 4 << 10;

/// The parts of a request target, as sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::protocol) struct Target<'a> {
    pub(in crate::protocol) authority: Option<&'a [u8]>,
    pub(in crate::protocol) path: &'a [u8],
    /// With its `?`.
    pub(in crate::protocol) query: &'a [u8],
    /// With its `#`.
    pub(in crate::protocol) fragment: &'a [u8],
}

fn split(data: &[u8], at: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| at(*byte)).unwrap_or(data.len());
    data.split_at_checked(end).unwrap_or((data, &[]))
}

impl<'a> Target<'a> {
    /// Splits a target; `bare` is the authority form of `CONNECT`.
    pub(in crate::protocol) fn of(uri: &'a [u8], bare: bool) -> Self {
        if bare {
            return Self {
                authority: Some(uri),
                ..Self::default()
            };
        }
        let (authority, rest) = match scheme(uri) {
            Some(after) => {
                let (authority, rest) = split(after, |byte| matches!(byte, b'/' | b'?' | b'#'));
                (Some(authority), rest)
            }
            None => (None, uri),
        };
        let (rest, fragment) = split(rest, |byte| byte == b'#');
        let (path, query) = split(rest, |byte| byte == b'?');
        Self {
            authority,
            path,
            query,
            fragment,
        }
    }

    /// The path as name of a file that is transferred.
    pub(in crate::protocol) fn file_name(&self) -> Vec<u8> {
        let mut name = normalise_path(self.path);
        name.truncate(LONGEST_NAME);
        name
    }

    /// Path normalised, query decoded once.
    pub(in crate::protocol) fn normalised(&self) -> Vec<u8> {
        let mut uri = normalise_path(self.path);
        uri.extend_from_slice(&decode(self.query, false));
        uri.extend_from_slice(self.fragment);
        uri
    }
}

/// What follows `scheme://`.
fn scheme(uri: &[u8]) -> Option<&[u8]> {
    let (name, rest) = split(uri, |byte| !byte.is_ascii_alphanumeric());
    if name.is_empty() {
        return None;
    }
    rest.strip_prefix(b"://")
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        Some(value << 4 | char::from(*digit).to_digit(16)?)
    })
}

/// The character and length of a percent-encoding at the beginning, also of `%u` and four digits, as IIS writes it.
fn encoded(data: &[u8]) -> Option<(u8, usize)> {
    let data = data.strip_prefix(b"%")?;
    if let [b'u' | b'U', digits @ ..] = data
        && let Some(point) = digits.get(..4).and_then(hex)
    {
        let byte = match point {
            0..=0xff => u8::try_from(point).unwrap_or(b'?'),
            // Full-width forms stand for ASCII.
            0xff01..=0xff5e => u8::try_from(point - 0xfee0).unwrap_or(b'?'),
            _ => b'?',
        };
        return Some((byte, 6));
    }
    let value = data.get(..2).and_then(hex)?;
    Some((u8::try_from(value).ok()?, 3))
}

/// Decodes percent-encodings once; what is none stays.
fn decode(data: &[u8], is_path: bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match encoded(rest) {
            Some((byte, length)) => (byte, rest.get(length..).unwrap_or_default()),
            None => (*first, after),
        };
        decoded.push(if is_path && byte == b'\\' { b'/' } else { byte });
        rest = after;
    }
    decoded
}

/// Whether something is still encoded after decoding.
pub(in crate::protocol) fn is_double_encoded(data: &[u8]) -> bool {
    let decoded = decode(data, false);
    decoded.len() < data.len()
        && decoded
            .windows(3)
            .any(|window| encoded(window).is_some_and(|(byte, _)| byte.is_ascii()))
}

/// Overlong forms of ASCII in two bytes (`%c0%af`), which valid UTF-8 never has.
fn shorten(data: &[u8]) -> Vec<u8> {
    let mut short = Vec::with_capacity(data.len());
    let mut rest = data;
    loop {
        match *rest {
            [lead @ 0xc0..=0xc1, next @ 0x80..=0xbf, ref after @ ..] => {
                short.push((lead & 1) << 6 | next & 0x3f);
                rest = after;
            }
            [byte, ref after @ ..] => {
                short.push(byte);
                rest = after;
            }
            [] => return short,
        }
    }
}

/// Decodes, makes separators one slash each and removes dot segments (RFC 3986, 5.2.4).
fn normalise_path(path: &[u8]) -> Vec<u8> {
    let decoded = shorten(&decode(path, true));
    let mut normal: Vec<u8> = Vec::with_capacity(decoded.len());
    if !decoded.starts_with(b"/") {
        // `*`, or nonsense: nothing to resolve against.
        return decoded;
    }
    let mut segments = decoded.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"" | b"." if !last => {}
            b".." => {
                let keep = normal.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                normal.truncate(keep);
                if last {
                    normal.push(b'/');
                }
            }
            _ => {
                normal.push(b'/');
                if segment != b"." {
                    normal.extend_from_slice(segment);
                }
            }
        }
    }
    normal
}

/// An authority or a `Host` value in its parts.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Host {
    /// In lower case, without trailing dots.
    pub(in crate::protocol) name: Vec<u8>,
    pub(in crate::protocol) port: Option<u16>,
    pub(in crate::protocol) valid: bool,
}

impl Host {
    /// Takes `user@name:port` apart.
    pub(in crate::protocol) fn of(authority: &[u8]) -> Self {
        let at = authority.iter().rposition(|byte| *byte == b'@');
        let host = at
            .and_then(|at| authority.get(at + 1..))
            .unwrap_or(authority);
        let (name, port, bracketed) = match host.iter().position(|byte| *byte == b']') {
            Some(end) if host.starts_with(b"[") => {
                let (name, port) = host.split_at_checked(end + 1).unwrap_or((host, &[]));
                (name, port, true)
            }
            _ => {
                let (name, port) = split(host, |byte| byte == b':');
                (name, port, false)
            }
        };
        let digits = port.strip_prefix(b":");
        let number = digits
            .and_then(|digits| core::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok());
        let port_fits = digits
            .is_none_or(|digits| digits.is_empty() || number.is_some_and(|port| port > 0))
            && (port.is_empty() || digits.is_some());
        let mut name = name.to_ascii_lowercase();
        while name.len() > 1 && name.last() == Some(&b'.') {
            name.pop();
        }
        let valid = port_fits
            && if bracketed {
                is_ipv6(&name)
            } else {
                is_name(&name)
            };
        Self {
            name,
            port: number,
            valid,
        }
    }
}

fn is_ipv6(name: &[u8]) -> bool {
    name.strip_prefix(b"[")
        .and_then(|name| name.strip_suffix(b"]"))
        .and_then(|name| core::str::from_utf8(name).ok())
        .and_then(|name| name.split('%').next())
        .is_some_and(|name| name.parse::<core::net::Ipv6Addr>().is_ok())
}

/// Labels of at most 63 bytes, 255 in all (RFC 1035, 2.3.4).
fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.split(|byte| *byte == b'.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}
